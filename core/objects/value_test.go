package objects

import (
	"strings"
	"testing"
)

func TestNormalize(t *testing.T) {
	for _, test := range []struct{ kind, raw, want string }{
		{SHA1, " A9993E364706816ABA3E25717850C26C9CD0D89D ", "a9993e364706816aba3e25717850c26c9cd0d89d"},
		{SHA1, "a9993e364706816aba3e25717850c26c9cd0d8", ""},
		{SHA1, emptySHA1, ""},
		{SHA256, strings.Repeat("aB", 32), strings.Repeat("ab", 32)},
		{SHA256, strings.Repeat("zz", 32), ""},
		{SHA256, strings.ToUpper(emptySHA256), ""},
		{URL, "HTTP://Bad.Example:80/a/../b/%7Ec?x=%2f#f", "bad.example/b/~c?x=%2F"},
		{URL, "bad.example/x", "bad.example/x"},
		{URL, "https://bad.example", "bad.example/"},
		{URL, "https://user@bad.example:8443/x", "bad.example:8443/x"},
		{URL, "http://bücher.example/", "xn--bcher-kva.example/"},
		{URL, "http://3325256705/x", "198.51.100.1/x"},
		{URL, "http://[2001:DB8::1]:80/x", "[2001:db8::1]/x"},
		{URL, "http://bad.example/kit/*", "bad.example/kit/*"},
		{URL, "http://bad.example*", ""},
		{URL, "http://*.bad.example/*", ""},
		{URL, "http://bad.example/**", ""},
		{URL, "mailto:a@bad.example", ""},
		{URL, "bad.example/" + strings.Repeat("\xe4", 1000), ""}, // nine characters each, escaped
		{URL, "http://", ""},
		{Domain, "*.Bad.Example.", "bad.example"},
		{Domain, "münchen.example", "xn--mnchen-3ya.example"},
		{Domain, "a_b.example", "a_b.example"},
		{Domain, "com", ""},
		{Domain, "co.uk", ""},
		{Domain, "localhost", ""},
		{Domain, "bad..example", ""},
		{Domain, "bad example", ""},
		{Domain, "198.51.100.1", ""},
		{IP, "198.51.100.1", "198.51.100.1"},
		{IP, "::ffff:198.51.100.1", "198.51.100.1"},
		{IP, "198.51.100.77/24", "198.51.100.0/24"},
		{IP, "198.51.100.1/32", "198.51.100.1"},
		{IP, "2001:DB8:0::1", "2001:db8::1"},
		{IP, "0.0.0.0/0", ""},
		{IP, "fe80::1%eth0", ""},
		{IP, "300.1.1.1", ""},
		{"md5", strings.Repeat("a", 32), ""},
		{URL, "", ""},
		{URL, "http://bad.example/" + strings.Repeat("x", longestValue), ""},
	} {
		got, key, err := Normalize(test.kind, test.raw)
		if got != test.want || (err != nil) != (test.want == "") || (key == Key{}) != (test.want == "") {
			t.Errorf("%s %.80q is %q, %v; want %q", test.kind, test.raw, got, err, test.want)
		}
	}
}

func TestGuess(t *testing.T) {
	for raw, want := range map[string]string{
		strings.Repeat("a", 40): SHA1, strings.Repeat("A", 64): SHA256, "198.51.100.1": IP, "198.51.100.0/24": IP, "2001:db8::1": IP,
		"http://a.example/": URL, "a.example/x": URL, "a.example": Domain, "word": "", "": "",
	} {
		if got := Guess(raw); got != want {
			t.Errorf("%q is taken for %q, want %q", raw, got, want)
		}
	}
}

// FuzzNormalize: what is normal stays as it is, and is found by itself.
func FuzzNormalize(f *testing.F) {
	for _, seed := range []string{"http://a.example/%41?x#y", "a.example/*", "*.b.example", "10.0.0.0/8", "0x7f.1", strings.Repeat("a", 40), "http://[::1]/", "//x/%zz"} {
		for i := range Types() {
			f.Add(i, seed)
		}
	}
	f.Fuzz(func(t *testing.T, n int, raw string) {
		kind := Types()[(n%len(Types())+len(Types()))%len(Types())]
		Guess(raw)
		value, key, err := Normalize(kind, raw)
		if err != nil {
			return
		}
		again, sameKey, err := Normalize(kind, value)
		if err != nil || again != value || sameKey != key {
			t.Fatalf("%s %q is %q, which is %q, %v", kind, raw, value, again, err)
		}
		if _, keys, err := Keys(kind, raw); err != nil || len(keys) == 0 || Key(keys[0]) != key {
			t.Fatalf("%s %q is not found by itself: %v", kind, raw, err)
		}
	})
}
