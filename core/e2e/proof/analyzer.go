package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/postern-mail/postern/core/e2e/harness"
	"github.com/postern-mail/postern/core/message"
)

// analyzerTable sends one mail for every cell of trigger x level x verdict x mode and holds fate, event, notification and whether the
// next rule was tried against what the product's guide says (pages 4 to 12, 25).
func analyzerTable(ctx context.Context, e *env) error {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	verdicts := []string{"none", "low", "medium", "high", "failed", "unsupported"}
	runs := []struct {
		mode, settings string
		verdicts       []string
	}{
		{"sync", `query_delay = "1s"`, verdicts},
		{"async", "query_delay = \"1s\"\n  mode = \"async\"", verdicts},
		{"sync", "query_delay = \"2s\"\n  max_retries = 0", []string{"expired"}},
	}
	total, wrong := 0, 0
	for n, r := range runs {
		var cells []*cell
		for _, trigger := range triggers() {
			for _, level := range []string{"low", "medium", "high"} {
				for _, verdict := range r.verdicts {
					cells = append(cells, newCell(trigger, level, verdict, r.mode))
				}
			}
		}
		bad, err := runCells(ctx, e, fmt.Sprint("run", n), r.settings, cells)
		if err != nil {
			return err
		}
		e.printf("%-5s %-28s %3d cells, %d otherwise than they should be", r.mode, strings.Join(r.verdicts, " "), len(cells), bad)
		total, wrong = total+len(cells), wrong+bad
	}
	e.printf("%d cells, %d wrong", total, wrong)
	if wrong > 0 {
		return errShort
	}
	return nil
}

// trigger is one way in which mail comes to be analysed (guide page 5).
type trigger struct {
	name, kind, scan string
	// mail is one that the trigger is for, and the bytes that the sandbox is given of it.
	mail func(id string) (mail, sample []byte)
	// acts says that asynchronous mode acts at once on it; the others pass at once.
	acts bool
}

func triggers() []trigger {
	file := func(name string, content func(id string) []byte) func(string) ([]byte, []byte) {
		return func(id string) ([]byte, []byte) {
			c := content(id)
			return harness.Document(id, id+name, c), c
		}
	}
	return []trigger{
		{name: "atse", kind: "virus", scan: `scan "atse" {}`, acts: true, mail: file(".lnk", startsPowerShell)},
		{name: "filename", kind: "other", scan: "scan \"filename\" {\n    names   = [\"*.js\"]\n    analyze = true\n  }",
			mail: file(".js", func(id string) []byte { return []byte("// " + id) })},
		{name: "filetype", kind: "other", scan: "scan \"filetype\" {\n    types   = [\"executable\"]\n    analyze = true\n  }",
			mail: file(".txt", func(id string) []byte {
				return append([]byte("MZ\x90\x00\x03\x00\x00\x00\x04\x00\x00\x00\xff\xff\x00\x00"), strings.Repeat(id, 100)...)
			})},
		{name: "snap", kind: "other", scan: "scan \"snap\" {\n    aggressive_score   = 0.1\n    conservative_score = 100\n  }", acts: true,
			mail: func(id string) ([]byte, []byte) {
				m := fmt.Appendf(nil, "From: \"PayPal Security\" <service@paypa1-login.example>\r\nReply-To: x@free.example\r\nTo: you@example.org\r\n"+
					"Subject: %s urgent: your account is suspended\r\nMessage-ID: <%s@outside.example>\r\nContent-Type: text/html\r\n\r\n"+
					"<p>Verify your password within 24 hours: <a href=\"http://198.51.100.7/paypal/login\">https://www.paypal.com</a></p>\r\n", id, id)
				return m, m
			}},
	}
}

