package rewrite

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"html"
	"io"
	"mime/quotedprintable"
	"regexp"
	"strings"

	"golang.org/x/text/encoding/htmlindex"

	"github.com/postern-mail/postern/core/message"
)

// remove puts notices in the place of parts. Where a part cannot be cut out, because it is a member of a container or was decoded with
// the message around it, what holds it is; where nothing less than the message does, all of the content gives way to the notice: what
// was to be removed must not leave.
func (e *editor) remove(parts map[int]string) error {
	for id, notice := range parts {
		if id < 0 || id >= len(e.tree.Parts) {
			return fmt.Errorf("remove part %d: the message has none of that number", id)
		}
		part := &e.tree.Parts[id]
		for part.End <= part.Start && part.Parent >= 0 {
			part = &e.tree.Parts[part.Parent]
		}
		if part.Parent < 0 {
			e.replaceAll(notice)
			return nil
		}
		e.replacements = append(e.replacements, replacement{from: part.Start, to: part.End, with: noticeEntity(notice)})
	}
	return nil
}

// replaceAll makes the notice the whole content.
func (e *editor) replaceAll(notice string) {
	e.whole = true
	e.headers = append(e.headers,
		message.HeaderField{Name: "MIME-Version", Value: "1.0"},
		message.HeaderField{Name: "Content-Type", Value: "text/plain; charset=utf-8"},
		message.HeaderField{Name: "Content-Transfer-Encoding", Value: "base64"},
		message.HeaderField{Name: "Content-Disposition", Value: "inline"},
	)
	e.replacements = []replacement{{from: e.head.end, to: e.raw.Size(), with: wrap64([]byte(notice + "\r\n"))}}
}

func noticeEntity(notice string) []byte {
	var b bytes.Buffer
	b.WriteString("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: inline\r\n\r\n")
	b.Write(bytes.TrimRight(wrap64([]byte(notice+"\r\n")), "\r\n"))
	return b.Bytes()
}

// wrap64 is base64 in lines (RFC 2045 section 6.8).
func wrap64(content []byte) []byte {
	encoded := base64.StdEncoding.EncodeToString(content)
	var b bytes.Buffer
	for len(encoded) > 76 {
		b.WriteString(encoded[:76] + "\r\n")
		encoded = encoded[76:]
	}
	b.WriteString(encoded + "\r\n")
	return b.Bytes()
}

// longestBody bounds a body that text is inserted into: it is held in memory. A longer one stays as it is.
const longestBody = 4 << 20

// insert adds text to every body that a client shows first: the text and HTML parts outside of attached messages. Each is written
// anew with the text in it.
func (e *editor) insert(list []Insertion) error {
	if len(list) == 0 || e.whole || e.tree.Signed || e.tree.Encrypted {
		return nil
	}
	for i := range e.tree.Parts {
		part := &e.tree.Parts[i]
		shown := part.Kind == message.PartText || part.Kind == message.PartHTML
		if !shown || part.End <= part.Start || part.End-part.Start > longestBody || e.attached(part) {
			continue
		}
		if err := e.insertInto(part, list); err != nil {
			return fmt.Errorf("insert text into part %s: %w", part.Path, err)
		}
	}
	return nil
}

// attached reports whether the part belongs to a message within the message.
func (e *editor) attached(part *message.Part) bool {
	for id := part.Parent; id >= 0; id = e.tree.Parts[id].Parent {
		if e.tree.Parts[id].Kind == message.PartMessage {
			return true
		}
	}
	return false
}

