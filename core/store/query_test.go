package store_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/core/store"
)

func TestParsePatterns(t *testing.T) {
	for _, test := range []struct {
		text string
		want store.Patterns
	}{
		{"", nil},
		{"  ", nil},
		{" ; ;", nil},
		{"*", nil},
		{"**", nil},
		{"a;*", nil},
		{"a", store.Patterns{{"a"}}},
		{"  Two words ", store.Patterns{{"two words"}}},
		{"*a", store.Patterns{{"", "a"}}},
		{"a*", store.Patterns{{"a", ""}}},
		{"*a*", store.Patterns{{"", "a", ""}}},
		{"a**b", store.Patterns{{"a", "b"}}},
		{"a *", store.Patterns{{"a ", ""}}},
		{"A*; *b ;c", store.Patterns{{"a", ""}, {"", "b"}, {"c"}}},
		{`"a;b*c"`, store.Patterns{{"a;b*c"}}},
		{`*"a*b"*`, store.Patterns{{"", "a*b", ""}}},
		{`" a "`, store.Patterns{{" a "}}},
		{`"say ""hi"""`, store.Patterns{{`say "hi"`}}},
		{`""`, store.Patterns{{""}}},
		{`5" disk`, store.Patterns{{`5" disk`}}},
		{`"open`, store.Patterns{{`"open`}}},
		{"GRÜSSE Σς", store.Patterns{{"grüsse σσ"}}},
	} {
		if diff := cmp.Diff(test.want, store.ParsePatterns(test.text)); diff != "" {
			t.Errorf("ParsePatterns(%q) (-want +got):\n%s", test.text, diff)
		}
	}
}

func TestPatternsMatch(t *testing.T) {
	for _, test := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "anything", true},
		{"*", "", true},
		{`""`, "", true},
		{`""`, "x", false},
		{"bob@example.org", "Bob@Example.org", true},
		{"bob", "bob@example.org", false},
		{"bob*", "bob@example.org", true},
		{"*@example.org", "bob@example.org", true},
		{"*@example.org", "bob@example.org.evil", false},
		{"b*b", "b", false},
		{"ab*ba", "aba", false},
		{"*a*b*", "xxaxxbxx", true},
		{"*b*a*", "xxaxxbxx", false},
		{"x;y*", "yes", true},
		{"100%", "100 percent", false},
		{"a_c", "abc", false},
		{"straße", "STRASSE", false},
		{"ÄRGER", "ärger", true},
	} {
		if got := store.ParsePatterns(test.pattern).Match(test.text); got != test.want {
			t.Errorf("pattern %q on %q: got %v", test.pattern, test.text, got)
		}
	}
}

func TestPatternLike(t *testing.T) {
	for pattern, want := range map[string]string{"*50%_off*": `%50\%\_off%`, `C:\x*`: `c:\\x%`, `"a*"`: `a*`} {
		if got := store.ParsePatterns(pattern)[0].Like(); got != want {
			t.Errorf("Like of %q: got %q, want %q", pattern, got, want)
		}
	}
}

// FuzzParsePatterns checks that a quoted text finds exactly itself, whatever is in it, and that anything typed is a query.
func FuzzParsePatterns(f *testing.F) {
	f.Add(`a;b*"c`, "x")
	f.Add(`""`, `"`)
	f.Add("Σ*\xff;", "ſ")
	f.Fuzz(func(t *testing.T, typed, text string) {
		patterns := store.ParsePatterns(typed)
		patterns.Match(text)
		for _, p := range patterns {
			if len(p) == 0 {
				t.Fatalf("%q: a pattern without parts", typed)
			}
		}
		quoted := store.ParsePatterns(`"` + strings.ReplaceAll(text, `"`, `""`) + `"`)
		if len(quoted) != 1 || len(quoted[0]) != 1 || quoted[0][0] != store.Fold(text) {
			t.Fatalf("quoted %q reads as %q", text, quoted)
		}
		if !quoted.Match(text) {
			t.Fatalf("quoted %q does not match itself", text)
		}
	})
}
