package main

import (
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// address is one mailbox of a header field.
type address struct {
	name   string // decoded
	local  string
	domain string // lower case; "" where there is none
}

func (a *address) addr() string {
	if a.domain == "" {
		return a.local
	}
	return a.local + "@" + a.domain
}

// readAddresses reads an address field as a mail client would: it takes what stands between < and > for the address and what stands before
// for the name, whatever RFC 5322 says of the characters. broken is true where the field does not keep to the form.
func readAddresses(value string, used map[string]bool) (list []address, broken bool) {
	for _, piece := range splitAddresses(value) {
		a, wrong := readAddress(piece, used)
		broken = broken || wrong
		if a.name != "" || a.local != "" {
			list = append(list, a)
		}
	}
	return list, broken
}

// splitAddresses cuts at commas outside of quotes, comments and angle brackets. A piece without an address belongs to the next one: an
// unquoted comma in a name.
func splitAddresses(value string) []string {
	var (
		out            []string
		start, depth   int
		quoted, angled bool
	)
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '\\':
			i++
		case c == '"' && !angled:
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case depth > 0:
		case c == '<':
			angled = true
		case c == '>':
			angled = false
		case c == ',' && !angled && strings.Contains(value[start:i], "@"):
			out = append(out, value[start:i])
			start = i + 1
		}
	}
	return append(out, value[min(start, len(value)):])
}

func readAddress(piece string, used map[string]bool) (a address, broken bool) {
	piece = strings.TrimSpace(piece)
	if piece == "" {
		return address{}, false
	}
	open, end := strings.LastIndexByte(piece, '<'), strings.LastIndexByte(piece, '>')
	text := piece
	if open >= 0 && end > open {
		text = piece[open+1 : end]
		name := strings.TrimSpace(piece[:open])
		broken = strings.TrimSpace(piece[end+1:]) != "" || strings.ContainsAny(unquoted(name), ",<>") || strings.Contains(unquoted(name), "@") && name != text
		a.name = cleanName(decodeWords(name, used))
	} else if strings.ContainsAny(piece, "<>") || piece != "" && !strings.Contains(piece, "@") {
		broken = true
		if !strings.Contains(piece, "@") {
			return address{name: cleanName(decodeWords(piece, used))}, true
		}
	}
	if before, comment, found := strings.Cut(text, "("); found {
		text = before
		if a.name == "" {
			a.name = cleanName(decodeWords(strings.TrimRight(comment, ") "), used))
		}
	}
	text = strings.TrimSpace(decodeText("", text))
	broken = broken || strings.ContainsAny(text, " \t")
	at := strings.LastIndexByte(text, '@')
	if at < 0 {
		a.local = text
		return a, true
	}
	a.local, a.domain = text[:at], strings.ToLower(strings.Trim(text[at+1:], " ."))
	return a, broken
}

// unquoted is a phrase without its quoted strings and encoded words.
func unquoted(name string) string {
	var out strings.Builder
	for i, piece := range strings.Split(name, `"`) {
		if i%2 == 0 {
			out.WriteString(piece)
		}
	}
	return out.String()
}

func cleanName(name string) string {
	name = strings.ReplaceAll(strings.ReplaceAll(name, `\"`, `"`), `\\`, `\`)
	return strings.TrimSpace(strings.Trim(strings.TrimSpace(name), `"'`))
}

// organisation is the part of a host name that somebody has registered ("shop.example.co.uk" is of "example.co.uk"); the name itself
// where it has none.
func organisation(host string) string {
	host = strings.ToLower(strings.Trim(host, "."))
	if o, err := publicsuffix.EffectiveTLDPlusOne(host); err == nil {
		return o
	}
	return host
}

// registrable reports whether a host name is one that can exist in public: it has a registered part below a real top-level domain, and
// consists of the characters of a host name.
func registrable(host string) bool {
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		return true // an address literal
	}
	ascii, err := idna.ToASCII(host)
	if err != nil || len(ascii) > 253 || !strings.Contains(ascii, ".") {
		return false
	}
	for i := range len(ascii) {
		c := ascii[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_') {
			return false
		}
	}
	suffix, icann := publicsuffix.PublicSuffix(ascii)
	return (icann || strings.Contains(suffix, ".")) && suffix != ascii
}

// mainLabel is the first label of an organisation: "example" of "example.co.uk".
func mainLabel(host string) string {
	label, _, _ := strings.Cut(organisation(host), ".")
	return label
}

// topLevel is the last label.
func topLevel(host string) string {
	return host[strings.LastIndexByte(host, '.')+1:]
}
