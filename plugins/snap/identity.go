package main

import (
	"strings"
)

// identityReasons compares what the mail says of its sender in one place with what it says in another.
func (st *state) identityReasons(m *mail, r *reasons) {
	a := m.author()
	st.replyReasons(m, &a, r)
	st.pathReasons(m, &a, r)
	messageIDReasons(m, &a, r)
	recipientReasons(m, &a, r)
}

func (st *state) replyReasons(m *mail, a *address, r *reasons) {
	if len(m.replyTo) == 0 || m.list {
		return
	}
	to := m.replyTo[0]
	switch {
	case !m.exists(to.domain):
		r.add("reply-invalid", "answers would go to %s, which is no address", quote(to.addr()+" "+to.name))
	case a.domain == "" || organisation(to.domain) == organisation(a.domain):
	case st.lists.is(freeMail, to.domain):
		r.add("reply-free", "answers would go to %s, a mailbox that anybody can have, and not to %s", quote(to.addr()), quote(a.domain))
	default:
		r.add("reply-differs", "answers would go to %s and not to %s", quote(to.addr()), quote(a.domain))
	}
}

func (st *state) pathReasons(m *mail, a *address, r *reasons) {
	if m.list || m.returnPath == "" || a.domain == "" {
		return
	}
	at := strings.LastIndexByte(m.returnPath, '@')
	domain := strings.ToLower(strings.Trim(m.returnPath[at+1:], "<> ."))
	if domain == "" || at < 0 {
		return
	}
	if !m.exists(domain) {
		r.add("path-invalid", "the return path %s has no domain that can exist", quote(m.returnPath))
		return
	}
	if organisation(domain) == organisation(a.domain) {
		return
	}
	r.add("path-differs", "the return path leads to %s, the sender is at %s", quote(domain), quote(a.domain))
	local := m.returnPath[:at]
	if random(mainLabel(domain)) || local == "root" || local == "www-data" || local == "apache" {
		r.add("path-odd", "the return path %s is that of no sender of mail", quote(m.returnPath))
	}
}

// messageIDReasons: a mail's id is given by the system that sends it, below a name of its own (RFC 5322 section 3.6.4).
func messageIDReasons(m *mail, a *address, r *reasons) {
	ids := m.values("Message-ID")
	if len(ids) == 0 {
		r.add("id-missing", "the mail has no Message-ID")
		return
	}
	if len(ids) > 1 {
		r.add("id-several", "the mail has %d Message-IDs", len(ids))
	}
	id := strings.TrimSpace(ids[0])
	inner, opened := strings.CutPrefix(id, "<")
	inner, closed := strings.CutSuffix(inner, ">")
	at := strings.LastIndexByte(inner, '@')
	if !opened || !closed || at <= 0 || strings.ContainsAny(inner, " <>\t") {
		r.add("id-broken", "the Message-ID %s is not in the form of one", quote(id))
		return
	}
	host := strings.ToLower(inner[at+1:])
	if !registrable(host) {
		r.add("id-no-host", "the Message-ID was given by %s, which is no host name", quote(host))
		return
	}
	if a.domain == "" || organisation(host) == organisation(a.domain) {
		return
	}
	if n := len(m.hops); n > 0 {
		for _, h := range m.hops[:min(2, n)] {
			if h.by != "" && organisation(h.by) == organisation(host) {
				r.add("id-by-receiver", "the mail was sent without a Message-ID: %s, which received it, gave it one", quote(host))
				return
			}
		}
		last := m.hops[n-1]
		if organisation(last.by) == organisation(host) || organisation(last.helo) == organisation(host) || organisation(last.known) == organisation(host) {
			return // by the server that the mail was handed to
		}
	}
	r.add("id-differs", "the Message-ID was given by %s, the sender is at %s", quote(host), quote(a.domain))
}

func recipientReasons(m *mail, a *address, r *reasons) {
	named := false
	for _, to := range m.to {
		named = named || to.domain != ""
		if a.addr() != "" && strings.EqualFold(to.addr(), a.addr()) && len(m.to) == 1 {
			r.add("to-self", "sender and recipient are the same address, %s", quote(to.addr()))
		}
	}
	if !named {
		r.add("to-nobody", "the mail names no recipient")
		return
	}
	if m.list || len(m.source.Envelope.To) == 0 {
		return
	}
	for _, to := range m.source.Envelope.To {
		for _, shown := range m.to {
			if strings.EqualFold(to, shown.addr()) {
				return
			}
		}
	}
	r.add("to-others", "the mail is for %s and names %s", quote(m.source.Envelope.To[0]), quote(m.to[0].addr()))
}

// authReasons is what SPF, DKIM and DMARC said at receipt. Trouble with DNS speaks against nobody.
func (st *state) authReasons(m *mail, r *reasons) {
	auth := m.source.Auth
	domain := m.author().domain
	if auth.SPF == "fail" || auth.SPF == "softfail" {
		r.add("spf-fail", "SPF says %s: %s does not send for the return path's domain", auth.SPF, quote(m.source.Envelope.Client))
	}
	if auth.DKIM == "fail" {
		r.add("dkim-fail", "the mail's signature does not fit: it was changed, or is not of who it says")
	}
	if auth.DMARC == "fail" {
		r.add("dmarc-fail", "DMARC fails: %s does not stand behind the mail", quote(domain))
		if st.isInternal(domain) {
			r.add("internal-forged", "the sender is of the own domain %s, which does not stand behind the mail", quote(domain))
		}
	}
}
