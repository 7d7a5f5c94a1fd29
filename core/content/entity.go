package content

import (
	"bytes"
	"fmt"
	"path"
	"strings"

	"github.com/postern-mail/postern/core/message"
)

// entity is one MIME entity (RFC 2045 section 2.4) to be read: header and body.
type entity struct {
	data    []byte
	offset  int64 // of data in the message as it came; -1 where it is not from there
	parent  int
	path    string
	depth   int
	reading string
	digest  bool // inside multipart/digest the default type is message/rfc822 (RFC 2046 section 5.1.5)
}

// place is the entity's range in the message as it came, both 0 where it is not from there.
func (e *entity) place() (start, end int64) {
	if e.offset < 0 {
		return 0, 0
	}
	return e.offset, e.offset + int64(len(e.data))
}

// entity reads one entity and all below it into the tree.
func (r *reader) entity(e entity) error {
	if err := r.ctx.Err(); err != nil {
		return fmt.Errorf("take message apart: %w", err)
	}
	if r.overflow {
		return nil
	}
	if e.depth > r.limits.Depth {
		r.trouble(ReasonDepth, fmt.Sprintf("more than %d levels", r.limits.Depth), -1)
		return nil
	}
	fields, bodyStart, tooLong := scanHeader(e.data, r.limits.HeaderBytes)
	if tooLong {
		r.trouble(ReasonHeader, fmt.Sprintf("a header of more than %d bytes", r.limits.HeaderBytes), -1)
	}
	r.checkHeader(e.data, fields, bodyStart)
	h := r.readHead(fields, e.digest)
	body := e.data[bodyStart:]
	switch {
	case strings.HasPrefix(h.kind, "multipart/"):
		return r.multipart(e, h, body, bodyStart)
	case isMessage(h.kind):
		return r.nested(e, h, body)
	}
	return r.leaf(e, h, body)
}

// isMessage reports whether the type's body is a message of its own.
func isMessage(kind string) bool {
	return kind == "message/rfc822" || kind == "message/global" || kind == "message/news" || kind == "message/rfc2822"
}

// head is what an entity's MIME fields say.
type head struct {
	fields     []field
	kind       string // media type
	params     map[string]string
	boundaries []string
	encoding   string
	names      []string
	attachment bool
}

// readHead reads the MIME fields: strictly where that is possible, else as the most lenient reader would.
func (r *reader) readHead(fields []field, digest bool) head {
	h := head{fields: fields, kind: "text/plain"}
	if digest {
		h.kind = "message/rfc822"
	}
	types := all(fields, "content-type")
	if len(types) > 0 {
		kind, params, ok := mediaType(first(fields, "Content-Type"))
		if !ok || kind == "" {
			kind, params = lenientType(types[0]), nil
		}
		for _, other := range types {
			// Any reading as a multipart counts: what hides in it must be seen.
			if l := lenientType(other); l != kind && strings.HasPrefix(l, "multipart/") {
				kind = l
				r.odd[oddDuplicate] = true
			}
		}
		if strings.Contains(kind, "/") {
			h.kind = kind
		}
		h.params = params
		if strings.HasPrefix(h.kind, "multipart/") {
			h.boundaries = candidates(types, "boundary")
			if !ok {
				r.odd[oddParameter] = true
			}
		}
	}
	encodings := all(fields, "content-transfer-encoding")
	if len(encodings) > 0 {
		h.encoding = strings.ToLower(strings.TrimSpace(unfold(encodings[0])))
	}
	dispositions := all(fields, "content-disposition")
	if len(dispositions) > 0 {
		h.attachment = strings.HasPrefix(strings.ToLower(strings.TrimSpace(unfold(dispositions[0]))), "attachment")
	}
	for _, name := range candidates(append(append([]string(nil), dispositions...), types...), "filename", "name") {
		h.names = append(h.names, strings.Map(dropControl, name))
	}
	return h
}

func dropControl(r rune) rune {
	if r < ' ' || r == 0x7f {
		return -1
	}
	return r
}

