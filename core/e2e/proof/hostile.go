package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/postern-mail/postern/core/e2e/harness"
)

// mostGrowth is how much larger the host may get.
const mostGrowth = 64 << 20

// misbehaviour is one way, and what has to come of it.
type misbehaviour struct {
	mode, start string
	says        string        // in the log of the call, or in the refusal of what cannot start
	within      time.Duration // every message is answered, or the reload refused
	messages    int
}

func misbehaviours() []misbehaviour {
	const call, late = 3 * time.Second, 6 * time.Second // a call may take 3 s
	// Who is not root cannot start so many processes; root's are not counted.
	forks := `"crash"`
	if os.Geteuid() == 0 {
		forks = `"timeout"`
	}
	var out []misbehaviour
	for mode, says := range map[string]string{
		"bad-log": "after a bad log line", "crashes": `"crash"`, "huge-reply": "larger than max", "many-findings": "5001 findings",
		"bad-text": "finding with certainty", "foreign-part": "in part 99", "foreign-query": "for query 99", "foreign-call": "does not belong to the call",
		"reads-file": "denied: open", "dials-tcp": "denied: dial tcp", "dials-udp": "denied: dial udp", "leaks-descriptors": "too many open files",
	} {
		out = append(out, misbehaviour{mode: mode, says: says, within: call, messages: 3})
	}
	for mode, says := range map[string]string{
		"huge-line": "after a huge line", "flood": "after a flood", "allocates": "memory", "forks": forks, "stops-itself": `"timeout"`,
		"late": `"timeout"`, "hangs": `"timeout"`,
	} {
		out = append(out, misbehaviour{mode: mode, says: says, within: late, messages: 2})
	}
	for start, says := range map[string]string{
		"tcp-address": "only a unix socket in its own folder is allowed", "outside-address": "outside its own folder", "no-handshake": "good day",
		"slow-start": "", "exits-early": "I do not want to",
	} {
		out = append(out, misbehaviour{mode: "good", start: start, says: says, within: late})
	}
	return out
}

// hostilePlugin lets a plugin misbehave in every way, each from a reload on.
func hostilePlugin(ctx context.Context, e *env) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	secret := filepath.Join(e.scratch, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		return err
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer udp.Close()
	s, err := newHostileSite(ctx, e, judged, "HOSTILE_SECRET="+secret, "HOSTILE_TCP="+tcp.Addr().String(), "HOSTILE_UDP="+udp.LocalAddr().String())
	if err != nil {
		return err
	}
	if err := s.Start(ctx); err != nil {
		return err
	}
	defer s.finish(&err)
	// What it finds when it behaves is acted on: the proof would see a verdict.
	if _, err := s.sendOne(ctx, "good", "found"); err != nil {
		return err
	}
	before, err := residentSet(s.Gateway.Pid())
	if err != nil {
		return err
	}
	e.printf("%-18s %-10s %9s  %s", "", "expected", "took ms", "outcome")
	short := false
	for _, m := range misbehaviours() {
		limited, stop := context.WithTimeout(ctx, 30*time.Second)
		outcome, took, err := s.misbehave(limited, m)
		stop()
		if err == nil && took > m.within {
			err = fmt.Errorf("it took more than %s", m.within)
		}
		if err != nil {
			short, outcome = true, err.Error()
		}
		name, expected := m.mode, "exception"
		if m.start != "" {
			name, expected = m.start, "refused"
		}
		e.printf("%-18s %-10s %9d  %s", name, expected, took.Milliseconds(), outcome)
	}
	peak, err := peakSet(s.Gateway.Pid())
	if err != nil {
		return err
	}
	e.printf("the host: %d MiB before, %d MiB at most (claimed: at most %d MiB more); its log has %d KiB", before>>20, peak>>20, mostGrowth>>20,
		len(s.Gateway.Log())>>10)
	if short || peak-before > mostGrowth {
		return errShort
	}
	return nil
}

// misbehave lets the plugin misbehave and tells what came of it. took is the longest wait for one answer.
func (s *hostileSite) misbehave(ctx context.Context, m misbehaviour) (outcome string, took time.Duration, err error) {
	if err := s.behave(judged, m.mode, m.start, "m"); err != nil {
		return "", 0, err
	}
	started := time.Now()
	_, err = s.Setup.Run(ctx, "reload")
	if m.start != "" {
		took = time.Since(started)
		if err == nil || !strings.Contains(err.Error(), m.says) {
			return "", took, fmt.Errorf("the reload says %v", err)
		}
		// The version before serves on: whatever it does, it is asked.
		return "refused, the old one serves", took, nil
	}
	if err != nil {
		return "", 0, err
	}
	said := len(s.Gateway.Log())
	for n := range m.messages {
		waited, err := s.sendOne(ctx, fmt.Sprintf("%s-%d", m.mode, n), "unavailable")
		took = max(took, waited)
		if err != nil {
			return "", took, err
		}
	}
	// The exception has to have the right cause.
	err = harness.Eventually(ctx, "the log tells "+m.says, func() (bool, error) { return strings.Contains(s.Gateway.Log()[said:], m.says), nil })
	if err != nil {
		return "", took, err
	}
	return fmt.Sprintf("%d messages met plugin_unavailable", m.messages), took, nil
}

// sendOne sends a message that has to end in the area.
func (s *hostileSite) sendOne(ctx context.Context, subject, area string) (took time.Duration, err error) {
	client, err := s.Dial()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	started := time.Now()
	reply, err := client.Send("alice@outside.example", []string{"bob@example.org"}, harness.Document(subject, "file.txt", []byte(subject)))
	took = time.Since(started)
	if err != nil {
		return took, err
	}
	copies, err := s.Copies(ctx, "quarantine", "--subject", subject)
	if err != nil {
		return took, err
	}
	if !reply.Accepted() || len(copies) != 1 || copies[0].Area != area {
		return took, fmt.Errorf("answered %s; kept are %+v, want one in %s", reply, copies, area)
	}
	return took, nil
}
