package main

import (
	"context"
	"encoding/json"
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
		forms(name)
	})
}
