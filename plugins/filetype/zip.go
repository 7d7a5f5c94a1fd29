package main

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"io"
	"slices"
	"strings"
)

const (
	maxDirectory   = 256 << 10 // of a zip's directory that is read
	maxEnds        = 8         // of marks of its end that are tried: a comment may hold false ones
	maxContentType = 64 << 10  // of the list of content types, unpacked
)

// zipped is what a zip's directory tells.
type zipped struct {
	names  map[string]entry // lower case
	first  string
	offset int64 // of the first byte that belongs to it: above 0 where something stands in front
}

type entry struct {
	method     uint16
	packed     uint32
	headerFrom int64
}

// readZip finds the directory at the end; where there is none, as in a zip that is cut, the headers at the start tell the names.
func readZip(s *sample) *zipped {
	if z := fromDirectory(s); z != nil {
		return z
	}
	return fromHeaders(s)
}

func fromDirectory(s *sample) *zipped {
	const endSize = 22
	tail := s.tail
	if len(tail) < endSize {
		tail = s.end(tailSize)
	}
	le := binary.LittleEndian
	// Searched forwards, which is many times faster; the last one counts.
	var marks []int
	for at := 0; ; {
		next := bytes.Index(tail[at:], []byte("PK\x05\x06"))
		if next < 0 {
			break
		}
		marks = append(marks, at+next)
		at += next + 4
	}
	for _, at := range slices.Backward(marks[max(0, len(marks)-maxEnds):]) {
		record := tail[at:]
		if len(record) < endSize {
			continue
		}
		size, offset, count := int64(le.Uint32(record[12:])), int64(le.Uint32(record[16:])), le.Uint16(record[10:])
		place := s.size - int64(len(tail)) + int64(at) - size // the directory stands in front of its end
		if place < 0 || count == 0 && size > 0 {
			continue
		}
		if count == 0 {
			return &zipped{names: map[string]entry{}, offset: place - offset}
		}
		directory := s.read(place, int(min(size, maxDirectory)))
		if z := parseDirectory(directory, place-offset); z != nil {
			return z
		}
	}
	return nil
}

func parseDirectory(b []byte, shift int64) *zipped {
	const fixed = 46
	le := binary.LittleEndian
	z := &zipped{names: map[string]entry{}, offset: max(0, shift)}
	for len(b) >= fixed && string(b[:4]) == "PK\x01\x02" {
		name, extra, comment := int(le.Uint16(b[28:])), int(le.Uint16(b[30:])), int(le.Uint16(b[32:]))
		if fixed+name > len(b) {
			break
		}
		z.add(string(b[fixed:fixed+name]), entry{method: le.Uint16(b[10:]), packed: le.Uint32(b[20:]), headerFrom: int64(le.Uint32(b[42:])) + z.offset})
		b = b[min(len(b), fixed+name+extra+comment):]
	}
	if len(z.names) == 0 {
		return nil
	}
	return z
}

