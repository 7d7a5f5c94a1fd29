package message

import "io"

// Body is a decoded body held in the spool. It can be opened any number of times, also concurrently, until its message is
// released.
type Body interface {
	// Open returns a reader over the whole body; the caller closes it.
	Open() (io.ReadSeekCloser, error)
	// Size is the length in bytes.
	Size() int64
	// Bytes is the content where it is held in memory; ok is false where it is in a file.
	Bytes() (content []byte, ok bool)
	// Path names the file that holds exactly this body, or is "" where it is held in memory.
	Path() string
}

// PartKind is what role a part has in its message.
type PartKind string

// The kinds of parts.
const (
	PartText       PartKind = "text"       // text/* that a mail client shows inline
	PartHTML       PartKind = "html"       // text/html that a mail client shows inline
	PartAttachment PartKind = "attachment" // anything with a name or an attachment disposition, or not text
	PartMessage    PartKind = "message"    // message/rfc822 and its kin; its own parts follow as children
	PartMultipart  PartKind = "multipart"  // a node of the tree; it has no body of its own
	PartMember     PartKind = "member"     // a file found inside a container
)

// Part is one node of the content tree. Parts stand in a slice, parents before children.
type Part struct {
	// ID is the part's index in its Tree.
	ID int `json:"id"`
	// Parent is the ID of the enclosing part, -1 for the root.
	Parent int `json:"parent"`
	// Path is the MIME section number ("1.2"); members of containers append "/name".
	Path string `json:"path"`
	// Display is how logs name the part: its file name, within containers joined by "/" (Sample.rar/D44F.exe).
	Display string `json:"display"`
	// Names are all names a mail client might show, the most likely first. It may be empty.
	Names    []string `json:"names,omitempty"`
	Declared string   `json:"declared"` // declared media type, lower case, without parameters
	Charset  string   `json:"charset,omitempty"`
	Kind     PartKind `json:"kind"`
	// Reading says which reading of the message found the part: "strict", or the name of a lenient reading.
	Reading string `json:"reading,omitempty"`
	// Opened says where the password was found that opened an encrypted container around the part: "subject", "body", "file name",
	// "configured", "default". It is empty where nothing was encrypted, and never the password itself.
	Opened string `json:"opened,omitempty"`
	Depth  int    `json:"depth"`
	Size   int64  `json:"size"`
	SHA1   string `json:"sha1,omitempty"`   // lower-case hexadecimal; "" for a multipart
	SHA256 string `json:"sha256,omitempty"` // lower-case hexadecimal; "" for a multipart
	Body   Body   `json:"-"`
	// Start and End are the byte range of the whole entity (header and body) in the message as it arrived,
	// both 0 where the part was not read from there (members, lenient readings).
	Start int64 `json:"start,omitempty"`
	End   int64 `json:"end,omitempty"`
}

// Name is the most likely name of the part, or "".
func (p *Part) Name() string {
	if len(p.Names) == 0 {
		return ""
	}
	return p.Names[0]
}

// Leaf reports whether the part has content of its own.
func (p *Part) Leaf() bool { return p.Kind != PartMultipart }

// URL is one link found in a part.
type URL struct {
	Raw  string `json:"raw"`  // as it stood
	URL  string `json:"url"`  // normalised: scheme and host lower case, punycode, default port and fragment removed
	Part int    `json:"part"` // ID of the part
	Text string `json:"text,omitempty"`
}

// HeaderField is one field of the message header, in order of appearance, raw but unfolded.
type HeaderField struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Tree is a message taken apart.
type Tree struct {
	Header []HeaderField `json:"header"`
	Parts  []Part        `json:"parts"`
	URLs   []URL         `json:"urls,omitempty"`
	// Signed and Encrypted say that the mail is S/MIME or PGP signed or encrypted: its body must not be changed.
	Signed    bool `json:"signed,omitempty"`
	Encrypted bool `json:"encrypted,omitempty"`
	// Troubles are what could not be taken apart, typed. Empty means that everything was read.
	Troubles []Trouble `json:"troubles,omitempty"`
}

// HasAttachments reports whether any part is an attachment or a member of a container.
func (t *Tree) HasAttachments() bool {
	for i := range t.Parts {
		if k := t.Parts[i].Kind; k == PartAttachment || k == PartMember || k == PartMessage {
			return true
		}
	}
	return false
}
