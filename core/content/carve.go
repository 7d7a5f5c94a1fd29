package content

import (
	"bytes"
	"encoding/base64"
	"fmt"

	"github.com/postern-mail/postern/core/message"
)

// carve adds what lenient readers find in the bytes whatever the structure says: entities behind anything like a delimiter, and
// encoded files anywhere. It runs only where the strict reading met something odd.
func (r *reader) carve(data []byte) error {
	number := 0
	for at := range delimiters(data) {
		start := lineEnd(data, at)
		end := nextDelimiter(data, start)
		if !hasMIMEField(data[start:end]) {
			continue
		}
		number++
		fields, bodyStart, _ := scanHeader(data[start:end], r.limits.HeaderBytes)
		h := r.readHead(fields, false)
		e := entity{parent: 0, path: fmt.Sprintf("1+%d", number), depth: 1, reading: "carved", offset: -1, data: data[start:end]}
		body := data[start:end][bodyStart:]
		if bytes.HasPrefix([]byte(h.kind), []byte("multipart/")) {
			continue // its parts are behind delimiters of their own
		}
		if err := r.carveBody(e, h, body); err != nil {
			return err
		}
	}
	if err := r.inlineFiles(entity{parent: 0, path: "1", depth: 1, offset: -1}, data); err != nil {
		return err
	}
	return r.everyDecoding(message.Part{Parent: 0, Path: "1+0", Depth: 1, Kind: message.PartAttachment}, data)
}

// carveBody keeps a carved entity, in every decoding that gives something.
func (r *reader) carveBody(e entity, h head, body []byte) error {
	kind := message.PartAttachment
	if len(h.names) == 0 && !h.attachment && h.kind == "text/plain" {
		kind = message.PartText
	}
	p := message.Part{
		Parent: e.parent, Path: e.path, Names: h.names, Declared: h.kind, Kind: kind, Reading: e.reading, Depth: e.depth,
	}
	p.Display = displayName(&p)
	if _, err := r.store(p, r.decode(h.encoding, body)); err != nil {
		return err
	}
	return r.everyDecoding(p, body)
}

// delimiters yields the index of every line that begins with two hyphens and more.
func delimiters(data []byte) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		for i := 0; i < len(data); i = lineEnd(data, i) {
			if bytes.HasPrefix(data[i:], []byte("--")) && !yield(i) {
				return
			}
		}
	}
}

func nextDelimiter(data []byte, start int) int {
	for at := range delimiters(data[start:]) {
		return start + at
	}
	return len(data)
}

// otherDecodings adds the decodings of a body that differ from the one that was kept, where they give a file of a known kind.
func (r *reader) otherDecodings(p message.Part, body, kept []byte) error {
	p.Reading = "other decoding"
	return r.decodings(p, body, kept)
}

func (r *reader) everyDecoding(p message.Part, body []byte) error {
	p.Reading = "carved"
	return r.decodings(p, body, nil)
}

func (r *reader) decodings(p message.Part, body, kept []byte) error {
	tries := [][]byte{body}
	lenient, _ := decodeBase64(body)
	quoted, _ := decodeQuoted(body)
	tries = append(tries, lenient, quoted)
	tries = append(tries, base64Runs(body)...)
	for _, blanks := range [][]byte{quoted} {
		again, _ := decodeBase64(blanks)
		tries = append(tries, again)
	}
	again, _ := decodeQuoted(lenient)
	tries = append(tries, again)
	for _, decoded := range tries {
		at := knownFile(decoded)
		if at < 0 || bytes.Equal(decoded[at:], kept) {
			continue
		}
		if p.Display == "" {
			p.Display = "part " + p.Path
		}
		p.Kind = message.PartAttachment
		if _, err := r.store(p, decoded[at:]); err != nil {
			return err
		}
	}
	return nil
}

// base64Runs decodes the pieces of a body in the ways in which broken base64 is read: every block between blank or foreign lines by
// itself, cut at the first padding, without the characters of each line that break it, and from each of the four phases.
func base64Runs(body []byte) [][]byte {
	var out [][]byte
	var block []byte
	take := func() {
		if len(block) >= 40 {
			for phase := range 4 {
				decoded, _ := decodeBase64(block[phase:])
				if knownFile(decoded) == 0 {
					out = append(out, decoded)
				}
			}
			if pad := bytes.IndexByte(block, '='); pad > 0 {
				decoded, _ := base64.RawStdEncoding.DecodeString(string(block[:pad/4*4]))
				out = append(out, decoded)
				ignored, _ := decodeBase64(bytes.ReplaceAll(block, []byte("="), nil))
				out = append(out, ignored)
			}
		}
		block = nil
	}
	for i := 0; i < len(body); {
		end := lineEnd(body, i)
		line := bytes.TrimSpace(body[i:end])
		i = end
		if n := alphabetRun(line); n == len(bytes.TrimRight(line, "=")) && n > 0 {
			block = append(block, line...)
			continue
		} else if len(line) > 0 && n == 0 || len(line) == 0 {
			take()
		}
	}
	take()
	// Lines with foreign characters: what is left of each when it is cut at the first one.
	var cut []byte
	for i := 0; i < len(body); {
		end := lineEnd(body, i)
		line := bytes.TrimSpace(body[i:end])
		i = end
		cut = append(cut, line[:alphabetRun(line)/4*4]...)
	}
	decoded, _ := decodeBase64(cut)
	return append(out, decoded)
}

// fileMagics are the beginnings of files that are worth hiding: archives, programs, documents.
func fileMagics() [][]byte {
	return [][]byte{
		[]byte("PK\x03\x04"), []byte("Rar!\x1a\x07"), []byte("7z\xbc\xaf\x27\x1c"), []byte("\x1f\x8b\x08"), []byte("BZh"),
		[]byte("MZ\x90\x00"), []byte("\x7fELF"), []byte("%PDF-"), []byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), []byte("{\\rtf"),
		[]byte("MSCF\x00\x00"), []byte("X5O!P%@AP"),
	}
}

// knownFile is where a file of a known kind begins, within the first bytes of the data; -1 where none does.
func knownFile(data []byte) int {
	best := -1
	window := data[:min(len(data), 64<<10)]
	for _, magic := range fileMagics() {
		if i := bytes.Index(window, magic); i >= 0 && (best < 0 || i < best) {
			best = i
		}
	}
	return best
}
