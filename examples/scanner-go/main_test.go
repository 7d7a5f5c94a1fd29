package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/postern-mail/postern/sdk/plugintest"
	"github.com/postern-mail/postern/sdk/scanner"
)

func TestScan(t *testing.T) {
	list := filepath.Join(t.TempDir(), "senders")
	if err := os.WriteFile(list, []byte("# friends\nfriend@elsewhere.example # Carol\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := plugintest.Start(t, plugin(), plugintest.Setup{
		Config: map[string]any{"file": list},
		Queries: []map[string]any{
			{"senders": []string{"*.partner.example"}},
			{"senders": []string{"orders@shop.example"}, "authenticated": false},
		},
	})
	tests := map[string]struct {
		envelope string
		auth     scanner.Auth
	}{
		"spf":      {"bounce@mail.partner.example", scanner.Auth{SPF: "pass", DMARC: "none"}},
		"dmarc":    {"bounce@provider.example", scanner.Auth{SPF: "pass", DMARC: "pass"}},
		"forged":   {"boss@partner.example", scanner.Auth{SPF: "fail", DMARC: "fail"}},
		"unproved": {"orders@shop.example", scanner.Auth{SPF: "none", DMARC: "none"}},
		"file":     {"friend@elsewhere.example", scanner.Auth{SPF: "pass", DMARC: "none"}},
		"stranger": {"somebody@nowhere.example", scanner.Auth{SPF: "pass", DMARC: "none"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := plugintest.Mail(t, "testdata/order.eml")
			m.Envelope.From, m.Auth = test.envelope, test.auth
			plugintest.Golden(t, "testdata/"+name+".golden.json", r.Scan(m))
		})
	}
}

func TestProblems(t *testing.T) {
	problems := plugintest.Problems(t, plugin(), plugintest.Setup{Config: map[string]any{"file": "/nonexistent/senders"}})
	if len(problems) != 2 || problems[0].Path[1] != "file" || problems[1].Path[2] != "senders" {
		t.Errorf("%+v", problems)
	}
}
