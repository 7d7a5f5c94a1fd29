package main

import (
	"bytes"
	"encoding/binary"
	"strings"

	"github.com/gabriel-vasile/mimetype"
)

// look names every type that the content fits, the surest first.
func (d *detector) look(s *sample) []kind {
	f := &found{detector: d}
	d.lookAtMarks(s, f)
	d.lookAtContainers(s, f)
	if len(f.kinds) == 0 && len(s.head) > 0 {
		d.lookAtText(s, f)
	}
	d.lookBehind(s, f)
	if len(f.kinds) == 0 {
		f.add("unknown", "application/octet-stream")
	}
	return f.kinds
}

// found collects types, each once.
type found struct {
	detector *detector
	kinds    []kind
	library  *mimetype.MIME // what the library says, asked once
}

func (f *found) ask(s *sample) *mimetype.MIME {
	if f.library == nil {
		f.library = mimetype.Detect(s.head)
	}
	return f.library
}

func (f *found) add(name, media string) {
	if same, is := f.detector.aliases[name]; is {
		name = same
	}
	for _, k := range f.kinds {
		if k.name == name {
			return
		}
	}
	f.kinds = append(f.kinds, kind{name: name, category: f.detector.category(name, media), media: media})
}

func (f *found) known(name string) { f.add(name, "application/x-"+name) }

func (f *found) has(category string) bool {
	for _, k := range f.kinds {
		if k.category == category {
			return true
		}
	}
	return false
}

// lookAtMarks is for what the first bytes tell, here or in the library.
func (d *detector) lookAtMarks(s *sample, f *found) {
	head := s.head
	if len(head) == 0 {
		return
	}
	for _, name := range program(s) {
		f.known(name)
	}
	for _, list := range [][]magic{d.magics[head[0]], d.distant} {
		for i := range list {
			m := &list[i]
			if len(head) >= m.offset+len(m.bytes) && string(head[m.offset:m.offset+len(m.bytes)]) == m.bytes && m.holds(head) {
				f.known(m.name)
			}
		}
	}
	// Programs that read these look for the mark in the first KiB; a PDF in front of which something stands is one.
	if bytes.Contains(head[:min(len(head), 1024)], []byte("%PDF-")) {
		f.add("pdf", "application/pdf")
	}
}

// lookAtContainers is for what a directory within tells, and for the rest of what the library knows.
func (d *detector) lookAtContainers(s *sample, f *found) {
	if bytes.HasPrefix(s.head, []byte(oleMagic)) {
		name, macros := oleKind(s)
		f.known(name)
		if macros {
			f.known(macro)
		}
		return
	}
	isZip := bytes.HasPrefix(s.head, []byte("PK"))
	if len(f.kinds) == 0 && !isZip {
		d.lookInLibrary(s, f)
	}
	z := readZip(s)
	if z == nil {
		if isZip {
			d.lookInLibrary(s, f)
		}
		return
	}
	name, macros := zipKinds(s, z)
	if z.offset > 0 && len(f.kinds) > 0 {
		name = "zip" // behind something else
	}
	f.known(name)
	if macros {
		f.known(macro)
	}
}

// lookInLibrary is for what the library knows and is not read better here.
func (d *detector) lookInLibrary(s *sample, f *found) {
	for m := f.ask(s); m != nil; m = m.Parent() {
		name, media := strings.TrimPrefix(m.Extension(), "."), m.String()
		if strings.HasPrefix(media, "text/") || strings.HasPrefix(media, "message/") {
			continue
		}
		if same, is := d.aliases[name]; is {
			name = same
		}
		switch d.category(name, media) {
		case other, "script", "executable":
			continue
		}
		f.add(name, media)
		return // what it is built on is not what it is
	}
}

// lookAtText is for what nothing but reading tells.
func (d *detector) lookAtText(s *sample, f *found) {
	text, is := s.text()
	if !is {
		if looksLikeCOM(s) {
			f.known("com")
			return
		}
		if m := f.ask(s); m.Extension() != "" {
			f.add(strings.TrimPrefix(m.Extension(), "."), m.String())
		}
		return
	}
	for _, name := range d.readers.textKinds(text) {
		f.add(name, "text/x-"+name)
	}
	if len(f.kinds) == 0 {
		m := f.ask(s)
		name := strings.TrimPrefix(m.Extension(), ".")
		if category := d.category(name, m.String()); name == "" || category != other {
			name = "txt" // only a word of the library's, which the text does not bear out
		}
		f.add(name, m.String())
	}
}

