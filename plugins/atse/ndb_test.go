package main

import (
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/sdk/scanner"
)

func TestContentSignatures(t *testing.T) {
	h := func(s string) string { return hex.EncodeToString([]byte(s)) }
	program := string(programOf(0x1000, 0, sectionOf{".text", 0x1000, canRun, []byte("..entry point code here"), 0}))
	for _, c := range []struct {
		why, line, content string
		found              bool
	}{
		{"bytes in a row", "A:0:*:" + h("malware"), "some malware here", true},
		{"another letter", "A:0:*:" + h("malware"), "some malWare here", false},
		{"any byte", "A:0:*:" + h("mal") + "??" + h("are!"), "malware!", true},
		{"half a byte", "A:0:*:" + h("malw") + "6?" + h("re"), "malware", true},
		{"the other half", "A:0:*:" + h("malw") + "?2" + h("re"), "malware", false},
		{"any gap", "A:0:*:" + h("begin") + "*" + h("end"), "begin and then the end", true},
		{"the wrong way round", "A:0:*:" + h("begin") + "*" + h("end"), "end and then begin", false},
		{"a gap of a size", "A:0:*:" + h("begin") + "{2-4}" + h("end."), "begin123end.", true},
		{"too large a gap", "A:0:*:" + h("begin") + "{2-4}" + h("end."), "begin12345end.", false},
		{"too small a gap", "A:0:*:" + h("begin") + "{2-4}" + h("end."), "begin1end.", false},
		{"a gap of at most", "A:0:*:" + h("begin") + "{-4}" + h("end."), "beginend.", true},
		{"a gap of at least", "A:0:*:" + h("begin") + "{3-}" + h("end."), "begin12end.", false},
		{"a gap that a nearer end is too near for", "A:0:*:" + h("begin") + "{2}" + h("ab") + "{1}" + h("c"), "beginababxc", true},
		{"one of several words", "A:0:*:" + h("color") + "(" + h("red") + "|" + h("green") + ")" + h("!"), "colorgreen!", true},
		{"none of several words", "A:0:*:" + h("color") + "(" + h("red") + "|" + h("green") + ")" + h("!"), "colorblack!", false},
		{"not a word", "A:0:*:" + h("color") + "!(" + h("red") + ")" + h("!"), "colorred!", false},
		{"another than a word", "A:0:*:" + h("color") + "!(" + h("red") + ")" + h("!"), "colorsad!", true},
		{"words before the bytes that are looked for", "A:0:*:(" + h("a") + "|" + h("bcd") + ")" + h("then"), "xbcdthen", true},
		{"few bytes in the first piece", "A:0:*:" + h("MZ") + "*" + h("evil"), "xxMZxxxevil", true},
		{"at a place", "A:0:4:" + h("evil"), "1234evil", true},
		{"at another place", "A:0:4:" + h("evil"), "123evil", false},
		{"near a place", "A:0:2,4:" + h("evil"), "12345evil", true},
		{"before the end", "A:0:EOF-4:" + h("evil"), "xxxevil", true},
		{"not so near the end", "A:0:EOF-4:" + h("evil"), "evilx", false},
		{"two bytes at a place", "A:0:0:" + h("ev"), "evil", true},
		{"at the entry point", "A:1:EP+2:" + h("entry point"), program, true},
		{"behind the entry point", "A:1:EP+3:" + h("entry point"), program, false},
		{"of programs alone", "A:1:*:" + h("entry"), "entry", false},
		{"of pages, in lower case", "A:3:*:" + h("<evil>"), "<HTML><EVIL>", true},
		{"of pages, whatever their encoding", "A:3:*:" + h("<evil>") + "e9" + h("t"), "<HTML>\xe8<EVIL>\xe9T", true},
		{"of texts", "A:7:*:" + h("evil"), "EVIL\x00", false},
		{"of texts, in lower case", "A:7:*:" + h("evil") + ":10:20", "so EVIL", true},
	} {
		sig, err := parseContentSignature(c.line)
		if err != nil {
			t.Errorf("%s: %v", c.why, err)
			continue
		}
		set := &contentSignatures{}
		if err := set.add(sig); err != nil {
			t.Errorf("%s: %v", c.why, err)
			continue
		}
		if found, at := set.find([]byte(c.content)); (found != nil) != c.found || c.found && found.name != "A" {
			t.Errorf("%s: found %v at %d", c.why, found, at)
		}
	}
}

