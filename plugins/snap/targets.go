package main

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// maxTargets bounds the links that are looked at one by one.
const maxTargets = 200

// targetReasons looks at where links lead, of text, pages, pictures and documents.
func (st *state) targetReasons(m *mail, r *reasons) {
	seen := map[string]bool{}
	look := func(t target) {
		if t.host == "" || seen[t.raw] || len(seen) >= maxTargets {
			return
		}
		seen[t.raw] = true
		st.oneTarget(m, &t, r)
	}
	for _, p := range m.pages {
		for _, l := range p.links {
			look(readTarget(l.href))
		}
		st.imageReasons(m, p, r)
		if p.refresh != "" {
			r.add("page-refresh", "the page leads on to %s by itself", quote(p.refresh))
			look(readTarget(p.refresh))
		}
	}
	for _, u := range m.source.URLs {
		part := m.source.Part(u.Part)
		if part == nil {
			continue
		}
		switch t := readTarget(u.Raw); {
		case t.host == "":
		case strings.HasPrefix(part.Declared, "image/") || isPicture(part.Name()):
			r.add("link-qr", "a picture (%s) holds a code with a link to %s", quote(part.Display), quote(t.host))
			look(t)
		case part.Kind == "text" && len(m.pages) == 0:
			look(t)
		case part.Kind == "attachment" || part.Kind == "member":
			r.add("link-in-file", "the file %s leads to %s", quote(part.Display), quote(t.host))
			look(t)
		}
	}
}

func isPicture(name string) bool {
	return slices.Contains([]string{".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff"}, strings.ToLower(path.Ext(name)))
}

// oneTarget looks at one link.
func (st *state) oneTarget(m *mail, t *target, r *reasons) {
	author := m.author()
	own := author.domain != "" && organisation(t.host) == organisation(author.domain)
	if t.url.User != nil {
		r.add("link-user", "a link has %s before its host %s", quote(t.url.User.Username()+"@"), quote(t.host))
	}
	if t.address() {
		r.add("link-address", "a link leads to the number %s instead of a name", t.host)
		return
	}
	if port := t.url.Port(); port != "" && port != "80" && port != "443" {
		r.add("link-port", "a link leads to port %s of %s", port, quote(t.host))
	}
	if shown := unicodeHost(t.host); shown != t.host && slices.ContainsFunc(strings.Split(shown, "."), mixed) {
		r.add("link-punycode", "a link leads to %s, written in letters that look like others", quote(shown))
	}
	st.hostReasons(m, t, own, r)
	if own {
		return
	}
	pathOfTarget(t, r)
}

// hostReasons looks at whose host a link leads to.
func (st *state) hostReasons(m *mail, t *target, own bool, r *reasons) {
	author := m.author()
	switch {
	case own:
	case st.lists.is(freeSite, t.host):
		r.add("link-free-site", "a link leads to %s, where anybody can put up a page", quote(t.host))
	case st.lists.is(shortener, t.host):
		r.add("link-shortened", "a link hides its target behind %s", quote(t.host))
	case st.lists.is(cheapTop, topLevel(t.host)):
		r.add("link-cheap-top", "a link leads to %s, below .%s where names are given away", quote(t.host), topLevel(t.host))
	}
	if of, how := st.lookalikeOf(t.host); of != "" {
		r.add("link-lookalike", "a link's host %s %s %s", quote(unicodeHost(t.host)), how, of)
	} else if b, how := st.inHost(t.host); b != nil && !b.owns(t.host) && !b.owns(author.domain) {
		r.add("link-brand-host", "a link's host %s %s %s, whose it is not", quote(t.host), how, b.name)
	}
	if random(mainLabel(t.host)) {
		r.add("link-random", "a link's host %s is no name but random letters", quote(t.host))
	}
	if n := strings.Count(t.host, "."); n >= 5 {
		r.add("link-deep", "a link's host %s is %d levels deep", quote(t.host), n)
	}
}