// startsPowerShell is a shortcut (MS-SHLLINK) that starts a shell with an encoded command, which plugin atse suspects.
func startsPowerShell(id string) []byte {
	const hasRelativePath, hasArguments, isUnicode = 8, 32, 128
	out := make([]byte, 76)
	copy(out, "\x4c\x00\x00\x00\x01\x14\x02\x00\x00\x00\x00\x00\xc0\x00\x00\x00\x00\x00\x00\x46")
	binary.LittleEndian.PutUint32(out[20:], hasRelativePath|hasArguments|isUnicode)
	for _, text := range []string{
		`..\..\Windows\System32\WindowsPowerShell\v1.0\powershell.exe`, "-enc " + base64.StdEncoding.EncodeToString([]byte(id)),
	} {
		units := utf16.Encode([]rune(text))
		out = binary.LittleEndian.AppendUint16(out, uint16(len(units)))
		for _, unit := range units {
			out = binary.LittleEndian.AppendUint16(out, unit)
		}
	}
	return append(out, 0, 0, 0, 0)
}

// cell is one mail and what has to become of it.
type cell struct {
	trigger      trigger
	level        string
	verdict      string
	id           string
	recipient    string
	mail, sample []byte
	want         outcome
}

// outcome is what can be seen of a mail's fate.
type outcome struct {
	area     string // of the quarantine; "": delivered
	tags     string // in front of the subject that arrives
	rule     string // of the event, "" where there is none
	threat   string
	notified bool
	alert    bool // of a high risk that came to be known late
}

func newCell(t trigger, level, verdict, mode string) *cell {
	domain := t.name + "-" + level
	id := strings.ReplaceAll(domain+"-"+verdict+"-"+mode, "-", ".")
	c := &cell{trigger: t, level: level, verdict: verdict, id: id, recipient: id + "@" + domain + ".example.org"}
	c.mail, c.sample = t.mail(id)
	reached := slices.Contains(map[string][]string{"high": {"low", "medium", "high"}, "medium": {"medium", "high"}, "low": {"high"}}[level], verdict)
	caught := outcome{area: domain, rule: domain, notified: true}
	passed := outcome{tags: "[next] "}
	switch {
	case mode == "async":
		c.want = passed
		if t.acts {
			c.want = caught
		}
		c.want.rule, c.want.threat = domain, message.ThreatNoRisk
		switch {
		case reached:
			c.want.threat = message.ThreatAnalyzed
		case verdict == "failed", verdict == "unsupported":
			c.want.threat = message.ThreatProbable
		}
		c.want.alert = verdict == "high"
	case reached:
		c.want = caught
		c.want.threat = message.ThreatAnalyzed
	case verdict == "failed", verdict == "expired":
		c.want = outcome{area: "unanalysed", rule: "virtual_analyzer", threat: message.ThreatProbable, notified: true}
	case verdict == "unsupported":
		c.want = outcome{tags: "[next] [unsupported] ", rule: "virtual_analyzer", threat: message.ThreatProbable}
	default:
		c.want = passed
	}
	return c
}

// cellRules are a rule for each trigger and level, and one after them that marks what it gets to see.
func cellRules(settings string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "virtual_analyzer {\n  analyzer = \"verdicts\"\n  %s\n}\n", settings)
	for _, t := range triggers() {
		for _, level := range []string{"low", "medium", "high"} {
			domain := t.name + "-" + level
			fmt.Fprintf(&b, "rule %q {\n  kind = %q\n  to = [\"*@%s.example.org\"]\n  security_level = %q\n  %s\n  action \"quarantine\" { area = %q }\n"+
				"  action \"notify\" { notification = \"Cell\" }\n}\n", domain, t.kind, domain, level, t.scan, domain)
		}
	}
	b.WriteString("rule \"next\" {\n  scan \"filename\" {\n    names = [\"nothing\"]\n    not   = true\n  }\n  action \"tag_subject\" { text = \"[next]\" }\n}\n")
	return b.Bytes()
}

