package delivery

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/core/policy"
)

// TestHosts: a host that cannot be spoken to is passed over for the next, and asked last for a while.
func TestHosts(t *testing.T) {
	closed := newHop(t, nil)
	_ = closed.listener.Close()
	good := newHop(t, nil, takes+"wait")
	d := newDelivery(t)
	relay := plainRelay(closed.address(), good.address())
	o, host, err := d.relay(context.Background(), relay, "gw.example.org", simpleMail())
	if err != nil || host != good.address() || !o.final.Accepted() {
		t.Fatalf("%s: %+v, %v", host, o, err)
	}
	if order := d.order(relay); order[0] != good.address() {
		t.Errorf("asked next is %v", order)
	}
}

// TestSessionsAreKept: the second mail goes through the session of the first; one that the server has closed meanwhile costs nothing.
func TestSessionsAreKept(t *testing.T) {
	again := strings.Replace(takes, "220 hop\n\t< EHLO\n\t250 hop\n", "", 1)
	h := newHop(t, nil, takes+again+"end", takes+"wait")
	d := newDelivery(t)
	for n := range 3 {
		o, _, err := d.relay(context.Background(), plainRelay(h.address()), "gw.example.org", simpleMail())
		if err != nil || !o.final.Accepted() {
			t.Fatalf("mail %d: %+v, %v", n, o, err)
		}
	}
	mails, heard := h.got()
	hellos := 0
	for _, line := range heard {
		if strings.HasPrefix(line, "EHLO") {
			hellos++
		}
	}
	if len(mails) != 3 || hellos != 2 {
		t.Errorf("%d mails in %d sessions: %q", len(mails), hellos, heard)
	}
}

// certificate is one for 127.0.0.1 with its PEM file.
func certificate(t *testing.T) (*tls.Config, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, path
}

func TestTLS(t *testing.T) {
	config, ca := certificate(t)
	const offers = "220 hop\n< EHLO\n250-hop|250 STARTTLS\n< STARTTLS\n"
	rest := strings.TrimPrefix(takes, "220 hop\n")
	tests := []struct {
		name    string
		scripts []string
		relay   policy.Relay
		want    string // of the error, "" where the mail is taken
	}{
		{"verified", []string{offers + "220 go\nstarttls\n" + rest + "wait"}, policy.Relay{TLS: "verify", CAFile: ca}, ""},
		{"verified, unknown CA", []string{offers + "220 go\nstarttls"}, policy.Relay{TLS: "verify"}, "certificate signed by unknown authority"},
		{"verified, another name", []string{offers + "220 go\nstarttls"}, policy.Relay{TLS: "verify", CAFile: ca, ServerName: "other.example"},
			"wanted to match other.example"},
		{"required and not offered", []string{"220 hop\n< EHLO\n250 hop\nwait"}, policy.Relay{TLS: "verify", CAFile: ca}, "TLS is required and not offered"},
		{"required and refused", []string{offers + "454 not now\nwait"}, policy.Relay{TLS: "verify", CAFile: ca}, "454"},
		{"opportunistic takes any certificate", []string{offers + "220 go\nstarttls\n" + rest + "wait"}, policy.Relay{TLS: "opportunistic"}, ""},
		{"opportunistic goes on without", []string{offers + "454 not now\nend", takes + "wait"}, policy.Relay{TLS: "opportunistic"}, ""},
		{"words injected before the handshake", []string{offers + "220 go|250 injected\nend"}, policy.Relay{TLS: "verify", CAFile: ca}, "nobody may believe"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHop(t, config, test.scripts...)
			relay := test.relay
			relay.Name, relay.Hosts = "mailstore", []string{h.address()}
			o, _, err := newDelivery(t).relay(context.Background(), &relay, "gw.example.org", simpleMail())
			switch {
			case test.want == "" && (err != nil || !o.final.Accepted()):
				t.Errorf("%+v, %v", o, err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("%+v, %v; want %q", o, err, test.want)
			}
		})
	}
}
