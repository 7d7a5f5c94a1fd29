//go:build yara

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postern-mail/postern/sdk/scanner"
)

const rules = `
private rule Helper { strings: $a = "MARK" condition: $a }
rule Program_With_Mark : test { strings: $word = "wanted" wide ascii condition: uint16(0) == 0x5a4d and Helper and $word }
rule By_Name { condition: extension == ".evil" }
`

func TestYARA(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"good.yar": rules, "bad.yara": "rule Good { condition: true }\nrule Broken { condition: $nothing }", "outside.yar": "include \"/etc/passwd\"\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e, done := configured(t, map[string]any{"signatures": []string{dir}})
	if len(done.Problems) != 2 || !strings.Contains(done.Problems[0].Detail, "bad.yara:2: ") || !strings.Contains(done.Problems[1].Detail, "outside.yar:1: ") {
		t.Errorf("problems %+v", done.Problems)
	}
	if done.Signatures != "built-in 1, 3 signatures from 1 files" {
		t.Errorf("signatures %q", done.Signatures)
	}
	for _, test := range []struct{ content, name, want, evidence string }{
		{"MZ MARK w\x00a\x00n\x00t\x00e\x00d\x00", "a.exe", "YARA.Program_With_Mark", "rule of good.yar, $word at 8"},
		{"MZ MARK", "a.exe", "", ""},
		{"MARK wanted", "a.exe", "", ""},
		{"text", "a.evil", "YARA.By_Name", "rule of good.yar"},
	} {
		p := part("attachment", []byte(test.content))
		p.Names = []string{test.name}
		report := scan(t, e, p)
		if got := strings.Join(names(report), " "); got != test.want {
			t.Errorf("%q is %q, want %q", test.content, got, test.want)
		} else if test.want != "" && report.Findings[0].Evidence != test.evidence {
			t.Errorf("%q: evidence %q, want %q", test.content, report.Findings[0].Evidence, test.evidence)
		}
	}
}

// TestSlowYARA has rules that take longer than they may: that is not clean.
func TestSlowYARA(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "slow.yar")
	if err := os.WriteFile(file, []byte(`rule Slow { condition: for all i in (0..100000000000) : (uint8(i % filesize) == 97) and false }`), 0o600); err != nil {
		t.Fatal(err)
	}
	e, done := configured(t, map[string]any{"signatures": []string{file}})
	if len(done.Problems) > 0 {
		t.Fatalf("problems %+v", done.Problems)
	}
	report := scan(t, e, part("attachment", bytes.Repeat([]byte("a"), 1000)))
	if len(report.Troubles) != 1 || report.Troubles[0].Reason != "yara_time" || report.Troubles[0].Kind != scanner.TroubleLimit {
		t.Errorf("troubles %+v, findings %v", report.Troubles, names(report))
	}
}