func runCells(ctx context.Context, e *env, name, settings string, cells []*cell) (wrong int, err error) {
	verdicts := filepath.Join(e.scratch, name+".verdicts")
	var lines strings.Builder
	for _, c := range cells {
		if c.verdict != "expired" {
			fmt.Fprintf(&lines, "%x %s\n", sha256.Sum256(c.sample), c.verdict)
		}
	}
	if err := os.WriteFile(verdicts, []byte(lines.String()), 0o600); err != nil {
		return 0, err
	}
	own := *e
	own.scratch = filepath.Join(e.scratch, name)
	if err := os.Mkdir(own.scratch, 0o700); err != nil {
		return 0, err
	}
	s, err := newSite(ctx, &own, "analyzer.hcl")
	if err != nil {
		return 0, err
	}
	s.Setup.Env = append(s.Setup.Env, "PROOF_VERDICTS="+verdicts)
	if err := s.WriteConfig("rules/20.hcl", cellRules(settings)); err != nil {
		return 0, err
	}
	if err := s.Start(ctx); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	client, err := s.Dial()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	for _, c := range cells {
		reply, err := client.Send("alice@outside.example", []string{c.recipient}, c.mail)
		if err != nil || !reply.Accepted() {
			return 0, errors.Join(fmt.Errorf("%s: %s", c.id, reply), err)
		}
	}
	return judgeCells(ctx, e, s, cells)
}

// judgeCells waits until every cell is as it should be, or for as long as that may take, and counts those that are not.
func judgeCells(ctx context.Context, e *env, s *harness.Site, cells []*cell) (wrong int, err error) {
	waiting, cancel := context.WithTimeout(ctx, patience/2)
	defer cancel()
	err = harness.Eventually(waiting, "every cell is as it should be", func() (bool, error) {
		seen, err := seeCells(ctx, s, cells)
		if err != nil {
			return false, err
		}
		for i, c := range cells {
			if seen[i] != c.want {
				return false, nil
			}
		}
		return true, nil
	})
	if err == nil || waiting.Err() == nil {
		return 0, err
	}
	seen, err := seeCells(ctx, s, cells)
	if err != nil {
		return 0, err
	}
	for i, c := range cells {
		if seen[i] != c.want {
			wrong++
			e.printf("%s: %+v, should be %+v", c.id, seen[i], c.want)
		}
	}
	return wrong, nil
}

func seeCells(ctx context.Context, s *harness.Site, cells []*cell) ([]outcome, error) {
	kept, err := s.Copies(ctx, "quarantine")
	if err != nil {
		return nil, err
	}
	events, err := s.Events(ctx)
	if err != nil {
		return nil, err
	}
	mails := s.Sink.Mails()
	var out []outcome
	for _, c := range cells {
		var o outcome
		for i := range kept {
			if slices.Contains(kept[i].Recipients, c.recipient) {
				o.area += kept[i].Area
			}
		}
		for i := range events {
			if slices.Contains(events[i].Recipients, c.recipient) && events[i].Rule != "next" {
				o.rule, o.threat = o.rule+events[i].Rule, o.threat+events[i].ThreatType
			}
		}
		for _, m := range mails {
			subject := subjectOf(&m)
			switch {
			case slices.Contains(m.To, c.recipient):
				before, _, _ := strings.Cut(subject, c.id)
				o.tags += before
			case strings.HasPrefix(subject, "cell "+c.recipient+" by "):
				o.notified = true
			case strings.HasPrefix(subject, "High risk found after delivery: ") && strings.Contains(subject, c.id):
				o.alert = true
			}
		}
		out = append(out, o)
	}
	return out, nil
}

func subjectOf(m *harness.Mail) string {
	head, _, _ := strings.Cut(string(m.Data), "\r\n\r\n")
	head = strings.ReplaceAll(strings.ReplaceAll(head, "\r\n ", " "), "\r\n\t", " ")
	for line := range strings.SplitSeq(head, "\r\n") {
		if subject, found := strings.CutPrefix(line, "Subject: "); found {
			return subject
		}
	}
	return ""
}