// multipart reads the parts between the boundaries (RFC 2046 section 5.1.1).
func (r *reader) multipart(e entity, h head, body []byte, bodyStart int) error {
	switch h.encoding {
	case "", "7bit", "8bit", "binary":
	default:
		r.odd[oddEncodedTree] = true
	}
	switch h.kind {
	case "multipart/signed":
		r.tree.Signed = true
	case "multipart/encrypted":
		r.tree.Encrypted = true
	}
	p := message.Part{
		Parent: e.parent, Path: e.path, Declared: h.kind, Kind: message.PartMultipart, Reading: e.reading, Depth: e.depth, Size: int64(len(body)),
	}
	p.Start, p.End = e.place()
	id, ok := r.add(p)
	if !ok {
		return nil
	}
	switch {
	case len(h.boundaries) == 0:
		r.odd[oddNoBoundary] = true
		return nil
	case len(h.boundaries) > 1:
		r.odd[oddBoundary] = true
	}
	s := split(body, h.boundaries[0])
	if len(s.parts) == 0 {
		r.odd[oddNoParts] = true
	}
	if !s.closed {
		r.odd[oddUnclosed] = true
	}
	if s.prefixed {
		r.odd[oddNested] = true
	}
	if bytes.Contains(body, []byte("\r--"+h.boundaries[0])) {
		r.odd[oddBareCR] = true
	}
	if looksLikeMIME(s.preamble) || looksLikeMIME(s.epilogue) {
		r.odd[oddOutside] = true
	}
	for i, part := range s.parts {
		child := entity{
			data: body[part.start:part.end], offset: -1, parent: id, path: fmt.Sprintf("%s.%d", e.path, i+1), depth: e.depth + 1,
			reading: e.reading, digest: h.kind == "multipart/digest",
		}
		if e.offset >= 0 {
			child.offset = e.offset + int64(bodyStart+part.start)
		}
		if err := r.entity(child); err != nil {
			return err
		}
	}
	return nil
}

// span is a range of bytes.
type span struct{ start, end int }

// sections is a multipart body cut at its boundary.
type sections struct {
	parts              []span
	preamble, epilogue []byte
	closed             bool
	prefixed           bool // a line begins with the delimiter but is not one
}

// split cuts a body at the delimiter lines of a boundary.
func split(body []byte, boundary string) sections {
	var s sections
	delimiter := []byte("--" + boundary)
	open := -1
	for i := 0; i < len(body); {
		n := bytes.Index(body[i:], delimiter)
		if n < 0 {
			break
		}
		at := i + n
		i = at + len(delimiter)
		if at > 0 && body[at-1] != '\n' {
			continue
		}
		end := lineEnd(body, at)
		rest := bytes.TrimRight(body[i:end], " \t\r\n")
		last := bytes.HasPrefix(rest, []byte("--"))
		if len(rest) > 0 && (!last || len(rest) > 2) {
			s.prefixed = true
			if !last {
				continue
			}
		}
		if open >= 0 {
			s.parts = append(s.parts, span{open, trimLineEnd(body, open, at)})
		} else {
			s.preamble = body[:at]
		}
		open = end
		i = end
		if last {
			s.closed, s.epilogue = true, body[end:]
			return s
		}
	}
	if open >= 0 {
		s.parts = append(s.parts, span{open, len(body)})
	} else {
		s.preamble = body
	}
	return s
}

// trimLineEnd leaves out the line end before a delimiter, which belongs to it.
func trimLineEnd(body []byte, start, end int) int {
	if end > start && body[end-1] == '\n' {
		end--
		if end > start && body[end-1] == '\r' {
			end--
		}
	}
	return end
}

// looksLikeMIME reports whether bytes outside of the parts hold what some reader would take for a part.
func looksLikeMIME(data []byte) bool {
	for i := 0; i < len(data); {
		n := bytes.Index(data[i:], []byte("--"))
		if n < 0 {
			return false
		}
		at := i + n
		i = lineEnd(data, at)
		if at > 0 && data[at-1] != '\n' {
			continue
		}
		if hasMIMEField(data[i:]) {
			return true
		}
	}
	return false
}

