// Package store says what Postern keeps and how it is asked for: messages with their facts and decisions, the copies they were
// split into, obligations (the outbox), policy events, tracking, samples and verdicts. The implementations are sqlite and postgres
// below this package; one suite (storetest) holds both to this contract.
//
// A Commit is durable when it returns: fsynced, bodies included. Rows are the truth and jobs are hints: a lost or doubled job does
// no harm because every transition checks the row's version.
package store

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/postern-mail/postern/core/message"
)

var (
	// ErrNotFound says that there is no such row.
	ErrNotFound = errors.New("not found")
	// ErrConflict says that a row's version was not the expected one: somebody else was faster. Nothing was changed.
	ErrConflict = errors.New("changed meanwhile")
	// ErrFull says that a quota (held_bytes) is used up.
	ErrFull = errors.New("quota used up")
	// ErrCursor: Page.After is not what a page before ended with.
	ErrCursor = errors.New("not one of a page before")
)

// Options are what every store needs besides its place.
type Options struct {
	// Clock is the system's.
	Clock func() time.Time
	// Reference is the clock that steady time is held to; nil: the database server's where there is one, else Clock.
	Reference func(ctx context.Context) (time.Time, error)
	// Log takes the job engine's words too.
	Log *slog.Logger
	// Node names the gateway among those that share the store, the same after a restart. It is needed where Start is called.
	Node string
}

// CopyState says where a copy stands.
type CopyState string

// The states of a copy. The areas an operator lists are views of them.
const (
	CopyUndecided     CopyState = "undecided"     // committed before it was judged; due at once
	CopyHeld          CopyState = "held"          // waits for the sandbox until DueAt
	CopyWatched       CopyState = "watched"       // asynchronous mode: on its way already, kept for the sandbox until DueAt
	CopyRetry         CopyState = "retry"         // an exception deferred it: judged again at DueAt
	CopyPostponed     CopyState = "postponed"     // delivered at DueAt
	CopyDelivering    CopyState = "delivering"    // its obligations are in the outbox
	CopyQuarantined   CopyState = "quarantined"   // in Area
	CopyArchived      CopyState = "archived"      // an archived copy, in Area
	CopyUndeliverable CopyState = "undeliverable" // gave up, and no bounce could be sent
	CopyDone          CopyState = "done"          // nothing is owed any more; Result says how it ended
)

// KeptStates are those of copies that something or somebody still waits for.
func KeptStates() []CopyState {
	return []CopyState{CopyUndecided, CopyHeld, CopyWatched, CopyRetry, CopyPostponed, CopyDelivering, CopyQuarantined, CopyArchived,
		CopyUndeliverable}
}

// Copy is the message for some of its recipients: one fate. A recipient is in exactly one live copy.
type Copy struct {
	ID         string       `json:"id"`      // internal id, with "-1", "-2" where the message was split
	MessageID  string       `json:"message"` // internal id of the message
	Recipients []string     `json:"recipients"`
	State      CopyState    `json:"state"`
	Area       string       `json:"area,omitempty"`
	DueAt      time.Time    `json:"due_at,omitzero"` // zero: never by itself
	Fate       message.Fate `json:"fate"`
	Result     string       `json:"result"` // how it ended, in the words of the tracking log: Normal, Quarantine, Deleted, BouncedBack, ...
	// FirstWait and Deadline are set once, when the copy is first held; Deadline may only move earlier.
	FirstWait time.Time `json:"first_wait,omitzero"`
	Deadline  time.Time `json:"deadline,omitzero"`
	// Attempts counts the queries or retries so far.
	Attempts int `json:"attempts"`
	// Objects are the keys of files and links in the message. They are written, and not read back.
	Objects [][]byte `json:"-"`
	// BodySHA256 is the body that leaves for this copy where it differs from the message as it came (archived modified copies).
	BodySHA256 string `json:"body_sha256,omitempty"`
	// Version is checked and raised by every change of the row; 0 for a copy that is not stored yet.
	Version int64     `json:"version"`
	Changed time.Time `json:"changed,omitzero"`
}

// Record is a message as it is kept.
type Record struct {
	Message    message.Message
	BodySHA256 string
	Facts      *message.Facts // nil while undecided
	Decision   *message.Decision
	Waivers    []message.Waiver
}

// Body is content to be kept with a commit. Open may be called more than once.
type Body struct {
	SHA256 string
	Size   int64
	Open   func() (io.ReadCloser, error)
	// Path names a file with exactly this content that may be hard-linked instead of read, or is "".
	Path string
}

// ObligationKind says what is owed.
type ObligationKind string

