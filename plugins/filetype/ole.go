package main

import (
	"encoding/binary"
	"strings"
	"unicode/utf16"
)

const (
	oleMagic   = "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
	maxSectors = 256 // of the directory
)

// oleNames are the names in a compound file's directory, in lower case, and the class of its root.
func oleNames(s *sample) (names []string, class string) {
	const headerSize, entrySize, inHeader = 512, 128, 109
	le := binary.LittleEndian
	header := s.read(0, headerSize)
	if len(header) < headerSize {
		return nil, ""
	}
	shift := le.Uint16(header[30:])
	if shift != 9 && shift != 12 {
		return nil, ""
	}
	sectorSize := int64(1) << shift
	place := func(sector uint32) int64 { return (int64(sector) + 1) * sectorSize }
	perSector := uint32(sectorSize / 4)
	// next follows the chain in the table, as far as the header lists its sectors; a file with a larger table has its directory elsewhere
	// only where it was made to.
	next := func(sector uint32) (uint32, bool) {
		table := sector / perSector
		if table >= inHeader {
			return sector + 1, true
		}
		link := s.read(place(le.Uint32(header[76+4*table:]))+4*int64(sector%perSector), 4)
		if len(link) < 4 {
			return sector + 1, true // the table is cut off: the directory mostly stands in one piece
		}
		v := le.Uint32(link)
		return v, v < 0xfffffffa
	}
	sector, more := le.Uint32(header[48:]), true
	for n := 0; more && n < maxSectors; n++ {
		b := s.read(place(sector), int(sectorSize))
		if len(b) < entrySize {
			break
		}
		for ; len(b) >= entrySize; b = b[entrySize:] {
			length, kind := int(le.Uint16(b[64:])), b[66]
			if kind == 0 || length < 2 || length > 64 {
				continue
			}
			if kind == 5 {
				class = string(b[80:96])
				continue
			}
			units := make([]uint16, length/2-1)
			for i := range units {
				units[i] = le.Uint16(b[2*i:])
			}
			names = append(names, strings.ToLower(string(utf16.Decode(units))))
		}
		sector, more = next(sector)
	}
	return names, class
}

// oleClasses are the roots that tell what a compound file is without its streams; the later bytes are the same for all of Office.
func oleClasses() map[string]string {
	return map[string]string{
		"\x84\x10\x0c\x00": "msi", "\x86\x10\x0c\x00": "msp", "\x82\x10\x0c\x00": "msi",
		"\x06\x09\x02\x00": "doc", "\x00\x09\x02\x00": "doc", "\x20\x08\x02\x00": "xls", "\x10\x08\x02\x00": "xls",
		"\x10\x8d\x81\x64": "ppt", "\x01\x12\x02\x00": "pub", "\x14\x1a\x02\x00": "vsd", "\x0b\x0d\x02\x00": "msg",
	}
}

// oleStreams are the names that only one format has.
func oleStreams() map[string]string {
	return map[string]string{
		"worddocument": "doc", "workbook": "xls", "book": "xls", "powerpoint document": "ppt", "pp40": "ppt", "visiodocument": "vsd",
		"encryptedpackage": "ooxml-encrypted", "__properties_version1.0": "msg", "__nameid_version1.0": "msg", "quill": "pub",
		"hwpsummaryinformation": "hwp", "\x05hwpsummaryinformation": "hwp", "   112": "mpp", "   114": "mpp", "   19": "mpp",
		"wksssworkbook": "xls",
	}
}

// oleKind is what the compound file is; its streams say it before its class, which anybody may set.
func oleKind(s *sample) (name string, macros bool) {
	names, class := oleNames(s)
	streams := oleStreams()
	tables := 0
	for _, n := range names {
		if found, is := streams[n]; is && (name == "" || found != "xls") {
			name = found
		}
		switch n {
		case "vba", "_vba_project", "_vba_project_cur", "macros":
			macros = true
		}
		// An installer's tables have their names packed into letters from here on.
		if strings.HasPrefix(n, "\u4840") {
			tables++
		}
	}
	byClass := ""
	if len(class) == 16 {
		byClass = oleClasses()[class[:4]]
	}
	switch {
	case (byClass == "msi" || byClass == "msp") && (tables > 0 || name == ""):
		return byClass, macros
	case name == "" && tables > 2:
		return "msi", macros
	case name != "":
		return name, macros
	case byClass != "":
		return byClass, macros
	}
	return "ole", macros
}
