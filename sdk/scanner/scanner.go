// Package scanner is what the author of a scanner implements: a message, taken apart, goes in; findings come out. A scanner reports;
// the policy decides.
package scanner

import (
	"context"
	"errors"
	"io"
)

// Scanner looks at messages. Scan is called concurrently.
//
// An error means that the scanner could not look, and the core then applies the policy's exception "plugin_unavailable". It never
// means clean. Trouble with single parts (encrypted, too large, broken) goes into the report instead.
type Scanner interface {
	Scan(ctx context.Context, message *Message) (*Report, error)
}

// Downstream marks an error as that of a server behind the plugin. Returned by Scan it says that the plugin is well, and what it asks is
// not: the message meets "plugin_unavailable" all the same, and the log tells whose fault it was.
func Downstream(err error) error {
	if err == nil {
		return nil
	}
	return &downstream{err}
}

// IsDownstream reports whether the error is marked.
func IsDownstream(err error) bool {
	var marked *downstream
	return errors.As(err, &marked)
}

type downstream struct{ error }

func (d *downstream) Unwrap() error { return d.error }

// Inputs declares what the scanner is given. Ask for little: what is not asked for is not sent, and a scanner whose needs a message
// does not meet is not called.
type Inputs struct {
	Envelope bool
	Header   bool
	Parts    bool // names, types, sizes and hashes
	Bodies   Bodies
	// MaxBodyBytes is how much of each body is sent; 0: all of it.
	MaxBodyBytes uint64
	URLs         bool
	Auth         bool
	// NeedsAny: the scanner is not called for messages that have none of these. Empty: always called.
	NeedsAny []Need
}

// Bodies says which bodies a scanner wants.
type Bodies int

// The choices of bodies.
const (
	NoBodies Bodies = iota
	AttachmentBodies
	AllBodies
)

// Need is something a message has to have for the scanner to be called.
type Need int

// The needs.
const (
	NeedAttachment Need = iota + 1
	NeedURL
	NeedBody
)

// Message is what the scanner declared it wants to see, and nothing else.
type Message struct {
	// Queries are the numbers of the scan blocks that are live for this message, as Configure got them.
	Queries  []int
	Envelope Envelope
	Header   []HeaderField
	Parts    []Part
	URLs     []URL
	Auth     Auth
}

// Part returns the part with the id, or nil.
func (m *Message) Part(id int) *Part {
	for i := range m.Parts {
		if m.Parts[i].ID == id {
			return &m.Parts[i]
		}
	}
	return nil
}

// Envelope is the SMTP envelope and where it came from.
type Envelope struct {
	From   string
	To     []string
	Client string // IP address
	Helo   string
}

// HeaderField is one field of the header, unfolded; the value may hold 8-bit bytes.
type HeaderField struct{ Name, Value string }

// URL is one link in the message.
type URL struct {
	Raw, URL string // as it stood, and normalised
	Part     int
	Text     string // the text of the link
}

// Auth is what was found at receipt, in the words of RFC 8601.
type Auth struct {
	SPF, DKIM, DMARC string
	DKIMAligned      bool
}

// Part is one node of the message's tree.
type Part struct {
	ID       int
	Parent   int // -1: the root
	Path     string
	Display  string   // as logs name it: Sample.rar/D44F.exe
	Names    []string // all names a mail client might show
	Declared string   // media type
	Charset  string
	Kind     string // text, html, attachment, message, multipart, member
	Size     int64
	SHA1     string
	SHA256   string
	// Body is the content, nil where it was not sent. It may be shorter than Size where Inputs.MaxBodyBytes says so.
	Body Body
}

// Name is the most likely name, or "".
func (p *Part) Name() string {
	if len(p.Names) == 0 {
		return ""
	}
	return p.Names[0]
}

// Attachment reports whether the part is one that a user can save as a file.
func (p *Part) Attachment() bool {
	return p.Kind == "attachment" || p.Kind == "member" || p.Kind == "message"
}

// Body is content that can be opened any number of times during the call.
type Body interface {
	Open() (io.ReadSeekCloser, error)
	// Bytes is all of it, without a copy: a large body is a mapped file. It must not be changed, nor used after Scan has returned.
	Bytes() ([]byte, error)
}

// Certainty tells a sure detection from one that a sandbox should confirm.
type Certainty int

// The certainties.
const (
	Sure Certainty = iota + 1
	Possible
)

// Finding is one thing seen.
type Finding struct {
	Query     int
	Kind      string // virus, social, type, name, or a word of the plugin's own
	Certainty Certainty
	Name      string
	Part      int // -1: the message
	Evidence  string
}

// TroubleKind says what kept the scanner from looking.
type TroubleKind int

// The kinds of trouble.
const (
	TroublePlugin     TroubleKind = iota + 1 // the plugin failed
	TroubleDownstream                        // a server behind it failed
	TroubleLimit                             // a limit was reached
	TroubleEncrypted
	TroubleBroken // the content is broken
)

// Trouble is one obstacle, a typed fact and never a clean bill.
type Trouble struct {
	Kind   TroubleKind
	Reason string // stable lower-case token
	Detail string
	Part   int // -1: the message
	Query  int // 0: all
}

// Report is the answer for one message.
type Report struct {
	Findings []Finding
	Troubles []Trouble
}

// ForQueries adds the finding once for each query.
func (r *Report) ForQueries(queries []int, finding Finding) {
	for _, q := range queries {
		finding.Query = q
		r.Findings = append(r.Findings, finding)
	}
}
