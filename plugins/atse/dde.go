package main

import (
	"bytes"
	"html"
	"path"
	"regexp"
	"strings"
)

const maxFieldsXML = 8 << 20 // of a document's text

// ddeProgram are programs that a field or a cell may ask for data, which starts them.
const ddeProgram = `cmd|powershell|pwsh|mshta|wscript|cscript|rundll32|regsvr32|msiexec|certutil|bitsadmin|msexcel|excel|winword`

func isFieldsXML(s *subject) bool {
	return s.part.Kind == "member" && strings.HasSuffix(s.base(), ".xml") && bytes.Contains(s.data, []byte("schemas.openxmlformats.org/wordprocessingml")) ||
		s.extension() == ".xml" && bytes.Contains(s.data, []byte("schemas.microsoft.com/office/word/2003/wordml"))
}

// wordFields finds DDE in the fields of a document, whose text may be in pieces.
func wordFields(s *subject) []hit {
	data := s.data[:min(len(s.data), maxFieldsXML)]
	if !bytes.Contains(data, []byte("instr")) {
		return nil
	}
	var text strings.Builder
	for _, m := range regexp.MustCompile(`(?s)<w:instrText[^>]*>([^<]*)</w:instrText>|w:instr="([^"]*)"|(<w:fldChar[^>]*"(?:begin|end)")`).FindAllSubmatch(data, 20_000) {
		text.Write(m[1])
		text.Write(m[2])
		if len(m[3]) > 0 {
			text.WriteString(" \x00 ")
		}
	}
	for field := range strings.SplitSeq(html.UnescapeString(text.String()), "\x00") {
		if hits := ddeField(field); len(hits) > 0 {
			return hits
		}
	}
	return nil
}

// wordBinaryFields finds DDE in the fields of an old document: they stand between 0x13 and 0x14 in its text.
func wordBinaryFields(data []byte) []hit {
	for rest, fields := data, 0; fields < 10_000; fields++ {
		i := bytes.IndexByte(rest, 0x13)
		if i < 0 {
			return nil
		}
		rest = rest[i+1:]
		field := rest[:min(len(rest), 2048)]
		if end := bytes.IndexAny(field, "\x14\x15"); end >= 0 {
			field = field[:end]
		}
		if hits := ddeField(readable(field)); len(hits) > 0 {
			return hits
		}
	}
	return nil
}

// ddeField judges the text of a field.
func ddeField(field string) []hit {
	m := regexp.MustCompile(`(?i)\bDDE(AUTO)?\b(.*)`).FindStringSubmatch(field)
	if m == nil {
		return nil
	}
	found := &signs{}
	found.add(1, "a field asks another program for data (%s)", quoted(m[0]))
	found.addCommand(m[2])
	return found.hit("HEUR_DDE_COMMAND", 3)
}

// addCommand adds signs for an interpreter and its task. Office itself is asked by honest documents.
func (s *signs) addCommand(text string) {
	text = strings.ToLower(text)
	if m := regexp.MustCompile(`\b(?:` + ddeProgram + `)(?:\.exe)?\b`).FindString(text); m != "" {
		weight := 2
		if strings.Contains(m, "excel") || strings.Contains(m, "winword") {
			weight = 0
		}
		s.add(weight, "the program is %s", m)
	}
	if m := regexp.MustCompile(`(?:/[ck]\s|-enc\b|-w\s+hidden|https?:|\.\.\\|system32|iex\b)`).FindString(text); m != "" {
		s.add(1, "with a task (%s)", quoted(m))
	}
}

func isExternalLinkXML(s *subject) bool {
	return s.part.Kind == "member" && strings.Contains(s.name, "externallink") && path.Ext(s.base()) == ".xml"
}

// externalLink finds links of a workbook that start a program.
func externalLink(s *subject) []hit {
	for _, tag := range regexp.MustCompile(`<ddeLink\b[^>]*>`).FindAll(s.data[:min(len(s.data), 1<<20)], 100) {
		found := &signs{}
		text := html.UnescapeString(string(tag))
		found.add(1, "a link of the workbook asks another program for data (%s)", quoted(text))
		found.addCommand(text)
		if hits := found.hit("HEUR_DDE_COMMAND", 3); len(hits) > 0 {
			return hits
		}
	}
	return nil
}

func isSheetText(s *subject) bool {
	switch s.extension() {
	case ".csv", ".slk", ".iqy", ".tsv":
		return true
	}
	return begins(s.data, "ID;P", "WEB\r\n1\r\n", "WEB\n1\n")
}

// sheetText looks at tables in plain text, which Excel opens: formulas that start programs, macros in SYLK, and web queries.
func sheetText(s *subject) []hit {
	data := plainText(s.data[:min(len(s.data), 4<<20)])
	lower := asciiLower(data)
	if begins(data, "ID;") {
		if hits := sylk(lower); len(hits) > 0 {
			return hits
		}
	}
	cells := regexp.MustCompile(`(?:^|[,;\t\n"])[ "]*[=+@-][^\n,;]{0,256}?\b(` + ddeProgram + `)(?:\.exe)?[ ']*\|[^\n]{0,256}`)
	if m := cells.FindSubmatchIndex(lower); m != nil {
		found := &signs{}
		found.add(1, "the cell at %d is a formula that asks another program for data (%s)", m[0], quoted(string(lower[m[0]:m[1]])))
		found.addCommand(string(lower[m[2]:m[1]]))
		return found.hit("HEUR_DDE_COMMAND", 3)
	}
	return nil
}

// sylk finds macros in a SYLK file.
func sylk(lower []byte) []hit {
	found := &signs{}
	if m := regexp.MustCompile(`\nnn;n(auto_(?:open|close|activate)[^;\r\n]*)`).FindSubmatch(lower); m != nil {
		found.add(1, "a macro runs by itself (%s)", m[1])
	}
	if m := regexp.MustCompile(`\nc;[^\n]*;e(?:[^\n]*\W)?(exec|call|register|shell)\(`).FindSubmatch(lower); m != nil {
		found.add(2, "it starts programs (%s)", m[1])
	}
	if bytes.Contains(lower, []byte("\no;")) && regexp.MustCompile(`\no;[^\n]*;e\b`).Match(lower) {
		found.add(0, "the sheet is of macros")
	}
	return found.hit("HEUR_XLM_AUTORUN", 3)
}
