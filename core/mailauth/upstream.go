package mailauth

import (
	"net/netip"
	"net/textproto"
	"slices"
	"strings"

	"github.com/emersion/go-msgauth/authres"

	"github.com/postern-mail/postern/core/message"
)

// Upstream is a filter that mail comes through before it comes here. It saw the client that sent the mail, which is not to be seen here
// any more, so what it says in Authentication-Results stands for checks of our own.
type Upstream struct {
	Networks   []netip.Prefix // where it connects from
	AuthservID string         // the name it signs its results with
}

// is reports whether the client is the upstream. The name alone proves nothing: anybody can write it.
func (u *Upstream) is(client netip.AddrPort) bool {
	return u != nil && client.IsValid() &&
		slices.ContainsFunc(u.Networks, func(n netip.Prefix) bool { return n.Contains(client.Addr().Unmap()) })
}

// results are those of the topmost field with the upstream's name: what is below was there before it, and may be forged (RFC 8601 section
// 5). A field that cannot be read counts for none.
func (u *Upstream) results(header textproto.MIMEHeader) ([]authres.Result, bool) {
	for _, value := range header.Values("Authentication-Results") {
		name, _, _ := strings.Cut(value, ";")
		name, _, _ = strings.Cut(strings.TrimSpace(name), " ")
		if !strings.EqualFold(name, u.AuthservID) {
			continue
		}
		_, results, err := authres.Parse(value)
		return results, err == nil
	}
	return nil, false
}

// adopt makes another server's results ours; what it does not speak of is "none". Of several signatures one that passes counts.
func adopt(results []authres.Result, author string) message.Auth {
	auth := message.Auth{SPF: "none", DKIM: "none", DMARC: "none"}
	for _, r := range results {
		switch r := r.(type) {
		case *authres.SPFResult:
			auth.SPF = message.AuthResult(r.Value)
		case *authres.DKIMResult:
			domain := r.Domain
			if domain == "" {
				domain = message.Domain(r.Identifier)
			}
			if r.Value == authres.ResultPass && aligned(domain, author, false) {
				auth.DKIMAligned = true
			}
			if auth.DKIM != "pass" {
				auth.DKIM = message.AuthResult(r.Value)
			}
		case *authres.DMARCResult:
			auth.DMARC = message.AuthResult(r.Value)
		}
	}
	return auth
}