// The kinds of obligations.
const (
	OweRelay  ObligationKind = "relay"  // hand the copy for Recipient to the next hop
	OweNotify ObligationKind = "notify" // send the mail in BodySHA256 to Recipient
	OweBounce ObligationKind = "bounce" // send the DSN in BodySHA256 to Recipient
)

// Obligation is one row of the outbox, unique by (CopyID, Kind, Rule, Action, Recipient): creating it again is no change.
type Obligation struct {
	ID        int64          `json:"id"`
	CopyID    string         `json:"copy"`
	MessageID string         `json:"message"`
	Kind      ObligationKind `json:"kind"`
	Rule      string         `json:"rule"`
	Action    string         `json:"action"`
	Recipient string         `json:"recipient"`
	// Sender is the envelope sender to use ("" for notifications and bounces).
	Sender string `json:"sender"`
	// Hop is the relay's name, or "host:port" for a hand-off. Rows of one CopyID, Kind, BodySHA256 and Hop leave in one transaction.
	Hop        string          `json:"hop"`
	BodySHA256 string          `json:"body_sha256,omitempty"` // "": the copy itself, with its edits
	State      ObligationState `json:"state"`
	Attempts   int             `json:"attempts"`
	NextAt     time.Time       `json:"next_at,omitzero"`
	GiveUpAt   time.Time       `json:"give_up_at,omitzero"`
	LastReply  string          `json:"last_reply"` // the next hop's last words, for the queue listing and the DSN
	Created    time.Time       `json:"created,omitzero"`
	Version    int64           `json:"version"`
}

// ObligationState says whether it is still owed.
type ObligationState string

// The states of an obligation.
const (
	ObligationDue    ObligationState = "due"
	ObligationDone   ObligationState = "done"
	ObligationFailed ObligationState = "failed" // refused for good or given up; a bounce or the area undeliverable follows
)

// Event is one policy event (product-behaviour sections 4.2 and 10).
type Event struct {
	ID         string    `json:"id"` // random GUID
	At         time.Time `json:"at,omitzero"`
	Subtype    string    `json:"subtype"` // virus-or-malicious-code, advanced-persistent-threat, ... ; see package gate
	Rule       string    `json:"rule"`
	Action     string    `json:"action"` // labels joined by "; "
	Name       string    `json:"name"`   // malware name or N/A
	Type       string    `json:"type"`   // kind of malware or N/A
	ThreatType string    `json:"threat_type"`
	Sender     string    `json:"sender"`
	Recipients []string  `json:"recipients"`
	Subject    string    `json:"subject"`
	HeaderID   string    `json:"header_id"` // Message-ID
	MessageID  string    `json:"message"`   // internal id
	CopyID     string    `json:"copy"`
	Size       int64     `json:"size"`
	// Attachments are the violating attachments' display paths.
	Attachments  []string `json:"attachments"`
	Reason       string   `json:"reason"` // violation reason
	TrueFileType string   `json:"true_file_type"`
	Evidence     string   `json:"evidence"`
	Scanner      string   `json:"scanner"` // hostname of the gateway
}

// Track is one row of message tracking: a copy's final or latest fate.
type Track struct {
	// ID makes storing a row twice no change. Where it is empty the store takes a digest of the row's content.
	ID         string    `json:"id"`
	At         time.Time `json:"at,omitzero"`
	MessageID  string    `json:"message"`
	CopyID     string    `json:"copy"`
	HeaderID   string    `json:"header_id"`
	Sender     string    `json:"sender"`
	Recipients []string  `json:"recipients"`
	Subject    string    `json:"subject"`
	Client     string    `json:"client,omitempty"`
	Size       int64     `json:"size"`
	Kind       string    `json:"kind"`   // Normal, Quarantine, Delete, Deferred, BouncedBack, Handoff, RcptChanged, Rejected, Split, Held, Postponed, ...
	Detail     string    `json:"detail"` // next hop and its reply, rule, or reason
	// Objects are the keys of files and links in the message. They are written, and not read back.
	Objects [][]byte `json:"objects,omitempty"`
	// Trace is the judgement of mail that is not kept otherwise, for `postern explain`; stored as JSON.
	Trace []message.TraceStep `json:"trace,omitempty"`
}

// Change is one transaction. Copies with Version 0 are inserted, others updated where their version still is the given one; one
// stale version fails the whole change with ErrConflict.
type Change struct {
	Record *Record // inserted, or its Facts, Decision and Waivers replaced
	Bodies []Body
	Copies []Copy
	// Obligations with ID 0 are inserted (or left where they exist), others updated by version.
	Obligations []Obligation
	Events      []Event
	Tracks      []Track
	// Samples are waits of copies for analyses; see Sample.
	Samples []Sample
	// DropSamples removes the waits of these copies.
	DropSamples []string
	Audit       []Audit
}

