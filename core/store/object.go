package store

import (
	"context"
	"time"
)

// Object is one suspicious object, or one of an allow list.
type Object struct {
	// Key is made of type and value; within a list it is unique.
	Key       []byte       `json:"-"`
	List      string       `json:"list"`
	Type      string       `json:"type"` // sha1, sha256, url, domain, ip
	Value     string       `json:"value"`
	Action    ObjectAction `json:"action"`
	Exception bool         `json:"exception,omitempty"` // an entry of an allow list
	Expires   time.Time    `json:"expires,omitzero"`    // zero: never
	Note      string       `json:"note,omitempty"`
	Added     time.Time    `json:"added,omitzero"`
	By        string       `json:"by,omitempty"` // who added it by hand
}

// ObjectAction is what the list says is to be done. A stricter one is greater.
type ObjectAction int

// The scan actions.
const (
	ObjectNone ObjectAction = iota
	ObjectLog
	ObjectBlock
	ObjectQuarantine
)

// objectActions are the actions' words in their order.
var objectActions = [...]string{"none", "log", "block", "quarantine"}

func (a ObjectAction) String() string {
	if a < ObjectNone || a > ObjectQuarantine {
		return "invalid"
	}
	return objectActions[a]
}

// MarshalText makes it its word in JSON.
func (a ObjectAction) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads its word.
func (a *ObjectAction) UnmarshalText(text []byte) error {
	for i, word := range objectActions {
		if word == string(text) {
			*a = ObjectAction(i)
			return nil
		}
	}
	return &UnknownActionError{Word: string(text)}
}

// UnknownActionError says that a word is no scan action.
type UnknownActionError struct{ Word string }

func (e *UnknownActionError) Error() string {
	return "there is no scan action " + e.Word + ": it is none, log, block or quarantine"
}

// ObjectList is a list of objects and how its synchronisation stands.
type ObjectList struct {
	Name string `json:"name"`
	// Generation rises with every change of what the list shows.
	Generation int64     `json:"generation"`
	Objects    int64     `json:"objects"`
	Skipped    int64     `json:"skipped,omitempty"` // entries of the last good synchronisation that could not be used
	Synced     time.Time `json:"synced,omitzero"`   // last good synchronisation
	Tried      time.Time `json:"tried,omitzero"`
	Error      string    `json:"error,omitempty"` // of the last synchronisation; the list shown is the last good one
	Cursor     string    `json:"-"`               // where the source goes on
	// Accept says that the operator wants the next synchronisation to be believed however much it changes.
	Accept bool `json:"accept,omitempty"`
}

// ObjectQuery selects objects. Zero fields select all; Value is a pattern as in a TextQuery.
type ObjectQuery struct{ List, Type, Value string }

// ObjectChange is a change that an operator or this program makes to a list, in one transaction.
type ObjectChange struct {
	List  string
	Put   []Object // added, or replaced where the key is there
	End   [][]byte // keys that are removed
	At    time.Time
	Audit []Audit
}

// Objects are the lists of suspicious objects. A list is changed at once (ChangeObjects), or by one synchronisation: Begin, any number
// of Stage, Commit. Nothing of a synchronisation shows before its Commit, and nothing at all where it is discarded or never ended. The
// token names the synchronisation; a later Begin takes the list over, and the earlier one gets ErrConflict from then on.
type Objects interface {
	ObjectLists(ctx context.Context) ([]ObjectList, error)
	// EachObject calls yield for every object that the list shows, in the order of their keys.
	EachObject(ctx context.Context, list string, yield func(*Object) error) error
	// FindObjects returns the objects with one of the keys, of all lists.
	FindObjects(ctx context.Context, keys [][]byte) ([]Object, error)
	// ListObjects lists what the lists show, by list.
	ListObjects(ctx context.Context, query ObjectQuery, page Page) (rows []Object, next string, err error)

	// ChangeObjects makes the change and returns how many objects were removed or replaced.
	ChangeObjects(ctx context.Context, change *ObjectChange) (ended int64, err error)

	BeginObjects(ctx context.Context, list, token string) (ObjectList, error)
	StageObjects(ctx context.Context, list, token string, put []Object, end [][]byte) error
	// CommitObjects shows what was staged, where changed says that something was, counts it, and records the rest of the list's row.
	CommitObjects(ctx context.Context, token string, list *ObjectList, changed bool) error
	// DiscardObjects takes back what was staged and records why.
	DiscardObjects(ctx context.Context, list, token, reason string, now time.Time) error
	// AcceptObjects lets the next synchronisation of the list be believed.
	AcceptObjects(ctx context.Context, list string, audit Audit) error
	// DropObjects removes a list with all it has.
	DropObjects(ctx context.Context, list string) error
	// PurgeObjects removes rows of the list that it does not show any more. Retain removes those that have expired.
	PurgeObjects(ctx context.Context, list string) error

	// CopiesWith returns the copies in one of the states whose messages carry one of the objects.
	CopiesWith(ctx context.Context, states []CopyState, keys [][]byte) ([]string, error)
}
