package main

import (
	"encoding/binary"
	"math"
	"strings"
)

const maxSections = 96 // that Windows loads

func isProgram(s *subject) bool { return begins(s.data, "MZ") && len(s.data) > 64 }

// section is one section of a program.
type section struct {
	name                             string
	virtual, size, raw, rawSize, can uint32
}

// image is what the header of a program says (PE and COFF).
type image struct {
	entry             uint32
	sections          []section
	imports           uint32 // address of the import table
	library, dotNet   bool
	end               uint64 // of what the header describes
	signed, hasImport bool
}

// readImage is nil where the file is no PE.
func readImage(data []byte) *image {
	word := func(at uint64) uint32 {
		if at+4 > uint64(len(data)) {
			return 0
		}
		return binary.LittleEndian.Uint32(data[at:])
	}
	at := uint64(word(60))
	if at+24 > uint64(len(data)) || word(at) != 0x4550 {
		return nil
	}
	count, optional := word(at+4)>>16, word(at+20)&0xffff
	p := &image{library: word(at+20)>>16&0x2000 != 0, entry: word(at + 24 + 16)}
	tables := at + 24 + 96
	if word(at+24)&0xffff == 0x20b {
		tables += 16
	}
	p.imports = word(tables + 8)
	p.hasImport = p.imports != 0
	p.dotNet = word(tables+14*8) != 0
	p.signed = word(tables+4*8) != 0
	first := at + 24 + uint64(optional)
	for i := range uint64(min(count, maxSections)) {
		head := first + 40*i
		if head+40 > uint64(len(data)) {
			break
		}
		s := section{
			name: strings.TrimRight(string(data[head:head+8]), "\x00"), size: word(head + 8), virtual: word(head + 12), rawSize: word(head + 16),
			raw: word(head + 20), can: word(head + 36),
		}
		p.sections = append(p.sections, s)
		p.end = max(p.end, uint64(s.raw)+uint64(s.rawSize))
	}
	return p
}

// Permissions of a section.
const canRun, canWrite = 0x20000000, 0x80000000

// program judges the form of a program: packers and droppers look unlike what compilers and linkers make.
func program(s *subject) []hit {
	p := readImage(s.data)
	if p == nil || len(p.sections) == 0 {
		return nil
	}
	found := &signs{}
	inside := false
	for _, sec := range p.sections {
		content := sec.content(s.data)
		if sec.can&canRun != 0 && sec.can&canWrite != 0 {
			if e := entropy(content); len(content) > 512 && e > 7.2 {
				found.add(2, "section %s can be written and run, and is packed (%.1f bits per byte)", quoted(sec.name), e)
			} else if sec.rawSize == 0 && sec.size > 0x1000 {
				found.add(1, "section %s is empty, and can be written and run", quoted(sec.name))
			}
		}
		if p.entry >= sec.virtual && uint64(p.entry) < uint64(sec.virtual)+uint64(max(sec.size, sec.rawSize)) {
			inside = true
			switch {
			case sec.can&canRun == 0:
				found.add(2, "it starts in section %s, which holds no code", quoted(sec.name))
			case sec.can&canWrite != 0:
				found.add(1, "it starts in section %s, which can be written", quoted(sec.name))
			}
		}
	}
	if p.entry != 0 && !inside {
		found.add(2, "it starts outside of its sections, at %#x", p.entry)
	}
	if libraries := p.libraries(s.data); p.hasImport && !p.dotNet && libraries <= 1 || !p.hasImport && !p.library && !p.dotNet {
		found.add(1, "it names %d libraries that it needs", libraries)
	}
	if overlay := uint64(len(s.data)) - min(uint64(len(s.data)), p.end); !p.signed && overlay > p.end && overlay > 64<<10 && entropy(s.data[p.end:]) > 7.5 {
		found.add(1, "%d packed bytes stand behind the program", overlay)
	}
	if s.extension() != "" && !isProgramName(s.extension()) && s.part.Kind == "attachment" {
		found.add(1, "its name %s is not a program's", quoted(s.base()))
	}
	return found.hit("HEUR_PE_PACKED", 3)
}

func isProgramName(extension string) bool {
	switch extension {
	case ".exe", ".dll", ".scr", ".com", ".sys", ".ocx", ".cpl", ".drv", ".pif", ".msi", ".bin", ".mui", ".efi", ".ax", ".tmp", ".dat":
		return true
	}
	return false
}

func (s *section) content(data []byte) []byte {
	from := min(uint64(s.raw), uint64(len(data)))
	return data[from:min(uint64(len(data)), from+uint64(s.rawSize))]
}

// libraries counts the descriptors of the import table.
func (p *image) libraries(data []byte) int {
	const descriptor, most = 20, 1000
	for _, s := range p.sections {
		if p.imports < s.virtual || uint64(p.imports) >= uint64(s.virtual)+uint64(max(s.size, s.rawSize)) {
			continue
		}
		content := s.content(data)
		n := 0
		for at := uint64(p.imports - s.virtual); at+descriptor <= uint64(len(content)) && n < most; at += descriptor {
			if binary.LittleEndian.Uint32(content[at+12:]) == 0 {
				break
			}
			n++
		}
		return n
	}
	return 0
}

// entropy is in bits for each byte, of the first MiB.
func entropy(data []byte) float64 {
	data = data[:min(len(data), 1<<20)]
	var counts [256]int
	for _, c := range data {
		counts[c]++
	}
	sum := 0.0
	for _, n := range counts {
		if n > 0 {
			share := float64(n) / float64(len(data))
			sum -= share * math.Log2(share)
		}
	}
	return sum
}
