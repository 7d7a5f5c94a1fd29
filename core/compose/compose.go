// Package compose writes the mails that Postern sends itself: notifications and delivery status notifications. What happened goes in,
// a whole message comes out. Nothing that a sender wrote can end a header field or a line of it early.
package compose

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"mime"
	"net"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/rewrite"
)

// Composer writes mails.
type Composer struct {
	Now func() time.Time
	// NewID makes the left part of a Message-ID.
	NewID func() string
}

// dateFormat is RFC 5322 section 3.3.
const dateFormat = "Mon, 02 Jan 2006 15:04:05 -0700"

// header writes the fields that every mail of ours has. auto is the value of Auto-Submitted (RFC 3834).
func (c *Composer) header(b *bytes.Buffer, from, to, subject, hostname, auto string) {
	field(b, "From", from)
	field(b, "To", to)
	field(b, "Subject", unstructured(oneLine(subject)))
	field(b, "Date", c.Now().Format(dateFormat))
	field(b, "Message-ID", "<"+c.NewID()+"@"+hostname+">")
	field(b, "Auto-Submitted", auto)
	field(b, "MIME-Version", "1.0")
}

func field(b *bytes.Buffer, name, value string) {
	fmt.Fprintf(b, "%s: %s\r\n", name, rewrite.Fold(oneLine(value), len(name)+2))
}

// longestWord is what a line can hold beside a field's name (RFC 5322 section 2.1.1).
const longestWord = 900

// unstructured is text in encoded words (RFC 2047) where it needs them: for other characters, or for a word that no line can hold.
func unstructured(text string) string {
	if !slices.ContainsFunc(strings.Fields(text), func(word string) bool { return len(word) > longestWord }) {
		return mime.QEncoding.Encode("utf-8", text)
	}
	const most = 45 // bytes that an encoded word of 75 holds
	var words []string
	for len(text) > 0 {
		n := min(most, len(text))
		for n < len(text) && n > most-utf8.UTFMax && !utf8.RuneStart(text[n]) {
			n--
		}
		words = append(words, "=?utf-8?b?"+base64.StdEncoding.EncodeToString([]byte(text[:n]))+"?=")
		text = text[n:]
	}
	return strings.Join(words, " ")
}

// oneLine makes text fit for a header field.
func oneLine(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text))
}

// textBody is a text/plain body that survives every transport.
func textBody(b *bytes.Buffer, text string) {
	b.WriteString("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	lines := strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")
	if !strings.HasSuffix(lines, "\r\n") {
		lines += "\r\n"
	}
	encoded := base64.StdEncoding.EncodeToString([]byte(strings.ToValidUTF8(lines, "\uFFFD")))
	for len(encoded) > 76 {
		b.WriteString(encoded[:76] + "\r\n")
		encoded = encoded[76:]
	}
	b.WriteString(encoded + "\r\n")
}

// Failure is one recipient that a mail could not be delivered to.
type Failure struct {
	Recipient string
	Reply     message.Reply // the next hop's; Code 0: none was had
	Host      string        // who said so, "" where nobody could be reached
	At        time.Time
}

// Report is what a delivery status notification is about.
type Report struct {
	Hostname string
	// To is the envelope sender of the mail that failed.
	To       string
	Message  *message.Message
	Failures []Failure
	// Header is the header of the mail, as it came.
	Header []byte
}

// longestHeader is how much of the returned header is sent back.
const longestHeader = 32 << 10

