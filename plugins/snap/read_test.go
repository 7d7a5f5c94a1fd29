package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestAddressesAreReadAsMailProgramsDo(t *testing.T) {
	tests := []struct {
		value, want string // name <local@domain>; several split by |
		broken      bool
	}{
		{`Anna <anna@Example.COM>`, `Anna <anna@example.com>`, false},
		{`anna@example.com`, `<anna@example.com>`, false},
		{`anna@example.com (Anna B.)`, `Anna B. <anna@example.com>`, false},
		{`"Berger, Anna" <anna@example.com>`, `Berger, Anna <anna@example.com>`, false},
		{`Berger, Anna <anna@example.com>`, `Berger, Anna <anna@example.com>`, true},
		{`"a@bank.example" <b@example.com>`, `a@bank.example <b@example.com>`, false},
		{`a@bank.example <b@example.com>`, `a@bank.example <b@example.com>`, true},
		{`=?utf-8?Q?J=C3=B6rg?= =?iso-8859-1?Q?_M=FCller?= <j@example.com>`, `Jörg Müller <j@example.com>`, false},
		{`"=?utf-8?B?SsO2cmc=?=" <j@example.com>`, `Jörg <j@example.com>`, false},
		{"J\xf6rg <j@example.com>", `Jörg <j@example.com>`, false},
		{`Name <a@b.com> <c@d.com>`, `Name <a@b.com> <c@d.com>`, true},
		{`Name <a@b.com`, `<Name <a@b.com>`, true},
		{`Nobody`, `Nobody <>`, true},
		{`undisclosed-recipients:;`, `undisclosed-recipients:; <>`, true},
		{`a@x.com, b@y.com`, `<a@x.com>|<b@y.com>`, false},
		{`A <a@x.com>,B <b@y.com>`, `A <a@x.com>|B <b@y.com>`, false},
		{`X <a@b@example.com>`, `X <a@b@example.com>`, false},
		{``, ``, false},
	}
	for _, test := range tests {
		list, broken := readAddresses(test.value, nil)
		var got []string
		for _, a := range list {
			got = append(got, strings.TrimSpace(a.name+" <"+a.addr()+">"))
		}
		if text := strings.Join(got, "|"); text != test.want || broken != test.broken {
			t.Errorf("%q: %q, broken %v; want %q, %v", test.value, text, broken, test.want, test.broken)
		}
	}
}

