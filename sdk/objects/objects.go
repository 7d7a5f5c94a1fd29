// Package objects is what the author of a source of suspicious objects implements: lists are fetched and streamed to the core, which
// stores and matches them.
package objects

import (
	"context"
	"time"
)

// Source fetches lists.
type Source interface {
	// Fetch sends the objects of every list that it reads and ends each list with Done. Cursors say where the last good fetch of a
	// list ended.
	Fetch(ctx context.Context, cursors map[string]string, out Sink) error
}

// Sink takes what was fetched.
type Sink interface {
	Objects(batch []Object) error
	Done(State) error
}

// Type says what an object is.
type Type int

// The types of objects.
const (
	SHA1 Type = iota + 1
	SHA256
	URL
	Domain
	IP
)

// Action is what the list says is to be done.
type Action int

// The scan actions.
const (
	None Action = iota + 1
	Log
	Block
	Quarantine
)

// Object is one entry of a list.
type Object struct {
	List      string
	Type      Type
	Value     string
	Action    Action
	Expires   time.Time // zero: never
	Note      string
	Exception bool // an entry of an allow list
}

// State is the end of one list.
type State struct {
	List     string
	Complete bool // the whole list was sent: what it no longer has is to be removed
	Cursor   string
	Err      error
}