// lookBehind is for what stands at the end or behind something else and is opened all the same.
func (d *detector) lookBehind(s *sample, f *found) {
	for _, m := range tailMagics() {
		if end := s.end(m.offset); len(end) == m.offset && string(end[:len(m.bytes)]) == m.bytes {
			f.known(m.name)
		}
	}
	// Readers of rar and 7z look for their mark behind a program, and so behind anything.
	if len(f.kinds) > 0 && f.kinds[0].category != "compressed" {
		if at := bytes.Index(s.head, []byte("Rar!\x1a\x07")); at > 0 && len(s.head) > at+7 && s.head[at+6] <= 1 {
			f.known("rar")
		}
		if at := bytes.Index(s.head, []byte("7z\xbc\xaf\x27\x1c\x00")); at > 0 {
			f.known("7z")
		}
	}
	if f.has("executable") {
		if name := packedBehind(s.read(overlay(s), 8)); name != "" {
			f.known(name)
		}
	}
	if d.isAppleImage(s) && len(f.kinds) == 0 {
		f.known("dmg")
	}
}

// isAppleImage is a raw disk image: a partition map, or a volume of HFS.
func (d *detector) isAppleImage(s *sample) bool {
	const map1, volume = 512, 1024
	at := func(offset int, mark string) bool {
		return len(s.head) >= offset+len(mark) && string(s.head[offset:offset+len(mark)]) == mark
	}
	return at(0, "ER") && at(map1, "PM") || at(volume, "H+\x00\x04") || at(volume, "HX\x00\x05") || at(32, "NXSB") || at(map1, "EFI PART")
}

// program tells the programs of Windows and DOS apart. Two letters are not enough for a text that begins with them.
func program(s *sample) []string {
	const newHeader, characteristics, dll = 60, 22, 0x2000
	head := s.head
	le := binary.LittleEndian
	if len(head) < 4 || string(head[:2]) != "MZ" && string(head[:2]) != "ZM" {
		if len(head) > 8 && le.Uint32(head) == 0xbebafeca { // a Java class, or a Mach-O for several processors
			if head[4] == 0 && head[5] == 0 && head[6] == 0 && head[7] < 30 {
				return []string{"macho"}
			}
			return []string{"class"}
		}
		return nil
	}
	if isText(head[:min(len(head), 512)]) {
		return nil
	}
	if len(head) < newHeader+4 {
		return []string{"exe"}
	}
	header := s.read(int64(le.Uint32(head[newHeader:])), characteristics+2)
	switch {
	case len(header) == characteristics+2 && string(header[:4]) == "PE\x00\x00" && le.Uint16(header[characteristics:])&dll != 0:
		return []string{"dll", "exe"}
	case len(header) > 2 && string(header[:2]) == "NE":
		return []string{"exe", "ne"}
	}
	return []string{"exe"}
}

// overlay is where the last section of a Windows program ends, 0 where there is none: what stands behind, the program may unpack.
func overlay(s *sample) int64 {
	const newHeader, fixed, sectionSize, maxSections = 60, 24, 40, 96
	le := binary.LittleEndian
	if len(s.head) < newHeader+4 {
		return 0
	}
	at := int64(le.Uint32(s.head[newHeader:]))
	header := s.read(at, fixed)
	if len(header) < fixed || string(header[:4]) != "PE\x00\x00" {
		return 0
	}
	sections := s.read(at+fixed+int64(le.Uint16(header[20:])), sectionSize*int(min(le.Uint16(header[6:]), maxSections)))
	var end int64
	for ; len(sections) >= sectionSize; sections = sections[sectionSize:] {
		end = max(end, int64(le.Uint32(sections[16:]))+int64(le.Uint32(sections[20:])))
	}
	return end
}

func packedBehind(b []byte) string {
	for _, m := range [][2]string{{"Rar!\x1a\x07", "rar"}, {"7z\xbc\xaf\x27\x1c", "7z"}, {"MSCF\x00\x00\x00\x00", "cab"}, {"PK\x03\x04", "zip"}} {
		if bytes.HasPrefix(b, []byte(m[0])) {
			return m[1]
		}
	}
	return ""
}

// looksLikeCOM is a program without a header: small, begins with a jump, and calls DOS.
func looksLikeCOM(s *sample) bool {
	const largest = 65280
	if s.size > largest || len(s.head) < 8 || s.head[0] != 0xe9 && s.head[0] != 0xeb {
		return false
	}
	return bytes.Contains(s.head, []byte("\xcd\x21"))
}
