// Package objects is what the author of a source of suspicious objects implements: lists are fetched and streamed to the core, which
// stores and matches them.
package objects

import (
	"context"
	"time"
)

// Source fetches lists.
type Source interface {
	// Fetch sends the objects of every list that it reads, in any order, and ends each list with Done. Cursors say where the last good
	// fetch of a list ended. A list that was sent before and is not ended now is removed; one that ends with an error stays as it was. An
	// error of Fetch says that no list can be had.
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
	List   string
	Type   Type
	Value  string // as the source writes it; a URL with "*" at its end is the beginning of URLs
	Action Action
	// Expires is zero for never. Within a list that is not complete an object that has expired is removed.
	Expires   time.Time
	Note      string
	Exception bool // an entry of an allow list
}

// State is the end of one list.
type State struct {
	List     string
	Complete bool   // the whole list was sent: what it no longer has is to be removed
	Cursor   string // comes back with the next fetch, once what was sent is stored
	Err      error
}
