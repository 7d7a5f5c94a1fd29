// Package gate is the way of one message: what intake received goes in; a reply comes out when the mail is relayed or committed
// (promise 1). A message that waited enters here again when what it waited for is known.
package gate

import (
	"cmp"
	"context"
	"io"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/core/compose"
	"github.com/postern-mail/postern/core/delivery"
	"github.com/postern-mail/postern/core/inspect"
	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/observe"
	"github.com/postern-mail/postern/core/policy"
	"github.com/postern-mail/postern/core/spool"
	"github.com/postern-mail/postern/core/store"
)

// Generation is one policy with the plugin instances that serve it. A message pins one while it is judged (promise 10).
type Generation interface {
	Policy() *policy.Policy
	Inspector() *inspect.Inspector
	Performer() delivery.Performer
	Release()
}

// Relayer hands one copy to a next hop in the client's own session.
type Relayer interface {
	// RelayNow sends to all recipients or to none. An error says that nothing was handed over and the mail is still ours.
	RelayNow(ctx context.Context, handover *delivery.Handover) (*delivery.Handed, error)
}

// Composer writes the notifications.
type Composer interface {
	Notification(n *policy.Notification, hostname string, incident *compose.Incident) ([]byte, error)
}

// Journal takes the trace rows of mail that is not kept.
type Journal interface {
	Append(track store.Track) error
}

// Gate judges messages and sees them on their way.
type Gate struct {
	// Acquire pins the generation that serves now.
	Acquire  func() Generation
	Store    store.Store
	Spool    *spool.Spool
	Relayer  Relayer
	Composer Composer
	Journal  Journal
	Now      func() time.Time
	// NewID makes an internal id: an upper-case GUID.
	NewID func() string
	Log   hclog.Logger
	// Telemetry may be nil.
	Telemetry *observe.Telemetry
	// MaxUndecided bounds the messages that are committed before they are judged; beyond it the client is told to come back.
	MaxUndecided int64
	// Analysis is told of the samples that copies began to wait for, once that is committed.
	Analysis func([]store.Sample)

	undecided atomic.Int64
	heldBytes atomic.Int64
	usage     atomic.Pointer[store.Usage]
	notices   noticeLimiter
	kick      chan struct{}
}

// Init makes the gate ready; call it once before anything else.
func (g *Gate) Init() { g.kick = make(chan struct{}, 1) }

// Usage is what was kept when Run last looked, at most some seconds ago; nil before it has.
func (g *Gate) Usage() *store.Usage { return g.usage.Load() }

// Arrival is a message as intake received it. Data lives as long as the scope, which intake releases after Receive has returned.
type Arrival struct {
	ID       string // internal id
	QueueID  string
	Session  message.Session
	Envelope message.Envelope
	Data     message.Body
	Scope    *spool.Scope
	Received time.Time
	Auth     message.Auth
	// AuthResults is the Authentication-Results field made of Auth, CRLF included, or "".
	AuthResults string
}

func compareKeys(a, b message.SampleKey) int {
	return cmp.Or(cmp.Compare(a.SHA256, b.SHA256), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Extension, b.Extension))
}

func storedBody(sha256 string, body message.Body) store.Body {
	return store.Body{
		SHA256: sha256, Size: body.Size(), Path: body.Path(),
		Open: func() (io.ReadCloser, error) { return body.Open() },
	}
}
