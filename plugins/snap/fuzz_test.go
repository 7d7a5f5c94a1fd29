package main

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/postern-mail/postern/sdk/scanner"
)

func FuzzAddresses(f *testing.F) {
	for _, seed := range []string{`"Berger, Anna" <anna@example.com>`, `=?utf-8?Q?J=C3=B6rg?= <j@x.de>, (c) b@y`, `a <b@c`, "\"\\", "<@>", "=?koi8-r?B?0A==?="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		list, _ := readAddresses(value, map[string]bool{})
		for _, a := range list {
			if !utf8.ValidString(a.name) || !utf8.ValidString(a.addr()) {
				t.Errorf("%q: name %q, address %q", value, a.name, a.addr())
			}
			registrable(a.domain)
			organisation(a.domain)
			random(a.local)
			hostIn(a.name)
		}
	})
}

func FuzzDate(f *testing.F) {
	for _, seed := range []string{"Thu, 12 Mar 2026 10:00:00 +0100 (CET)", "12 Mar 26 10:00 EST", "1 2 3 4 5", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if at, ok := readDate(value); ok && (at.Year() < 0 || at.Year() > 9999) {
			t.Errorf("%q is read as %v", value, at)
		}
	})
}

func FuzzHop(f *testing.F) {
	for _, seed := range []string{"from a.b (c.d [192.0.2.7] helo=x) by e.f with SMTP; Thu, 12 Mar 2026 10:00:05 +0100", "by", ";", "from  by ;"} {
		f.Add(seed)
	}
	f.Fuzz(func(_ *testing.T, value string) {
		h := readHop(value)
		h.private()
	})
}

func FuzzPage(f *testing.F) {
	for _, seed := range []string{
		`<p style="display:none">a<a href=x>b</a>`, `<title>`, `<a href="//x&#x41;"><img src=i></a>`, `<meta http-equiv=refresh content="0;url=x">`,
		`<div style="color:#fff;font-size:0">a</div>`, "&#", "<", "<font color=#", `<form><input type=password>`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p := readPage(text)
		if len(p.links) > maxLinks || len(p.images) > maxLinks {
			t.Errorf("%d links, %d images", len(p.links), len(p.images))
		}
	})
}

func FuzzTarget(f *testing.F) {
	for _, seed := range []string{"https://a@b.com:80/x?y=http://c.d#e", `http:\\x`, "//", "http://[", "https://xn--", "http://0x7f"} {
		f.Add(seed)
	}
	f.Fuzz(func(_ *testing.T, raw string) {
		target := readTarget(raw)
		target.inner()
		target.address()
		unicodeHost(target.host)
	})
}

func FuzzText(f *testing.F) {
	f.Add("koi8-r", "\xd0\xd2", "=?utf-8?B?4oKs?==?x?Q?y?=")
	f.Add("iso-2022-jp", "\x1b$B", "=?")
	f.Add("utf-16", "\xff", "=?utf-8*de?q?a?=")
	f.Fuzz(func(t *testing.T, charset, text, words string) {
		if decoded := decodeText(charset, text); !utf8.ValidString(decoded) {
			t.Errorf("%q in %q: %q", text, charset, decoded)
		}
		if decoded := decodeWords(words, map[string]bool{}); !utf8.ValidString(decoded) {
			t.Errorf("%q: %q", words, decoded)
		}
	})
}

// FuzzScan looks at whole mails: every reason that is found has a weight, and the evidence keeps within the contract.
func FuzzScan(f *testing.F) {
	f.Add("PayPal <a@b.com>", "Dringend!", "<a@b>", "Your account", `<a href="https://x.icu">Verify</a>`, "a.pdf.exe")
	f.Add("\u202e", "\u200b\u0430a", "from x by y", "$ 1,000,000 bc1q", "&#65;<p hidden>", "\u202e")
	st, err := newState()
	if err != nil {
		f.Fatal(err)
	}
	st.internal, st.names = []string{"example.org"}, []string{"vera"}
	f.Fuzz(func(t *testing.T, from, subject, field, text, page, file string) {
		m := plain()
		for _, h := range []scanner.HeaderField{{Name: "From", Value: from}, {Name: "Subject", Value: subject}, {Name: "Received", Value: field},
			{Name: "Reply-To", Value: field}, {Name: "Message-ID", Value: field}, {Name: "Date", Value: field}} {
			m.Header = append([]scanner.HeaderField{h}, m.Header...)
		}
		m.Parts[0].Body = body(text)
		m.Parts = append(m.Parts, scanner.Part{ID: 1, Kind: "html", Body: body(page)}, scanner.Part{ID: 2, Kind: "attachment", Names: []string{file}})
		m.URLs = []scanner.URL{{Raw: field, Part: 0}, {Raw: field, Part: 2}, {Raw: field, Part: 9}}
		found := st.reasonsIn(t, m)
		for _, r := range found {
			if _, weighs := st.weights.of[r.id]; !weighs {
				t.Errorf("%q has no weight", r.id)
			}
		}
		if evidence := st.evidence(&query{}, st.score(found), found); len(evidence) > 4096 {
			t.Errorf("evidence of %d bytes", len(evidence))
		}
	})
}

func BenchmarkScan(b *testing.B) {
	st := testState(b)
	for b.Loop() {
		st.reasonsIn(b, deceit())
	}
}

// BenchmarkScanLarge is a mail at the bounds of what is looked at.
func BenchmarkScanLarge(b *testing.B) {
	st := testState(b)
	m := deceit()
	text := ""
	for len(text) < maxText {
		text += "Wir sehen uns am Donnerstag um zehn in der Werkstatt, bringt 20 Plakate und 1.500 Blätter mit. "
	}
	m.Parts[0].Body = body(text)
	m.Parts = append(m.Parts, scanner.Part{ID: 7, Kind: "html", Declared: "text/html", Body: body("<div><p style='color:red'>" + text + "</p></div>")})
	for b.Loop() {
		st.reasonsIn(b, m)
	}
}

// BenchmarkScanHostile is mail that is made to take long: many foreign links, pictures, deep nesting, fields without end.
func BenchmarkScanHostile(b *testing.B) {
	st := testState(b)
	m := deceit()
	var page strings.Builder
	for i := 0; page.Len() < maxBody; i++ {
		fmt.Fprintf(&page, `<div style="color:#fff"><a href="https://paypa%d.x%d.shop/login%%75?q=http://b.com">verify %d.com</a><img src="http://h%d.net/x"></b>`, i, i, i, i)
	}
	for i := range maxPages {
		m.Parts = append(m.Parts, scanner.Part{ID: 7 + i, Kind: "html", Declared: "text/html", Body: body(page.String())})
	}
	commas := strings.Repeat(",", 64<<10)
	m.Header = append(m.Header, scanner.HeaderField{Name: "To", Value: commas}, scanner.HeaderField{Name: "Received", Value: commas + strings.Repeat("(", 1000)},
		scanner.HeaderField{Name: "Cc", Value: strings.Repeat("=?utf-8?q?a?=,", 5000)})
	for b.Loop() {
		st.reasonsIn(b, m)
	}
}
