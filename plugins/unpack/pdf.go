package main

import (
	"bytes"
	"compress/zlib"
	"encoding/ascii85"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// Bounds of what is looked at in one PDF.
const (
	maxPDFStreams = 200_000
	maxPDFText    = 32 << 20 // of inflated streams that are searched for links and objects
	pdfHead       = 1024     // a PDF may begin this late
)

func isPDF(f file) bool { return bytes.Contains(f.data[:min(len(f.data), pdfHead)], []byte("%PDF-")) }

// pdfReader finds what a PDF holds without its tables, which hostile files break on purpose: every object is looked at.
type pdfReader struct {
	job    *job
	file   file
	links  map[string]bool
	left   int // bytes that may be inflated still
	found  int
	crypt  *pdfSealing // nil: not encrypted
	opened string      // source of the password
}

// pdf emits the files embedded in a PDF, and reports the links of its annotations and actions, those in compressed objects included.
func (j *job) pdf(f file) error {
	p := &pdfReader{
		job: j, file: f, links: map[string]bool{}, left: maxPDFText,
	}
	sealed, err := p.unlock()
	if sealed || err != nil {
		return err
	}
	var broken error
	streams := 0
	for rest, at := f.data, 0; streams < maxPDFStreams; streams++ {
		i := bytes.Index(rest[at:], []byte("stream"))
		if i < 0 {
			break
		}
		start := at + i + len("stream")
		at = start
		if i >= 3 && bytes.HasSuffix(rest[:start-len("stream")], []byte("end")) {
			continue
		}
		dictionary := dictionaryBefore(rest[:start-len("stream")])
		if dictionary == nil {
			continue
		}
		body := rest[start:]
		body = bytes.TrimPrefix(bytes.TrimPrefix(body, []byte("\r")), []byte("\n"))
		end := bytes.Index(body, []byte("endstream"))
		if end < 0 {
			end = len(body)
		} else {
			end = streamEnd(dictionary, body, end)
		}
		at = len(rest) - len(body) + end
		content := body[:end]
		if p.crypt != nil && !pdfName(dictionary, "/XRef") {
			if object, generation, ok := objectBefore(rest[:start]); ok {
				content = p.crypt.decrypt(object, generation, content)
			}
		}
		if err := p.stream(dictionary, content); err != nil {
			if ends(err) {
				return err
			}
			broken = err
		}
	}
	if err := p.report(f.data, p.crypt); err != nil {
		return err
	}
	return broken
}

// unlock finds the password of an encrypted PDF. Most are encrypted with the empty one, only to forbid printing: they are not sealed.
func (p *pdfReader) unlock() (sealed bool, err error) {
	s, known := readPDFSealing(p.file.data)
	if s == nil {
		return false, nil
	}
	if !known {
		return true, p.job.sealed(p.file)
	}
	p.crypt = s
	if s.unlock("") {
		return false, nil
	}
	found := p.job.tryPasswords(s.unlock)
	if found == nil {
		return true, p.job.sealed(p.file)
	}
	p.opened = found.Source
	return false, nil
}

// streamEnd is where the content ends: where its length says, if only a line end stands between there and the mark, or else before the
// line end that belongs to the mark.
func streamEnd(dictionary, body []byte, mark int) int {
	if i := bytes.Index(dictionary, []byte("/Length")); i >= 0 {
		digits := bytes.TrimLeft(dictionary[i+len("/Length"):], " \t\r\n")
		n := 0
		for n < len(digits) && n < 10 && digits[n] >= '0' && digits[n] <= '9' {
			n++
		}
		length, err := strconv.Atoi(string(digits[:n]))
		if err == nil && length <= mark && mark-length <= 2 && len(bytes.Trim(body[length:mark], "\r\n")) == 0 {
			return length
		}
	}
	return len(bytes.TrimSuffix(bytes.TrimSuffix(body[:mark], []byte("\n")), []byte("\r")))
}

// dictionaryBefore is the dictionary that stands directly before a stream.
func dictionaryBefore(data []byte) []byte {
	const most = 4096
	data = bytes.TrimRight(data[max(0, len(data)-most):], " \t\r\n")
	if !bytes.HasSuffix(data, []byte(">>")) {
		return nil
	}
	if i := bytes.LastIndex(data, []byte(" obj")); i >= 0 {
		return data[i:]
	}
	depth := 0
	for i := len(data) - 2; i >= 0; i-- {
		switch {
		case string(data[i:i+2]) == ">>":
			depth++
			i--
		case i > 0 && string(data[i-1:i+1]) == "<<":
			if depth--; depth == 0 {
				return data[i-1:]
			}
			i--
		}
	}
	return data
}

// pdfName reports whether the dictionary has the name as a word, written plainly or with #XX.
func pdfName(dictionary []byte, name string) bool {
	text := unescapeNames(dictionary)
	for {
		i := bytes.Index(text, []byte(name))
		if i < 0 {
			return false
		}
		text = text[i+len(name):]
		if len(text) == 0 || !isRegular(text[0]) {
			return true
		}
	}
}

func isRegular(c byte) bool { return c > ' ' && !strings.ContainsRune("()<>[]{}/%", rune(c)) }

func unescapeNames(text []byte) []byte {
	if bytes.IndexByte(text, '#') < 0 {
		return text
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == '#' && i+2 < len(text) {
			high, ok1 := hexDigit(text[i+1])
			low, ok2 := hexDigit(text[i+2])
			if ok1 && ok2 {
				out = append(out, high<<4|low)
				i += 2
				continue
			}
		}
		out = append(out, text[i])
	}
	return out
}

func (p *pdfReader) stream(dictionary, body []byte) error {
	j := p.job
	embedded := pdfName(dictionary, "/EmbeddedFile") || pdfName(dictionary, "/EmbeddedFiles")
	objects := pdfName(dictionary, "/ObjStm")
	image := pdfName(dictionary, "/Image")
	if image && pdfName(dictionary, "/DCTDecode") {
		return j.picture(file{number: p.file.number, name: p.file.name, data: body})
	}
	if image || pdfName(dictionary, "/FontFile") || pdfName(dictionary, "/XRef") {
		return nil
	}
	if err := j.inTime(); err != nil {
		return err
	}
	if !embedded && !objects {
		// Of other streams only what looks like a file is emitted: content may be mislabelled.
		start, err := readSome(pdfDecoder(dictionary, body), 64)
		if err != nil || !isEmbedded(start) {
			return nil
		}
		embedded = true
	}
	if embedded {
		p.found++
		name := p.nameOf()
		err := j.emit(p.file, item{name: name, opened: p.opened}, pdfDecoder(dictionary, body))
		if err != nil && !ends(err) {
			return fmt.Errorf("embedded file %d: %w", p.found, err)
		}
		return err
	}
	text, _ := readSome(pdfDecoder(dictionary, body), int64(p.left)) // as far as it goes
	p.left -= len(text)
	return p.report(text, nil)
}

// nameOf is the name of the next embedded file, of those that file specifications give in order.
func (p *pdfReader) nameOf() string {
	specification := regexp.MustCompile(`/Type\s*/Filespec[^>]{0,400}?/U?F\s*\(([^()]{1,200})\)|/U?F\s*\(([^()]{1,200})\)[^>]{0,400}?/EF\b`)
	all := specification.FindAllSubmatch(p.file.data, p.found)
	if len(all) >= p.found {
		m := all[p.found-1]
		name := string(m[1]) + string(m[2])
		if i := strings.LastIndexAny(name, `\/`); i >= 0 {
			name = name[i+1:]
		}
		if name != "" {
			return name
		}
	}
	return fmt.Sprintf("embedded-%d", p.found)
}

// pdfDecoder undoes the filters of a stream, in their order.
func pdfDecoder(dictionary, body []byte) io.Reader {
	var r io.Reader = bytes.NewReader(body)
	text := unescapeNames(dictionary)
	i := bytes.Index(text, []byte("/Filter"))
	if i < 0 {
		return r
	}
	filters := text[i+len("/Filter"):]
	if open := bytes.IndexByte(filters, '['); open >= 0 && open < 4 {
		if end := bytes.IndexByte(filters, ']'); end >= 0 {
			filters = filters[:end]
		}
	} else if slash := bytes.IndexByte(filters, '/'); slash >= 0 {
		end := slash + 1
		for end < len(filters) && isRegular(filters[end]) {
			end++
		}
		filters = filters[:end]
	}
	for _, name := range strings.FieldsFunc(string(filters), func(c rune) bool { return !isRegular(byte(c)) }) {
		switch name {
		case "FlateDecode", "Fl":
			inflated, err := zlib.NewReader(r)
			if err != nil {
				return io.MultiReader() // what does not begin as zlib does holds nothing
			}
			r = inflated
		case "ASCIIHexDecode", "AHx":
			digits, _ := readSome(r, maxStream)
			r = bytes.NewReader(rtfHex(bytes.TrimRight(digits, "> \r\n")))
		case "ASCII85Decode", "A85":
			digits, _ := readSome(r, maxStream)
			digits, _, _ = bytes.Cut(bytes.TrimPrefix(bytes.TrimSpace(digits), []byte("<~")), []byte("~>"))
			r = ascii85.NewDecoder(bytes.NewReader(digits))
		}
	}
	return r
}

// report finds the links in the text of objects: the values of the keys that lead out of a document.
// Where the text is the encrypted file itself, its strings are decrypted.
func (p *pdfReader) report(text []byte, crypt *pdfSealing) error {
	whole := text
	for found := 0; found < maxPDFStreams; {
		i := bytes.IndexByte(text, '/')
		if i < 0 {
			return nil
		}
		text = text[i+1:]
		n := 0
		for n < len(text) && n < 5 && isRegular(text[n]) {
			n++
		}
		switch string(text[:n]) {
		case "URI", "F", "UF", "Base":
		default:
			continue
		}
		raw, ok := stringAt(bytes.TrimLeft(text[n:min(len(text), n+maxLink)], " \t\r\n"))
		if !ok {
			continue
		}
		found++
		if crypt != nil {
			if object, generation, ok := objectBefore(whole[:len(whole)-len(text)]); ok {
				raw = string(crypt.decrypt(object, generation, []byte(raw)))
			}
		}
		if strings.HasPrefix(raw, "\xfe\xff") {
			raw = swapUTF16(raw[2:])
		}
		lower := strings.ToLower(raw)
		if p.links[raw] || !strings.Contains(lower, "://") && !strings.HasPrefix(lower, "www.") {
			continue
		}
		p.links[raw] = true
		if err := p.job.link(p.file, raw, ""); err != nil {
			return err
		}
	}
	return nil
}

// stringAt reads the string that the text begins with, literal or hexadecimal (ISO 32000-1 7.3.4).
func stringAt(text []byte) (string, bool) {
	if len(text) < 2 {
		return "", false
	}
	if text[0] == '<' && text[1] != '<' {
		digits, _, found := bytes.Cut(text[1:], []byte(">"))
		return string(rtfHex(digits)), found
	}
	if text[0] != '(' {
		return "", false
	}
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return string(unescapeString(text[1:i])), true
			}
		}
	}
	return "", false
}

func swapUTF16(s string) string {
	swapped := []byte(s)[:len(s)/2*2]
	for i := 0; i+1 < len(swapped); i += 2 {
		swapped[i], swapped[i+1] = swapped[i+1], swapped[i]
	}
	return fromUTF16(swapped)
}

// unescapeString undoes the escapes of a literal string (ISO 32000-1 7.3.4.2).
func unescapeString(text []byte) []byte {
	if bytes.IndexByte(text, '\\') < 0 {
		return text
	}
	var out []byte
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			out = append(out, text[i])
			continue
		}
		i++
		switch c := text[i]; {
		case c == '\n' || c == '\r':
		case c >= '0' && c <= '7':
			v, n := 0, 0
			for ; n < 3 && i+n < len(text) && text[i+n] >= '0' && text[i+n] <= '7'; n++ {
				v = v<<3 | int(text[i+n]-'0')
			}
			out = append(out, byte(v))
			i += n - 1
		default:
			out = append(out, c)
		}
	}
	return out
}
