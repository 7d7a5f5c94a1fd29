package main

import (
	"bytes"
	"encoding/binary"
	"regexp"
	"strings"

	"github.com/postern-mail/postern/sdk/compound"
)

// Bounds of what is read of a text in RTF.
const (
	maxRTFObjects = 100
	maxRTFDecoded = 8 << 20 // of all objects together
)

func isRTF(s *subject) bool { return begins(s.data, "{\\rt", "{\\ rt") }

// rtf judges the shapes of exploits: objects of kinds that Word opens by itself or reads wrongly, in texts that hide them.
func rtf(s *subject) []hit {
	found := &signs{}
	if !regexp.MustCompile(`^\{\\rtf1?[\\\s{]`).Match(s.data) {
		found.add(1, "the header is broken on purpose (%s)", quoted(string(s.data[:min(len(s.data), 12)])))
	}
	if i := bytes.Index(s.data, []byte(`\objupdate`)); i >= 0 {
		found.add(1, "at %d an object asks to be opened by itself", i)
	}
	if m := regexp.MustCompile(`(?s)\\sn\s*pFragments\b.{0,64}\\sv\s*[^{}]{512,}`).FindIndex(s.data); m != nil {
		found.add(2, "at %d a shape has far more fragments than Word takes", m[0])
		found.add(1, "no program writes them as text so long")
		return found.hit("EXPL_CVE-2010-3333", 2)
	}
	name := "HEUR_RTF_OBJECT"
	rest, offset := s.data, 0
	left := maxRTFDecoded
	for number := 0; number < maxRTFObjects && left > 0; number++ {
		i := bytes.Index(rest, []byte(`\objdata`))
		if i < 0 {
			break
		}
		rest, offset = rest[i+len(`\objdata`):], offset+i+len(`\objdata`)
		data, noise := rtfHex(rest, left)
		left -= len(data) + noise
		if noise > 64 && noise > len(data)/8 {
			found.add(1, "at %d the digits of an object are broken up (%d times)", offset, noise)
		}
		if exploit := rtfObject(found, data, offset); exploit != "" {
			name = exploit
		}
	}
	hits := found.hit(name, 3)
	return append(hits, rtfFields(s.data)...)
}

// rtfObject tells what is odd in an object's content.
func rtfObject(found *signs, data []byte, offset int) (exploit string) {
	lower := asciiLower(data[:min(len(data), 256)])
	// Class identifiers as they stand in a compound file: Equation 3.0, and the moniker of an address.
	const equationClass = "\x02\xce\x02\x00\x00\x00\x00\x00\xc0\x00\x00\x00\x00\x00\x00\x46"
	const addressMoniker = "\xe0\xc9\xea\x79\xf9\xba\xce\x11\x8c\x82\x00\xaa\x00\x4b\xa9\x0b"
	switch {
	case bytes.Contains(lower, []byte("equation.")) || bytes.Contains(data, []byte(equationClass)):
		found.add(2, "at %d an object of the old equation editor", offset)
		exploit = "EXPL_CVE-2017-11882"
	case bytes.Contains(data, []byte(addressMoniker)):
		found.add(3, "at %d a link to an address that is fetched when the text is opened", offset)
		exploit = "EXPL_CVE-2017-0199"
	case bytes.Contains(lower, []byte("ole2link")):
		found.add(1, "at %d a linked object", offset)
		if bytes.Contains(data, utf16Bytes("http")) || bytes.Contains(data, []byte("http")) {
			found.add(2, "its source is an address")
			exploit = "EXPL_CVE-2017-0199"
		}
	}
	if i := bytes.Index(data, []byte(compound.Magic)); i >= 0 {
		if o, _ := compound.Read(data[i:]); o != nil {
			for _, path := range o.Paths {
				if !strings.HasSuffix(path, "Equation Native") {
					continue
				}
				if start, _ := o.ReadSome(path, 4<<10); len(equation(start)) > 0 {
					found.add(2, "its equation names a font longer than the editor takes")
				}
				break
			}
		}
	}
	return exploit
}

func utf16Bytes(s string) []byte {
	var out []byte
	for _, c := range []byte(s) {
		out = append(out, c, 0)
	}
	return out
}

// rtfHex decodes the digits of a group, and counts what stands between them that no program writes there.
func rtfHex(text []byte, most int) (out []byte, noise int) {
	var high byte
	half := false
	depth := 0
	for i := 0; i < len(text) && len(out)+noise < most; i++ {
		c := text[i]
		switch {
		case c == '{':
			depth++
			noise++
			continue
		case c == '}':
			if depth--; depth < 0 {
				return out, noise
			}
			continue
		case c == '\\':
			noise++
			for i+1 < len(text) && (text[i+1]|0x20 >= 'a' && text[i+1]|0x20 <= 'z' || text[i+1] >= '0' && text[i+1] <= '9' || text[i+1] == '-') {
				i++
			}
			continue
		case c == '\t' || c == ' ':
			noise++
			continue
		}
		v := strings.IndexByte("0123456789abcdef", c|0x20)
		if c >= '0' && c <= '9' {
			v = int(c - '0')
		}
		if v < 0 || c < '0' {
			continue
		}
		if half {
			out = append(out, high<<4|byte(v))
		}
		high, half = byte(v), !half
	}
	return out, noise
}

// rtfFields finds fields that start a program (DDE).
func rtfFields(data []byte) []hit {
	for _, m := range regexp.MustCompile(`\\fldinst[^a-zA-Z]{0,64}`).FindAllIndex(data, maxRTFObjects) {
		field := data[m[1]:min(len(data), m[1]+1024)]
		if hits := ddeField(string(regexp.MustCompile(`[{}]|\\[a-z]+-?\d* ?`).ReplaceAll(field, nil))); len(hits) > 0 {
			return hits
		}
	}
	return nil
}

// equation finds an equation (MTEF 3) whose font's name runs over the buffer of the editor, which takes 36 bytes.
func equation(data []byte) []hit {
	const header, mtef, fontRecord, longest = 28, 5, 8, 36
	if len(data) < header+mtef || binary.LittleEndian.Uint16(data) != header || data[header] > 5 {
		return nil
	}
	body := data[header+mtef:]
	found := &signs{}
	for i := 0; i+3 < min(len(body), 32); i++ {
		if body[i] != fontRecord {
			continue
		}
		name := body[i+3:]
		end := bytes.IndexByte(name, 0)
		if end < 0 {
			end = len(name)
		}
		if end > longest {
			found.add(2, "at %d the font's name has %d bytes", header+mtef+i, end)
			if bytes.IndexFunc(name[:end], func(r rune) bool { return r < ' ' || r > '~' }) >= 0 || bytes.ContainsAny(name[:end], "./\\") {
				found.add(1, "and is no name: a command or machine code")
			}
			return found.hit("EXPL_CVE-2017-11882", 3)
		}
	}
	return nil
}
