package objects

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/store"
)

func start() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// object is one of "list type value action [expires-in-minutes]"; the action "except" makes it an exception.
func object(t *testing.T, line string) store.Object {
	t.Helper()
	words := strings.Fields(line)
	o := store.Object{List: words[0], Type: words[1], Value: words[2], Exception: words[3] == "except"}
	if !o.Exception {
		if err := o.Action.UnmarshalText([]byte(words[3])); err != nil {
			t.Fatal(err)
		}
	}
	if len(words) > 4 {
		var minutes int
		if _, err := fmt.Sscan(words[4], &minutes); err != nil {
			t.Fatal(err)
		}
		o.Expires = start().Add(time.Duration(minutes) * time.Minute)
	}
	if err := Complete(&o); err != nil {
		t.Fatal(err)
	}
	return o
}

func listsOf(t *testing.T, lines ...string) *Lists {
	t.Helper()
	builders := map[string]*builder{}
	for _, line := range lines {
		o := object(t, line)
		if builders[o.List] == nil {
			builders[o.List] = newBuilder(o.List, 1, 0)
		}
		builders[o.List].add(&o)
	}
	var sets []*set
	for _, b := range builders {
		sets = append(sets, b.build())
	}
	slices.SortFunc(sets, func(a, b *set) int { return strings.Compare(a.name, b.name) })
	return newLists(sets)
}

var one, two = strings.Repeat("1", 40), strings.Repeat("2", 64)

func TestMatch(t *testing.T) {
	file := []message.Part{{Kind: message.PartMultipart}, {ID: 1, Kind: message.PartMember, SHA1: one, SHA256: two}}
	link := func(urls ...string) (out []message.URL) {
		for _, u := range urls {
			out = append(out, message.URL{URL: u})
		}
		return out
	}
	for name, test := range map[string]struct {
		lists []string
		tree  message.Tree
		want  string // "kind name action" joined by ", "
	}{
		"nothing listed":            {nil, message.Tree{Parts: file, URLs: link("http://a.example/")}, ""},
		"by SHA-1":                  {[]string{"a sha1 " + one + " log"}, message.Tree{Parts: file}, "file " + two + " log"},
		"by SHA-256":                {[]string{"a sha256 " + two + " block"}, message.Tree{Parts: file}, "file " + two + " block"},
		"the strictest counts":      {[]string{"a sha1 " + one + " quarantine", "b sha256 " + two + " log", "c sha256 " + two + " block"}, message.Tree{Parts: file}, "file " + two + " quarantine"},
		"an exception beats all":    {[]string{"a sha1 " + one + " quarantine", "b sha256 " + two + " except"}, message.Tree{Parts: file}, ""},
		"an exception that ended":   {[]string{"a sha1 " + one + " block", "b sha256 " + two + " except -1"}, message.Tree{Parts: file}, "file " + two + " block"},
		"expired":                   {[]string{"a sha1 " + one + " block 0"}, message.Tree{Parts: file}, ""},
		"not expired yet":           {[]string{"a sha1 " + one + " block 1"}, message.Tree{Parts: file}, "file " + two + " block"},
		"a file's digest is no URL": {[]string{"a domain a.example block"}, message.Tree{Parts: file}, ""},
		"exact":                     {[]string{"a url http://a.example/x?y=1 block"}, message.Tree{URLs: link("https://a.example/x?y=1")}, "url a.example/x?y=1 block"},
		"exact is no beginning":     {[]string{"a url http://a.example/x block"}, message.Tree{URLs: link("http://a.example/x/y", "http://a.example/x?y", "http://b.a.example/x")}, ""},
		"a beginning":               {[]string{"a url http://a.example/x* block"}, message.Tree{URLs: link("http://a.example/xyz?1")}, "url a.example/x* block"},
		"another beginning":         {[]string{"a url http://a.example/x* block"}, message.Tree{URLs: link("http://a.example/y", "http://b.example/x")}, ""},
		"a domain and below":        {[]string{"a domain a.example block"}, message.Tree{URLs: link("http://a.example/", "http://x.y.a.example:8080/z")}, "domain a.example block, domain a.example block"},
		"not what ends alike":       {[]string{"a domain a.example block"}, message.Tree{URLs: link("http://banana.example/", "http://a.example.org/", "http://b.example/a.example")}, ""},
		"an address":                {[]string{"a ip 198.51.100.1 block"}, message.Tree{URLs: link("http://198.51.100.1:81/x", "http://0306.51.25601/", "http://198.51.100.2/")}, "ip 198.51.100.1 block, ip 198.51.100.1 block"},
		"a network":                 {[]string{"a ip 198.51.100.0/24 log", "a ip 2001:db8::/32 block"}, message.Tree{URLs: link("http://198.51.100.9/", "http://[2001:db8:9::1]/", "http://198.51.101.9/")}, "ip 198.51.100.0/24 log, ip 2001:db8::/32 block"},
		"a domain that is excepted": {[]string{"a url http://x.a.example/y block", "b domain a.example except"}, message.Tree{URLs: link("http://x.a.example/y")}, ""},
		"an excepted page of a bad domain": {[]string{"a domain a.example block", "b url http://a.example/good* except"},
			message.Tree{URLs: link("http://a.example/good/1", "http://a.example/bad")}, "domain a.example block"},
	} {
		t.Run(name, func(t *testing.T) {
			lists := listsOf(t, test.lists...)
			m := &Matcher{Name: "ctd", Lists: func() *Lists { return lists }, Now: start}
			var got []string
			for _, f := range m.Match(&test.tree).Findings {
				got = append(got, f.Kind+" "+f.Name+" "+f.ObjectAction)
				if f.Evidence == "" || f.Plugin != "ctd" || f.Certainty != message.Sure {
					t.Errorf("finding %+v", f)
				}
			}
			if text := strings.Join(got, ", "); text != test.want {
				t.Errorf("found %q, want %q", text, test.want)
			}
		})
	}
}

