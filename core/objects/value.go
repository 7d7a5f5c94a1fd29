// Package objects matches suspicious objects: the lists that the store holds go in, findings about a message come out. Each list is a
// compact set in memory that is never changed, only replaced; a synchronisation writes a list to the store, and every gateway that
// shares the store loads it from there.
package objects

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"

	"github.com/postern-mail/postern/core/content"
)

// The types of objects.
const (
	SHA1   = "sha1"
	SHA256 = "sha256"
	URL    = "url" // a trailing "*" makes it the beginning of URLs
	Domain = "domain"
	IP     = "ip" // an address or a network
)

// Types are all types, as they are shown.
func Types() []string { return []string{SHA1, SHA256, URL, Domain, IP} }

// Key stands for a type and value. It is long enough that no two objects ever share one.
type Key [16]byte

// prefix is the type of keys of URLs that end with "*".
const prefix = "url*"

func keyOf(kind, value string) Key {
	var room [256]byte // most values fit, and cost no memory
	sum := sha256.Sum256(append(append(append(room[:0], kind...), 0), value...))
	return Key(sum[:16])
}

// The digests of no content at all. Lists that were made carelessly hold them, and every empty attachment would match.
const (
	emptySHA1   = "da39a3ee5e6b4b0d3255bfef95601890afd80709"
	emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// longestValue bounds what a list may hold in one entry.
const longestValue = 4096

// Shortest networks that are taken: what is wider would match half the world.
const (
	widestIPv4 = 8
	widestIPv6 = 16
)

// Normalize gives the form in which values of the type are compared, and its key. An error says what is wrong with the value.
func Normalize(kind, raw string) (value string, key Key, err error) {
	raw = strings.TrimSpace(raw)
	if raw == "" || len(raw) > longestValue {
		return "", Key{}, fmt.Errorf("a value has 1 to %d characters", longestValue)
	}
	switch kind {
	case SHA1:
		value, err = digest(raw, 20, emptySHA1)
	case SHA256:
		value, err = digest(raw, 32, emptySHA256)
	case URL:
		value, err = urlValue(raw)
		if strings.HasSuffix(value, "*") {
			kind = prefix
		}
	case Domain:
		value, err = domainValue(raw)
	case IP:
		value, err = network(raw)
	default:
		err = fmt.Errorf("there is no type %q: it is one of %s", kind, strings.Join(Types(), ", "))
	}
	if err != nil {
		return "", Key{}, err
	}
	return value, keyOf(kind, strings.TrimSuffix(value, "*")), nil
}

func digest(raw string, size int, empty string) (string, error) {
	value := strings.ToLower(raw)
	if b, err := hex.DecodeString(value); err != nil || len(b) != size {
		return "", fmt.Errorf("it is not a digest of %d hexadecimal digits", 2*size)
	}
	if value == empty {
		return "", errors.New("it is the digest of an empty file, which is in honest mail too")
	}
	return value, nil
}

func urlValue(raw string) (string, error) {
	text, open := strings.CutSuffix(raw, "*")
	if !strings.Contains(text, "://") {
		if host, _, _ := strings.Cut(text, "/"); strings.Contains(host, "@") {
			return "", errors.New("it is no http, https or ftp URL")
		}
		text = "http://" + strings.TrimPrefix(text, "//")
	}
	host, _, _ := strings.Cut(text[strings.Index(text, "://")+3:], "/")
	if strings.Contains(host, "*") {
		return "", errors.New("a host is written in full; list the domain to match all below it")
	}
	rest, hasPath := strings.CutPrefix(text[strings.Index(text, "://")+3:], host)
	if open && (!hasPath || !strings.HasPrefix(rest, "/")) {
		return "", errors.New("the beginning of a URL has at least the host and a slash")
	}
	value, ok := urlText(text)
	if !ok {
		return "", errors.New("it is no http, https or ftp URL")
	}
	if _, ok := urlText("http://" + value); !ok {
		return "", errors.New("with its characters escaped it is longer than a URL may be")
	}
	if strings.HasSuffix(value, "*") {
		return "", errors.New("it ends with more than one *")
	}
	if open {
		value += "*"
	}
	return value, nil
}

// urlText is a URL as it is compared: as content normalises it, without its scheme, with nothing escaped that need not be, and an IPv4
// address in the usual form. That http is listed and https is sent makes no difference.
func urlText(raw string) (string, bool) {
	normal, ok := content.NormalizeURL(unescape(content.VisibleURL(raw)))
	if !ok {
		return "", false
	}
	_, rest, _ := strings.Cut(normal, "://")
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	host, port := splitPort(rest[:end])
	if address, ok := oddIPv4(host); ok {
		host = address.String()
	}
	return host + port + rest[end:], true
}

// splitPort parts a host from ":port", which may be empty.
func splitPort(host string) (name, port string) {
	if at := strings.LastIndexByte(host, ':'); at >= 0 && !strings.HasSuffix(host, "]") {
		return host[:at], host[at:]
	}
	return host, ""
}

// unescape undoes escapes of characters that never need one (RFC 3986 section 2.3), so that none hides a URL.
func unescape(raw string) string {
	if !strings.Contains(raw, "%") {
		return raw
	}
	var b strings.Builder
	for i := 0; i < len(raw); i++ {
		if raw[i] == '%' && i+2 < len(raw) {
			if c, err := strconv.ParseUint(raw[i+1:i+3], 16, 8); err == nil {
				if unreserved(byte(c)) {
					b.WriteByte(byte(c))
				} else {
					b.WriteString(strings.ToUpper(raw[i : i+3]))
				}
				i += 2
				continue
			}
		}
		b.WriteByte(raw[i])
	}
	return b.String()
}

func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// oddIPv4 reads an address as browsers do: of one to four numbers, which may be octal or hexadecimal.
func oddIPv4(host string) (netip.Addr, bool) {
	pieces := strings.Split(host, ".")
	if len(pieces) > 4 {
		return netip.Addr{}, false
	}
	var address uint64
	for i, piece := range pieces {
		n, err := strconv.ParseUint(piece, 0, 32)
		if err != nil && len(piece) > 1 && piece[0] == '0' {
			n, err = strconv.ParseUint(piece, 10, 32) // 08 and 09
		}
		if err != nil || strings.ContainsAny(piece, "_+bBoO") {
			return netip.Addr{}, false
		}
		if i == len(pieces)-1 {
			left := 8 * (4 - i)
			if n >= 1<<left {
				return netip.Addr{}, false
			}
			address = address<<left | n
		} else {
			if n > 255 {
				return netip.Addr{}, false
			}
			address = address<<8 | n
		}
	}
	return netip.AddrFrom4([4]byte{byte(address >> 24), byte(address >> 16), byte(address >> 8), byte(address)}), true
}

func domainValue(raw string) (string, error) {
	name := strings.Trim(strings.TrimPrefix(strings.ToLower(raw), "*."), ".")
	ascii, err := idna.Lookup.ToASCII(name)
	if err != nil {
		if strings.ContainsFunc(name, func(r rune) bool { return r > 0x7f }) {
			return "", errors.New("it is no name of a domain")
		}
		ascii = name // names with underscores, which resolve all the same
	}
	if strings.ContainsFunc(ascii, func(r rune) bool { return !unreserved(byte(r)) || r == '~' }) || strings.Contains(ascii, "..") || len(ascii) > 253 {
		return "", errors.New("it is no name of a domain")
	}
	if _, isAddress := oddIPv4(ascii); isAddress {
		return "", errors.New("it is an address; its type is ip")
	}
	if suffix, official := publicsuffix.PublicSuffix(ascii); suffix == ascii && (official || !strings.Contains(ascii, ".")) {
		return "", errors.New("it is a whole top-level domain or one like it, which honest mail links to")
	}
	return ascii, nil
}

func network(raw string) (string, error) {
	if address, err := netip.ParseAddr(raw); err == nil && address.Zone() == "" {
		return address.Unmap().String(), nil
	}
	network, err := netip.ParsePrefix(raw)
	if err != nil {
		return "", errors.New("it is no address and no network")
	}
	address, bits := network.Addr(), network.Bits()
	if address.Is4In6() {
		address, bits = address.Unmap(), bits-96
	}
	if address.Is4() && bits < widestIPv4 || address.Is6() && bits < widestIPv6 {
		return "", fmt.Errorf("networks wider than /%d (IPv4) and /%d (IPv6) are not taken", widestIPv4, widestIPv6)
	}
	if bits == address.BitLen() {
		return address.String(), nil
	}
	return netip.PrefixFrom(address, bits).Masked().String(), nil
}

// Guess is the type that a value looks like, or "".
func Guess(raw string) string {
	raw = strings.TrimSpace(raw)
	if _, err := hex.DecodeString(raw); err == nil {
		switch len(raw) {
		case 40:
			return SHA1
		case 64:
			return SHA256
		}
	}
	if _, err := network(raw); err == nil {
		return IP
	}
	if strings.ContainsAny(raw, "/?") {
		return URL
	}
	if _, err := domainValue(raw); err == nil {
		return Domain
	}
	return ""
}