func (z *zipped) add(name string, e entry) {
	name = strings.ToLower(strings.ReplaceAll(name, `\`, "/"))
	if len(z.names) == 0 {
		z.first = name
	}
	if _, twice := z.names[name]; !twice {
		z.names[name] = e
	}
}

func fromHeaders(s *sample) *zipped {
	const fixed = 30
	le := binary.LittleEndian
	head := s.head
	if !bytes.HasPrefix(head, []byte("PK\x03\x04")) && !bytes.HasPrefix(head, []byte("PK00PK\x03\x04")) {
		return nil
	}
	z := &zipped{names: map[string]entry{}}
	for at := 0; ; {
		next := bytes.Index(head[at:], []byte("PK\x03\x04"))
		if next < 0 || at+next+fixed > len(head) {
			return z
		}
		at += next
		name := int(le.Uint16(head[at+26:]))
		if at+fixed+name <= len(head) {
			z.add(string(head[at+fixed:at+fixed+name]), entry{method: le.Uint16(head[at+8:]), packed: le.Uint32(head[at+18:]), headerFrom: int64(at)})
		}
		at += 4
	}
}

// content is the start of a member that is stored or deflated.
func (z *zipped) content(s *sample, name string) []byte {
	const fixed = 30
	e, found := z.names[name]
	if !found {
		return nil
	}
	header := s.read(e.headerFrom, fixed)
	if len(header) < fixed || string(header[:4]) != "PK\x03\x04" {
		return nil
	}
	le := binary.LittleEndian
	from := e.headerFrom + fixed + int64(le.Uint16(header[26:])) + int64(le.Uint16(header[28:]))
	length := int(min(e.packed, maxContentType))
	if length == 0 { // its length stands behind it
		length = maxContentType
	}
	packed := s.read(from, length)
	switch e.method {
	case 0:
		return packed
	case 8:
		// What could be unpacked of a broken member is as good as the start of a whole one.
		text, _ := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), maxContentType))
		return text
	}
	return nil
}

func (z *zipped) has(names ...string) bool {
	for _, name := range names {
		if _, found := z.names[name]; found {
			return true
		}
	}
	return false
}

func (z *zipped) hasSuffix(suffix string) bool {
	for name := range z.names {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// contentTypes are the words in an Office file's list of content types and what they make it, the longer ones first.
func contentTypes() [][2]string {
	return [][2]string{
		{"ms-word.document.macroenabled", "docm"}, {"ms-word.template.macroenabled", "dotm"}, {"wordprocessingml.template.main", "dotx"},
		{"wordprocessingml.document.main", "docx"}, {"ms-excel.sheet.binary", "xlsb"}, {"ms-excel.sheet.macroenabled", "xlsm"},
		{"ms-excel.template.macroenabled", "xltm"}, {"ms-excel.addin.macroenabled", "xlam"}, {"spreadsheetml.template.main", "xltx"},
		{"spreadsheetml.sheet.main", "xlsx"}, {"ms-powerpoint.presentation.macroenabled", "pptm"}, {"ms-powerpoint.slideshow.macroenabled", "ppsm"},
		{"ms-powerpoint.template.macroenabled", "potm"}, {"presentationml.slideshow.main", "ppsx"}, {"presentationml.template.main", "potx"},
		{"presentationml.presentation.main", "pptx"}, {"ms-visio.drawing.macroenabled", "vsdm"}, {"ms-visio.drawing", "vsdx"},
		{"package.xps-fixeddocumentsequence", "xps"},
	}
}

// zipKinds are what the zip is, the surest first, and whether it carries VBA. Everything in a zip is a zip too: a rule for compressed
// files that is not meant for documents says so with a second scan.
func zipKinds(s *sample, z *zipped) (name string, macros bool) {
	macros = z.hasSuffix("vbaproject.bin")
	if types := strings.ToLower(string(z.content(s, "[content_types].xml"))); types != "" {
		for _, t := range contentTypes() {
			if strings.Contains(types, t[0]) {
				return withMacros(t[1], macros), macros || strings.Contains(types, "vbaproject")
			}
		}
	}
	if z.first == "mimetype" {
		media := string(z.content(s, "mimetype"))
		if open, found := strings.CutPrefix(media, "application/vnd.oasis.opendocument."); found {
			for _, t := range [][2]string{{"text-template", "ott"}, {"text", "odt"}, {"spreadsheet-template", "ots"}, {"spreadsheet", "ods"},
				{"presentation-template", "otp"}, {"presentation", "odp"}, {"graphics", "odg"}, {"", "odf"}} {
				if strings.HasPrefix(open, t[0]) {
					return t[1], false
				}
			}
		}
		if strings.HasPrefix(media, "application/epub+zip") {
			return "epub", false
		}
	}
	switch {
	case z.has("word/document.xml", "word/document2.xml"):
		return withMacros("docx", macros), macros
	case z.has("xl/workbook.bin"):
		return "xlsb", macros
	case z.has("xl/workbook.xml"):
		return withMacros("xlsx", macros), macros
	case z.has("ppt/presentation.xml"):
		return withMacros("pptx", macros), macros
	case z.has("visio/document.xml"):
		return withMacros("vsdx", macros), macros
	case z.has("fixeddocseq.fdseq", "fixeddocumentsequence.fdseq"):
		return "xps", false
	case z.has("androidmanifest.xml"):
		return "apk", false
	case z.has("appxmanifest.xml", "appxmetadata/appxbundlemanifest.xml"):
		return "appx", false
	case z.has("web-inf/web.xml"):
		return "war", false
	case z.has("meta-inf/manifest.mf"):
		return "jar", false
	case z.has("doc.kml"):
		return "kmz", false
	case z.has("index/document.iwa", "index/slide.iwa"):
		return "iwork", false
	}
	return "zip", false
}

// withMacros names the format that may carry VBA: what its list of types hides, its members tell.
func withMacros(name string, macros bool) string {
	if with, found := map[string]string{
		"docx": "docm", "dotx": "dotm", "xlsx": "xlsm", "xltx": "xltm", "pptx": "pptm", "ppsx": "ppsm", "potx": "potm", "vsdx": "vsdm",
	}[name]; found && macros {
		return with
	}
	return name
}
