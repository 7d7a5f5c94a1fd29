package policy

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/plugincatalog"
)

const (
	day = 24 * time.Hour
	mib = 1 << 20
	gib = 1 << 30
)

func (l *loader) gateway() {
	block := l.only("gateway")
	if block == nil {
		l.diags = l.diags.Append(&hcl.Diagnostic{
			Severity: hcl.DiagError, Summary: "Missing gateway block",
			Detail: "The policy needs a block `gateway` with the gateway's hostname and internal_domains.",
		})
		return
	}
	r := l.read(block, shape{
		required: []string{"hostname", "internal_domains"},
		optional: []string{"admin_address", "decide_within", "late_reject", "forged_headers", "notifications_per_minute"},
	})
	g := Gateway{
		Hostname:               r.text("hostname", ""),
		InternalDomains:        some(r, "internal_domains", ParseDomainPattern),
		DecideWithin:           r.duration("decide_within", 30*time.Second, time.Second, 10*time.Minute),
		ForgedHeaders:          list(r, "forged_headers", parseHeaderName),
		NotificationsPerMinute: r.number("notifications_per_minute", 10, 1, 1000),
	}
	if r.has("hostname") && !validDomain(asciiDomain(g.Hostname)) {
		r.fail(r.place("hostname"), "hostname", `it must be a host name such as "mx1.example.org"`)
	}
	for _, pattern := range g.InternalDomains {
		if pattern == "*" {
			r.fail(r.place("internal_domains"), "internal_domains",
				`"*" would make every domain internal and the gateway an open relay`)
		}
	}
	g.AdminAddress = r.text("admin_address", "postmaster@"+g.Hostname)
	if r.has("admin_address") && !validAddress(g.AdminAddress) {
		r.fail(r.place("admin_address"), "admin_address", "it must be a mail address")
	}
	g.LateReject = quarantineAction()
	if r.choice("late_reject", "quarantine", "quarantine", "delete_message") == "delete_message" {
		g.LateReject = message.Action{Name: "delete_message", Effect: message.EffectDelete, Label: "Message deleted"}
	}
	l.policy.Gateway = g
}

func parseHeaderName(name string) (string, error) {
	// RFC 5322 section 3.6.8: printable ASCII but for the colon.
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == ':' }) {
		return "", errors.New("it must be the name of a header field")
	}
	return name, nil
}

func (l *loader) listeners() {
	taken := map[string]string{}
	for _, b := range l.named("listener", "listeners") {
		if b.Labels[0] != "smtp" {
			l.fail(b.LabelRanges[0], "Unknown kind of listener", `The only kind of listener is "smtp".`)
			continue
		}
		listener := l.listener(b.Block)
		if other, twice := taken[listener.Address]; twice && !strings.HasSuffix(listener.Address, ":0") {
			l.fail(b.DefRange, "Address in use", fmt.Sprintf("Listener %q has the same address.", other))
		}
		taken[listener.Address] = listener.Name
		l.policy.Listeners = append(l.policy.Listeners, listener)
	}
}

func (l *loader) listener(block *hcl.Block) Listener {
	r := l.read(block, shape{
		required: []string{"address"},
		optional: []string{
			"max_message_size", "max_recipients", "relay_networks", "bare_newlines", "proxy_networks", "max_connections",
			"max_connections_per_client", "max_bad_commands", "max_refused_recipients", "command_timeout", "data_timeout",
			"idle_timeout", "auth_checks",
		},
		blocks: []hcl.BlockHeaderSchema{{Type: "tls"}, {Type: "upstream"}},
	})
	out := Listener{
		Name:                    block.Labels[1],
		Address:                 r.text("address", ""),
		MaxMessageSize:          r.size("max_message_size", 30*mib, 1024),
		MaxRecipients:           r.number("max_recipients", 1000, 1, 99999),
		RelayNetworks:           list(r, "relay_networks", parseNetwork),
		BareNewlines:            r.choice("bare_newlines", "reject", "reject", "normalize"),
		Proxy:                   list(r, "proxy_networks", parseNetwork),
		MaxConnections:          r.number("max_connections", 1000, 1, 100000),
		MaxConnectionsPerClient: r.number("max_connections_per_client", 50, 1, 100000),
		MaxBadCommands:          r.number("max_bad_commands", 20, 1, 10000),
		MaxRefusedRecipients:    r.number("max_refused_recipients", 100, 1, 100000),
		CommandTimeout:          r.duration("command_timeout", 5*time.Minute, time.Second, time.Hour),
		DataTimeout:             r.duration("data_timeout", 10*time.Minute, time.Second, day),
		IdleTimeout:             r.duration("idle_timeout", 3*time.Minute, time.Second, time.Hour),
		AuthChecks:              r.flag("auth_checks", true),
	}
	if _, port, err := net.SplitHostPort(out.Address); r.has("address") && (err != nil || !validPort(port, 0)) {
		r.fail(r.place("address"), "address", `it must be an address to listen at, such as "0.0.0.0:25"`)
	}
	for _, network := range out.RelayNetworks {
		if network.Bits() == 0 {
			l.warn(r.place("relay_networks"), "Open relay", "Everyone may send to anywhere through this listener.")
		}
	}
	if tls := r.single("tls"); tls != nil {
		t := l.read(tls, shape{required: []string{"cert_file", "key_file"}})
		out.TLS = &TLSFiles{CertFile: t.filled("cert_file", ""), KeyFile: t.filled("key_file", "")}
	}
	if upstream := r.single("upstream"); upstream != nil {
		u := l.read(upstream, shape{required: []string{"networks", "authserv_id"}})
		out.Upstream = &Upstream{Networks: some(u, "networks", parseNetwork), AuthservID: u.filled("authserv_id", "")}
		if !out.AuthChecks {
			l.warn(upstream.DefRange, "Results are not taken over", "auth_checks = false leaves the upstream's results unread too.")
		}
		if overlap(out.Upstream.Networks, out.RelayNetworks) {
			l.warn(u.place("networks"), "Results are not taken over",
				"Mail from relay_networks is not checked: the upstream's results are left unread where both overlap.")
		}
	}
	return out
}

