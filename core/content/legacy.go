package content

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/postern-mail/postern/core/message"
)

// inlineFile is a file that stands encoded inside text.
type inlineFile struct {
	name    string
	content []byte
	format  string
}

// largeText is where a text is so long that files found in it are counted as memory.
const largeText = 1 << 20

// inlineFiles adds the files that mail clients find inside of text: uuencode, yEnc, BinHex.
func (r *reader) inlineFiles(e entity, text []byte) error {
	var files []inlineFile
	if len(text) > largeText {
		if err := r.reserveMemory(len(text)); err != nil {
			return err
		}
	}
	if bytes.Contains(text, []byte("begin ")) {
		files = append(files, decodeUU(text, false)...)
	}
	if bytes.Contains(text, []byte("=ybegin ")) {
		files = append(files, decodeYEnc(text)...)
	}
	if bytes.Contains(text, []byte("(This file must be converted with BinHex")) {
		files = append(files, decodeBinHex(text)...)
	}
	for i, f := range files {
		p := message.Part{
			Parent: e.parent, Path: fmt.Sprintf("%s/%s%d", e.path, f.format, i+1), Kind: message.PartAttachment, Depth: e.depth + 1,
			Reading: f.format, Declared: "application/octet-stream",
		}
		if f.name != "" {
			p.Names = []string{decodeWords(f.name)}
		}
		p.Display = displayName(&p)
		if _, err := r.store(p, literal(f.content)); err != nil {
			return err
		}
	}
	return nil
}

// decodeUU finds uuencoded files (POSIX uuencode, also its base64 form). bare takes lines without begin and end for a file too.
func decodeUU(text []byte, bare bool) []inlineFile {
	var out []inlineFile
	var current *inlineFile
	as64 := false
	var block []byte
	finish := func() {
		if current == nil {
			return
		}
		if as64 {
			current.content = decodeBase64(block)
		}
		if len(current.content) > 0 {
			out = append(out, *current)
		}
		current, block = nil, nil
	}
	if bare && !bytes.Contains(text, []byte("begin ")) {
		current = &inlineFile{format: "uu"}
	}
	for i := 0; i < len(text); {
		end := lineEnd(text, i)
		line := bytes.TrimRight(text[i:end], "\r\n")
		i = end
		if name, isBegin, b64 := uuBegin(line); isBegin {
			finish()
			current, as64 = &inlineFile{name: name, format: "uu"}, b64
			continue
		}
		switch {
		case current == nil:
		case bytes.Equal(line, []byte("end")), as64 && bytes.Equal(line, []byte("====")):
			finish()
		case as64:
			block = append(block, line...)
		default:
			current.content = append(current.content, uuLine(line)...)
		}
	}
	finish()
	return out
}

// uuBegin reads a "begin 644 name" or "begin-base64 644 name" line.
func uuBegin(line []byte) (name string, ok, as64 bool) {
	rest, plain := bytes.CutPrefix(line, []byte("begin "))
	if !plain {
		if rest, as64 = bytes.CutPrefix(line, []byte("begin-base64 ")); !as64 {
			return "", false, false
		}
	}
	mode, file, found := strings.Cut(strings.TrimSpace(string(rest)), " ")
	if !found || len(mode) < 3 || strings.Trim(mode, "01234567") != "" {
		return "", false, false
	}
	return strings.TrimSpace(file), true, as64
}

func uuLine(line []byte) []byte {
	if len(line) == 0 || line[0] <= ' ' || line[0] > '`' {
		return nil
	}
	want := int(line[0]-' ') & 0x3f
	out := make([]byte, 0, want+2)
	for i := 1; i < len(line) && len(out) < want; i += 4 {
		var v [4]byte
		for j := range v {
			if i+j < len(line) {
				v[j] = (line[i+j] - ' ') & 0x3f
			}
		}
		out = append(out, v[0]<<2|v[1]>>4, v[1]<<4|v[2]>>2, v[2]<<6|v[3])
	}
	return out[:min(want, len(out))]
}

// decodeYEnc finds yEnc files (yEnc draft 1.3).
func decodeYEnc(text []byte) []inlineFile {
	var out []inlineFile
	var current *inlineFile
	for i := 0; i < len(text); {
		end := lineEnd(text, i)
		line := bytes.TrimRight(text[i:end], "\r\n")
		i = end
		switch {
		case bytes.HasPrefix(line, []byte("=ybegin ")):
			current = &inlineFile{format: "yenc"}
			if _, name, found := strings.Cut(string(line), "name="); found {
				current.name = strings.TrimSpace(name)
			}
		case current == nil, bytes.HasPrefix(line, []byte("=ypart ")):
		case bytes.HasPrefix(line, []byte("=yend")):
			out = append(out, *current)
			current = nil
		default:
			for k := 0; k < len(line); k++ {
				c := line[k]
				if c == '=' && k+1 < len(line) {
					k++
					c = line[k] - 64
				}
				current.content = append(current.content, c-42)
			}
		}
	}
	if current != nil && len(current.content) > 0 {
		out = append(out, *current)
	}
	return out
}

const binHexAlphabet = "!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr"

// decodeBinHex finds BinHex 4.0 files (RFC 1741) and gives their data forks.
func decodeBinHex(text []byte) []inlineFile {
	marker := bytes.Index(text, []byte("(This file must be converted with BinHex"))
	start := bytes.IndexByte(text[max(marker, 0):], ':')
	if marker < 0 || start < 0 {
		return nil
	}
	var packed []byte
	var bits, have uint
	for _, c := range text[marker+start+1:] {
		if c == ':' {
			break
		}
		v := strings.IndexByte(binHexAlphabet, c)
		if v < 0 {
			continue
		}
		bits, have = bits<<6|uint(v), have+6
		if have >= 8 {
			have -= 8
			packed = append(packed, byte(bits>>have))
		}
	}
	raw := unrun(packed)
	if len(raw) == 0 || len(raw) < int(raw[0])+22 {
		return nil
	}
	n := int(raw[0])
	header := raw[n+2:]
	const forks = 18 + 2 // type, creator, flags, two lengths; and a checksum
	if len(header) < forks {
		return nil
	}
	// The lengths follow type, creator and flags (RFC 1741 section 3).
	size := int(header[10])<<24 | int(header[11])<<16 | int(header[12])<<8 | int(header[13])
	data := header[forks:]
	return []inlineFile{{name: string(raw[1 : n+1]), content: data[:min(max(size, 0), len(data))], format: "binhex"}}
}

// unrun expands BinHex's runs: 0x90 and a count repeat the byte before, 0x90 0x00 is 0x90 itself. What a run may give is bounded.
func unrun(packed []byte) []byte {
	const most = 64 << 20
	var out []byte
	for i := 0; i < len(packed) && len(out) < most; i++ {
		if packed[i] != 0x90 || i+1 >= len(packed) {
			out = append(out, packed[i])
			continue
		}
		i++
		switch n := int(packed[i]); {
		case n == 0:
			out = append(out, 0x90)
		case len(out) > 0:
			out = append(out, bytes.Repeat(out[len(out)-1:], n-1)...)
		}
	}
	return out
}
