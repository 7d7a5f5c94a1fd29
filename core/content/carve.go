package content

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"iter"

	"github.com/postern-mail/postern/core/message"
)

// carve adds what lenient readers find in the bytes whatever the structure says: entities behind anything like a delimiter, and
// encoded files anywhere. What is found stands under the part given. It runs only where the strict reading met something odd.
func (r *reader) carve(data []byte, under entity) error {
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
		e := entity{parent: under.parent, path: fmt.Sprintf("%s+%d", under.path, number), depth: under.depth, reading: "carved", offset: -1, data: data[start:end]}
		body := data[start:end][bodyStart:]
		if bytes.HasPrefix([]byte(h.kind), []byte("multipart/")) {
			continue // its parts are behind delimiters of their own
		}
		if err := r.carveBody(e, h, body); err != nil {
			return err
		}
	}
	if err := r.inlineFiles(entity{parent: under.parent, path: under.path, depth: under.depth, offset: -1}, data); err != nil {
		return err
	}
	return r.everyDecoding(message.Part{Parent: under.parent, Path: under.path + "+0", Depth: under.depth, Kind: message.PartAttachment}, data)
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
	if _, err := r.store(p, r.decoding(h.encoding, body)); err != nil {
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
func (r *reader) otherDecodings(p message.Part, body []byte, id int) error {
	kept, err := r.stored(id)
	if err != nil {
		return err
	}
	p.Reading = "other decoding"
	return r.decodings(p, body, kept)
}

func (r *reader) everyDecoding(p message.Part, body []byte) error {
	p.Reading = "carved"
	return r.decodings(p, body, nil)
}

func (r *reader) decodings(p message.Part, body, kept []byte) error {
	if err := r.reserveMemory(len(body)); err != nil {
		return err
	}
	if p.Display == "" {
		p.Display = "part " + p.Path
	}
	p.Kind = message.PartAttachment
	for decoded := range tries(body) {
		at := knownFile(decoded)
		if at < 0 || bytes.Equal(decoded[at:], kept) {
			continue
		}
		if _, err := r.store(p, literal(decoded[at:])); err != nil {
			return err
		}
	}
	return nil
}

// tries yields a body in every way in which broken encodings are read, one in memory at a time.
func tries(body []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if !yield(body) || !yield(decodeBase64(body)) || !yield(decodeQuoted(body)) {
			return
		}
		for run := range base64Runs(body) {
			if !yield(run) {
				return
			}
		}
		if yield(decodeBase64(decodeQuoted(body))) {
			yield(decodeQuoted(decodeBase64(body)))
		}
	}
}

// base64Runs decodes the pieces of a body in the ways in which broken base64 is read: every block between blank or foreign lines by
// itself, cut at the first padding, without the characters of each line that break it, and from each of the four phases.
func base64Runs(body []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for block := range base64Blocks(body) {
			for phase := range 4 {
				if decoded := decodeBase64(block[phase:]); knownFile(decoded) == 0 && !yield(decoded) {
					return
				}
			}
			pad := bytes.IndexByte(block, '=')
			if pad <= 0 {
				continue
			}
			upToPad, _ := base64.RawStdEncoding.DecodeString(string(block[:pad/4*4])) // up to where it breaks
			if !yield(upToPad) || !yield(decodeBase64(bytes.ReplaceAll(block, []byte("="), nil))) {
				return
			}
		}
		yield(decodeBase64(cutLines(body)))
	}
}

// base64Blocks yields the text of adjacent lines that are base64, where it is long enough to hold a file.
func base64Blocks(body []byte) iter.Seq[[]byte] {
	const shortest = 40
	return func(yield func([]byte) bool) {
		var block []byte
		for i := 0; i < len(body); {
			end := lineEnd(body, i)
			line := bytes.TrimSpace(body[i:end])
			i = end
			n := alphabetRun(line)
			if n > 0 && n == len(bytes.TrimRight(line, "=")) {
				block = append(block, line...)
				continue
			}
			if n > 0 {
				continue // begins as base64 does: it does not end the block
			}
			if len(block) >= shortest && !yield(block) {
				return
			}
			block = nil
		}
		if len(block) >= shortest {
			yield(block)
		}
	}
}

// cutLines is what is left of lines with foreign characters when each is cut at the first one.
func cutLines(body []byte) []byte {
	var cut []byte
	for i := 0; i < len(body); {
		end := lineEnd(body, i)
		line := bytes.TrimSpace(body[i:end])
		i = end
		cut = append(cut, line[:alphabetRun(line)/4*4]...)
	}
	return cut
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