// Bounce writes a delivery status notification (RFC 3464). It is sent with the null sender, and only to whom the mail came from.
func (c *Composer) Bounce(r *Report) []byte {
	var b bytes.Buffer
	boundary := "=_" + strings.ReplaceAll(c.NewID(), "-", "")
	c.header(&b, "Mail Delivery System <MAILER-DAEMON@"+r.Hostname+">", "<"+r.To+">", "Undelivered Mail Returned to Sender", r.Hostname,
		"auto-replied")
	if r.Message.HeaderID != "" {
		field(&b, "References", "<"+r.Message.HeaderID+">")
	}
	utf8Addresses := !ascii(r.To) || anyUTF8(r.Failures)
	fmt.Fprintf(&b, "Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=\"%s\"\r\n\r\n", boundary)
	fmt.Fprintf(&b, "--%s\r\n", boundary)
	textBody(&b, c.explanation(r))
	kind := "message/delivery-status"
	if utf8Addresses {
		kind = "message/global-delivery-status" // RFC 6533
	}
	fmt.Fprintf(&b, "--%s\r\nContent-Type: %s\r\n\r\n", boundary, kind)
	fmt.Fprintf(&b, "Reporting-MTA: dns; %s\r\nArrival-Date: %s\r\n", oneLine(r.Hostname), r.Message.Received.Format(dateFormat))
	for i := range r.Failures {
		status(&b, &r.Failures[i])
	}
	fmt.Fprintf(&b, "\r\n--%s\r\n", boundary) // the last block ends with its own empty line
	returned(&b, r.Header)
	fmt.Fprintf(&b, "--%s--\r\n", boundary)
	return b.Bytes()
}

func (c *Composer) explanation(r *Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "This is the mail system at %s.\n\nYour message could not be delivered to:\n\n", r.Hostname)
	for _, f := range r.Failures {
		fmt.Fprintf(&b, "<%s>: %s\n", oneLine(f.Recipient), reason(&f))
	}
	b.WriteString("\nThe header of your message is attached. Please send it anew if you want to try again.\n")
	return b.String()
}

func reason(f *Failure) string {
	switch {
	case f.Reply.Code == 0:
		return "no server took it in the time allowed"
	case f.Host == "":
		return oneLine(f.Reply.String())
	}
	return "host " + oneLine(f.Host) + " said: " + oneLine(f.Reply.String())
}

// status is one recipient's block (RFC 3464 section 2.3).
func status(b *bytes.Buffer, f *Failure) {
	kind := "rfc822"
	if !ascii(f.Recipient) {
		kind = "utf-8"
	}
	fmt.Fprintf(b, "\r\nFinal-Recipient: %s; %s\r\nAction: failed\r\nStatus: %s\r\n", kind, oneLine(f.Recipient), enhanced(f.Reply))
	if f.Host != "" {
		name, _, err := net.SplitHostPort(f.Host)
		if err != nil {
			name = f.Host
		}
		fmt.Fprintf(b, "Remote-MTA: dns; %s\r\n", oneLine(name))
	}
	if f.Reply.Code != 0 {
		fmt.Fprintf(b, "Diagnostic-Code: smtp; %s\r\n", rewrite.Fold(oneLine(f.Reply.String()), len("Diagnostic-Code: smtp; ")))
	}
	if !f.At.IsZero() {
		fmt.Fprintf(b, "Last-Attempt-Date: %s\r\n", f.At.Format(dateFormat))
	}
}

// enhanced is the status code (RFC 3463): the next hop's, or one of its class. What was given up failed for time.
func enhanced(r message.Reply) string {
	switch {
	case r.Code == 0 || r.Temporary():
		return "4.4.7"
	case r.Enhanced[0] == 5:
		return fmt.Sprintf("%d.%d.%d", r.Enhanced[0], r.Enhanced[1], r.Enhanced[2])
	}
	return "5.0.0"
}

// returned is the header of the mail that failed. What is not ASCII makes it message/global-headers' content (RFC 6533).
func returned(b *bytes.Buffer, header []byte) {
	header = header[:min(len(header), longestHeader)]
	kind := "text/rfc822-headers"
	if !ascii(string(header)) {
		kind = "message/global-headers"
		header = bytes.ToValidUTF8(header, []byte("?"))
	}
	fmt.Fprintf(b, "Content-Type: %s\r\n\r\n", kind)
	b.Write(header)
	if !bytes.HasSuffix(header, []byte("\r\n")) {
		b.WriteString("\r\n")
	}
}

func anyUTF8(failures []Failure) bool {
	for i := range failures {
		if !ascii(failures[i].Recipient) {
			return true
		}
	}
	return false
}

func ascii(text string) bool {
	for i := range len(text) {
		if text[i] >= 0x80 {
			return false
		}
	}
	return true
}
