package main

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// lastElement is the name without the folders that an archive or a sender put in front.
func lastElement(name string) string {
	return name[strings.LastIndexAny(name, `/\`)+1:]
}

// fold brings a name to the form that it is compared in: what cannot be seen is left out, and letters that only look like others or
// differ in case become those others.
func fold(name string) string {
	if isPlain(name) {
		return strings.ToLower(name)
	}
	name = norm.NFKC.String(strings.Map(visible, name))
	return strings.ToLower(strings.Map(latin, name))
}

// isPlain holds for most names: of ASCII that can be seen.
func isPlain(name string) bool {
	for i := range len(name) {
		if name[i] < ' ' || name[i] > '~' {
			return false
		}
	}
	return true
}

// forms are what a file name becomes on the systems that open it: without characters that cannot be seen, without the blanks and dots
// that Windows drops from its end, without a data stream, cut at a NUL. A name with a right-to-left override is compared as it is
// stored, since that is what it is executed as.
func forms(name string) []string {
	plain := fold(name)
	out := []string{plain}
	add := func(s string) {
		if s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	add(strings.TrimRight(plain, " ."))
	if file, _, found := strings.Cut(plain, ":"); found {
		add(strings.TrimRight(file, " ."))
	}
	if cut, _, found := strings.Cut(name, "\x00"); found {
		add(strings.TrimRight(fold(cut), " ."))
	}
	// Where a whole name was quoted once more, the quotes are dropped when it is saved.
	add(strings.TrimRight(strings.Trim(plain, `"'`), " ."))
	return out
}

// visible drops control and format characters, among them the ones that turn the direction of text, and what is drawn as nothing.
func visible(r rune) rune {
	switch {
	case unicode.IsControl(r), unicode.Is(unicode.Cf, r), unicode.Is(unicode.Variation_Selector, r):
		return -1
	case r == '\u034f', r == '\u115f', r == '\u1160', r == '\u3164', r == '\uffa0', r == '\u17b4', r == '\u17b5':
		return -1
	case unicode.Is(unicode.Zs, r), r == '\u2800': // every kind of space
		return ' '
	case r == '\u2024', r == '\uff0e', r == '\u3002', r == '\uff61', r == '\ufe52': // every kind of full stop
		return '.'
	}
	return r
}

// latin is the letter that the Cyrillic or Greek one cannot be told from by its looks.
func latin(r rune) rune {
	const like, letters = "аеорсухіјѕԁһӏԛԝАВЕКМНОРСТУХІЈЅαορνικχΑΒΕΖΗΙΚΜΝΟΡΤΥΧıɡ", "aeopcyxijsdhlqwABEKMHOPCTYXIJSaopvikxABEZHIKMNOPTYXig"
	if r < 0x80 {
		return r
	}
	if i := slices.Index([]rune(like), r); i >= 0 {
		return rune(letters[i])
	}
	return r
}

// wildcard matches the whole name: * is any number of characters, ? is one.
func wildcard(p, n []rune) bool {
	pi, ni, star, mark := 0, 0, -1, 0
	for ni < len(n) {
		switch {
		case pi < len(p) && p[pi] == '*':
			star, mark = pi, ni
			pi++
		case pi < len(p) && (p[pi] == '?' || p[pi] == n[ni]):
			pi++
			ni++
		case star >= 0:
			mark++
			pi, ni = star+1, mark
		default:
			return false
		}
	}
	for pi < len(p) && p[pi] == '*' {
		pi++
	}
	return pi == len(p)
}