func TestHostsThatCanExist(t *testing.T) {
	for host, want := range map[string]bool{
		"example.com": true, "a.example.co.uk": true, "xn--mller-kva.de": true, "müller.de": true, "[192.0.2.1]": true,
		"localhost": false, "example": false, "com": false, "co.uk": false, "example.kpi": false, "%a.example.com": false, "a b.com": false, "": false,
		"example,com": false, "nutella.𝗱𝗲": false,
	} {
		if got := registrable(host); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
}

func TestDates(t *testing.T) {
	tests := []struct{ value, want string }{
		{"Thu, 12 Mar 2026 10:00:00 +0100", "2026-03-12T09:00:00Z"},
		{"12 Mar 2026 10:00:00 +0100", "2026-03-12T09:00:00Z"},
		{"Thu,12 Mar 2026 10:00:00 +0100 (CET)", "2026-03-12T09:00:00Z"},
		{"Thu, 12 Mar 26 10:00:00 EST", "2026-03-12T15:00:00Z"},
		{"12 Mar 2026 10:00 GMT", "2026-03-12T10:00:00Z"},
		{"12 Mar 2026 10:00:00", "2026-03-12T10:00:00Z"},
		{"12 Mar 2026 10:00:00.1234 +0000", "2026-03-12T10:00:00Z"},
		{"Thu, 12 Mar 2026 10:00:00 +2500", ""},
		{"Thu, 12 Mar 2026 10:00:00 +0160", ""},
		{"Thu, 32 Mar 2026 10:00:00 +0100", ""},
		{"Thu, 12 Mar 2026 10:00:00 XYZ", ""}, {"Thu, 12 Mar 2026 10:00:00 01000", ""}, {"Thu, 12 Mar 2026 10:00:00 +100", ""},
		{"yesterday", ""},
		{"", ""},
	}
	for _, test := range tests {
		got := ""
		if at, ok := readDate(test.value); ok {
			got = at.UTC().Format(time.RFC3339)
		}
		if got != test.want {
			t.Errorf("%q: %q, want %q", test.value, got, test.want)
		}
	}
}

func TestHops(t *testing.T) {
	tests := []struct{ value, want string }{
		{"from a.example.com (b.example.com [192.0.2.7]) by mx.example.org (Postfix) with ESMTP id X for <t@example.org>; Thu, 12 Mar 2026 10:00:05 +0100",
			"helo a.example.com known b.example.com client 192.0.2.7 by mx.example.org at 09:00:05"},
		{"from a.example.com ([192.0.2.7] helo=pc) by mx.example.org with esmtp; Thu, 12 Mar 2026 10:00:05 +0100",
			"helo pc known a.example.com client 192.0.2.7 by mx.example.org at 09:00:05"},
		{"from [192.0.2.7] (unknown [IPv6:2001:db8::1])\r\n by mx.example.org; nonsense", "helo 192.0.2.7 known  client 2001:db8::1 by mx.example.org at 00:00:00"},
		{"by mx.example.org with SMTP id 5; Thu, 12 Mar 2026 10:00:05 +0100", "helo  known  client invalid IP by mx.example.org at 09:00:05"},
		{"(qmail 123 invoked by uid 5); 12 Mar 2026 09:00:05 -0000", "helo  known  client invalid IP by uid at 09:00:05"},
		{"", "helo  known  client invalid IP by  at 00:00:00"},
	}
	for _, test := range tests {
		h := readHop(test.value)
		got := fmt.Sprintf("helo %s known %s client %s by %s at %s", h.helo, h.known, h.client, h.by, h.at.UTC().Format(time.TimeOnly))
		if got != test.want {
			t.Errorf("%q:\n\t%s, want\n\t%s", test.value, got, test.want)
		}
	}
}

func TestTextIsDecoded(t *testing.T) {
	tests := []struct{ charset, text, want string }{
		{"", "gr\xfc\xdf", "grüß"}, {"utf-8", "grüß", "grüß"}, {"koi8-r", "\xd0\xd2\xc9\xd7\xc5\xd4", "привет"}, {"iso-2022-jp", "\x1b$B$\"\x1b(B", "あ"},
		{"gb2312", "\xc4\xe3", "你"}, {"no-such", "a\xfc", "aü"}, {"windows-1252", "\x80", "€"}, {"ibm850", "\x81", "ü"},
	}
	for _, test := range tests {
		if got := decodeText(test.charset, test.text); got != test.want {
			t.Errorf("%q in %s: %q, want %q", test.text, test.charset, got, test.want)
		}
	}
	used := map[string]bool{}
	if got := decodeWords("=?koi8-r?B?0NLJ18XU?==?utf-8?Q?_Tom?= x", used); got != "привет Tom x" || !used["koi8-r"] || !used["utf-8"] {
		t.Errorf("%q, charsets %v", got, used)
	}
}

func TestTargets(t *testing.T) {
	tests := []struct {
		raw, host, inner string
		number           bool
	}{
		{"https://Example.COM./x", "example.com", "", false},
		{`https:\\example.com\x`, "example.com", "", false},
		{"//example.com/x", "example.com", "", false},
		{"ht\ntps://exam\r\nple.com", "example.com", "", false},
		{"https://user:pw@example.com/%zz", "example.com", "", false},
		{"https://müller.de/", "xn--mller-kva.de", "", false},
		{"http://3221225985/", "3221225985", "", true},
		{"http://[2001:db8::1]/", "2001:db8::1", "", true},
		{"https://a.com/r?u=https%3a%2f%2fB.net%2fx", "a.com", "b.net", false},
		{"https://a.com/https://b.net", "a.com", "b.net", false},
		{"https://a.com/about/x", "a.com", "", false},
		{"mailto:a@b.com", "", "", false}, {"#top", "", "", false}, {"", "", "", false}, {"javascript:x()", "", "", false},
	}
	for _, test := range tests {
		target := readTarget(test.raw)
		if inner := target.inner(); target.host != test.host || inner != test.inner || target.host != "" && target.address() != test.number {
			t.Errorf("%q: host %q, inner %q, number %v", test.raw, target.host, inner, target.address())
		}
	}
}
