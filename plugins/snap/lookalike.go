package main

import (
	"strings"

	"golang.org/x/net/idna"
)

// skeleton is a name as an eye takes it in a hurry: letters of other scripts become the Latin ones that they look like, digits the
// letters that they stand for, "rn" an "m", "vv" a "w". Two names with one skeleton look alike.
func (l *lists) skeleton(name string) string {
	var out strings.Builder
	for _, r := range fold(name) {
		if to, found := l.confusable[r]; found {
			out.WriteString(to)
			continue
		}
		out.WriteRune(r)
	}
	s := out.String()
	s = strings.ReplaceAll(s, "rn", "m")
	return strings.ReplaceAll(s, "vv", "w")
}

// unicodeHost is a host name with its punycode labels as they are shown.
func unicodeHost(host string) string {
	if !strings.Contains(host, "xn--") {
		return host
	}
	if shown, err := idna.ToUnicode(host); err == nil {
		return shown
	}
	return host
}

// oneEdit reports whether two names differ by one letter put in, left out, replaced or two swapped.
func oneEdit(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(b)-len(a) > 1 || a == b {
		return false
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	if len(a) < len(b) {
		return a[i:] == b[i+1:]
	}
	if a[i+1:] == b[i+1:] {
		return true
	}
	return i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
}

// shortestEdited is the length from which on one other letter is taken for a look-alike; shorter names are near too many words.
const shortestEdited = 6

// likeness says how a name of one skeleton looks like another of the length given, which it is not: "" where it does not.
func likeness(shape, other string, length int) string {
	switch {
	case length < 4:
	case shape == other:
		return "looks the same as"
	case length >= shortestEdited && oneEdit(shape, other):
		return "is one letter from"
	}
	return ""
}

// latin writes a word in the Latin letters that it imitates, digits among them: "pаypa1" becomes "paypal".
func (l *lists) latin(word string) string {
	var out strings.Builder
	for _, r := range word {
		switch to, found := l.confusable[r]; {
		case r == 'і' || r == 'ι' || r == 'ı':
			out.WriteByte('i')
		case found && r != 'i':
			out.WriteString(to)
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}
