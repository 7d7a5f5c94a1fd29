// Package message holds the plain types that every other package of the core speaks: what arrived, what was found in it,
// and what is to be done about it. It has no behaviour beyond small accessors, does no I/O and imports nothing of Postern.
package message

import (
	"net/netip"
	"strings"
	"time"
)

// Message is one mail as it was received. It is never changed after intake (promise 7).
type Message struct {
	// ID is the internal id: an upper-case GUID. Copies for some of the recipients carry it with "-1", "-2" appended.
	ID string `json:"id"`
	// QueueID is the short upper-case hexadecimal id shown in the Received field and the 250 reply.
	QueueID    string    `json:"queue_id"`
	Received   time.Time `json:"received"`
	Session    Session   `json:"session"`
	Envelope   Envelope  `json:"envelope"`
	Size       int64     `json:"size"`   // bytes of DATA as received
	SHA1       string    `json:"sha1"`   // of the bytes as received
	SHA256     string    `json:"sha256"` // of the bytes as received
	HeaderID   string    `json:"header_id"`
	Subject    string    `json:"subject"` // decoded, control characters removed
	HeaderFrom string    `json:"header_from"`
	// Trace is the header block, CRLF-terminated, that leaves in front of the bytes as they came
	// (Received, Authentication-Results, and Message-ID where the mail had none).
	Trace string `json:"trace"`
	Auth  Auth   `json:"auth"`
}

// Session is what is known of the connection a message came by.
type Session struct {
	Client  netip.AddrPort `json:"client"`
	Helo    string         `json:"helo"`
	TLS     bool           `json:"tls"`
	Trusted bool           `json:"trusted"` // client is in the listener's relay_networks
	Listen  string         `json:"listener"`
}

// Envelope is the SMTP envelope (RFC 5321 section 2.3.1). From is empty for the null reverse-path.
type Envelope struct {
	From string   `json:"from"`
	To   []string `json:"to"`
	// EightBit and UTF8 are the BODY=8BITMIME and SMTPUTF8 parameters of MAIL.
	EightBit bool `json:"eight_bit,omitempty"`
	UTF8     bool `json:"utf8,omitempty"`
}

// Domain is the lower-case part of addr after its last "@", or "" where it has none.
func Domain(addr string) string {
	i := strings.LastIndexByte(addr, '@')
	if i < 0 {
		return ""
	}
	return strings.ToLower(addr[i+1:])
}

// AuthResult is one method's result in the words of RFC 8601 section 2.7: none, pass, fail, softfail, neutral,
// temperror, permerror.
type AuthResult string

// Auth holds what SPF, DKIM and DMARC said at receipt. The zero value means that nothing was checked.
type Auth struct {
	SPF         AuthResult `json:"spf,omitempty"`
	DKIM        AuthResult `json:"dkim,omitempty"`
	DKIMAligned bool       `json:"dkim_aligned,omitempty"`
	DMARC       AuthResult `json:"dmarc,omitempty"`
}

// VouchesForSender reports whether a bounce to the envelope sender reaches who really sent the mail: its domain passed SPF, or
// an aligned DKIM signature passed.
func (a Auth) VouchesForSender() bool {
	return a.SPF == "pass" || a.DKIM == "pass" && a.DKIMAligned
}