// pathOfTarget looks at what a link asks for.
func pathOfTarget(t *target, r *reasons) {
	if inner := t.inner(); inner != "" && organisation(inner) != organisation(t.host) {
		r.add("link-redirect", "a link leads to %s by way of %s", quote(inner), quote(t.host))
	}
	lower := strings.ToLower(t.host + t.url.Path)
	for _, word := range []string{
		"login", "log-in", "signin", "sign-in", "verify", "verif", "secure", "account", "update", "confirm", "webscr", "password", "wallet", "billing", "unlock", "banking",
	} {
		if strings.Contains(lower, word) {
			r.add("link-asks", "a link to %s speaks of %q", quote(t.host), word)
			break
		}
	}
	if n := encodedPlain(t.raw); n >= 2 {
		r.add("link-encoded", "%d plain letters of a link to %s are written as numbers", n, quote(t.host))
	}
	if last := path.Base(t.url.Path); len(last) >= 16 && random(last) && strings.Count(t.url.Path, "/") == 1 && t.url.RawQuery == "" {
		r.add("link-coded", "a link to %s asks for %s, which is nothing but a mark", quote(t.host), quote(last))
	}
	if strings.Contains(lower, "wp-content") || strings.Contains(lower, "wp-includes") || strings.Contains(lower, "wp-admin") {
		r.add("link-broken-in", "a link leads into the inside of a site of %s, where pages are put by who broke in", quote(t.host))
	}
	if strings.Contains(t.url.Fragment, "@") || strings.Contains(t.url.RawQuery, "%40") || strings.Contains(t.url.RawQuery, "@") {
		r.add("link-carries-address", "a link to %s carries the reader's address along", quote(t.host))
	}
}

// encodedPlain counts letters and digits of ASCII that a link has as percent and number, which nobody needs (RFC 3986 section 2.3).
func encodedPlain(link string) int {
	n := 0
	for i := 0; i+2 < len(link); i++ {
		if link[i] != '%' {
			continue
		}
		high, low := hexDigit(link[i+1]), hexDigit(link[i+2])
		if c := rune(high<<4 | low); high >= 0 && low >= 0 && (isLetter(c) || c >= '0' && c <= '9') {
			n++
		}
	}
	return n
}

// imageReasons looks at where the pictures of a page lie and what they stand for.
func (st *state) imageReasons(m *mail, p *page, r *reasons) {
	author := m.author()
	for _, source := range p.images {
		t := readTarget(source)
		if t.host == "" || organisation(t.host) == organisation(author.domain) {
			continue
		}
		switch {
		case st.lists.is(pictures, t.host):
			r.add("image-anonymous", "its pictures lie at %s, where nobody says who he is", quote(t.host))
		case st.lists.is(freeSite, t.host):
			r.add("image-free-site", "its pictures lie at %s, where anybody can put them", quote(t.host))
		case t.address():
			r.add("image-address", "its pictures come from the number %s instead of a name", t.host)
		}
		if b := st.ownedBrand(t.host); b != nil && author.domain != "" && !b.owns(author.domain) &&
			!st.lists.is(commonHost, t.host) && !st.lists.is(freeSite, t.host) && !st.lists.is(pictures, t.host) {
			r.add("image-of-brand", "it shows pictures of %s, for which %s does not write", b.name, quote(author.domain))
		}
	}
	linked := 0
	for _, l := range p.links {
		if l.image && l.text == "" {
			linked++
		}
	}
	seen := len(strings.Join(strings.Fields(p.text), " "))
	switch {
	case linked > 0 && seen < 200:
		r.add("image-is-message", "the message is a picture to click, with %d bytes of text", seen)
	case len(p.images) > 0 && seen < 100:
		r.add("image-instead", "the message is %s, with %d bytes of text", count(len(p.images), "picture"), seen)
	}
}

// ownedBrand is the brand that a host belongs to.
func (st *state) ownedBrand(host string) *brand {
	org := organisation(host)
	for _, b := range st.brands.all {
		if !b.common && b.ownsBelow(host, org) {
			return b
		}
	}
	return nil
}

func count(n int, noun string) string {
	if n == 1 {
		return "one " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