// Audit is one administrative act.
type Audit struct {
	At     time.Time
	By     string
	Act    string // release, delete, flush, ...
	Object string // copy id or other
	Detail string
}

// Sample is one copy's wait for one sample.
type Sample struct {
	CopyID    string         `json:"copy"`
	MessageID string         `json:"message"`
	Sample    message.Sample `json:"sample"`
	Since     time.Time      `json:"since,omitzero"`
	// AskedBefore is how often the sandbox had been asked about the sample before the copy began to wait.
	AskedBefore int `json:"asked_before"`
}

// Submission is one sample's way through a sandbox: at most one live row per key (promise 5).
type Submission struct {
	Key      message.SampleKey
	SHA1     string
	Analyzer string
	Server   string
	Remote   string // the sandbox's own id
	// State: intent (about to be submitted), pending, done.
	State    string
	Asked    time.Time // last query
	Attempts int
	NextAt   time.Time
	Created  time.Time
	Verdict  *message.Verdict
	Expires  time.Time // of a verdict in the cache
	Version  int64
}

// Page is one page of a listing. After is the cursor that the page before returned, "" for the first.
type Page struct {
	After string
	Limit int
}

// CopyQuery selects copies. Zero fields select all.
type CopyQuery struct {
	States    []CopyState
	Area      string
	MessageID string
	Text      TextQuery
	DueBefore time.Time
}

// TextQuery is what an operator asks a log or a queue: every pattern is matched case-insensitively, "*" is a wildcard, ";"
// separates alternatives, double quotes make text literal, and an empty pattern is all.
type TextQuery struct {
	From, To  time.Time // half-open; zero: open
	Sender    string
	Recipient string
	Subject   string
	Rule      string
	MessageID string   // internal id, copy id, or Message-ID
	Subtype   string   // events
	Objects   [][]byte // keys of files and links, one of which the message has to carry; copies and tracking
}

// CopyRow is a copy with the message's columns that listings show.
type CopyRow struct {
	Copy
	Received time.Time `json:"received,omitzero"`
	Sender   string    `json:"sender"`
	Subject  string    `json:"subject"`
	HeaderID string    `json:"header_id"`
	Size     int64     `json:"size"`
}

// Usage is how much is kept, in bytes of bodies and in rows, by state; nothing is kept for a copy that is done. A message that was
// split counts once for each of its copies.
type Usage struct {
	Copies    map[CopyState]int64
	Bytes     map[CopyState]int64
	Oldest    map[CopyState]time.Time // when the oldest came into the state
	Due       int64                   // obligations
	OldestDue time.Time
}

// Retention says how long what is finished is kept; zero: for ever.
type Retention struct {
	Quarantine, Archive, Undeliverable, Events, Tracking time.Duration
}

// Workers are what the store's job engine runs. All may be called at least once, also on several gateways, but each job runs on
// one gateway at a time.
type Workers struct {
	// Deliver works off the due obligations of one copy, kind and hop. A returned time is when to come again; zero: no more.
	Deliver func(ctx context.Context, job DeliverJob) (time.Time, error)
	// Periodic jobs run on one gateway of those that share the store.
	Periodic []Periodic
	// Concurrency is how many deliveries run at once.
	Concurrency int
}

// DeliverJob names obligations that leave in one SMTP transaction.
type DeliverJob struct {
	CopyID string
	Kind   ObligationKind
	Hop    string
	Body   string
}

// Periodic is work done at intervals.
type Periodic struct {
	Name  string
	Every time.Duration
	Run   func(ctx context.Context) error
}

