package content

import (
	"bufio"
	"bytes"
	"strings"

	"github.com/emersion/go-message/textproto"
)

// field is one header field as it stands: value may hold folds and 8-bit bytes.
type field struct {
	name  string
	value string
	// canonical is the name in lower case without blanks, comments and control characters: what a lenient client takes it for.
	canonical string
}

// oddity is something about a message that readers are known to differ on.
type oddity string

// The oddities. Those that hardly occur in honest mail, and that hide content from one reader or another even where the lenient
// readings find parts, make the message malformed.
const (
	oddHeaderLine    oddity = "a header line without a name"
	oddHeaderName    oddity = "a header name that is not one"
	oddDuplicate     oddity = "a MIME field given twice with different values"
	oddParameter     oddity = "a MIME parameter that readers take differently"
	oddBoundary      oddity = "a boundary that readers take differently"
	oddNoBoundary    oddity = "a multipart without a boundary"
	oddNoParts       oddity = "a multipart whose boundary never comes"
	oddUnclosed      oddity = "a multipart without an end"
	oddOutside       oddity = "MIME parts outside of the declared ones"
	oddNested        oddity = "boundaries of which one begins with another"
	oddEncoding      oddity = "an unknown transfer encoding"
	oddEncodedTree   oddity = "a transfer encoding on a multipart or message"
	oddBase64        oddity = "base64 that readers decode differently"
	oddQuoted        oddity = "quoted-printable that readers decode differently"
	oddBareCR        oddity = "a bare CR in a MIME header"
	oddHeaderSection oddity = "a header section that ends oddly"
)

// malformed reports whether the oddity alone makes a message malformed.
func (o oddity) malformed() bool {
	switch o {
	case oddHeaderName, oddDuplicate, oddBoundary, oddNoBoundary, oddOutside, oddEncoding, oddBareCR, oddParameter, oddBase64,
		oddQuoted:
		return true
	}
	return false
}

// isMboxLine reports whether the data begins with the "From " line of an mbox, which is no header.
func isMboxLine(data []byte) bool {
	return bytes.HasPrefix(data, []byte("From ")) || bytes.HasPrefix(data, []byte(">From "))
}

// lineEnd is the index after the line that begins at i.
func lineEnd(data []byte, i int) int {
	if n := bytes.IndexByte(data[i:], '\n'); n >= 0 {
		return i + n + 1
	}
	return len(data)
}

// scanHeader reads the header at the front of data leniently. bodyStart is where the body begins; tooLong says that limit bytes were
// not enough.
func scanHeader(data []byte, limit int) (fields []field, bodyStart int, tooLong bool) {
	i := 0
	for i < len(data) {
		end := lineEnd(data, i)
		line := bytes.TrimRight(data[i:end], "\r\n")
		if len(line) == 0 {
			return fields, end, i > limit
		}
		if i > limit {
			return fields, i, true
		}
		if (line[0] == ' ' || line[0] == '\t') && len(fields) > 0 {
			last := &fields[len(fields)-1]
			last.value += "\r\n" + string(line)
			i = end
			continue
		}
		name, value, found := strings.Cut(string(line), ":")
		if !found {
			// A line without a colon: a delimiter ends the header, anything else is kept as a nameless field.
			if bytes.HasPrefix(line, []byte("--")) {
				return fields, i, false
			}
			fields = append(fields, field{value: string(line), canonical: lenientName(string(line))})
			i = end
			continue
		}
		fields = append(fields, field{name: strings.TrimSpace(name), value: value, canonical: canonicalName(name)})
		i = end
	}
	return fields, len(data), i > limit
}

// canonicalName is a field name as the most lenient reader takes it.
func canonicalName(name string) string {
	name = stripComments(name)
	return strings.ToLower(strings.Map(func(r rune) rune {
		if r <= ' ' || r == 0x7f || r > 0x7e {
			return -1
		}
		return r
	}, name))
}

// lenientName guesses the field that a line without a colon was meant to be.
func lenientName(line string) string {
	lower := strings.ToLower(line)
	for _, name := range mimeFields() {
		if strings.HasPrefix(lower, name) {
			return name
		}
	}
	return ""
}

func mimeFields() []string {
	return []string{"content-type", "content-transfer-encoding", "content-disposition"}
}

// checkHeader compares the lenient reading of an entity's header with go-message's strict one and notes what is odd.
func (r *reader) checkHeader(data []byte, fields []field, bodyStart int) {
	if _, err := textproto.ReadHeader(bufio.NewReader(bytes.NewReader(data[:bodyStart]))); err != nil {
		r.odd[oddHeaderLine] = true
	}
	values := map[string]string{}
	for i := range fields {
		f := &fields[i]
		isMIME := strings.HasPrefix(f.canonical, "content-")
		switch {
		case f.name == "" && f.canonical != "":
			r.odd[oddHeaderName] = true
		case isMIME && strings.ToLower(f.name) != f.canonical:
			r.odd[oddHeaderName] = true
		case f.name != "" && strings.ContainsAny(f.name, " \t"):
			r.odd[oddHeaderLine] = true
		}
		folds := strings.Split(f.value, "\r\n")
		for n, fold := range folds {
			if strings.Contains(fold, "\r") {
				r.odd[oddBareCR] = true
			}
			if n > 0 && lenientName(strings.TrimSpace(fold)) != "" && strings.Contains(fold, ":") {
				r.odd[oddHeaderName] = true // some reader takes the folded line for a field of its own
			}
		}
		if !isMIME {
			continue
		}
		value := strings.ToLower(strings.Join(strings.Fields(f.value), " "))
		if before, twice := values[f.canonical]; twice && before != value {
			r.odd[oddDuplicate] = true
		}
		values[f.canonical] = value
	}
}

// all returns the values of every field that a lenient reader takes for the name, in order.
func all(fields []field, name string) []string {
	var out []string
	for i := range fields {
		if fields[i].canonical == name {
			if fields[i].name == "" {
				out = append(out, strings.TrimLeft(fields[i].value[min(len(name), len(fields[i].value)):], " \t"))
				continue
			}
			out = append(out, fields[i].value)
		}
	}
	return out
}

// first returns the value of the first well-formed field of the name.
func first(fields []field, name string) string {
	for i := range fields {
		if strings.EqualFold(fields[i].name, name) {
			return fields[i].value
		}
	}
	return ""
}

// unfold removes the folds of a value (RFC 5322 section 2.2.3).
func unfold(value string) string {
	if !strings.Contains(value, "\n") {
		return strings.TrimSpace(value)
	}
	return strings.TrimSpace(strings.NewReplacer("\r\n", "", "\n", "").Replace(value))
}

// stripComments removes RFC 5322 comments that stand outside of quotes.
func stripComments(s string) string {
	if !strings.Contains(s, "(") {
		return s
	}
	var out strings.Builder
	depth, quoted := 0, false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && i+1 < len(s):
			if depth == 0 {
				out.WriteByte(c)
				out.WriteByte(s[i+1])
			}
			i++
		case c == '"' && depth == 0:
			quoted = !quoted
			out.WriteByte(c)
		case c == '(' && !quoted:
			depth++
		case c == ')' && !quoted && depth > 0:
			depth--
		case depth == 0:
			out.WriteByte(c)
		}
	}
	return out.String()
}
