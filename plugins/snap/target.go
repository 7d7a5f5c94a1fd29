package main

import (
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/net/idna"
)

// target is where a link leads.
type target struct {
	host string // lower case, as it is asked for; "" for what is no link to a host
	raw  string
	url  *url.URL
}

// readTarget reads a link leniently: browsers take backslashes for slashes, drop line ends, and do with two slashes alone.
func readTarget(raw string) target {
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.TrimSpace(raw))
	t := target{raw: clean}
	scheme, rest, found := strings.Cut(clean, ":")
	if strings.HasPrefix(clean, "//") {
		scheme, rest, found = "http", clean, true
	}
	scheme = strings.ToLower(scheme)
	if !found || scheme != "http" && scheme != "https" && scheme != "ftp" {
		return t
	}
	rest = strings.TrimLeft(strings.ReplaceAll(cut(rest, 4096), `\`, "/"), "/")
	u, err := url.Parse(scheme + "://" + rest)
	if err != nil {
		// A broken escape or port keeps no browser from going there: the host alone is read.
		end := strings.IndexAny(rest, "/?#")
		if end < 0 {
			end = len(rest)
		}
		authority := rest[:end]
		u = &url.URL{Scheme: scheme, Host: authority[strings.LastIndexByte(authority, '@')+1:]}
		if end < len(rest) {
			u.Path = rest[end:]
		}
	}
	t.url = u
	t.host = strings.ToLower(strings.Trim(u.Hostname(), ". "))
	if ascii, err := idna.Lookup.ToASCII(t.host); err == nil && ascii != "" {
		t.host = ascii
	}
	return t
}

// address reports whether the host is a number: dotted, or one of the other forms that browsers take (0x7f000001, 2130706433).
func (t *target) address() bool {
	if _, err := netip.ParseAddr(t.host); err == nil {
		return true
	}
	last := topLevel(t.host)
	return last != "" && (strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x"))
}

// inner is the host that a link hands its visitor on to: a link within the link.
func (t *target) inner() string {
	if t.url == nil {
		return ""
	}
	rest := t.url.Path + "?" + t.url.RawQuery + "#" + t.url.Fragment
	if decoded, err := url.QueryUnescape(rest); err == nil {
		rest = decoded
	}
	at := strings.Index(rest, "://")
	if at < 1 || !strings.HasSuffix(rest[:at], "http") && !strings.HasSuffix(rest[:at], "https") {
		return ""
	}
	rest = rest[at+3:]
	if end := strings.IndexAny(rest, "/?#&"); end >= 0 {
		rest = rest[:end]
	}
	if host := strings.ToLower(rest); registrable(host) {
		return host
	}
	return ""
}
