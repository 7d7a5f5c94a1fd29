package policy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hashicorp/hcl/v2"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/policy"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// small is a policy to which tests add.
const small = `
gateway {
  hostname         = "mx1.example.org"
  internal_domains = ["example.org", "*.example.org"]
}
plugin "atse" { command = "atse" }
plugin "filetype" { command = "filetype" }
plugin "filename" { command = "filename" }
plugin "actions" { command = "actions" }
`

// rule is a rule that no other shadows, because its scan has its own name.
func rule(name, more string) string {
	return fmt.Sprintf("rule %q {\n%s\nscan \"filename\" { names = [%q] }\naction \"quarantine\" {}\n}\n", name, more, name)
}

func TestWholePolicy(t *testing.T) {
	text, err := os.ReadFile("testdata/whole.good.hcl")
	if err != nil {
		t.Fatal(err)
	}
	p := mustLoad(t, string(text))
	var table bytes.Buffer
	if err := policy.WriteRules(&table, p, true); err != nil {
		t.Fatal(err)
	}
	expect(t, "testdata/whole.rules", table.String())

	noRanges := cmpopts.IgnoreTypes(hcl.Range{})
	for _, c := range []struct {
		name      string
		want, got any
	}{
		{"relay", policy.Relay{
			Name: "mailstore", Domains: []policy.DomainPattern{"example.org", "*.example.org"}, Hosts: []string{"10.0.0.5:25"},
			Retry: []time.Duration{15 * time.Minute, 30 * time.Minute, time.Hour}, GiveUp: 24 * time.Hour, TLS: "opportunistic",
		}, p.Relays[0]},
		{"host without port", []string{"smarthost.example.net:25"}, p.Relays[1].Hosts},
		{"monitor", policy.Monitor{Listen: "127.0.0.1:9152", Traces: "http://127.0.0.1:4318", Percent: 5}, p.Monitor},
		{"retention", policy.Retention{
			Quarantine: 30 * 24 * time.Hour, Archive: 90 * 24 * time.Hour, Events: 90 * 24 * time.Hour, Tracking: 30 * 24 * time.Hour,
			Undeliverable: 30 * 24 * time.Hour, HeldBytes: 50 << 30,
		}, p.Retention},
		{"analyzer", &policy.VirtualAnalyzer{
			Analyzer: "ddan", Submit: true, SecurityLevel: policy.SecurityLow, MaxWait: 30 * time.Minute, QueryDelay: time.Minute,
			MaxRetries: 20, CacheResetAt: "23:00", CacheExpiry: 24 * time.Hour, MaxSubmissions: 100,
		}, p.VirtualAnalyzer},
		{"objects", &policy.SuspiciousObjects{
			Source: "ctd", Files: true, URLs: true, SyncEvery: 5 * time.Minute, LearnFor: 7 * 24 * time.Hour, LearnAction: "quarantine",
		}, p.Objects},
		{"unsupported", []message.Action{{
			Name: "pass", Plugin: "actions", Effect: message.EffectPass, Label: "Passed", Config: []byte("{}"),
		}}, p.Exceptions[message.ExceptionVirtualAnalyzer].Unsupported},
		{"one query for equal scans", []policy.Query{
			{Number: 1, Config: []byte(`{"types":["executable"]}`)}, {Number: 2, Config: []byte(`{"types":["compressed"]}`)},
		}, plugin(t, p, "filetype").Queries},
		{"no query of a disabled rule", []policy.Query(nil), plugin(t, p, "snap").Queries},
		{"plugin config", `{"server":[` +
			`{"api_key":"c4nary-s3cret-DDAN_KEY_1","enabled":true,"host":"192.168.0.155","port":443,"preference":10,"timeout":20},` +
			`{"api_key":"c4nary-s3cret-DDAN_KEY_2","enabled":false,"host":"192.168.0.151","port":443,"preference":20,"timeout":60}]}`,
			string(plugin(t, p, "ddan").Config)},
		{"atse limits", []any{[]string{"read /etc/clamav", "write /var/cache/atse", "connect proxy.example.org:3128"}, []string{"files", "processes"},
			int64(1 << 30), 2, 20 * time.Second},
			[]any{plugin(t, p, "atse").Grants, plugin(t, p, "atse").Require, plugin(t, p, "atse").Memory, plugin(t, p, "atse").Instances, plugin(t, p, "atse").Timeout}},
		{"notification by default to the administrator", []string{"postmaster@example.org"}, p.Notifications["Exception"].To},
		{"file", "Sender: %SENDER%\n", p.Notifications["VA Risk Mail Notification"].Body},
		{"low and high at once", []policy.SecurityLevel{"low", "high"},
			[]policy.SecurityLevel{ruleOf(t, p, "Executables to the analyzer").SecurityLevel, ruleOf(t, p, "Scripts to the analyzer").SecurityLevel}},
		{"pairs", []policy.Pair{{From: "orders@partner.example", To: "*"}}, ruleOf(t, p, "Archives from outside to sales").Except},
		{"networks", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.7/32")}, p.Listeners[0].RelayNetworks},
	} {
		if diff := cmp.Diff(c.want, c.got, noRanges, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	scan := ruleOf(t, p, "Everything else there is").Scans[1]
	if scan.Plugin != "ctd" || scan.Query != 0 || !cmp.Equal(scan.Objects, []string{"file"}) {
		t.Errorf("scan for objects: %+v", scan)
	}
}

func plugin(t *testing.T, p *policy.Policy, name string) *policy.Plugin {
	t.Helper()
	for i := range p.Plugins {
		if p.Plugins[i].Name == name {
			return &p.Plugins[i]
		}
	}
	t.Fatalf("no plugin %q", name)
	return nil
}

func ruleOf(t *testing.T, p *policy.Policy, name string) *policy.Rule {
	t.Helper()
	for i := range p.Rules {
		if p.Rules[i].Name == name {
			return &p.Rules[i]
		}
	}
	t.Fatalf("no rule %q", name)
	return nil
}

func TestDefaults(t *testing.T) {
	p := mustLoad(t, `
		gateway {
		  hostname         = "mx1.example.org"
		  internal_domains = ["example.org"]
		}
		listener "smtp" "in" { address = ":25" }
		relay "all" {
		  domains = ["*"]
		  hosts   = ["next.example.org"]
		}
		plugin "atse" { command = "atse" }
		virtual_analyzer {}
	`)
	quarantine := message.Action{Name: "quarantine", Effect: message.EffectQuarantine, Label: "Quarantined", Area: "default"}
	notify := message.Action{Name: "notify", Effect: message.EffectNotify, Label: "Notification sent", Notification: "Exception"}
	both := []message.Action{quarantine, notify}
	want := &policy.Policy{
		Gateway: policy.Gateway{
			Hostname: "mx1.example.org", InternalDomains: []policy.DomainPattern{"example.org"}, AdminAddress: "postmaster@mx1.example.org",
			DecideWithin: 30 * time.Second, LateReject: quarantine, NotificationsPerMinute: 10,
		},
		Listeners: []policy.Listener{{
			Name: "in", Address: ":25", MaxMessageSize: 30 << 20, MaxRecipients: 1000, BareNewlines: "reject", MaxConnections: 1000,
			MaxConnectionsPerClient: 50, MaxBadCommands: 20, MaxRefusedRecipients: 100, CommandTimeout: 5 * time.Minute,
			DataTimeout: 10 * time.Minute, IdleTimeout: 3 * time.Minute, AuthChecks: true,
		}},
		Relays: []policy.Relay{{
			Name: "all", Domains: []policy.DomainPattern{"*"}, Hosts: []string{"next.example.org:25"},
			Retry: []time.Duration{15 * time.Minute, 30 * time.Minute, time.Hour}, GiveUp: 24 * time.Hour, TLS: "opportunistic",
		}},
		Store: policy.Store{Path: "/var/lib/postern"},
		Retention: policy.Retention{
			Quarantine: 720 * time.Hour, Archive: 2160 * time.Hour, Events: 2160 * time.Hour, Tracking: 720 * time.Hour,
			Undeliverable: 720 * time.Hour, HeldBytes: 50 << 30,
		},
		Plugins: []policy.Plugin{{
			Name: "atse", Command: "atse", Instances: 1, Config: json.RawMessage(`{"heuristics":true}`), Timeout: 20 * time.Second, Memory: 2 << 30,
			Concurrency: 64, StartTimeout: 10 * time.Second,
		}},
		VirtualAnalyzer: &policy.VirtualAnalyzer{
			Submit: true, SecurityLevel: policy.SecurityLow, MaxWait: 1800 * time.Second, QueryDelay: time.Minute, MaxRetries: 20,
			CacheResetAt: "23:00", CacheExpiry: 24 * time.Hour, MaxSubmissions: 100,
		},
		Exceptions: map[message.Exception]policy.ExceptionPolicy{
			message.ExceptionMalformed: {Exception: message.ExceptionMalformed, Actions: both, Default: true},
			message.ExceptionSecuritySettings: {
				Exception: message.ExceptionSecuritySettings, Actions: both, Default: true,
				MaxLayers: 20, MaxDecompressedSize: 60 << 20, MaxFiles: 353, MaxRatio: 100,
			},
			message.ExceptionEncryption:      {Exception: message.ExceptionEncryption, Actions: both, Default: true},
			message.ExceptionVirtualAnalyzer: {Exception: message.ExceptionVirtualAnalyzer, Actions: both, Default: true},
			message.ExceptionPluginUnavailable: {
				Exception: message.ExceptionPluginUnavailable, Default: true,
				Actions: []message.Action{{Name: "defer", Effect: message.EffectDefer, Label: "Deferred"}},
			},
		},
		Notifications: map[string]policy.Notification{"Exception": {
			Name: "Exception", To: []string{"postmaster@mx1.example.org"}, Subject: "Scanning exception: %DETECTED%",
			Body: "From %SENDER% to %RCPTS%, subject %SUBJECT%, %RULENAME%, action %TACTION%.\n",
		}},
	}
	if diff := cmp.Diff(want, p, cmpopts.IgnoreTypes(hcl.Range{}), cmpopts.EquateEmpty(), cmpopts.IgnoreFields(policy.Policy{}, "Revision")); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
	if got := p.VirtualAnalyzer.Deadline(); got != 1260*time.Second {
		t.Errorf("deadline = %s", got)
	}
}

func TestActionParameters(t *testing.T) {
	for block, want := range map[string]message.Action{
		`action "delete_message" {}`:                           {Effect: message.EffectDelete, Label: "Message deleted"},
		`action "quarantine" {}`:                               {Effect: message.EffectQuarantine, Label: "Quarantined", Area: "default"},
		`action "quarantine" { area = "spam" }`:                {Effect: message.EffectQuarantine, Label: "Quarantined", Area: "spam"},
		`action "archive" { area = "legal" }`:                  {Effect: message.EffectArchive, Label: "Archived", Area: "legal"},
		`action "reject" { text = "No" }`:                      {Effect: message.EffectReject, Label: "Rejected", Text: "No"},
		`action "bcc" { to = ["a@example.org"] }`:              {Effect: message.EffectBCC, Label: "BCC sent", To: []string{"a@example.org"}},
		`action "change_recipient" { to = ["a@example.org"] }`: {Effect: message.EffectChangeRecipient, Label: "Recipient changed", To: []string{"a@example.org"}},
		`action "hand_off" { host = "2001:db8::1" }`:           {Effect: message.EffectHandOff, Label: "Handed off", Host: "[2001:db8::1]:25"},
		`action "postpone" { at = "06:00" }`:                   {Effect: message.EffectPostpone, Label: "Postponed", At: "06:00"},
		`action "tag_subject" { text = "[x]" }`:                {Effect: message.EffectEdit, Label: "Subject tagged"},
		`action "notify" { notification = "n" }`:               {Effect: message.EffectNotify, Label: "Notification sent", Notification: "n"},
		`action "delete_attachments" {}`:                       {Effect: message.EffectEdit, Label: "Attachment deleted"},
		`action "deliver_now" {}`:                              {Effect: message.EffectDeliverNow, Label: "Delivered"},
	} {
		p := mustLoad(t, small+"notification \"n\" {\n subject = \"s\"\n body = \"b\"\n}\nrule \"r\" {\n scan \"atse\" {}\n "+block+"\n}\n")
		got := p.Rules[0].Actions[0]
		if got.Plugin != "actions" || !json.Valid(got.Config) {
			t.Errorf("%s: plugin %q, config %q", block, got.Plugin, got.Config)
		}
		want.Plugin, want.Name, want.Config = got.Plugin, got.Name, got.Config
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", block, diff)
		}
	}
}

func TestFinal(t *testing.T) {
	var actions []message.Action
	for _, effect := range []message.Effect{
		message.EffectNotify, message.EffectDefer, message.EffectPostpone, message.EffectHandOff, message.EffectReject,
		message.EffectChangeRecipient, message.EffectQuarantine, message.EffectDeliverNow, message.EffectDelete,
	} {
		actions = append(actions, message.Action{Effect: effect})
		got := policy.Final(actions)
		if !effect.Final() {
			if got != nil {
				t.Errorf("%s is final", got.Effect)
			}
			continue
		}
		if got == nil || got.Effect != effect {
			t.Errorf("final action of %v is %v", actions, got)
		}
	}
}

func TestHiddenRules(t *testing.T) {
	const file, url = "TMCM_M_Suspicious file detection", "TMCM_M_Suspicious URL detection"
	ctd := "plugin \"ctd\" { command = \"ctd\" }\n"
	rules := rule("mine", "") + rule("virus", `kind = "virus"`)
	for _, c := range []struct {
		objects string
		want    []string
	}{
		{"", []string{"virus", "mine"}},
		{`suspicious_objects { source = "ctd" }`, []string{"virus", file, url, "mine"}},
		{"suspicious_objects {\n source = \"ctd\"\n files = false\n}", []string{"virus", url, "mine"}},
		{"suspicious_objects {\n source = \"ctd\"\n urls = false\n}", []string{"virus", file, "mine"}},
	} {
		p := mustLoad(t, rules+small+ctd+c.objects)
		var got []string
		for _, r := range p.Rules {
			got = append(got, r.Name)
			if hidden := r.Name == file || r.Name == url; r.Hidden != hidden {
				t.Errorf("rule %q is hidden: %v", r.Name, r.Hidden)
			}
			if r.Hidden && (len(r.When) != 2 || r.Scans[0].Plugin != "ctd" || r.When[1].Actions[0].Effect != message.EffectQuarantine) {
				t.Errorf("rule %q: %+v", r.Name, r)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.objects, diff)
		}
		var shown bytes.Buffer
		if err := policy.WriteRules(&shown, p, false); err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(shown.Bytes(), []byte("TMCM_M")) || !bytes.Contains(shown.Bytes(), []byte("mine")) {
			t.Errorf("shown without being asked:\n%s", &shown)
		}
	}
}

// A plugin's own diagnostics are shown at the source line they are about.
func TestPluginDiagnostics(t *testing.T) {
	p := mustLoad(t, small+`plugin "ddan" {
  command = "ddan"
  config {
    server "192.0.2.1" {
      api_key = "k"
      port    = 444
    }
  }
}
rule "r" {
  scan "filename" { names = ["["] }
  action "pass" {}
}`)
	line := func(name string, path ...string) int {
		diags := plugin(t, p, name).Diagnostics([]*pluginv1.Diagnostic{{Path: path, Summary: "s", Detail: "a\x1bb"}})
		if len(diags) != 1 || diags[0].Severity != hcl.DiagError || diags[0].Detail != "a?b" {
			t.Fatalf("diagnostics: %v", diags)
		}
		return diags[0].Subject.Start.Line
	}
	start := plugin(t, p, "ddan").Range.Start.Line
	for _, c := range []struct{ want, got int }{
		{start + 5, line("ddan", "config", "server", "192.0.2.1", "port")},
		{start + 5, line("ddan", "config", "server", "0", "port")},
		{start + 3, line("ddan", "config", "server", "192.0.2.1", "unknown")},
		{start + 2, line("ddan", "config")},
		{start, line("ddan")},
		{start + 10, line("filename", "scan", "1", "names")},
	} {
		if c.want != c.got {
			t.Errorf("line %d, want %d", c.got, c.want)
		}
	}
}
