package main

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"strings"
	"unicode/utf16"

	"github.com/postern-mail/postern/sdk/compound/compoundtest"
)

func le16(v int) []byte { return binary.LittleEndian.AppendUint16(nil, uint16(v)) }

func le32(v int) []byte { return binary.LittleEndian.AppendUint32(nil, uint32(v)) }

func wide(s string) []byte {
	var out []byte
	for _, u := range utf16.Encode([]rune(s)) {
		out = binary.LittleEndian.AppendUint16(out, u)
	}
	return out
}

// compressVBA compresses as MS-OVBA 2.4.1 says, with copies.
func compressVBA(text string) []byte {
	out := []byte{1}
	for rest := []byte(text); len(rest) > 0; {
		chunk := rest[:min(len(rest), 4096)]
		rest = rest[len(chunk):]
		var body []byte
		for at := 0; at < len(chunk); {
			flagsAt := len(body)
			body = append(body, 0)
			for bit := 0; bit < 8 && at < len(chunk); bit++ {
				width := max(4, bits.Len(uint(max(at, 1)-1)))
				length, back := longestCopy(chunk, at, 0xffff>>width+3)
				if length < 3 {
					body = append(body, chunk[at])
					at++
					continue
				}
				body[flagsAt] |= 1 << bit
				body = append(body, le16((back-1)<<(16-width)|(length-3))...)
				at += length
			}
		}
		out = append(append(out, le16(0xb000|(len(body)+2-3))...), body...)
	}
	return out
}

func longestCopy(chunk []byte, at, most int) (length, back int) {
	for b := 1; b <= at; b++ {
		n := 0
		for n < most && at+n < len(chunk) && chunk[at+n-b] == chunk[at+n] {
			n++
		}
		if n > length {
			length, back = n, b
		}
	}
	return length, back
}

// documentWith is an old document with one module of macros. What stands before the source is its compiled form.
func documentWith(source, compiled, names string) []byte {
	record := func(id int, body []byte) []byte { return append(append(le16(id), le32(len(body))...), body...) }
	dir := bytes.Join([][]byte{
		record(1, le32(1)), append(append(le16(9), le32(4)...), 1, 0, 0, 0, 2, 0), record(0x19, []byte("Module1")),
		record(0x1a, []byte("Module1")), record(0x32, wide("Module1")), record(0x31, le32(len(compiled))), record(0x2b, nil),
	}, nil)
	module := compiled + string(compressVBA("Attribute VB_Name = \"Module1\"\r\n"+source))
	return compoundtest.File("Macros/VBA/dir", string(compressVBA(string(dir))), "Macros/VBA/Module1", module, "Macros/VBA/_VBA_PROJECT", "\xcc\x61"+names)
}

// linkOf is a shell link (MS-SHLLINK) that starts a program with arguments.
func linkOf(target, arguments, icon string) []byte {
	const hasRelative, hasArguments, hasIcon, isUnicode = 8, 32, 64, 128
	header := make([]byte, 76)
	copy(header, linkMagic)
	binary.LittleEndian.PutUint32(header[20:], hasRelative|hasArguments|hasIcon|isUnicode)
	out := header
	for _, text := range []string{target, arguments, icon} {
		out = append(append(out, le16(len(utf16.Encode([]rune(text))))...), wide(text)...)
	}
	return append(out, 0, 0, 0, 0)
}

// simplestSuspect is a file that makes one possible detection: a link that starts PowerShell with an encoded command.
func simplestSuspect() []byte {
	return linkOf(`..\..\Windows\System32\WindowsPowerShell\v1.0\powershell.exe`, "-enc VwByAGkAdABlAC0ASABvAHMAdAAgAGgAZQBsAGwAbwA=", "")
}

// sectionOf is one section of a program that is built.
type sectionOf struct {
	name    string
	virtual int
	can     int
	content []byte
	size    int // in memory, where there is no content
}

// programOf is a program (PE32) that starts at an address. It would do nothing.
func programOf(entry, imports int, sections ...sectionOf) []byte {
	const at, optional = 64, 224
	head := make([]byte, 1024)
	copy(head, "MZ")
	binary.LittleEndian.PutUint32(head[60:], at)
	copy(head[at:], "PE\x00\x00")
	binary.LittleEndian.PutUint16(head[at+6:], uint16(len(sections)))
	binary.LittleEndian.PutUint16(head[at+20:], optional)
	binary.LittleEndian.PutUint16(head[at+24:], 0x10b)
	binary.LittleEndian.PutUint32(head[at+24+16:], uint32(entry))
	binary.LittleEndian.PutUint32(head[at+24+96+8:], uint32(imports))
	out := head
	for i, s := range sections {
		h := head[at+24+optional+40*i:]
		copy(h[:8], s.name)
		binary.LittleEndian.PutUint32(h[8:], uint32(max(len(s.content), s.size)))
		binary.LittleEndian.PutUint32(h[12:], uint32(s.virtual))
		binary.LittleEndian.PutUint32(h[16:], uint32(len(s.content)))
		binary.LittleEndian.PutUint32(h[20:], uint32(len(out)))
		binary.LittleEndian.PutUint32(h[36:], uint32(s.can))
		out = append(out, s.content...)
	}
	copy(out, head)
	return out
}

// packedBytes look random, and are the same every time.
func packedBytes(n int) []byte {
	out := make([]byte, n)
	v := uint32(1)
	for i := range out {
		v = v*1664525 + 1013904223
		out[i] = byte(v >> 24)
	}
	return out
}

// importsOf is an import table at an address that names so many libraries.
func importsOf(libraries int) []byte {
	out := make([]byte, 20*(libraries+1))
	for i := range libraries {
		binary.LittleEndian.PutUint32(out[20*i+12:], 0x5000)
	}
	return out
}

// noteOf is a section of notes with a file in it, under a name.
func noteOf(name string, content []byte) []byte {
	out := append([]byte(oneSection), make([]byte, 64)...)
	out = append(append(out, wide(name)...), 0, 0)
	out = append(append(out, oneFile...), le32(len(content))...)
	out = append(out, make([]byte, 16)...)
	return append(out, content...)
}

// workbookOf is an old workbook with a macro sheet.
func workbookOf(visibility byte, name string, tokens []byte) []byte {
	record := func(id int, body []byte) []byte { return append(append(le16(id), le16(len(body))...), body...) }
	sheet := append(le32(0), visibility, 1, 1, 0, 'm')
	label := append([]byte{0, 0, 0, byte(len(name)), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, name...)
	if name == "Auto_Open" { // which has a number
		label = append([]byte{0x20, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 1, 0)
	}
	stream := bytes.Join([][]byte{
		record(0x809, append(le16(0x600), le16(5)...)), record(0x85, sheet), record(0x18, label), record(0x0a, nil),
		record(0x809, append(le16(0x600), le16(0x40)...)), record(0x06, append(make([]byte, 22), tokens...)), record(0x0a, nil),
	}, nil)
	return compoundtest.File("Workbook", string(stream))
}

// equationOf is an object of the equation editor whose font has a name.
func equationOf(font string) []byte {
	body := append(le16(28), make([]byte, 26)...)
	body = append(body, 3, 1, 1, 3, 10, 0x0a, 8, 0x5a, 0x5a)
	return compoundtest.File("Equation Native", string(body)+font+"\x00")
}

func repeated(text string, n int) string { return strings.Repeat(text, n) }