// TestMatchKeepsTheStrictest: of more findings than are kept.
func TestMatchKeepsTheStrictest(t *testing.T) {
	lists := listsOf(t, "a domain many.example log", "a url http://worst.example/ quarantine")
	var tree message.Tree
	for i := range 2 * maxFindings {
		tree.URLs = append(tree.URLs, message.URL{URL: fmt.Sprintf("http://%d.many.example/", i)})
	}
	tree.URLs = append(tree.URLs, message.URL{URL: "http://worst.example/"})
	m := &Matcher{Lists: func() *Lists { return lists }, Now: start}
	if found := m.Match(&tree).Findings; len(found) != maxFindings || found[0].ObjectAction != "quarantine" {
		t.Errorf("%d findings, the first %+v", len(found), found[0])
	}
}

// TestCarried: a message is found by everything that would match it, but for beginnings and networks.
func TestCarried(t *testing.T) {
	tree := message.Tree{
		Parts: []message.Part{{Kind: message.PartText, SHA1: strings.Repeat("3", 40)}, {Kind: message.PartMember, SHA1: one, SHA256: two}},
		URLs:  []message.URL{{URL: "http://www.a.example/x"}, {URL: "http://198.51.100.1/"}, {URL: "http://www.a.example/x"}},
	}
	var want []string
	for _, line := range []string{
		"- sha256 " + two + " log", "- sha1 " + one + " log", "- url www.a.example/x log", "- domain www.a.example log", "- domain a.example log",
		"- url 198.51.100.1/ log", "- ip 198.51.100.1 log",
	} {
		o := object(t, line)
		want = append(want, fmt.Sprintf("%x", o.Key))
	}
	var got []string
	for _, key := range Carried(&tree) {
		got = append(got, fmt.Sprintf("%x", key))
	}
	if !slices.Equal(got, want) {
		t.Errorf("carried are\n%v, want\n%v", got, want)
	}
	for i := range 1000 {
		tree.URLs = append(tree.URLs, message.URL{URL: fmt.Sprintf("http://%d.example/", i)})
	}
	if n := len(Carried(&tree)); n != maxCarried {
		t.Errorf("%d are noted", n)
	}
}

func BenchmarkMatch(b *testing.B) {
	builder := newBuilder("a", 1, 1_000_000)
	for i := range 1_000_000 {
		key := keyOf(SHA256, fmt.Sprint(i))
		builder.add(&store.Object{Key: key[:], Type: SHA256, Action: store.ObjectBlock})
	}
	lists := newLists([]*set{builder.build()})
	m := &Matcher{Lists: func() *Lists { return lists }, Now: start}
	tree := &message.Tree{
		Parts: []message.Part{{Kind: message.PartMember, SHA1: one, SHA256: two}}, URLs: []message.URL{{URL: "https://www.a.example/path?x=1"}},
	}
	for b.Loop() {
		m.Match(tree)
	}
}
