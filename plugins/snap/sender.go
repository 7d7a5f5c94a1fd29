package main

import (
	"slices"
	"strings"
)

// senderReasons is what speaks against the author as the reader sees him.
func (st *state) senderReasons(m *mail, r *reasons) {
	a := m.author()
	switch {
	case len(m.values("From")) == 0 || a.local == "" && a.domain == "":
		r.add("from-missing", "the sender field has no address")
	case !m.exists(a.domain):
		r.add("from-invalid", "the sender's address %s has no domain that can exist", quote(a.addr()))
	}
	if n := len(m.values("From")); n > 1 {
		r.add("from-several", "the mail has %d sender fields", n)
	}
	if m.fromBroken && a.name != "" {
		r.add("from-broken", "the sender field is not in the form of an address: %s", quote(a.name))
	}
	st.senderBrand(&a, r)
	st.senderName(m, &a, r)
	st.senderDomain(&a, r)
}

// senderBrand compares the names that the sender gives himself with whose address it is.
func (st *state) senderBrand(a *address, r *reasons) {
	if b := st.named(a.name, true); b != nil && !b.owns(a.domain) {
		r.add("brand-name", "the sender calls himself %s, of %s, but writes from %s", quote(a.name), b.name, quote(a.domain))
	}
	if b := st.named(a.local, false); b != nil && !b.owns(a.domain) {
		r.add("brand-address", "the address %s carries the name of %s, whose it is not", quote(a.addr()), b.name)
	}
	if a.domain == "" {
		return
	}
	if of, how := st.lookalikeOf(a.domain); of != "" {
		r.add("from-lookalike", "the sender's domain %s %s %s", quote(unicodeHost(a.domain)), how, of)
	} else if b, how := st.inHost(a.domain); b != nil && !b.owns(a.domain) {
		r.add("brand-domain", "the sender's domain %s %s %s, whose it is not", quote(a.domain), how, b.name)
	}
}

// senderName looks at the name that is shown instead of the address.
func (st *state) senderName(m *mail, a *address, r *reasons) {
	name := a.name
	if name == "" {
		return
	}
	folded := words(fold(name))
	if other := hostIn(name); other != "" && organisation(other) != organisation(a.domain) {
		r.add("name-address", "the sender's name shows %s, the address is %s", quote(other), quote(a.addr()))
	}
	if !st.isInternal(a.domain) && slices.Contains(st.names, strings.Join(folded, " ")) {
		r.add("name-protected", "the sender has the protected name %s and writes from %s", quote(name), quote(a.domain))
	}
	if slices.ContainsFunc(words(strings.ToLower(name)), mixed) || slices.ContainsFunc(words(name), standIns) || styled(name) > 2 || hasInvisible(name) {
		r.add("name-disguised", "the sender's name %s is written in letters that only look like it", quote(name))
	}
	if at := decorated(name); at != "" || strings.HasSuffix(name, "!") || strings.Contains(name, "..") || strings.HasSuffix(name, ",") {
		r.add("name-decorated", "the sender's name is dressed with marks: %s", quote(name))
	}
	if pictographs(name) > 0 {
		r.add("name-pictures", "the sender's name %s has pictures in it", quote(name))
	}
	found := st.lists.phrases.find(fold(name), folded)
	delete(found, "role")
	delete(found, "secrecy")
	if topic, phrase := first(found); topic != "" {
		r.add("name-message", "the sender's name %s is a message (%s: %q)", quote(name), topic, phrase)
	}
	if st.lists.is(freeMail, a.domain) && slices.ContainsFunc(folded, st.lists.isRole) {
		r.add("free-official", "the sender calls himself %s and uses a mailbox that anybody can have, at %s", quote(name), a.domain)
	}
}

// first is a topic that was found, the same one at each call, with a phrase of it.
func first(found map[string][]string) (topic, phrase string) {
	for t, phrases := range found {
		if topic == "" || t < topic {
			topic, phrase = t, phrases[0]
		}
	}
	return topic, phrase
}

// senderDomain looks at the domain by itself.
func (st *state) senderDomain(a *address, r *reasons) {
	if a.domain == "" {
		return
	}
	if st.lists.is(freeSite, a.domain) {
		r.add("from-free-site", "the sender writes from %s, where anybody can put up a site", quote(a.domain))
	}
	if st.lists.is(cheapTop, topLevel(a.domain)) {
		r.add("from-cheap-top", "the sender's domain %s lies below .%s, where names are given away", quote(a.domain), topLevel(a.domain))
	}
	if random(mainLabel(a.domain)) || random(a.local) && !strings.ContainsAny(a.local, "+=#_-") {
		r.add("from-random", "the sender's address %s is no name but random letters", quote(a.addr()))
	}
	if n := strings.Count(strings.TrimSuffix(a.domain, organisation(a.domain)), "."); n >= 3 {
		r.add("from-deep", "the sender's domain %s is %d levels deep", quote(a.domain), n)
	}
}

// hostIn is a host name or address that stands in a text, "" where none.
func hostIn(text string) string {
	for _, word := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return strings.ContainsRune(" <>()[]\"',;:|/", r) }) {
		at := strings.LastIndexByte(word, '@')
		host := strings.Trim(word[at+1:], ".")
		if strings.Count(host, ".") > 0 && registrable(host) && (at >= 0 || len(topLevel(host)) >= 2) && !strings.HasSuffix(host, ".") {
			return host
		}
	}
	return ""
}

// random reports whether a name looks as if nobody had thought of it: many changes between letters and digits, or long runs without a
// vowel. Short names never do.
func random(name string) bool {
	letters, digits, changes, run, longest, shifts := 0, 0, 0, 0, 0, 0
	var last rune
	for _, c := range name {
		switch {
		case c >= '0' && c <= '9':
			digits++
			run = 0
			if isLetter(last) {
				changes++
			}
		case isLetter(c):
			letters++
			if last >= '0' && last <= '9' {
				changes++
			}
			if c >= 'A' && c <= 'Z' && last >= 'a' && last <= 'z' {
				shifts++
			}
			if strings.ContainsRune("aeiouyAEIOUY", c) {
				run = 0
			} else {
				run++
				longest = max(longest, run)
			}
		default:
			run = 0
		}
		last = c
	}
	if letters+digits < 7 {
		return false
	}
	return changes >= 3 || longest >= 7 || longest >= 6 && digits > 0 || shifts >= 2 && letters >= 6 && digits == 0 || digits >= 5 && letters >= 3
}

func isLetter(c rune) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// hasInvisible reports whether characters without width stand in a text, other than those that emoji and scripts need.
func hasInvisible(text string) bool {
	var last rune
	for _, c := range text {
		if invisible(c) && last < 0x600 && (c < 0xfe00 || c > 0xfe0f) && c != 0x200e && c != 0x200f {
			return true
		}
		if c >= 0xe0100 && c <= 0xe01ef {
			return true // selectors that are only used with ideographs, if ever
		}
		last = c
	}
	return false
}
