package mailauth

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/spool"
)

func TestUpstreamsResultsAreTakenOver(t *testing.T) {
	const from = "From: Alice <alice@news.example.org>\r\n\r\nHi.\r\n"
	pass := "Authentication-Results: mx.up.example; spf=pass smtp.mailfrom=example.org;\r\n\tdkim=fail header.d=x.example; dkim=pass header.d=example.org; dmarc=pass header.from=news.example.org\r\n"
	fail := strings.NewReplacer("spf=pass", "spf=fail", "dkim=pass", "dkim=fail", "dmarc=pass", "dmarc=fail").Replace(pass)
	own := message.Auth{SPF: "fail", DKIM: "none", DMARC: "fail"}
	dns := zone{"example.org": {"v=spf1 ip4:192.0.2.1 -all"}, "_dmarc.example.org": {"v=DMARC1; p=reject"}}
	tests := []struct {
		name, client, mail string
		want               message.Auth
	}{
		{"upstream says pass", "10.0.0.7", pass + from, message.Auth{SPF: "pass", DKIM: "pass", DKIMAligned: true, DMARC: "pass"}},
		{"upstream says fail", "10.0.0.7", fail + from, message.Auth{SPF: "fail", DKIM: "fail", DMARC: "fail"}},
		{"upstream as IPv4 in IPv6", "::ffff:10.0.0.7", pass + from, message.Auth{SPF: "pass", DKIM: "pass", DKIMAligned: true, DMARC: "pass"}},
		{"only the topmost counts", "10.0.0.7", fail + pass + from, message.Auth{SPF: "fail", DKIM: "fail", DMARC: "fail"}},
		{"another's above it does not", "10.0.0.7", strings.Replace(pass, "mx.up", "mx.other", 1) + fail + from, message.Auth{SPF: "fail", DKIM: "fail", DMARC: "fail"}},
		{"the name in another case, with a version", "10.0.0.7", strings.Replace(pass, "mx.up.example;", "MX.UP.example 1;", 1) + from,
			message.Auth{SPF: "pass", DKIM: "pass", DKIMAligned: true, DMARC: "pass"}},
		{"signature of a stranger", "10.0.0.7", "Authentication-Results: mx.up.example; dkim=pass header.d=x.example\r\n" + from,
			message.Auth{SPF: "none", DKIM: "pass", DMARC: "none"}},
		{"forged by a client elsewhere", "192.0.2.9", pass + from, own},
		{"upstream without results", "10.0.0.7", from, message.Auth{SPF: "none", DKIM: "none", DMARC: "none"}},
		{"upstream with results that cannot be read", "10.0.0.7", "Authentication-Results: mx.up.example; spf\r\n" + from,
			message.Auth{SPF: "none", DKIM: "none", DMARC: "none"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			checker := &Checker{Hostname: "mx.example.net", Resolver: dns, Log: hclog.NewNullLogger(), Upstream: &Upstream{
				Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}, AuthservID: "mx.up.example",
			}}
			session := message.Session{Client: netip.AddrPortFrom(netip.MustParseAddr(test.client), 25), Helo: "h.example"}
			got, field := checker.Check(t.Context(), session, message.Envelope{From: "a@example.org"}, spool.FromBytes([]byte(test.mail)))
			if got != test.want {
				t.Errorf("results %+v, want %+v", got, test.want)
			}
			if want := "Authentication-Results: mx.example.net;"; !strings.HasPrefix(field, want) || !strings.Contains(field, "spf="+string(got.SPF)) && got.SPF != "none" {
				t.Errorf("field %q", field)
			}
		})
	}
}

func FuzzUpstreamResults(f *testing.F) {
	f.Add("mx.up.example; spf=pass")
	f.Add("mx.up.example 1; dkim=pass (a;b) header.d=\"x")
	f.Fuzz(func(t *testing.T, value string) {
		checker := &Checker{Hostname: "mx.example.net", Resolver: zone{}, Log: hclog.NewNullLogger(), Upstream: &Upstream{
			Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}, AuthservID: "mx.up.example",
		}}
		session := message.Session{Client: netip.MustParseAddrPort("10.0.0.1:25")}
		_, field := checker.Check(t.Context(), session, message.Envelope{}, spool.FromBytes([]byte("Authentication-Results: "+value+"\r\n\r\n")))
		if strings.Count(field, "\r\n") != strings.Count(field, "\r\n\t")+1 || strings.ContainsAny(strings.ReplaceAll(field, "\r\n", ""), "\r\n") {
			t.Errorf("field %q", field)
		}
	})
}
