// Package policy turns HCL files into one checked, immutable Policy. What goes in is the files' bytes and the catalog of plugin
// descriptions; what comes out is a Policy, or diagnostics that name file, line and what to do, and then no Policy at all.
package policy

import (
	"encoding/json"
	"net/netip"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/postern-mail/postern/core/message"
)

// Policy is everything an operator wrote, checked. It is never changed after Load.
type Policy struct {
	// Revision is a digest of the sources and of the descriptions it was checked against: the same input gives the same revision.
	Revision string
	Gateway  Gateway
	// Listeners are in the order written.
	Listeners []Listener
	Relays    []Relay
	Store     Store
	Retention Retention
	Monitor   Monitor
	// Plugins are in the order written.
	Plugins         []Plugin
	VirtualAnalyzer *VirtualAnalyzer // nil where there is none
	Objects         *SuspiciousObjects
	// Exceptions has an entry for every message.Exception: what the policy says, or the default.
	Exceptions    map[message.Exception]ExceptionPolicy
	Notifications map[string]Notification
	// Rules are in the order of judgement: virus rules, hidden rules, the others. Disabled ones are kept, for the trace.
	Rules []Rule
}

// Gateway is the block `gateway`.
type Gateway struct {
	Hostname        string
	InternalDomains []DomainPattern
	AdminAddress    string
	DecideWithin    time.Duration
	// LateReject is what reject becomes when it is too late for a 5xx: quarantine or delete_message.
	LateReject message.Action
	// ForgedHeaders are the names of header fields removed from arriving mail because only Postern may write them.
	ForgedHeaders []string
	// NotificationsPerMinute caps the notifications of one kind; the rest are summed up in one.
	NotificationsPerMinute int
}

// Listener is a block `listener "smtp" NAME`.
type Listener struct {
	Name           string
	Address        string
	MaxMessageSize int64
	MaxRecipients  int
	RelayNetworks  []netip.Prefix
	TLS            *TLSFiles // nil: STARTTLS is not offered
	// BareNewlines says what is done with a bare CR or LF in mail: reject or normalize. NUL is always refused.
	BareNewlines string
	// Proxy lists the networks whose connections begin with a PROXY protocol header. Empty: none is expected.
	Proxy                   []netip.Prefix
	MaxConnections          int
	MaxConnectionsPerClient int
	MaxBadCommands          int
	MaxRefusedRecipients    int
	CommandTimeout          time.Duration
	DataTimeout             time.Duration // for the whole of one message's data
	IdleTimeout             time.Duration // between two pieces of data
	AuthChecks              bool          // SPF, DKIM and DMARC are checked at receipt
	Upstream                *Upstream     // nil: mail comes from its senders
}

// Upstream is a filter in front, whose Authentication-Results are taken over.
type Upstream struct {
	Networks   []netip.Prefix // it connects from there
	AuthservID string         // and signs its results with this name
}

// TLSFiles names a certificate chain and its key, both PEM.
type TLSFiles struct{ CertFile, KeyFile string }

// Relay is a block `relay NAME`: where mail for some domains goes.
type Relay struct {
	Name    string
	Domains []DomainPattern
	Hosts   []string // host:port, tried in order
	Retry   []time.Duration
	GiveUp  time.Duration
	// TLS is opportunistic (default), verify, or none.
	TLS    string
	CAFile string
	// ServerName overrides the name that the certificate must have.
	ServerName string
}

// Store says where state is kept. Exactly one of Path and URL is set.
type Store struct {
	Path string // folder of the SQLite store
	URL  string // PostgreSQL
}

// Retention is the block `retention`.
type Retention struct {
	Quarantine, Archive, Events, Tracking, Undeliverable time.Duration
	HeldBytes                                            int64
}

// Monitor is the block `monitor`: where figures and health are served, and where spans are sent. The zero Monitor is none of it.
type Monitor struct {
	Listen  string // host:port
	Traces  string // URL of an OTLP receiver over HTTP
	Percent int    // of the messages whose spans are sent
}

// Plugin is a block `plugin NAME`.
type Plugin struct {
	Name      string
	Command   string
	Args      []string
	Env       map[string]string
	Instances int
	Config    json.RawMessage
	Timeout   time.Duration // of one call
	Memory    int64         // bytes
	// Grants are what `limits` adds to the endpoints and paths of the configuration: "read PATH", "write PATH", "connect ENDPOINT".
	Grants []string
	// Require are the guards of the sandbox without which the plugin is not started.
	Require []string
	// Concurrency is how many calls one instance gets at once.
	Concurrency  int
	StartTimeout time.Duration
	// Queries are the distinct scan configurations of all enabled rules, numbered from 1.
	Queries []Query
	Range   hcl.Range
	// Ranges are the places in the sources of what Configure may name in a diagnostic: the path joined with "/", such as
	// "config/server/192.0.2.1/port" or "scan/3/names". RangeOf looks them up.
	Ranges map[string]hcl.Range
}

