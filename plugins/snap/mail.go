package main

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/postern-mail/postern/sdk/scanner"
)

// Bounds of what is looked at of one mail.
const (
	maxHops  = 50
	maxField = 16 << 10 // of one header field
	maxText  = 64 << 10 // of the text that is searched for words
	maxPages = 8        // parts that are read as text or HTML
)

// mail is a message as its reader sees it, with what stands behind.
type mail struct {
	source     *scanner.Message
	from       []address
	fromBroken bool
	replyTo    []address
	to         []address
	returnPath string // of the header or the envelope
	subject    string
	hops       []hop           // the last one first, as in the header
	last       *hop            // from the client that is connected; nil where nobody is
	charsets   map[string]bool // of header and parts
	list       bool            // it says that it is of a mailing list

	pages []*page
	plain string // text parts, without what they quote
	text  string // what is read, of all parts, decoded
	html  bool   // there is an HTML part
	files []*scanner.Part
}

// readHead reads the header only.
func readHead(m *scanner.Message) *mail {
	out := &mail{source: m, charsets: map[string]bool{}, returnPath: m.Envelope.From}
	for _, f := range m.Header {
		f.Value = f.Value[:min(len(f.Value), maxField)]
		switch strings.ToLower(f.Name) {
		case "from":
			list, broken := readAddresses(f.Value, out.charsets)
			out.from = append(out.from, list...)
			out.fromBroken = out.fromBroken || broken
		case "reply-to":
			list, _ := readAddresses(f.Value, out.charsets)
			out.replyTo = append(out.replyTo, list...)
		case "to", "cc":
			list, _ := readAddresses(f.Value, nil)
			out.to = append(out.to, list...)
		case "return-path":
			if path := strings.Trim(strings.TrimSpace(f.Value), "<>"); path != "" {
				out.returnPath = path
			}
		case "subject":
			if out.subject == "" {
				out.subject = decodeWords(f.Value, out.charsets)
			}
		case "received":
			if len(out.hops) < maxHops {
				out.hops = append(out.hops, readHop(f.Value))
			}
		case "list-id", "list-post", "x-mailing-list":
			out.list = true
		}
	}
	if client, err := netip.ParseAddr(m.Envelope.Client); err == nil {
		// The gateway's own hop, which is not in the header yet. It takes no part in times and zones.
		out.last = &hop{helo: hostOnly(m.Envelope.Helo), client: client.Unmap()}
	}
	return out
}

// values are those of all fields of a name.
func (m *mail) values(name string) []string {
	var out []string
	for _, f := range m.source.Header {
		if strings.EqualFold(f.Name, name) {
			out = append(out, f.Value)
		}
	}
	return out
}

// exists reports whether a domain can exist: in public, or as that of a recipient, which mail reaches whatever the public lists say.
func (m *mail) exists(domain string) bool {
	if registrable(domain) {
		return true
	}
	same := func(a address) bool { return domain != "" && a.domain == domain }
	return slices.ContainsFunc(m.to, same)
}

// author is the first author, the zero address where there is none.
func (m *mail) author() address {
	if len(m.from) == 0 {
		return address{}
	}
	return m.from[0]
}

// pictured reports whether the mail shows pictures.
func (m *mail) pictured() bool {
	return slices.ContainsFunc(m.pages, func(p *page) bool { return len(p.images) > 0 })
}

// readBodies reads what is shown: text and HTML parts that are no attachments, and notes the files beside.
func (m *mail) readBodies(source *scanner.Message) error {
	var plain, text strings.Builder
	read := 0
	for i := range source.Parts {
		part := &source.Parts[i]
		if part.Charset != "" {
			m.charsets[strings.ToLower(part.Charset)] = true
		}
		if part.Attachment() && part.Kind != "message" {
			m.files = append(m.files, part)
		}
		if part.Body == nil || part.Kind != "text" && part.Kind != "html" || read >= maxPages {
			continue
		}
		content, err := head(part.Body)
		if err != nil {
			return fmt.Errorf("scan part %s: %w", part.Path, err)
		}
		read++
		decoded := decodeText(part.Charset, string(content))
		if part.Kind == "html" || part.Declared == "text/html" {
			p := readPage(decoded)
			m.pages = append(m.pages, p)
			m.html = true
			text.WriteString(p.text)
			text.WriteByte('\n')
			continue
		}
		decoded = withoutQuotes(decoded)
		plain.WriteString(decoded)
		text.WriteString(decoded)
		text.WriteByte('\n')
	}
	m.plain = plain.String()
	m.text = cutText(text.String())
	return nil
}

// head is the start of a body, which may be larger than what was asked for where it came as a file.
func head(body scanner.Body) (content []byte, err error) {
	r, err := body.Open()
	if err != nil {
		return nil, err
	}
	content, err = io.ReadAll(io.LimitReader(r, maxBody))
	if closed := r.Close(); err == nil {
		err = closed
	}
	return content, err
}

func cutText(text string) string {
	if len(text) > maxText {
		return strings.ToValidUTF8(text[:maxText], "")
	}
	return text
}

// withoutQuotes leaves out what a text quotes of another mail: it is not what this one says.
func withoutQuotes(text string) string {
	if !strings.Contains(text, ">") {
		return text
	}
	lines := strings.SplitAfter(text, "\n")
	kept := lines[:0]
	for _, line := range lines {
		if !strings.HasPrefix(strings.TrimLeft(line, " \t"), ">") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}
