package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/postern-mail/postern/sdk/compound"
)

// rtf emits the objects that stand in hexadecimal behind \objdata, and the links of fields.
func (j *job) rtf(f file) error {
	number := 0
	for rest := f.data; ; {
		i := bytes.Index(rest, []byte(`\objdata`))
		if i < 0 {
			break
		}
		rest = rest[i+len(`\objdata`):]
		if err := j.inTime(); err != nil {
			return err
		}
		number++
		data := rtfHex(rest)
		if len(data) == 0 {
			continue
		}
		name, content := readObject(data)
		if name == "" {
			name = fmt.Sprintf("object-%d", number)
		}
		if err := j.bytes(f, name, content); err != nil {
			return err
		}
	}
	return j.rtfLinks(f)
}

// rtfHex decodes the digits of a group as Word does: it passes over blanks, control words and groups that hide digits in between, and
// reads \bin.
func rtfHex(text []byte) []byte {
	var out []byte
	var high byte
	half := false
	depth := 0
	for i := 0; i < len(text) && len(out) < maxStream; i++ {
		c := text[i]
		switch {
		case c == '{':
			depth++
			continue
		case c == '}':
			if depth--; depth < 0 {
				return out
			}
			continue
		case c == '\\':
			word, number, end := controlWord(text, i)
			i = end - 1
			if word == "bin" && number > 0 && number <= len(text)-end {
				out = append(out, text[end:end+number]...)
				i = end + number - 1
				half = false
			}
			continue
		}
		v, ok := hexDigit(c)
		if !ok {
			continue
		}
		if half {
			out = append(out, high<<4|v)
		}
		high, half = v, !half
	}
	return out
}

// controlWord reads a control word, its number, and the blank behind it.
func controlWord(text []byte, at int) (word string, number, end int) {
	i := at + 1
	for i < len(text) && (text[i] >= 'a' && text[i] <= 'z' || text[i] >= 'A' && text[i] <= 'Z') {
		i++
	}
	word = string(text[at+1 : i])
	if word == "" { // a control symbol
		if i < len(text) && text[i] == '\'' {
			return "", 0, min(len(text), i+3)
		}
		return "", 0, min(len(text), i+1)
	}
	if i < len(text) && text[i] == '-' {
		i++
	}
	for i < len(text) && text[i] >= '0' && text[i] <= '9' {
		if number < 1<<30/10 {
			number = number*10 + int(text[i]-'0')
		}
		i++
	}
	if i < len(text) && text[i] == ' ' {
		i++
	}
	return word, number, i
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// readObject takes an OLE 1.0 object apart (MS-OLEDS 2.2.4): a class, and data that may be a package or a compound file. What does not read
// like one is given as it is.
func readObject(data []byte) (name string, content []byte) {
	rest := data
	word := func() (uint32, bool) {
		if len(rest) < 4 {
			return 0, false
		}
		v := binary.LittleEndian.Uint32(rest)
		rest = rest[4:]
		return v, true
	}
	_, ok1 := word() // version
	kind, ok2 := word()
	if !ok1 || !ok2 || kind != 1 && kind != 2 {
		return embeddedAnywhere(data)
	}
	class := ""
	for i := range 3 { // class, topic, item
		n, ok := word()
		if !ok || uint64(n) > uint64(len(rest)) {
			return embeddedAnywhere(data)
		}
		if i == 0 {
			class = string(bytes.TrimRight(rest[:n], "\x00"))
		}
		rest = rest[n:]
	}
	size, ok := word()
	if !ok {
		return embeddedAnywhere(data)
	}
	content = rest[:min(uint64(size), uint64(len(rest)))]
	if strings.EqualFold(class, "package") {
		if name, file, ok := packageBody(content); ok {
			return name, file
		}
	}
	return class, content
}

// embeddedAnywhere finds a compound file behind a damaged header.
func embeddedAnywhere(data []byte) (name string, content []byte) {
	if i := bytes.Index(data, []byte(compound.Magic)); i > 0 {
		return "", data[i:]
	}
	return "", data
}

// rtfLinks reads the targets of HYPERLINK fields.
func (j *job) rtfLinks(f file) error {
	for rest := f.data; ; {
		i := bytes.Index(rest, []byte("HYPERLINK"))
		if i < 0 {
			return nil
		}
		rest = rest[i+len("HYPERLINK"):]
		start := bytes.IndexByte(rest[:min(len(rest), 64)], '"')
		if start < 0 {
			continue
		}
		end := bytes.IndexByte(rest[start+1:min(len(rest), start+1+maxLink)], '"')
		if end < 0 {
			continue
		}
		if err := j.link(f, string(rest[start+1:start+1+end]), ""); err != nil {
			return err
		}
	}
}
