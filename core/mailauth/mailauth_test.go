package mailauth

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/dkim"
	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/spool"
)

// zone answers TXT queries.
type zone map[string][]string

func (z zone) LookupTXT(_ context.Context, name string) ([]string, error) {
	records, found := z[strings.TrimSuffix(name, ".")]
	if !found {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	if len(records) == 1 && records[0] == "SERVFAIL" {
		return nil, &net.DNSError{Err: "server misbehaving", Name: name, IsTemporary: true}
	}
	return records, nil
}

func (z zone) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (z zone) LookupIPAddr(_ context.Context, name string) ([]net.IPAddr, error) {
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (z zone) LookupAddr(_ context.Context, name string) ([]string, error) {
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

const mailText = "From: Alice <alice@news.example.org>\r\nTo: bob@example.com\r\nSubject: hello\r\n\r\nHi.\r\n"

func signed(t *testing.T, key ed25519.PrivateKey, domain string) string {
	t.Helper()
	var out bytes.Buffer
	err := dkim.Sign(&out, strings.NewReader(mailText), &dkim.SignOptions{Domain: domain, Selector: "s", Signer: key})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestCheck(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	keyRecord := []string{"v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public)}
	dns := zone{
		"example.org": {"v=spf1 ip4:192.0.2.1 -all"}, "s._domainkey.example.org": keyRecord, "s._domainkey.other.example": keyRecord,
		"_dmarc.example.org": {"v=DMARC1; p=reject"}, "broken.example": {"SERVFAIL"},
	}
	tampered := strings.Replace(signed(t, private, "example.org"), "Hi.", "Ho.", 1)
	tests := []struct {
		name, from, client, mail string
		want                     message.Auth
		vouches                  bool
	}{
		{"all pass", "a@example.org", "192.0.2.1", signed(t, private, "example.org"),
			message.Auth{SPF: "pass", DKIM: "pass", DKIMAligned: true, DMARC: "pass"}, true},
		{"wrong client, unsigned", "a@example.org", "192.0.2.9", mailText, message.Auth{SPF: "fail", DKIM: "none", DMARC: "fail"}, false},
		{"changed on the way", "a@example.org", "192.0.2.9", tampered, message.Auth{SPF: "fail", DKIM: "fail", DMARC: "fail"}, false},
		{"signed by another domain", "a@x.example", "192.0.2.9", signed(t, private, "other.example"),
			message.Auth{SPF: "none", DKIM: "pass", DMARC: "fail"}, false},
		{"DNS is out of order", "a@broken.example", "192.0.2.9", mailText, message.Auth{SPF: "temperror", DKIM: "none", DMARC: "fail"}, false},
		{"no domain says anything", "a@x.example", "192.0.2.9", "From: a@x.example\r\n\r\n", message.Auth{SPF: "none", DKIM: "none", DMARC: "none"}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			checker := &Checker{Hostname: "mx.example.net", Resolver: dns, Log: hclog.NewNullLogger()}
			session := message.Session{Client: netip.AddrPortFrom(netip.MustParseAddr(test.client), 25), Helo: "h.example"}
			got, field := checker.Check(t.Context(), session, message.Envelope{From: test.from}, spool.FromBytes([]byte(test.mail)))
			if got != test.want {
				t.Errorf("results %+v, want %+v", got, test.want)
			}
			if got.VouchesForSender() != test.vouches {
				t.Errorf("vouches for the sender: %t", got.VouchesForSender())
			}
			want := "Authentication-Results: mx.example.net;\r\n\tspf=" + string(test.want.SPF)
			if !strings.HasPrefix(field, want) || !strings.HasSuffix(field, "\r\n") {
				t.Errorf("field %q, want one that begins with %q", field, want)
			}
		})
	}
}