func TestContentSignaturesThatDoNotServe(t *testing.T) {
	for line, unsupported := range map[string]bool{
		"A:4:*:61626364": true, "A:1:S0+4:61626364": true, "A:1:VI:61626364": true, "A:0:*:6162[2-4]6364": true, "A:0:*:6162": true, "A:0:*:61(62|6?)6364": true,
		"A:0:*:6g": false, "A:0:*:616": false, "A:0:*:": false, "A:0:*:*61": false, "A:0:x:61": false, "A:x:*:61": false, ":0:*:61": false, "A:0:*": false,
		"A:0:*:61{2": false, "A:0:*:61{x}62": false, "A:0:*:61(62": false, "A:0:*:61{4-2}62": false, "A:0:-1:61626364": false,
	} {
		err := (&signatures{}).add(".ndb", line)
		if err == nil || errors.Is(err, errUnsupported) != unsupported {
			t.Errorf("%q: %v", line, err)
		}
	}
}

// clock is a clock that a test moves.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func TestReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.ndb")
	c := &clock{at: time.Unix(1_800_000_000, 0)}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, c.at, c.at); err != nil {
			t.Fatal(err)
		}
	}
	var warned []string
	d := newDatabase([]string{filepath.Dir(path)}, c.now, func(problem string) { warned = append(warned, problem) })
	found := func() string {
		t.Helper()
		d.refresh()
		p := part("attachment", []byte("first, second, third"))
		name, _, err := d.match(&p)
		if err != nil {
			t.Fatal(err)
		}
		return name
	}
	const first, second = "First:0:*:6669727374\n", "Second:0:*:7365636f6e64\n"
	write(first)
	if problems := d.start(); len(problems) > 0 || found() != "First" {
		t.Fatalf("problems are %q", problems)
	}
	c.at = c.at.Add(lookEvery / 2)
	write(second)
	if got := found(); got != "First" {
		t.Errorf("before it was time to look, found is %q", got)
	}
	c.at = c.at.Add(lookEvery)
	if got := found(); got != "Second" {
		t.Errorf("after a change, found is %q", got)
	}
	write("nonsense")
	c.at = c.at.Add(lookEvery)
	if got := found(); got != "Second" || len(warned) != 1 || !strings.Contains(warned[0], "a.ndb:1") {
		t.Errorf("after a file broke, found is %q; warned of %q", got, warned)
	}
	c.at = c.at.Add(lookEvery)
	if got := found(); got != "Second" || len(warned) != 1 {
		t.Errorf("a file that stays broken is warned of again: %q, %q", got, warned)
	}
	write("Other:4:*:61626364\n" + first)
	c.at = c.at.Add(lookEvery)
	if got := found(); got != "First" || len(warned) != 2 || !strings.Contains(warned[1], "a.ndb:1") {
		t.Errorf("with a signature that is not supported, found is %q; warned of %q", got, warned)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	c.at = c.at.Add(lookEvery)
	if got := found(); got != "" {
		t.Errorf("after the file went, found is %q", got)
	}
}

// TestContentSignatureIsSure: what a signature knows is no matter of possibility, and named as the signature says.
func TestContentSignatureIsSure(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.ndb")
	if err := os.WriteFile(path, []byte("Own.Link:0:0:4c000000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	e, _ := configured(t, map[string]any{"signatures": []string{path}})
	report := scan(t, e, part("attachment", simplestSuspect()))
	if len(report.Findings) != 1 || report.Findings[0].Name != "Own.Link" || report.Findings[0].Certainty != scanner.Sure {
		t.Errorf("found %+v", report.Findings)
	}
}
