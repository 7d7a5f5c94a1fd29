package policy_test

import (
	"strings"
	"testing"

	"github.com/postern-mail/postern/core/policy"
)

func TestAddressPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern string
		matches []string
		others  []string
	}{
		{"*", []string{"", "a@example.com", "postmaster"}, nil},
		{"user@example.com", []string{"user@example.com", "USER@Example.COM", "user@example.com."},
			[]string{"", "user", "xuser@example.com", "user@a.example.com", "user@example.community"}},
		{"User@EXAMPLE.com", []string{"user@example.com"}, []string{"use@example.com"}},
		{"*@example.com", []string{"a@example.com", `"a@b"@example.com`}, []string{"", "a@b.example.com", "example.com", "@"}},
		{"user@*.com", []string{"user@example.com", "user@a.b.com"}, []string{"user@com", "user@example.org", "other@example.com"}},
		{"user@*.example.com", []string{"user@a.example.com"}, []string{"user@example.com", "user@badexample.com", "user@.example.com"}},
		{"user@*", []string{"user@example.com", "user@com"}, []string{"", "user", "user@", "other@example.com"}},
		{"*@*.example.com", []string{"x@a.b.example.com"}, []string{"x@example.com", ""}},
		{"*@*.com", []string{"x@example.com"}, []string{"x@example.org"}},
		{"*@bücher.example", []string{"x@xn--bcher-kva.example", "x@BÜCHER.example"}, []string{"x@bucher.example"}},
	} {
		p, err := policy.ParseAddressPattern(c.pattern)
		if err != nil {
			t.Errorf("%q: %v", c.pattern, err)
			continue
		}
		for _, address := range c.matches {
			if !p.Match(address) {
				t.Errorf("%q does not match %q", c.pattern, address)
			}
		}
		for _, address := range c.others {
			if p.Match(address) {
				t.Errorf("%q matches %q", c.pattern, address)
			}
		}
	}
	for _, invalid := range []string{
		"", "*@*", "user@example.*", "*user@example.com", "us*er@example.com", "user", "@example.com", "user@", "user@*example.com",
		"user@exa mple.com", "user@-example.com", "user@ex..com", "user@*.*.com", "us er@example.com", "a@b.example,c@d.example", "**",
		"user@" + strings.Repeat("a", 64) + ".com",
	} {
		if p, err := policy.ParseAddressPattern(invalid); err == nil {
			t.Errorf("%q is taken as %q", invalid, p)
		}
	}
}

func FuzzAddressPattern(f *testing.F) {
	f.Add("user@*.example.com", "user@a.example.com")
	f.Add("*", "")
	f.Add("*@bücher.example", "x@xn--bcher-kva.example")
	f.Fuzz(func(t *testing.T, text, address string) {
		p, err := policy.ParseAddressPattern(text)
		if err != nil {
			return
		}
		again, err := policy.ParseAddressPattern(string(p))
		if err != nil || again != p {
			t.Fatalf("%q is read as %q, and that as %q (%v)", text, p, again, err)
		}
		if p != "*" && p.Match("") {
			t.Fatalf("%q matches the null sender", p)
		}
		if isASCII(address) && p.Match(address) != p.Match(strings.ToUpper(address)) {
			t.Fatalf("%q takes notice of the case of %q", p, address)
		}
	})
}

func isASCII(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r >= 0x80 })
}

func TestRoutes(t *testing.T) {
	const in, sub, out, null = "i@example.org", "I@Sub.Example.ORG", "o@example.com", ""
	type mail struct{ from, to string }
	for _, c := range []struct {
		rule    string
		applies []mail
		not     map[mail]string
	}{
		{`route = "all"`, []mail{{in, in}, {out, out}, {null, out}}, nil},
		{`route = "incoming"`, []mail{{out, in}, {in, sub}, {null, in}},
			map[mail]string{{in, out}: "recipient is not internal", {out, out}: "recipient is not internal"}},
		{`route = "outgoing"`, []mail{{in, out}, {sub, in}},
			map[mail]string{{out, in}: "sender is not internal", {null, in}: "sender is not internal"}},
		{`route = "both"`, []mail{{in, out}, {out, sub}}, map[mail]string{{out, out}: "neither", {null, out}: "neither"}},
		{`from = ["*@example.com"]`, []mail{{out, in}}, map[mail]string{{in, in}: "not in `from`", {null, in}: "not in `from`"}},
		{`from = ["*", "a@example.com"]`, []mail{{out, in}, {null, in}}, nil},
		{`to = ["*@*.example.org", "o@example.com"]`, []mail{{in, sub}, {in, out}}, map[mail]string{{out, in}: "not in `to`"}},
		{`except = [{ from = "*", to = "i@example.org" }, { from = "o@example.com", to = "*@*.example.org" }]`,
			[]mail{{in, sub}, {null, sub}},
			map[mail]string{{null, in}: "from * to i@example.org", {out, sub}: "from o@example.com to *@*.example.org"}},
	} {
		p := mustLoad(t, small+rule("r", c.rule))
		for _, m := range c.applies {
			if applies, why := p.Rules[0].AppliesTo(p, m.from, m.to); !applies || why != "" {
				t.Errorf("%s: not for %q to %q: %s", c.rule, m.from, m.to, why)
			}
		}
		for m, want := range c.not {
			if applies, why := p.Rules[0].AppliesTo(p, m.from, m.to); applies || !strings.Contains(why, want) {
				t.Errorf("%s: %q to %q: applies %v, why %q, want %q", c.rule, m.from, m.to, applies, why, want)
			}
		}
	}
}

func TestRelayFor(t *testing.T) {
	relay := func(name, domains string) string {
		return "relay \"" + name + "\" {\n domains = [" + domains + "]\n hosts = [\"h.example.net\"]\n}\n"
	}
	p := mustLoad(t, small+relay("own", `"example.org"`)+relay("below", `"*.example.org", "*.example.com"`)+
		relay("also", `"shop.example.com", "example.com"`))
	for recipient, want := range map[string]string{
		"a@EXAMPLE.org": "own", "a@x.y.example.org": "below", "a@shop.example.com": "below", "a@example.com": "also",
		"a@example.net": "", "postmaster": "", "": "",
	} {
		got := ""
		if r, found := p.RelayFor(recipient); found {
			got = r.Name
		}
		if got != want {
			t.Errorf("relay for %q is %q, want %q", recipient, got, want)
		}
	}
}