// Store is the contract. All methods are safe for concurrent use; all times are UTC on return; every error is wrapped.
//
// What waits is kept in steady time, which does not jump when a clock does: DueAt, FirstWait and Deadline of a copy, NextAt and GiveUpAt of
// an obligation, NextAt, Created and Expires of a submission, and what is called now and until in these methods. All other times are
// records, of the clock on the wall.
type Store interface {
	// Steady is steady time. Whoever shows a time of it to a person adds what the clock is ahead of it by then.
	Steady() time.Time

	// Commit applies the change in one transaction that is durable on return; on error nothing of it is. Commits under way at the
	// same time share one transaction and fsync where the implementation can. Due obligations get their job in the same
	// transaction.
	Commit(ctx context.Context, change *Change) error

	// Record returns a message, or ErrNotFound. id is the internal id, a copy's id or a Message-ID.
	Record(ctx context.Context, id string) (*Record, error)
	// OpenBody opens kept content for reading, or ErrNotFound. It streams.
	OpenBody(ctx context.Context, sha256 string) (io.ReadCloser, error)

	Copy(ctx context.Context, id string) (*Copy, error)
	// Copies lists newest first; next is "" on the last page, total the number of all.
	Copies(ctx context.Context, query CopyQuery, page Page) (rows []CopyRow, next string, total int64, err error)
	// ClaimCopies returns up to limit copies in one of the states with DueAt not after now, and moves their DueAt to until, so that
	// no other gateway takes them meanwhile. Oldest first.
	ClaimCopies(ctx context.Context, states []CopyState, now, until time.Time, limit int) ([]Copy, error)

	// Obligations returns all of a copy, or those of a job.
	Obligations(ctx context.Context, copyID string) ([]Obligation, error)
	// DueObligations lists what is owed, oldest first, for the queue listing.
	DueObligations(ctx context.Context, page Page) (rows []Obligation, next string, err error)
	// Flush makes everything owed due now and returns how many rows that were. It leaves their versions as they are: what is owed
	// does not change, and a delivery under way must be able to record its outcome.
	Flush(ctx context.Context, now time.Time) (int64, error)
	// Reconcile inserts the job of every due obligation that has none and returns how many were missing.
	Reconcile(ctx context.Context, now time.Time) (int64, error)

	Events(ctx context.Context, query TextQuery, page Page) (rows []Event, next string, total int64, err error)
	// AmendEvents replaces events by id (asynchronous mode); one that is not there, or no more, is added.
	AmendEvents(ctx context.Context, events []Event) error
	Tracks(ctx context.Context, query TextQuery, page Page) (rows []Track, next string, err error)
	// AddTracks stores rows in bulk; they are the journal's, of mail that was relayed in session.
	AddTracks(ctx context.Context, tracks []Track) error

	// Submit inserts a submission with state intent unless a live or cached one with the key exists, which is returned instead. One
	// that is done is cached while Expires is ahead; afterwards, or without Expires, it is replaced.
	Submit(ctx context.Context, submission Submission) (current Submission, created bool, err error)
	// UpdateSubmission changes it by version.
	UpdateSubmission(ctx context.Context, submission Submission) error
	// Submissions returns those with the keys, in any state.
	Submissions(ctx context.Context, keys []message.SampleKey) ([]Submission, error)
	// DueSubmissions returns up to limit in the state with NextAt not after now, those first that were created first, and moves
	// their NextAt to until.
	DueSubmissions(ctx context.Context, state string, now, until time.Time, limit int) ([]Submission, error)
	// CountSubmissions is how many are in the state, one of those that are not done.
	CountSubmissions(ctx context.Context, state string) (int64, error)
	// Verdicts lists those that are cached now, the latest first; of one SHA-256, or all.
	Verdicts(ctx context.Context, now time.Time, sha256 string, page Page) (rows []Submission, next string, err error)
	// ClearVerdicts ends the cached verdicts, all or of one SHA-256, and returns how many those were. Who waits already still gets
	// them.
	ClearVerdicts(ctx context.Context, now time.Time, sha256 string) (int64, error)
	// Waiting returns the copies that wait for the sample.
	Waiting(ctx context.Context, key message.SampleKey) ([]Sample, error)
	// Waits returns what a copy waits for.
	Waits(ctx context.Context, copyID string) ([]Sample, error)
	// Unserved returns up to limit samples that copies wait for and that are not under way: never submitted, or done without the copy
	// having been told.
	Unserved(ctx context.Context, limit int) ([]Sample, error)

	Objects

	Usage(ctx context.Context) (Usage, error)
	// Retain removes what is older than the retention, and bodies that nothing refers to any more: a message loses its own with its
	// last copy that is not done and its last due obligation. It is for the process that runs the workers.
	Retain(ctx context.Context, now time.Time, retention Retention) (removed int64, err error)
	// Setting reads and SetSetting writes a small named value that all gateways share; one never written is "". SetSetting changes it
	// only from the value before, or else returns ErrConflict, so that of several gateways one does what the change stands for.
	Setting(ctx context.Context, name string) (string, error)
	SetSetting(ctx context.Context, name, before, value string) error

	// Start runs the workers until Stop, which waits for those under way.
	Start(ctx context.Context, workers Workers) error
	Stop(ctx context.Context) error
	Close() error
}
