// Package action is what the author of action handlers implements: actions are described by the effect they have, and those that
// change a message are asked for the changes. The core carries out effects and makes the changes.
package action

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/postern-mail/postern/sdk/scanner"
	"github.com/postern-mail/postern/sdk/schema"
)

// Effect is what the core does for an action.
type Effect int

// The effects, with the attributes they read from the block.
const (
	Pass            Effect = iota + 1
	Delete                 // the whole message
	Quarantine             // area
	Reject                 // text
	ChangeRecipient        // to
	HandOff                // host, port
	DeliverNow
	Postpone // at, HH:MM
	Defer
	Notify  // notification
	Archive // area
	BCC     // to
	Edit    // Performer is asked
)

// Description is one action that policies may name.
type Description struct {
	Name    string
	Summary string
	Effect  Effect
	Label   string // as the log shows it: "Subject tagged"
	Config  schema.Body
}

// Performer computes the changes of actions with the effect Edit. Perform is called concurrently. An error keeps the copy from
// leaving; it is tried again.
type Performer interface {
	Perform(ctx context.Context, request *Request) ([]Change, error)
}

// Request is one action to be performed on one copy.
type Request struct {
	Rule     string
	Action   string
	Config   json.RawMessage
	Envelope scanner.Envelope
	Header   []scanner.HeaderField
	Parts    []scanner.Part // without bodies
	Matching []int          // parts that the rule matched
}

// Decode fills a struct with the block's configuration, by the names that schema.Of gives its fields.
func (r *Request) Decode(into any) error {
	if err := schema.Decode(r.Config, into); err != nil {
		return fmt.Errorf("read configuration of %s: %w", r.Action, err)
	}
	return nil
}

// Change is one of SetHeader, RemovePart, InsertText.
type Change interface{ change() }

// SetHeader replaces every field of the name, or adds one. Value is UTF-8.
type SetHeader struct{ Name, Value string }

// RemovePart takes an attachment out and leaves the notice in its place.
type RemovePart struct {
	Part   int
	Notice string
}

// InsertText adds text to what a mail client shows.
type InsertText struct {
	AtEnd bool
	Text  string
}

func (SetHeader) change()  {}
func (RemovePart) change() {}
func (InsertText) change() {}
