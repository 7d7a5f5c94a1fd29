package main

import (
	"net/netip"
	"strings"
	"time"
)

// hop is one Received field (RFC 5321 section 4.4), as far as it keeps to the form.
type hop struct {
	helo, by string // lower case; "" where not said
	known    string // the name that the receiver found for the client; "" where none
	client   netip.Addr
	at       time.Time // zero where it cannot be read
	zone     int       // seconds east of Greenwich
}

// readHop reads one field. What it does not understand it leaves out.
func readHop(value string) hop {
	var h hop
	text, date := value, ""
	if i := strings.LastIndexByte(value, ';'); i >= 0 {
		text, date = value[:i], value[i+1:]
	}
	if t, ok := readDate(date); ok {
		h.at = t
		_, h.zone = t.Zone()
	}
	flat := " " + strings.Join(strings.Fields(text), " ")
	from, by, _ := strings.Cut(flat, " by ")
	if h.by, _, _ = strings.Cut(strings.TrimSpace(by), " "); true {
		h.by = hostOnly(h.by)
	}
	rest, found := strings.CutPrefix(from, " from ")
	if !found {
		return h
	}
	helo, comment, _ := strings.Cut(rest, " ")
	h.helo = hostOnly(helo)
	for _, word := range strings.FieldsFunc(comment, func(r rune) bool { return strings.ContainsRune(" ()[],;", r) }) {
		switch helo, isHelo := strings.CutPrefix(strings.ToLower(word), "helo="); {
		case isHelo:
			h.known, h.helo = h.helo, hostOnly(helo)
		default:
			if a, err := netip.ParseAddr(strings.TrimPrefix(strings.ToLower(word), "ipv6:")); err == nil {
				h.client = a.Unmap()
			} else if h.known == "" && registrable(hostOnly(word)) {
				h.known = hostOnly(word)
			}
		}
	}
	return h
}

func hostOnly(host string) string {
	return strings.ToLower(strings.Trim(host, "[]()<>;,. "))
}

// private reports whether the client stands inside a network: what happens there is nobody else's way.
func (h *hop) private() bool {
	return h.client.IsValid() && (h.client.IsPrivate() || h.client.IsLoopback() || h.client.IsLinkLocalUnicast())
}
