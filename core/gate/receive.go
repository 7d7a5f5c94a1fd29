package gate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/policy"
	"github.com/postern-mail/postern/core/store"
)

// maxReceived is how many Received fields a mail may have before it is taken to run in circles (RFC 5321 section 6.3).
const maxReceived = 100

// Receive judges the message and answers for it. The reply is 2xx only when the mail was handed on or is committed.
func (g *Gate) Receive(ctx context.Context, a *Arrival) message.Reply {
	generation := g.Acquire()
	defer generation.Release()
	ctx, end := g.Telemetry.Message(ctx, a.ID)
	defer end()
	w := &work{
		generation: generation, policy: generation.Policy(), raw: a.Data, scope: a.Scope,
		message: newMessage(generation.Policy(), a), verdicts: map[message.SampleKey]message.Verdict{},
	}
	reply, err := g.receive(ctx, w)
	g.Telemetry.Received(w.result(reply, err), a.Data.Size())
	if err != nil {
		g.Log.Error("message not taken", "message", a.ID, "error", err)
		if errors.Is(err, store.ErrFull) {
			return message.Reply{Code: 452, Enhanced: [3]int{4, 3, 1}, Text: "Mail system full, please try again later (" + a.ID + ")"}
		}
		return message.TryLater(a.ID)
	}
	return reply
}

// result is the word that figures have for what a client was answered.
func (w *work) result(reply message.Reply, err error) string {
	switch {
	case err != nil:
		return "failed"
	case reply.Code/100 == 5:
		return "refused"
	case !reply.Accepted():
		return "deferred"
	case w.committed:
		return "committed"
	}
	return "relayed"
}

func (g *Gate) receive(ctx context.Context, w *work) (message.Reply, error) {
	limited, cancel := context.WithTimeout(ctx, w.policy.Gateway.DecideWithin)
	defer cancel()
	err := g.judge(limited, w, w.message.Envelope.To)
	switch {
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		return g.commitUndecided(ctx, w)
	case err != nil:
		return message.Reply{}, err
	}
	if n := countFields(w.facts.Tree.Header, "Received"); n > maxReceived {
		g.journal(w, w.message.Envelope.To, "Rejected", fmt.Sprintf("%d Received fields", n))
		return message.Reply{Code: 554, Enhanced: [3]int{5, 4, 6}, Text: "Routing loop detected"}, nil
	}
	return g.settle(ctx, w)
}

// newMessage fills in what is known before the content is read.
func newMessage(p *policy.Policy, a *Arrival) *message.Message {
	m := &message.Message{
		ID: a.ID, QueueID: a.QueueID, Received: a.Received, Session: a.Session, Envelope: a.Envelope, Size: a.Data.Size(),
		Auth: a.Auth,
	}
	m.Trace = receivedField(p.Gateway.Hostname, m) + a.AuthResults
	return m
}

// receivedField is the trace field (RFC 5321 section 4.4).
func receivedField(hostname string, m *message.Message) string {
	with := "ESMTP"
	if m.Envelope.UTF8 {
		with = "UTF8SMTP"
	}
	if m.Session.TLS {
		with += "S"
	}
	recipient := ""
	if len(m.Envelope.To) == 1 {
		recipient = "\r\n\tfor <" + m.Envelope.To[0] + ">"
	}
	address := m.Session.Client.Addr().Unmap()
	literal := address.String()
	if address.Is6() {
		literal = "IPv6:" + literal
	}
	return fmt.Sprintf("Received: from %s ([%s])\r\n\tby %s (Postern) with %s id %s%s;\r\n\t%s\r\n",
		headerWord(m.Session.Helo), literal, hostname, with, m.QueueID, recipient,
		m.Received.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
}

// headerWord makes a client's word fit for a header field: printable ASCII without blanks and comments' delimiters.
func headerWord(s string) string {
	word := strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || strings.ContainsRune("()<>\\\"", r) {
			return -1
		}
		return r
	}, s)
	if word == "" {
		return "unknown"
	}
	return word
}

