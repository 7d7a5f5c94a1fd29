// Package delivery carries decisions out: copies of messages and next hops go in, replies and the states of obligations come out. It
// relays while a client waits, works the outbox off, tries again by schedule, and bounces what cannot be delivered.
package delivery

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/core/compose"
	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/observe"
	"github.com/postern-mail/postern/core/policy"
	"github.com/postern-mail/postern/core/rewrite"
	"github.com/postern-mail/postern/core/spool"
	"github.com/postern-mail/postern/core/store"
)

// Generation is the policy that is in force, with its action plugins.
type Generation interface {
	Policy() *policy.Policy
	Performer() Performer
	Release()
}

// Performer asks an action plugin for the changes of one action.
type Performer interface {
	Perform(ctx context.Context, request *Request) (*rewrite.Edits, error)
}

// Request is one editing action on one copy.
type Request struct {
	Message *message.Message
	Tree    *message.Tree
	Header  []message.HeaderField // as the actions before left it
	Action  message.RuleAction
}

// Handover is one copy with its bytes, to be relayed while the client waits.
type Handover struct {
	Generation Generation
	Message    *message.Message
	Tree       *message.Tree
	Raw        message.Body
	Fate       *message.Fate
	Hop        *policy.Relay
}

// Handed is how the next hop answered. Final is its reply; the zero Reply means that the end of data was sent and no reply came, so
// that nobody knows who owns the mail.
type Handed struct {
	Final message.Reply
	Host  string
}

// Store is what delivery needs of the store.
type Store interface {
	Steady() time.Time
	Commit(ctx context.Context, change *store.Change) error
	Record(ctx context.Context, id string) (*store.Record, error)
	Copy(ctx context.Context, id string) (*store.Copy, error)
	Obligations(ctx context.Context, copyID string) ([]store.Obligation, error)
}

// Delivery delivers.
type Delivery struct {
	Store    Store
	Acquire  func() Generation
	Composer *compose.Composer
	Spool    *spool.Spool
	// Load brings a kept body into the scope.
	Load func(ctx context.Context, sha256 string, scope *spool.Scope) (message.Body, error)
	Now  func() time.Time
	Log  hclog.Logger
	// Telemetry may be nil.
	Telemetry *observe.Telemetry

	mu     sync.Mutex
	idle   map[string][]*idleClient
	failed map[string]time.Time // hosts that could not be spoken to, until when they are passed over
}
