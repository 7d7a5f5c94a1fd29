package policy

import (
	"errors"
	"strings"

	"golang.org/x/net/idna"

	"github.com/postern-mail/postern/core/message"
)

// DomainPattern is "example.org" (that domain alone), "*.example.org" (everything below it) or "*" (every domain), in lower case and
// with international names in their ASCII form.
type DomainPattern string

// AddressPattern says for which addresses something is: "*" for anyone, the null sender included, else LOCAL@DOMAIN where LOCAL is
// "*" or a whole local part and DOMAIN a DomainPattern. It is in lower case: patterns take no notice of case, not even in the local
// part, where RFC 5321 section 2.4 would let it count.
type AddressPattern string

const anyone AddressPattern = "*"

var (
	errDomainPattern  = errors.New(`a domain is "example.org", "*.example.org" or "*"`)
	errAddressPattern = errors.New(`an address is "user@example.org", "*@example.org", "user@*.example.org", "user@*" or "*" for anyone`)
)

// ParseDomainPattern reads a pattern as policies write it.
func ParseDomainPattern(text string) (DomainPattern, error) {
	if text == "*" {
		return "*", nil
	}
	name, below := strings.CutPrefix(text, "*.")
	name = asciiDomain(name)
	if !validDomain(name) {
		return "", errDomainPattern
	}
	if below {
		name = "*." + name
	}
	return DomainPattern(name), nil
}

// Match reports whether the pattern is for the domain. No pattern is for an empty one.
func (p DomainPattern) Match(domain string) bool { return p.match(asciiDomain(domain)) }

// match is Match for a domain that asciiDomain has made.
func (p DomainPattern) match(domain string) bool {
	switch {
	case domain == "":
		return false
	case p == "*":
		return true
	case strings.HasPrefix(string(p), "*."):
		suffix := string(p[1:])
		return len(domain) > len(suffix) && strings.HasSuffix(domain, suffix)
	}
	return string(p) == domain
}

// covers reports whether p is for every domain that q is for.
func (p DomainPattern) covers(q DomainPattern) bool {
	if p == "*" || p == q {
		return true
	}
	below, wild := strings.CutPrefix(string(q), "*.")
	if !wild {
		return p.match(string(q))
	}
	return strings.HasPrefix(string(p), "*.") && p.match(below)
}

// overlaps reports whether some domain is matched by both.
func (p DomainPattern) overlaps(q DomainPattern) bool { return p.covers(q) || q.covers(p) }

// ParseAddressPattern reads a pattern as policies write it. The appliance's rules hold (a wildcard is a whole local part, or the
// beginning of a domain, and "*@*" is none), and "*" is anyone.
func ParseAddressPattern(text string) (AddressPattern, error) {
	if text == "*" {
		return anyone, nil
	}
	at := strings.LastIndexByte(text, '@')
	if at <= 0 || text == "*@*" {
		return "", errAddressPattern
	}
	local := strings.ToLower(text[:at])
	if local != "*" && strings.ContainsRune(local, '*') || strings.ContainsFunc(local, notInAddress) {
		return "", errAddressPattern
	}
	domain, err := ParseDomainPattern(text[at+1:])
	if err != nil {
		return "", errAddressPattern
	}
	return AddressPattern(local + "@" + string(domain)), nil
}

// Match reports whether the pattern is for the address. Only "*" is for the null sender (an empty address).
func (p AddressPattern) Match(address string) bool {
	if p == anyone {
		return true
	}
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return false
	}
	local, domain := p.parts()
	return (local == "*" || local == strings.ToLower(address[:at])) && domain.Match(address[at+1:])
}

// parts splits a pattern other than "*".
func (p AddressPattern) parts() (local string, domain DomainPattern) {
	at := strings.LastIndexByte(string(p), '@')
	return string(p[:at]), DomainPattern(p[at+1:])
}

// covers reports whether p is for every address that q is for.
func (p AddressPattern) covers(q AddressPattern) bool {
	if p == anyone || p == q {
		return true
	}
	if q == anyone {
		return false
	}
	local, domain := p.parts()
	otherLocal, otherDomain := q.parts()
	return (local == "*" || local == otherLocal) && domain.covers(otherDomain)
}

// covers reports whether every mail that q excepts is excepted by p.
func (p Pair) covers(q Pair) bool { return p.From.covers(q.From) && p.To.covers(q.To) }

// coverAll reports whether every address of the second list is one of the first. An empty list is anyone.
func coverAll(patterns, others []AddressPattern) bool {
	patterns, others = orAnyone(patterns), orAnyone(others)
	for _, other := range others {
		found := false
		for _, p := range patterns {
			found = found || p.covers(other)
		}
		if !found {
			return false
		}
	}
	return true
}

func orAnyone(patterns []AddressPattern) []AddressPattern {
	if len(patterns) == 0 {
		return []AddressPattern{anyone}
	}
	return patterns
}

// validAddress reports whether a mail can be sent to the address.
func validAddress(address string) bool {
	at := strings.LastIndexByte(address, '@')
	return at > 0 && !strings.ContainsFunc(address[:at], notInAddress) && validDomain(asciiDomain(message.Domain(address)))
}

// notInAddress are characters that would end an address in SMTP or in a header.
func notInAddress(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune("<>,;:", r) }

// asciiDomain is the form in which domains are compared. A name that has no ASCII form stays as it is, so that it equals itself.
func asciiDomain(domain string) string {
	for i := range len(domain) {
		if domain[i] >= 0x80 {
			if ascii, err := idna.Lookup.ToASCII(domain); err == nil {
				domain = ascii
			}
			break
		}
	}
	return strings.TrimSuffix(strings.ToLower(domain), ".")
}

// validDomain checks the length and characters of a domain's labels (RFC 1035 section 2.3.4; "_" is seen in the wild).
func validDomain(domain string) bool {
	if domain == "" || len(domain) > 253 {
		return false
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}