// judge inspects and evaluates for the recipients, and looks verdicts up as long as it finds some that are known already.
func (g *Gate) judge(ctx context.Context, w *work, recipients []string) error {
	inspecting, end := g.Telemetry.Stage(ctx, "inspect")
	err := w.inspect(inspecting, recipients)
	end(err)
	if err != nil {
		return err
	}
	ctx, end = g.Telemetry.Stage(ctx, "evaluate")
	err = g.evaluate(ctx, w, recipients)
	end(err)
	return err
}

func (g *Gate) evaluate(ctx context.Context, w *work, recipients []string) error {
	for {
		if err := w.evaluate(recipients, g.Now()); err != nil {
			return err
		}
		more, err := g.lookUp(ctx, w)
		if err != nil {
			return err
		}
		if !more {
			return nil
		}
	}
}

// lookUp adds verdicts that are known to the store for samples the decision would wait for, or would submit without waiting, and reports
// whether it found any.
// A sample that is the mail itself gets its hash here, because few messages need it.
func (g *Gate) lookUp(ctx context.Context, w *work) (found bool, err error) {
	var keys []message.SampleKey
	for i := range w.decision.Fates {
		fate := &w.decision.Fates[i]
		for _, sample := range slices.Concat(fate.Waits, fate.Submits) {
			if sample.Key.SHA256 == "" {
				if err := w.hash(); err != nil {
					return false, err
				}
				return true, nil
			}
			keys = append(keys, sample.Key)
		}
	}
	if len(keys) == 0 {
		return false, nil
	}
	submissions, err := g.Store.Submissions(ctx, keys)
	if err != nil {
		return false, fmt.Errorf("look verdicts up: %w", err)
	}
	for i := range submissions {
		s := &submissions[i]
		// Failures are not cached: another message asks again.
		if s.Verdict == nil || s.Verdict.State != message.VerdictDone || !s.Expires.After(g.Store.Steady()) {
			continue
		}
		if _, known := w.verdicts[s.Key]; !known {
			w.verdicts[s.Key] = *s.Verdict
			found = true
		}
	}
	return found, nil
}

func countFields(header []message.HeaderField, name string) int {
	n := 0
	for _, f := range header {
		if strings.EqualFold(f.Name, name) {
			n++
		}
	}
	return n
}

// commitUndecided keeps a message that could not be judged while the client waits; Run finishes it.
func (g *Gate) commitUndecided(ctx context.Context, w *work) (message.Reply, error) {
	if g.undecided.Add(1) > g.MaxUndecided {
		g.undecided.Add(-1)
		return message.Reply{}, fmt.Errorf("commit undecided message: %d are undecided already", g.MaxUndecided)
	}
	if err := w.hash(); err != nil {
		return message.Reply{}, err
	}
	now := g.Now()
	if w.message.HeaderID == "" {
		describe(w.message, &message.Tree{}, w.policy.Gateway.Hostname)
	}
	change := &store.Change{
		Record: &store.Record{Message: *w.message, BodySHA256: w.message.SHA256},
		Bodies: []store.Body{storedBody(w.message.SHA256, w.raw)},
		Copies: []store.Copy{{
			ID: w.message.ID, MessageID: w.message.ID, Recipients: w.message.Envelope.To, State: store.CopyUndecided,
			DueAt: g.Store.Steady(), Changed: now,
		}},
	}
	if err := g.Store.Commit(ctx, change); err != nil {
		return message.Reply{}, fmt.Errorf("commit undecided message: %w", err)
	}
	w.committed = true
	g.Telemetry.Copy(string(store.CopyUndecided))
	g.Log.Warn("message committed undecided", "message", w.message.ID, "decide_within", w.policy.Gateway.DecideWithin)
	g.wakeRunner()
	return accepted(w.message), nil
}

// accepted is the reply for mail that is committed here.
func accepted(m *message.Message) message.Reply {
	return message.Reply{Code: 250, Enhanced: [3]int{2, 0, 0}, Text: "OK: queued as " + m.QueueID}
}
