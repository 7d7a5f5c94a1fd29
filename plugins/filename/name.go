package main

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// normalizeAll brings patterns to the form that names are compared in.
func normalizeAll(patterns []string) []string {
	out := make([]string, 0, len(patterns))
	for _, p := range patterns {
		out = append(out, strings.ToLower(norm.NFKC.String(strings.TrimSpace(p))))
	}
	return out
}

// forms are what a file name becomes on the systems that open it: without characters that cannot be seen, without the blanks and dots
// that Windows drops from its end, without a data stream, cut at a NUL. A name with a right-to-left override is compared as it is
// stored, since that is what it is executed as.
func forms(name string) []string {
	name = strings.ReplaceAll(name, `\`, "/")
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		name = name[i+1:]
	}
	plain := strings.ToLower(norm.NFKC.String(strings.Map(visible, name)))
	out := []string{plain}
	add := func(s string) {
		for _, have := range out {
			if have == s {
				return
			}
		}
		if s != "" {
			out = append(out, s)
		}
	}
	add(strings.TrimRight(plain, " ."))
	if stream, _, found := strings.Cut(plain, ":"); found {
		add(strings.TrimRight(stream, " ."))
	}
	if cut, _, found := strings.Cut(name, "\x00"); found {
		add(strings.ToLower(cut))
	}
	return out
}

// visible drops control and format characters, among them the ones that turn the direction of text.
func visible(r rune) rune {
	if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
		return -1
	}
	return r
}

// wildcard matches the whole name: * is any number of characters, ? is one.
func wildcard(pattern, name string) bool {
	p, n := []rune(pattern), []rune(name)
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
