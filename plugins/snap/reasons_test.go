package main

import (
	"bytes"
	_ "embed"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/postern-mail/postern/sdk/scanner"
)

//go:embed testdata/reasons.txt
var reasonCases string

// body is content in memory.
type body string

func (b body) Open() (io.ReadSeekCloser, error) { return nopCloser{bytes.NewReader([]byte(b))}, nil }
func (b body) Bytes() ([]byte, error)           { return []byte(b), nil }

type nopCloser struct{ *bytes.Reader }

func (nopCloser) Close() error { return nil }

// plain is a mail that nothing speaks against.
func plain() *scanner.Message {
	return &scanner.Message{
		Queries: []int{1},
		Header: []scanner.HeaderField{
			{Name: "Received", Value: "from mail.example.com (mail.example.com [192.0.2.7]) by mx.example.org with ESMTP; Thu, 12 Mar 2026 10:00:05 +0100"},
			{Name: "Return-Path", Value: "<anna@example.com>"},
			{Name: "From", Value: "Anna Berger <anna@example.com>"},
			{Name: "To", Value: "Tom Ruiz <tom@example.org>"},
			{Name: "Subject", Value: "Treffen am Donnerstag"},
			{Name: "Date", Value: "Thu, 12 Mar 2026 10:00:00 +0100"},
			{Name: "Message-ID", Value: "<5@mail.example.com>"},
		},
		Envelope: scanner.Envelope{From: "anna@example.com", To: []string{"tom@example.org"}, Client: "192.0.2.7", Helo: "mail.example.com"},
		Parts:    []scanner.Part{{ID: 0, Parent: -1, Path: "1", Kind: "text", Declared: "text/plain", Body: body("Hallo Tom, wir sehen uns um zehn. Anna")}},
	}
}

// alter replaces what a line of the cases names.
func alter(m *scanner.Message, change string) {
	if name, left := strings.CutPrefix(change, "!"); left {
		m.Header = slices.DeleteFunc(m.Header, func(f scanner.HeaderField) bool { return f.Name == name })
		if name == "text" {
			m.Parts = slices.DeleteFunc(m.Parts, func(p scanner.Part) bool { return p.Kind == "text" })
		}
		return
	}
	name, value, _ := strings.Cut(change, ":")
	value = strings.TrimSpace(value)
	for from, to := range map[string]string{"$4500": strings.Repeat("x", 4500), "$3500": strings.Repeat("x", 3500),
		"$nbsp250": strings.Repeat("&nbsp; ", 250), "$nbsp150": strings.Repeat("&nbsp; ", 150)} {
		value = strings.ReplaceAll(value, from, to)
	}
	words := strings.Fields(value)
	id := 10 + len(m.Parts)
	switch name {
	case "text":
		for i := range m.Parts {
			if m.Parts[i].Kind == "text" {
				m.Parts[i].Body = body(value)
			}
		}
		if at := strings.Index(value, "http"); at >= 0 {
			m.URLs = append(m.URLs, scanner.URL{Raw: value[at:], Part: 0})
		}
	case "html":
		m.Parts = append(m.Parts, scanner.Part{ID: id, Kind: "html", Declared: "text/html", Charset: "utf-8", Body: body(value)})
	case "file", "picture", "link-in":
		end := len(words) - 1
		file := strings.Join(words[:end-1], " ")
		m.Parts = append(m.Parts, scanner.Part{ID: id, Kind: "attachment", Names: []string{file}, Display: file, Declared: words[end-1], Body: body("x")})
		if name != "file" {
			m.URLs = append(m.URLs, scanner.URL{Raw: words[end], Part: id})
		}
	case "charset":
		m.Parts[0].Charset = value
	case "client":
		m.Envelope.Client, m.Envelope.Helo = words[0], words[1]
	case "auth":
		m.Auth = scanner.Auth{SPF: words[0], DKIM: words[1], DMARC: words[2]}
	default:
		if more, isMore := strings.CutPrefix(name, "+"); isMore {
			m.Header = append(m.Header, scanner.HeaderField{Name: more, Value: value})
			return
		}
		m.Header = slices.DeleteFunc(m.Header, func(f scanner.HeaderField) bool { return f.Name == name })
		m.Header = append(m.Header, scanner.HeaderField{Name: name, Value: value})
	}
}

func testState(t testing.TB) *state {
	t.Helper()
	st, err := newState()
	if err != nil {
		t.Fatal(err)
	}
	st.internal = []string{"ziegelei-ruiz.de"}
	st.names = []string{"vera vorstand"}
	return st
}

func (st *state) reasonsIn(t testing.TB, m *scanner.Message) []reason {
	t.Helper()
	mail := readHead(m)
	if err := mail.readBodies(m); err != nil {
		t.Fatal(err)
	}
	return st.reasonsOf(mail)
}

func names(found []reason) []string {
	var out []string
	for _, r := range found {
		out = append(out, r.id)
	}
	slices.Sort(out)
	return out
}

func TestNothingSpeaksAgainstPlainMail(t *testing.T) {
	if found := testState(t).reasonsIn(t, plain()); len(found) > 0 {
		t.Errorf("reasons %v", found)
	}
}

func TestEachReasonHitsAndMisses(t *testing.T) {
	st := testState(t)
	hits, misses := map[string]int{}, map[string]int{}
	id := ""
	for number, line := range strings.Split(reasonCases, "\n") {
		kind, rest, _ := strings.Cut(line, " ")
		switch kind {
		case "=":
			id = rest
			if !known(id) {
				t.Errorf("line %d: there is no reason %q", number+1, id)
			}
		case "+", "-":
			m := plain()
			for _, change := range strings.Split(rest, " | ") {
				alter(m, change)
			}
			found := names(st.reasonsIn(t, m))
			if got := slices.Contains(found, id); got != (kind == "+") {
				t.Errorf("line %d: %s holds: %v, found are %v\n\t%s", number+1, id, got, found, line)
			}
			if kind == "+" {
				hits[id]++
			} else {
				misses[id]++
			}
		}
	}
	for _, id := range reasonNames() {
		if hits[id] == 0 || misses[id] == 0 {
			t.Errorf("%s is tried by %d hits and %d near misses", id, hits[id], misses[id])
		}
	}
}