// Query is one distinct configuration of `scan NAME`.
type Query struct {
	Number int
	Config json.RawMessage
}

// SecurityLevel is how sure the sandbox has to be before a rule acts.
type SecurityLevel string

// The security levels (guide page 4).
const (
	SecurityHigh   SecurityLevel = "high"   // any risk
	SecurityMedium SecurityLevel = "medium" // medium and high
	SecurityLow    SecurityLevel = "low"    // high only
)

// Reached reports whether a verdict of that risk makes a rule of this security level match.
func (l SecurityLevel) Reached(risk message.RiskLevel) bool {
	switch l {
	case SecurityHigh:
		return risk >= message.RiskLow
	case SecurityMedium:
		return risk >= message.RiskMedium
	default:
		return risk >= message.RiskHigh
	}
}

// VirtualAnalyzer is the block `virtual_analyzer`.
type VirtualAnalyzer struct {
	Analyzer      string // plugin name; "" where none is named
	Submit        bool
	SecurityLevel SecurityLevel
	MaxWait       time.Duration
	QueryDelay    time.Duration
	MaxRetries    int
	Async         bool
	CacheResetAt  string // HH:MM, or "never"
	CacheExpiry   time.Duration
	// MaxSubmissions bounds the samples that are at the sandbox together; the others wait their turn, the oldest first.
	MaxSubmissions int
	// Notice names the notification that tells the recipients of a message that it is held, after NoticeAfter; 0: nobody is told.
	Notice      string
	NoticeAfter time.Duration
}

// Deadline is how long a message waits at most: the earlier of MaxWait and the last query.
func (v *VirtualAnalyzer) Deadline() time.Duration {
	return min(v.MaxWait, v.QueryDelay+time.Duration(v.MaxRetries)*time.Minute)
}

// SuspiciousObjects is the block `suspicious_objects`.
type SuspiciousObjects struct {
	Source    string
	Files     bool
	URLs      bool
	SyncEvery time.Duration
	// LearnFor is how long the digest of a file that the sandbox found to be of high risk is listed; 0: never. LearnAction is its scan
	// action.
	LearnFor    time.Duration
	LearnAction string
}

// ExceptionPolicy is a block `exception NAME`, or its default (guide page 10: quarantine and notify).
type ExceptionPolicy struct {
	Exception message.Exception
	Actions   []message.Action
	// Unsupported are the actions for samples that the sandbox does not take; nil: Actions.
	Unsupported []message.Action
	// The limits of security_settings; zero elsewhere.
	MaxLayers           int
	MaxDecompressedSize int64
	MaxFiles            int
	MaxRatio            int
	Default             bool // the policy has no such block
	Range               hcl.Range
}

// Notification is a block `notification NAME`. Subject and body may hold the tokens of the product (%SENDER% and so on).
type Notification struct {
	Name    string
	To      []string
	Subject string
	Body    string
}

// Route says which mail a rule is for by the direction it goes.
type Route string

// The routes (product: "Recipients and Senders").
const (
	RouteIncoming Route = "incoming" // the recipient is internal
	RouteOutgoing Route = "outgoing" // the sender is internal
	RouteBoth     Route = "both"     // either is
	RouteAll      Route = "all"
)

// Rule is a block `rule NAME`.
type Rule struct {
	Number  int // from 1, in the order of judgement
	Name    string
	Virus   bool
	Hidden  bool
	Enabled bool
	Notes   string
	Route   Route
	From    []AddressPattern // empty: anyone
	To      []AddressPattern // empty: anyone
	Except  []Pair
	// MatchAll asks that every scan matches; else any of them.
	MatchAll      bool
	SecurityLevel SecurityLevel // "": the gateway's
	Scans         []Scan
	Actions       []message.Action
	// When replaces Actions where the rule matches suspicious objects: by the object's own action.
	When  []When
	Range hcl.Range
}

// Pair is one exception of a route: mail from a matching sender to a matching recipient is not for the rule.
type Pair struct{ From, To AddressPattern }

// Scan is a block `scan PLUGIN` of a rule.
type Scan struct {
	Plugin  string
	Query   int // number among the plugin's queries; 0 for the core's own matcher of suspicious objects and in disabled rules
	Not     bool
	Analyze bool
	// Objects are the object types asked for where Plugin is the source of suspicious objects: file, url, domain, ip.
	Objects []string
	Range   hcl.Range
}

// When is a block `when` of a rule about suspicious objects.
type When struct {
	ObjectAction []string
	Actions      []message.Action
}
