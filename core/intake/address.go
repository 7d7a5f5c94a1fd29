package intake

import (
	"net/netip"
	"strings"
	"unicode/utf8"
)

// The lengths of RFC 5321 section 4.5.3.1, the local part's in characters of up to four bytes.
const (
	maxLocalPart = 64 * 4
	maxDomain    = 255
)

// canonicalAddress gives an address the form in which it may stand in a command again; ok is false where it is none. go-smtp takes the
// quotes off a local part, so that what they held would be read as syntax by the next hop: they are put back where it needs them. A
// local part with an "@", which is routing through us to readers that take the first one, is refused.
func canonicalAddress(address string, allowUTF8 bool) (canonical string, ok bool) {
	at := strings.LastIndexByte(address, '@')
	if at <= 0 || at > maxLocalPart || len(address)-at-1 > maxDomain || !utf8.ValidString(address) {
		return address, false
	}
	local, domain := address[:at], address[at+1:]
	for _, r := range address {
		if r < ' ' || r == 0x7f || r > 0x7f && !allowUTF8 {
			return address, false
		}
	}
	if strings.ContainsRune(local, '@') || !isDomain(domain) && !isLiteral(domain) {
		return address, false
	}
	if isDotString(local) {
		return address, true
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(local) + `"@` + domain, true
}

// isDotString reports whether a local part needs no quotes (RFC 5321 section 4.1.2). Dots at the ends or together are let through, as
// real addresses have them.
func isDotString(local string) bool {
	return !strings.ContainsAny(local, " \"(),:;<>@[\\]")
}

// isDomain is a bound, not a check of every label: nothing in it may be syntax.
func isDomain(domain string) bool {
	return domain != "" && isDotString(domain)
}

// isLiteral reports whether a domain is an address literal (RFC 5321 section 4.1.3).
func isLiteral(domain string) bool {
	inner, isBracketed := strings.CutPrefix(domain, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	_, err := netip.ParseAddr(strings.TrimPrefix(inner, "IPv6:"))
	return isBracketed && closed && err == nil
}
