package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/postern-mail/postern/sdk/scanner"
	"github.com/postern-mail/postern/sdk/serve"
)

func TestNamesAreMatchedAsTheyAreOpened(t *testing.T) {
	tests := []struct {
		pattern, name string
		want          bool
	}{
		{"*.js", "a.js", true},
		{"*.js", "a.JS", true},
		{"*.js", "a.json", false},
		{"*.js", "a.js.txt", false},
		{"*.js", "a.txt.js", true},
		{"*.do*", "abc.doctor_john.jpg", true},
		{"invoice?.exe", "invoice1.exe", true},
		{"invoice?.exe", "invoice12.exe", false},
		{"*.exe", "a.exe.", true},
		{"*.exe", "a.exe   ", true},
		{"*.exe", "a.exe::$DATA", true},
		{"*.exe", "invoice\u202Efdp.exe", true},
		{"*.exe", "a.e\u200Bxe", true},
		{"*.exe", "a.\uFF45\uFF58\uFF45", true}, // full-width letters
		{"*.exe", "dir/a.exe", true},
		{"*.exe", `dir\a.exe`, true},
		{"*.pdf", "a.pdf", true},
		{"*", "", true},
		{"*", "README", true},
		// A word without a dot is an extension.
		{"doc", "a.doc", true},
		{"doc", "a.DOC", true},
		{"doc", "doc", false},
		{"doc", "a.docx", false},
		{"doc", "a.doc.txt", false},
		{"doc", "mydoc", false},
		{"doc*", "a.docx", true},
		{"doc*", "a.doc", true},
		{"doc*", "document.txt", false},
		{"*.doc*", "a.docm", true},
		{"js*", "a.jse", true},
		{"js*", "js.txt", false},
		{"invoice*.*", "invoice-7.pdf", true},
		{"invoice*.*", "my-invoice.pdf", false},
		{"*invoice*", "my-invoice", true},
		{"a.exe", "a.exe", true},
		{"a.exe", "ba.exe", false},
		// Members: by their last element, and by their whole path where the word has a slash.
		{"a.exe", "dir/a.exe", true},
		{"dir/*.exe", "dir/a.exe", true},
		{"dir/*.exe", "other/a.exe", false},
		{"dir/*.exe", "a.exe", false},
		{`dir\*.exe`, "dir/a.exe", true},
		{"*.zip", "a.zip/b.txt", false},
		// What is dropped or looks alike.
		{"*.exe", "a.exe. . .", true},
		{"*.exe", "a.exe:stream", true},
		{"*.exe", "a.exe\x00.txt", true},
		{"*.exe", "a.txt\x00.exe", true},
		{"*.exe", "a.\u0435x\u0435", true}, // Cyrillic
		{"*.exe", "a\uff0eexe", true},      // full-width stop
		{"*.exe", "a.ex\ufe0fe", true},     // variation selector
		{"*.exe", "a.exe\u00a0", true},
		{"*.exe", "a.exe\u3164", true},
		{"*.exe", `"a.exe"`, true},
		{"*.exe", "a.exe.txt", false},
		{"*.exe", "exe", false},
		{"отчет*.exe", "Отчет-1.exe", true},
	}
	for _, test := range tests {
		n := &names{}
		config, err := json.Marshal(map[string]any{"names": []string{test.pattern}})
		if err != nil {
			t.Fatal(err)
		}
		configured, err := n.configure(context.Background(), &serve.Configuration{Queries: []serve.Query{{Number: 1, Config: config}}})
		if err != nil || len(configured.Problems) > 0 {
			t.Fatal(configured, err)
		}
		report, err := n.Scan(context.Background(), &scanner.Message{
			Queries: []int{1}, Parts: []scanner.Part{{ID: 0, Kind: "attachment", Names: []string{test.name}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := len(report.Findings) == 1; got != test.want {
			t.Errorf("%q on %q: matched %v, want %v", test.pattern, test.name, got, test.want)
		}
	}
}

func scanNames(t *testing.T, block string, shown ...string) []scanner.Finding {
	t.Helper()
	n := &names{}
	configured, err := n.configure(context.Background(), &serve.Configuration{Queries: []serve.Query{{Number: 1, Config: json.RawMessage(block)}}})
	if err != nil || len(configured.Problems) > 0 {
		t.Fatal(configured, err)
	}
	report, err := n.Scan(context.Background(), &scanner.Message{
		Queries: []int{1}, Parts: []scanner.Part{{Kind: "member", Names: shown}, {ID: 1, Kind: "text", Names: shown}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return report.Findings
}

func TestEveryCandidateNameIsMatched(t *testing.T) {
	if found := scanNames(t, `{"names":["*.zip"]}`, "file.png", "file.zip"); len(found) != 1 || found[0].Name != "file.zip" {
		t.Errorf("found %+v", found)
	}
	if found := scanNames(t, `{"names":["*"]}`); len(found) != 1 {
		t.Errorf("a part without a name: found %+v", found)
	}
	if found := scanNames(t, `{"names":["*.exe"],"not_names":["tool.exe"]}`, "tool.exe"); len(found) != 0 {
		t.Errorf("an excepted name: found %+v", found)
	}
	if found := scanNames(t, `{"names":["*.exe"],"not_names":["tool.exe"]}`, "tool.exe", "evil.exe"); len(found) != 1 {
		t.Errorf("another name beside an excepted one: found %+v", found)
	}
}

func TestPresets(t *testing.T) {
	tests := []struct {
		preset string
		in     string
		out    string
	}{
		{"recommended", "a.com a.dll a.exe a.csh a.js a.jse a.mht a.mhtml a.ovl a.htm a.386 a.shs a.wsh a.lnk a.iso a.one", "a.txt a.pdf a.doc a.zip a.cpp exe"},
		{"exchanged", "a.doc a.docx a.pdf a.zip a.jpg", "a.exe a.js a.doc.exe"},
	}
	for _, test := range tests {
		block := fmt.Sprintf(`{"preset":%q}`, test.preset)
		for name := range strings.FieldsSeq(test.in) {
			if len(scanNames(t, block, name)) != 1 {
				t.Errorf("%s leaves out %s", test.preset, name)
			}
		}
		for name := range strings.FieldsSeq(test.out) {
			if len(scanNames(t, block, name)) != 0 {
				t.Errorf("%s has %s", test.preset, name)
			}
		}
	}
}

func TestDeceptiveNames(t *testing.T) {
	deceptive := []string{
		"invoice.pdf.exe", "INVOICE.PDF.SCR", "photo.jpg.lnk", "invoice.pdf .js", "a.docx_.vbs", "invoice\u202Efdp.exe", "a\u202ecod.js", "x\u2066gpj.exe",
		"invoice.pdf                         .exe", "invoice.pdf\u00a0\u00a0\u00a0\u00a0\u00a0\u00a0.exe", "a.\u0435x\u0435", "a.e\u200bxe", "a\uff0eexe",
		"a.exe\x00.txt", "a.txt::$DATA", "a.pdf.exe.", "dir/invoice.pdf.exe", "a.pdf.exe::$DATA", "\u05d7\u202egpj.exe",
	}
	honest := []string{
		"", "a", "a.exe", "setup.v1.2.exe", "report.final.pdf", "archive.tar.gz", "a.pdf.zip", "my file name.doc", "a.exe.pdf", "отчёт.exe", "übung.pdf",
		"日本語.docx", "\u05d7\u05d1\u200f.pdf", "\u2067\u05d7\u05d1\u2069.pdf", "a.pdf.txt", "a. b. c.doc", "invoice.2024.exe", "a.", "...",
	}
	for _, name := range deceptive {
		if len(scanNames(t, `{"deceptive":true}`, name)) != 1 {
			t.Errorf("%q is not seen", name)
		}
	}
	for _, name := range honest {
		if found := scanNames(t, `{"deceptive":true}`, name); len(found) != 0 {
			t.Errorf("%q: %s", name, found[0].Evidence)
		}
	}
}

func TestALetterThatLooksAlikeIsThatLetter(t *testing.T) {
	if got := fold("\u0410\u0412\u0430\u0435\u03bf\u0131\u0261"); got != "abaeoig" {
		t.Errorf("folded to %q", got)
	}
}

func TestAScanForSeveralNamesInOneIsAProblem(t *testing.T) {
	configured, err := (&names{}).configure(context.Background(),
		&serve.Configuration{Queries: []serve.Query{{Number: 3, Config: json.RawMessage(`{"names":["*.js;*.vbs"]}`)}}})
	if err != nil || len(configured.Problems) != 1 {
		t.Errorf("%+v, %v", configured, err)
	}
}

func TestAScanWithoutNamesIsAProblem(t *testing.T) {
	configured, err := (&names{}).configure(context.Background(),
		&serve.Configuration{Queries: []serve.Query{{Number: 3, Config: json.RawMessage(`{}`)}}})
	if err != nil {
		t.Fatal(err)
	}
	if len(configured.Problems) != 1 || configured.Problems[0].Path[1] != "3" {
		t.Errorf("problems %+v", configured.Problems)
	}
}

func FuzzWildcard(f *testing.F) {
	f.Add("*.e?e", "a.exe")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		wildcard([]rune(pattern), []rune(name))
		if !wildcard([]rune("*"), []rune(name)) {
			t.Errorf("* does not match %q", name)
		}
		for _, form := range forms(name) {
			if !wildcard([]rune(form), []rune(form)) && !strings.ContainsRune(form, '?') {
				t.Errorf("%q does not match itself", form)
			}
		}
		deception(name)
	})
}

func FuzzPatterns(f *testing.F) {
	f.Add("doc*", "a.docx")
	f.Add("dir/*.exe", `dir\a.exe`)
	f.Add("*", "invoice\u202efdp.exe")
	f.Fuzz(func(t *testing.T, written, name string) {
		shown := shownNames(&scanner.Part{Names: []string{name}})
		q := query{patterns: parseAll([]string{written}), deceptive: true}
		q.match(shown)
		everything := query{patterns: parseAll([]string{"*"})}
		if _, _, found := everything.match(shown); !found {
			t.Errorf("* does not match %q", name)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	q := query{patterns: parseAll(preset("recommended")), deceptive: true}
	part := &scanner.Part{Names: []string{"Quarterly report 2024 (final version).docx"}}
	for b.Loop() {
		q.match(shownNames(part))
	}
}