// hasMIMEField reports whether a header with a Content- field begins the data.
func hasMIMEField(data []byte) bool {
	for lines := 0; lines < 8 && len(data) > 0; lines++ {
		end := lineEnd(data, 0)
		line := bytes.TrimSpace(data[:end])
		if len(line) == 0 && lines > 0 {
			return false
		}
		if len(line) > 8 && bytes.EqualFold(line[:8], []byte("content-")) {
			return true
		}
		data = data[end:]
	}
	return false
}

// nested reads a message within the message: as a part with a body, and its own parts below.
func (r *reader) nested(e entity, h head, body []byte) error {
	id, err := r.keep(e, h, body, message.PartMessage)
	if err != nil || id < 0 {
		return err
	}
	decoded, err := r.stored(id)
	if err != nil {
		return err
	}
	inner := entity{data: decoded, offset: -1, parent: id, path: e.path + ".1", depth: e.depth + 1, reading: e.reading}
	switch h.encoding {
	case "", "7bit", "8bit", "binary":
		if e.offset >= 0 {
			inner.offset = e.offset + int64(len(e.data)-len(body))
		}
	default:
		r.odd[oddEncodedTree] = true
	}
	if isMboxLine(inner.data) {
		line := lineEnd(inner.data, 0)
		inner.data = inner.data[line:]
		if inner.offset >= 0 {
			inner.offset += int64(line)
		}
	}
	return r.entity(inner)
}

// leaf adds a part with content.
func (r *reader) leaf(e entity, h head, body []byte) error {
	if (h.params["boundary"] != "" || !knownTopLevel(h.kind)) && looksLikeMIME(body) {
		r.odd[oddOutside] = true
	}
	kind := message.PartAttachment
	if !h.attachment && len(h.names) == 0 {
		switch {
		case h.kind == "text/html":
			kind = message.PartHTML
		case strings.HasPrefix(h.kind, "text/"):
			kind = message.PartText
		}
	}
	switch h.kind {
	case "application/pkcs7-mime", "application/x-pkcs7-mime":
		if strings.Contains(strings.ToLower(h.params["smime-type"]), "signed") {
			r.tree.Signed = true
		} else {
			r.tree.Encrypted = true
		}
	}
	id, err := r.keep(e, h, body, kind)
	if err != nil || kind != message.PartText && kind != message.PartHTML {
		return err
	}
	text, err := r.stored(id)
	if err != nil {
		return err
	}
	return r.inlineFiles(e, text)
}

// knownTopLevel reports whether the type's first half is a registered one (RFC 6838 section 4.2).
func knownTopLevel(kind string) bool {
	top, _, _ := strings.Cut(kind, "/")
	switch top {
	case "text", "image", "audio", "video", "application", "message", "font", "model", "example", "haptics":
		return true
	}
	return false
}

// keep decodes a body into the spool and adds its part; id is -1 where there was no room.
func (r *reader) keep(e entity, h head, body []byte, kind message.PartKind) (id int, err error) {
	p := message.Part{
		Parent: e.parent, Path: e.path, Names: h.names, Declared: h.kind, Charset: h.params["charset"], Kind: kind,
		Reading: e.reading, Depth: e.depth,
	}
	p.Start, p.End = e.place()
	p.Display = displayName(&p)
	id, err = r.store(p, r.decoding(h.encoding, body))
	if err == nil && len(r.odd) > 0 && id >= 0 && kind == message.PartAttachment {
		err = r.otherDecodings(p, body, id)
	}
	return id, err
}

// displayName is how logs name a part: by its file name without folders, or else by its place.
func displayName(p *message.Part) string {
	if name := p.Name(); name != "" {
		return path.Base(strings.ReplaceAll(name, `\`, "/"))
	}
	if p.Kind == message.PartText || p.Kind == message.PartHTML {
		return ""
	}
	return "part " + p.Path
}