// overlap reports whether any network of one list shares an address with one of the other.
func overlap(a, b []netip.Prefix) bool {
	return slices.ContainsFunc(a, func(one netip.Prefix) bool { return slices.ContainsFunc(b, one.Overlaps) })
}

func (l *loader) relays() {
	for _, b := range l.named("relay", "relays") {
		r := l.read(b.Block, shape{
			required: []string{"domains", "hosts"}, optional: []string{"retry", "give_up", "tls", "ca_file", "server_name"},
		})
		relay := Relay{
			Name:       b.Labels[0],
			Domains:    some(r, "domains", ParseDomainPattern),
			Hosts:      some(r, "hosts", parseHost),
			Retry:      some(r, "retry", parseRetry),
			GiveUp:     r.duration("give_up", day, time.Second, 30*day),
			TLS:        r.choice("tls", "opportunistic", "opportunistic", "verify", "none"),
			CAFile:     r.filled("ca_file", ""),
			ServerName: r.filled("server_name", ""),
		}
		if len(relay.Retry) == 0 {
			relay.Retry = []time.Duration{15 * time.Minute, 30 * time.Minute, time.Hour}
		}
		if relay.TLS != "verify" && (r.has("ca_file") || r.has("server_name")) {
			l.warn(b.DefRange, "Certificate is not checked", "ca_file and server_name count only with tls = \"verify\".")
		}
		for _, earlier := range l.policy.Relays {
			if allCovered(relay.Domains, earlier.Domains) {
				l.warn(b.DefRange, "Unreachable relay", fmt.Sprintf("The earlier relay %q takes the mail for all its domains.", earlier.Name))
				break
			}
		}
		l.policy.Relays = append(l.policy.Relays, relay)
	}
}

func parseRetry(text string) (time.Duration, error) {
	d, err := plugincatalog.ParseDuration(text)
	if err == nil && d < time.Second {
		err = errors.New("it must be at least 1s")
	}
	return d, err
}

func allCovered(patterns, by []DomainPattern) bool {
	for _, pattern := range patterns {
		found := false
		for _, p := range by {
			found = found || p.covers(pattern)
		}
		if !found {
			return false
		}
	}
	return len(patterns) > 0
}

func (l *loader) store() {
	l.policy.Store = Store{Path: "/var/lib/postern"}
	block := l.only("store")
	if block == nil {
		return
	}
	switch block.Labels[0] {
	case "sqlite":
		r := l.read(block, shape{required: []string{"path"}})
		l.policy.Store = Store{Path: r.filled("path", "")}
	case "postgres":
		r := l.read(block, shape{required: []string{"url"}})
		l.policy.Store = Store{URL: r.filled("url", "")}
	default:
		l.fail(block.LabelRanges[0], "Unknown kind of store",
			`A store is "sqlite" or "postgres".`+suggest(block.Labels[0], []string{"sqlite", "postgres"}))
	}
}

func (l *loader) retention() {
	l.policy.Retention = Retention{
		Quarantine: 30 * day, Archive: 90 * day, Events: 90 * day, Tracking: 30 * day, Undeliverable: 30 * day, HeldBytes: 50 * gib,
	}
	block := l.only("retention")
	if block == nil {
		return
	}
	out := &l.policy.Retention
	r := l.read(block, shape{optional: []string{"quarantine", "archive", "events", "tracking", "undeliverable", "held_bytes"}})
	for name, d := range map[string]*time.Duration{
		"quarantine": &out.Quarantine, "archive": &out.Archive, "events": &out.Events, "tracking": &out.Tracking,
		"undeliverable": &out.Undeliverable,
	} {
		*d = r.duration(name, *d, time.Hour, 36500*day)
	}
	out.HeldBytes = r.size("held_bytes", out.HeldBytes, mib)
}

func (l *loader) monitor() {
	block := l.only("monitor")
	if block == nil {
		return
	}
	r := l.read(block, shape{optional: []string{"listen", "traces", "traced_percent"}})
	m := Monitor{Listen: r.text("listen", ""), Traces: r.text("traces", ""), Percent: r.number("traced_percent", 100, 1, 100)}
	if _, port, err := net.SplitHostPort(m.Listen); r.has("listen") && (err != nil || port == "") {
		r.fail(r.place("listen"), "listen", `it must be host:port, such as "127.0.0.1:9152"`)
	}
	if u, err := url.Parse(m.Traces); r.has("traces") && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		r.fail(r.place("traces"), "traces", `it must be the URL of an OTLP receiver over HTTP, such as "http://127.0.0.1:4318"`)
	}
	if r.has("traced_percent") && !r.has("traces") {
		r.fail(r.place("traced_percent"), "traced_percent", "it needs `traces`")
	}
	l.policy.Monitor = m
}

func (l *loader) notification(b topBlock) {
	r := l.read(b.Block, shape{required: []string{"subject", "body"}, optional: []string{"to"}})
	n := Notification{
		Name: b.Labels[0], To: some(r, "to", parseAddress), Subject: r.filled("subject", ""), Body: r.text("body", ""),
	}
	if !r.has("to") {
		n.To = []string{l.policy.Gateway.AdminAddress}
	}
	if strings.ContainsAny(n.Subject, "\r\n") {
		r.fail(r.place("subject"), "subject", "it must be one line")
	}
	l.policy.Notifications[n.Name] = n
}
