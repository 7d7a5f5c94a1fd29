package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/postern-mail/postern/core/e2e/harness"
)

// mail is one file of a corpus and what became of it.
type mail struct {
	corpus, path string
	recipient    string // its own, so that it is known again
	data         []byte
	reply        harness.Reply
}

// readCorpus reads the mails below a folder, in the order of their names.
func readCorpus(root, corpus string) ([]*mail, error) {
	var out []*mail
	err := filepath.WalkDir(filepath.Join(root, corpus), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !isMail(corpus, path) {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		out = append(out, &mail{
			corpus: corpus, path: path, recipient: fmt.Sprintf("%s.%d@example.org", corpus, len(out)), data: harness.Lines(data),
		})
		return nil
	})
	if err == nil && len(out) == 0 {
		err = errors.New("no mail there")
	}
	if err != nil {
		return nil, fmt.Errorf("read corpus %s: %w", corpus, err)
	}
	return out, nil
}

// isMail leaves out what stands beside the mails of a corpus.
func isMail(corpus, path string) bool {
	if strings.HasPrefix(corpus, "mail-") {
		return slices.Contains([]string{".eml", ".raw"}, filepath.Ext(path))
	}
	return true
}

const sendersAtOnce = 8

// sendAll sends every mail from a sender outside, several at once, and notes the replies.
func sendAll(ctx context.Context, s *harness.Site, mails []*mail) error {
	var (
		next    atomic.Int64
		sending sync.WaitGroup
		mu      sync.Mutex
		failed  error
	)
	for range sendersAtOnce {
		sending.Go(func() {
			err := sendSome(ctx, s, mails, &next)
			mu.Lock()
			defer mu.Unlock()
			failed = errors.Join(failed, err)
		})
	}
	sending.Wait()
	return failed
}

func sendSome(ctx context.Context, s *harness.Site, mails []*mail, next *atomic.Int64) (err error) {
	client, err := s.Dial()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	for ctx.Err() == nil {
		i := int(next.Add(1)) - 1
		if i >= len(mails) {
			return nil
		}
		m := mails[i]
		if m.reply, err = client.Send("sender@outside.example", []string{m.recipient}, m.data); err != nil {
			return fmt.Errorf("send %s: %w", m.path, err)
		}
		if m.reply.Code == 421 {
			return fmt.Errorf("send %s: %s", m.path, m.reply)
		}
	}
	return ctx.Err()
}

// fates is what the gateway did, by recipient.
type fates struct {
	arrived map[string][]harness.Mail
	rules   map[string][]string // of the policy events
}

func readFates(ctx context.Context, s *harness.Site) (*fates, error) {
	f := &fates{arrived: map[string][]harness.Mail{}, rules: map[string][]string{}}
	for _, m := range s.Sink.Mails() {
		for _, to := range m.To {
			f.arrived[to] = append(f.arrived[to], m)
		}
	}
	events, err := s.Events(ctx)
	if err != nil {
		return nil, err
	}
	for i := range events {
		for _, to := range events[i].Recipients {
			f.rules[to] = append(f.rules[to], events[i].Rule)
		}
	}
	return f, nil
}

func relayCorpora(ctx context.Context, e *env) (err error) {
	s, err := startSite(ctx, e, "corpora.hcl")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	short := false
	e.printf("%-15s %6s %8s %12s %8s %6s %8s %9s", "corpus", "mails", "relayed", "quarantined", "refused", "lost", "doubled", "malformed")
	for _, corpus := range []string{"ham", "spam", "phishing", "mail-malformed", "mail-misc"} {
		mails, err := readCorpus(e.corpora, corpus)
		if err != nil {
			return err
		}
		if err := sendAll(ctx, s, mails); err != nil {
			return err
		}
		f, err := readFates(ctx, s)
		if err != nil {
			return err
		}
		c := count(e, mails, f)
		e.printf("%-15s %6d %8d %12d %8d %6d %8d %9d", corpus, len(mails), c.relayed, c.quarantined, c.refused, c.lost, c.doubled, c.malformed)
		for _, reason := range c.reasons() {
			e.printf("    %s", reason)
		}
		short = short || c.lost+c.doubled+c.changed > 0 || corpus == "ham" && c.malformed*200 >= len(mails)
	}
	if short {
		return errShort
	}
	return nil
}

type counts struct {
	relayed, quarantined, refused, lost, doubled, changed, malformed int
	why                                                              map[string]int
}

func (c *counts) reasons() []string {
	var out []string
	for why, n := range c.why {
		out = append(out, fmt.Sprintf("%4d %s", n, why))
	}
	slices.Sort(out)
	slices.Reverse(out)
	return out
}

func count(e *env, mails []*mail, f *fates) *counts {
	c := &counts{why: map[string]int{}}
	for _, m := range mails {
		arrived, rules := f.arrived[m.recipient], f.rules[m.recipient]
		if slices.Contains(rules, "malformed_message") {
			c.malformed++
		}
		switch {
		case len(arrived) > 1 || len(arrived) == 1 && (!m.reply.Accepted() || slices.ContainsFunc(rules, keeps)):
			c.doubled++
			e.printf("doubled: %s (%s, %v)", m.path, m.reply, rules)
		case len(arrived) == 1 && harness.AsSent(arrived[0].Data, m.data):
			c.relayed++
		case len(arrived) == 1:
			c.changed++
			e.printf("changed: %s: %s", m.path, difference(arrived[0].Data, m.data))
		case m.reply.Accepted() && len(rules) > 0:
			c.quarantined++
			c.why["quarantined by "+strings.Join(rules, ", ")]++
		case m.reply.Accepted():
			c.lost++
			e.printf("lost: %s", m.path)
		default:
			c.refused++
			c.why["refused with "+m.reply.String()]++
		}
	}
	return c
}

// keeps reports whether the rule keeps the mail: what is sealed is passed on by the policy of the proofs.
func keeps(rule string) bool { return rule != "encryption" }

// difference tells where two mails part, seen from their ends.
func difference(arrived, sent []byte) string {
	n := 0
	for n < len(arrived) && n < len(sent) && arrived[len(arrived)-1-n] == sent[len(sent)-1-n] {
		n++
	}
	at := func(b []byte) string {
		end := len(b) - n
		return fmt.Sprintf("%q", bytes.TrimSpace(b[max(0, end-40):min(len(b), end+20)]))
	}
	return fmt.Sprintf("%d of %d bytes from the end are alike; before them arrived %s, sent was %s", n, len(sent), at(arrived), at(sent))
}
