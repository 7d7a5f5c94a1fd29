package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/postern-mail/postern/core/e2e/harness"
)

// keptMail is mail for which something is still owed when it is answered.
type keptMail struct {
	what string
	to   []string
	data []byte
	// synced are what has to be synced before the reply, as parts of a path.
	synced []string
}

func keptMails() []keptMail {
	bob := []string{"bob@example.org"}
	return []keptMail{
		{"quarantined, 4 KiB", bob, harness.Document("small", "a.kept", make([]byte, 4<<10)), []string{"postern.db-wal"}},
		{"quarantined, 1 MiB", bob, harness.Document("large", "a.kept", make([]byte, 1<<20)), []string{"postern.db-wal", "/bodies/new-", "/bodies/"}},
		{"the same once more", bob, harness.Document("large", "a.kept", make([]byte, 1<<20)), []string{"postern.db-wal", "/bodies/"}},
		{"two fates, delivered from the outbox", append(bob, "carol@example.org"), harness.Document("mixed", "a.mixed", make([]byte, 4<<10)),
			[]string{"postern.db-wal"}},
	}
}

func commitBefore250(ctx context.Context, e *env) (err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s, err := newSite(ctx, e, "commit.hcl")
	if err != nil {
		return err
	}
	trace := filepath.Join(e.scratch, "strace")
	// -D leaves the gateway our own child, so that it is stopped as ever.
	s.Setup.Wrap = []string{"strace", "-D", "-f", "-y", "-s", "80", "-e", "trace=fsync,fdatasync,write", "-o", trace}
	if err := s.Start(ctx); err != nil {
		return err
	}
	replies, err := sendKept(s)
	if err := errors.Join(err, s.Stop()); err != nil {
		return err
	}
	lines, err := readTrace(ctx, trace)
	if err != nil {
		return err
	}
	short := false
	for i, m := range keptMails() {
		synced, found := syncsBefore(lines, replies[i])
		missing := ""
		for _, want := range m.synced {
			if !strings.Contains(strings.Join(synced, "\n"), want) {
				missing += " " + want
			}
		}
		e.printf("%-38s answered %s; synced before: %s", m.what, replies[i], strings.Join(synced, ", "))
		if !found || missing != "" {
			short = true
			e.printf("    not synced before the reply:%s (reply seen: %v)", missing, found)
		}
	}
	if short {
		return errShort
	}
	return nil
}

func sendKept(s *harness.Site) (replies []harness.Reply, err error) {
	client, err := s.Dial()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	for _, m := range keptMails() {
		reply, err := client.Send("alice@outside.example", m.to, m.data)
		if err != nil {
			return nil, err
		}
		if !reply.Accepted() {
			return nil, fmt.Errorf("send mail that is %s: %s", m.what, reply)
		}
		replies = append(replies, reply)
	}
	return replies, nil
}

// readTrace waits for the end of strace, which goes on for a moment when the gateway is gone.
func readTrace(ctx context.Context, path string) (lines []string, err error) {
	err = harness.Eventually(ctx, "strace has written everything", func() (bool, error) {
		f, err := os.Open(path)
		if err != nil {
			return false, err
		}
		defer f.Close()
		lines = nil
		scanner := bufio.NewScanner(f)
		scanner.Buffer(nil, 1<<20)
		for scanner.Scan() {
			lines = append(lines, scanner.Text())
		}
		return len(lines) > 0 && strings.Contains(lines[len(lines)-1], "+++ exited"), scanner.Err()
	})
	return lines, err
}

var (
	syncDone    = regexp.MustCompile(`^(\d+) +f(?:data)?sync\(\d+<([^>]*)>\)\s*= 0`)
	syncBegun   = regexp.MustCompile(`^(\d+) +f(?:data)?sync\(\d+<([^>]*)>\)? <unfinished`)
	syncResumed = regexp.MustCompile(`^(\d+) +<\.\.\. f(?:data)?sync resumed>\)?\s*= 0`)
)

// syncsBefore lists the files whose sync ended between the go-ahead for the data and the reply to it.
func syncsBefore(lines []string, reply harness.Reply) (synced []string, found bool) {
	words := strings.Fields(reply.Text)
	id := words[len(words)-1] // unique to the message
	begun := map[string]string{}
	for _, line := range lines {
		switch {
		case strings.Contains(line, "write(") && strings.Contains(line, `"354 `):
			synced = nil
		case strings.Contains(line, "write(") && strings.Contains(line, `"250`) && strings.Contains(line, id):
			return synced, true
		}
		if m := syncDone.FindStringSubmatch(line); m != nil {
			synced = append(synced, m[2])
		} else if m := syncBegun.FindStringSubmatch(line); m != nil {
			begun[m[1]] = m[2]
		} else if m := syncResumed.FindStringSubmatch(line); m != nil {
			synced = append(synced, begun[m[1]])
		}
	}
	return synced, false
}