func (e *editor) insertInto(part *message.Part, list []Insertion) error {
	entity, err := e.section(part.Start, part.End)
	if err != nil {
		return err
	}
	head := splitHead(entity)
	body := decoded(entity[head.end:], head)
	changed := false
	// Text without a Content-Type is ASCII (RFC 2045 section 5.2) unless a field of ours says otherwise.
	charset, untyped := part.Charset, !head.has("Content-Type") && isASCII(string(body))
	if untyped {
		charset = "utf-8"
	}
	for _, insertion := range list {
		text := strings.ReplaceAll(strings.ReplaceAll(insertion.Text, "\r\n", "\n"), "\n", "\r\n")
		if part.Kind == message.PartHTML {
			text = "<p>" + strings.ReplaceAll(html.EscapeString(text), "\r\n", "<br>\r\n") + "</p>"
		}
		encoded, ok := encodeText(text, charset)
		if !ok {
			continue // the part's charset cannot say it
		}
		body, changed = placeText(body, encoded, insertion.AtEnd, part.Kind == message.PartHTML), true
	}
	if !changed {
		return nil
	}
	encoded := quoted(body)
	fields := []message.HeaderField{{Name: "Content-Transfer-Encoding", Value: "quoted-printable"}}
	if untyped {
		fields = append(fields, message.HeaderField{Name: "Content-Type", Value: "text/plain; charset=utf-8"})
	}
	if part.Parent < 0 {
		if !head.has("MIME-Version") {
			fields = append(fields, message.HeaderField{Name: "MIME-Version", Value: "1.0"})
		}
		e.headers, e.whole = append(e.headers, fields...), true
		e.replacements = append(e.replacements, replacement{from: e.head.end, to: e.raw.Size(), with: encoded})
		return nil
	}
	var out bytes.Buffer
	for _, field := range head.fields {
		if !strings.EqualFold(fieldName(field), "Content-Transfer-Encoding") {
			out.Write(field)
		}
	}
	for _, field := range fields {
		out.WriteString(encodeField(field))
	}
	out.WriteString("\r\n")
	out.Write(bytes.TrimRight(encoded, "\r\n"))
	e.replacements = append(e.replacements, replacement{from: part.Start, to: part.End, with: out.Bytes()})
	return nil
}

func (e *editor) section(from, to int64) ([]byte, error) {
	r, err := e.raw.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if _, err := r.Seek(from, io.SeekStart); err != nil {
		return nil, err
	}
	section := make([]byte, to-from)
	_, err = io.ReadFull(r, section)
	return section, err
}

// decoded undoes the transfer encoding that the head names. What is broken in it is left out, as mail clients do.
func decoded(body []byte, h head) []byte {
	encoding := ""
	for _, field := range h.fields {
		if strings.EqualFold(fieldName(field), "Content-Transfer-Encoding") {
			encoding = strings.ToLower(strings.TrimSpace(string(field[bytes.IndexByte(field, ':')+1:])))
			break
		}
	}
	switch encoding {
	case "quoted-printable":
		out, _ := io.ReadAll(quotedprintable.NewReader(bytes.NewReader(body)))
		return out
	case "base64":
		out, _ := io.ReadAll(base64.NewDecoder(base64.StdEncoding, bytes.NewReader(body)))
		return out
	}
	return body
}

// encodeText writes text in the charset of a part; false where it cannot.
func encodeText(text, charset string) ([]byte, bool) {
	if isASCII(text) || strings.EqualFold(charset, "utf-8") {
		return []byte(text), true
	}
	encoding, err := htmlindex.Get(charset)
	if err != nil {
		return nil, false
	}
	encoded, err := encoding.NewEncoder().String(text)
	return []byte(encoded), err == nil
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= 0x80 {
			return false
		}
	}
	return true
}

// placeText puts text at the beginning or end of what is shown: in HTML within its body element.
func placeText(body, text []byte, atEnd, isHTML bool) []byte {
	at := 0
	if atEnd {
		at = len(body)
	}
	if isHTML {
		pattern, edge := regexp.MustCompile(`(?i)<body[^>]*>`), 1
		if atEnd {
			pattern, edge = regexp.MustCompile(`(?i)</body\s*>`), 0
		}
		if found := pattern.FindAllIndex(body, -1); len(found) > 0 {
			at = found[0][edge]
			if atEnd {
				at = found[len(found)-1][edge]
			}
		}
	}
	var out bytes.Buffer
	out.Write(body[:at])
	if at > 0 && body[at-1] != '\n' {
		out.WriteString("\r\n")
	}
	out.Write(text)
	out.WriteString("\r\n")
	out.Write(body[at:])
	return out.Bytes()
}

func quoted(content []byte) []byte {
	var b bytes.Buffer
	w := quotedprintable.NewWriter(&b)
	_, _ = w.Write(content) // a bytes.Buffer does not fail
	_ = w.Close()
	if !bytes.HasSuffix(b.Bytes(), []byte("\r\n")) {
		b.WriteString("\r\n")
	}
	return b.Bytes()
}
