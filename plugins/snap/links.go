package main

import (
	"slices"
	"strings"
)

// aim is a link together with where it leads.
type aim struct {
	link
	target
}

// aims are the links of all pages.
func (m *mail) aims() []aim {
	var out []aim
	for _, p := range m.pages {
		for _, l := range p.links {
			out = append(out, aim{l, readTarget(l.href)})
		}
	}
	return out
}

// linkReasons compares what links say with where they lead.
func (st *state) linkReasons(m *mail, r *reasons) {
	author := m.author()
	var (
		leading []aim // to a host
		foreign []string
	)
	for _, a := range m.aims() {
		lower := strings.ToLower(a.raw)
		if strings.HasPrefix(lower, "data:") || strings.HasPrefix(lower, "javascript:") || strings.HasPrefix(lower, "vbscript:") {
			r.add("link-script", "a link leads to %s within the mail", quote(a.raw))
		}
		if a.host == "" {
			continue
		}
		leading = append(leading, a)
		own := author.domain != "" && organisation(a.host) == organisation(author.domain)
		if !own && !st.lists.is(commonHost, a.host) && !slices.Contains(foreign, organisation(a.host)) {
			foreign = append(foreign, organisation(a.host))
		}
		st.labelReasons(&a, own, r)
	}
	own := slices.ContainsFunc(leading, func(a aim) bool { return organisation(a.host) == organisation(author.domain) })
	if len(leading) > 0 && !own && len(foreign) == 1 && author.domain != "" {
		r.add("links-one-foreign", "all its links lead to %s, the sender is at %s", foreign[0], quote(author.domain))
	}
	if len(leading) > 0 && !slices.ContainsFunc(leading, func(a aim) bool { return a.url.Path != leading[0].url.Path || a.host != leading[0].host }) {
		if len(leading) > 1 {
			r.add("links-same", "its %d links all lead to one page of %s", len(leading), leading[0].host)
		}
	}
	if b := st.named(author.name, true); b != nil && !b.owns(author.domain) && len(leading) > 0 &&
		!slices.ContainsFunc(leading, func(a aim) bool { return b.owns(a.host) }) {
		r.add("links-not-brand", "the sender calls himself %s and no link leads there", quote(author.name))
	}
	if b := st.named(m.subject, false); b != nil && !b.owns(author.domain) && len(leading) > 0 &&
		!slices.ContainsFunc(leading, func(a aim) bool { return b.owns(a.host) }) {
		r.add("subject-brand", "the subject names %s, and neither sender nor any link is of it", b.name)
	}
}

// labelReasons compares one link's text with its target. A sender who counts clicks has links lead to himself: that is held against him only
// where the link shows a brand.
func (st *state) labelReasons(a *aim, own bool, r *reasons) {
	if shown := hostIn(a.text); shown != "" && !strings.Contains(a.text, "@") && looksLikeLink(a.text) &&
		organisation(shown) != organisation(a.host) && mainLabel(shown) != mainLabel(a.host) && (!own || st.ownedBrand(shown) != nil) {
		r.add("link-text", "a link shows %s and leads to %s", quote(shown), quote(a.host))
	}
	if own {
		return
	}
	list := words(fold(a.text))
	if b := st.brands.in(list, false, st.lists.isRole); b != nil && !b.owns(a.host) && len(list) <= 6 {
		r.add("link-brand-text", "a link speaks of %s and leads to %s", b.name, quote(a.host))
	}
	if len(list) == 0 || len(list) > 8 {
		return
	}
	found := st.lists.phrases.find(fold(a.text), list)
	switch {
	case len(found["verify"]) > 0 || len(found["account"]) > 0:
		r.add("link-verify", "the link %s leads to %s, which is not the sender's", quote(a.text), quote(a.host))
	case len(found["prize"]) > 0:
		r.add("link-prize", "the link %s leads to %s, which is not the sender's", quote(a.text), quote(a.host))
	case len(found["click"]) > 0 || len(found["parcel"]) > 0 || len(found["document"]) > 0:
		r.add("link-call", "the link %s leads to %s, which is not the sender's", quote(a.text), quote(a.host))
	}
}

// looksLikeLink reports whether a link's text is one by itself: a host or URL and hardly more.
func looksLikeLink(text string) bool {
	text = strings.ToLower(strings.TrimSpace(text))
	return !strings.Contains(text, " ") && (strings.HasPrefix(text, "http") || strings.HasPrefix(text, "www.") || strings.Contains(text, "."))
}
