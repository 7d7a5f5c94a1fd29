package rewrite

import (
	"bytes"
	"mime"
	"slices"
	"strings"

	"github.com/postern-mail/postern/core/message"
)

// header replaces the header block: trace in front, forged fields out, changed ones in their place. Fields that stay are not
// touched.
func (e *editor) header(options Options) {
	var out bytes.Buffer
	out.WriteString(options.Trace)
	written := map[string]bool{}
	write := func(f message.HeaderField) {
		written[strings.ToLower(f.Name)] = true
		if field := encodeField(f); field != "" {
			out.WriteString(field)
		}
	}
	for _, field := range e.head.fields {
		name := fieldName(field)
		change, changed := e.changeOf(name)
		switch {
		case isForged(name, field, options):
		case changed && !written[strings.ToLower(name)]:
			write(change)
		case changed:
		default:
			out.Write(field)
		}
	}
	for _, f := range e.headers {
		if last, _ := e.changeOf(f.Name); !written[strings.ToLower(f.Name)] {
			write(last)
		}
	}
	rest := e.head.rest
	if len(rest) == 0 && e.whole {
		rest = []byte("\r\n")
	}
	out.Write(rest)
	// In front: a mail without a header has it at the same place as its body.
	e.replacements = slices.Insert(e.replacements, 0, replacement{from: int64(e.head.mbox), to: e.head.end, with: out.Bytes()})
}

// changeOf is the last change of the field.
func (e *editor) changeOf(name string) (message.HeaderField, bool) {
	for _, f := range slices.Backward(e.headers) {
		if strings.EqualFold(f.Name, name) {
			return f, true
		}
	}
	return message.HeaderField{}, false
}

func fieldName(field []byte) string {
	return strings.TrimRight(string(field[:bytes.IndexByte(field, ':')]), " \t")
}

// isForged reports whether a field that arrived claims to be ours.
func isForged(name string, field []byte, options Options) bool {
	for _, forged := range options.Forged {
		if strings.EqualFold(forged, name) {
			return true
		}
	}
	if options.Hostname == "" || !strings.EqualFold(name, "Authentication-Results") {
		return false
	}
	value := strings.TrimSpace(string(field[bytes.IndexByte(field, ':')+1:]))
	id := strings.FieldsFunc(value, func(r rune) bool { return r == ';' || r == ' ' || r == '\t' || r == '\r' || r == '\n' })
	return len(id) > 0 && strings.EqualFold(id[0], options.Hostname)
}

// encodeField writes a field of ours: encoded where it is not ASCII (RFC 2047), folded, and free of what could end it early. An empty
// value removes the field.
func encodeField(f message.HeaderField) string {
	name := strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f || r == ':' {
			return -1
		}
		return r
	}, f.Name)
	value := strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, f.Value))
	if name == "" || value == "" {
		return ""
	}
	return name + ": " + Fold(mime.QEncoding.Encode("utf-8", value), len(name)+2) + "\r\n"
}

// lineLimit is how long lines of a header should be (RFC 5322 section 2.1.1).
const lineLimit = 78

// Fold breaks a value at blanks, so that lines stay short; used is what stands before it on its first line.
func Fold(value string, used int) string {
	var b strings.Builder
	for i, word := range strings.Split(value, " ") {
		if i > 0 {
			if used+1+len(word) > lineLimit {
				b.WriteString("\r\n")
				used = 0
			}
			b.WriteByte(' ')
			used++
		}
		b.WriteString(word)
		used += len(word)
	}
	return b.String()
}
