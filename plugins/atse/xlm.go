package main

import (
	"bytes"
	"encoding/binary"
	"html"
	"regexp"
	"strings"
)

// Bounds of a workbook's macros.
const (
	maxRecords  = 1_000_000
	maxSheetXML = 16 << 20
)

// functionsOf are the numbers of functions (MS-XLS 2.5.198.4) that macros of malware need.
func functionsOf() map[uint16]string {
	return map[uint16]string{
		110: "EXEC", 150: "CALL", 149: "REGISTER", 132: "FOPEN", 137: "FWRITELN", 138: "FWRITE", 96: "FORMULA", 17: "RUN", 111: "CHAR", 186: "GET.WORKSPACE",
	}
}

// sheets is what the workbook says of its macro sheets.
type sheets struct {
	macro, hidden, veryHidden int
	starts                    string         // a name that Excel runs
	calls                     map[string]int // functions of formulas
}

// workbook reads the records of an old workbook (MS-XLS).
func workbook(data []byte) []hit {
	const boundSheet, definedName, formula, beginOf, endOf = 0x85, 0x18, 0x06, 0x809, 0x0a
	w := &sheets{calls: map[string]int{}}
	functions := functionsOf()
	inMacroSheet := false
	for at, records := 0, 0; at+4 <= len(data) && records < maxRecords; records++ {
		kind, size := binary.LittleEndian.Uint16(data[at:]), int(binary.LittleEndian.Uint16(data[at+2:]))
		body := data[at+4 : min(len(data), at+4+size)]
		at += 4 + size
		switch {
		case kind == boundSheet && len(body) >= 6 && body[5] == 1:
			w.macro++
			switch body[4] & 3 {
			case 1:
				w.hidden++
			case 2:
				w.veryHidden++
			}
		case kind == definedName && w.starts == "":
			w.starts = startName(body)
		case kind == beginOf && len(body) >= 4:
			inMacroSheet = binary.LittleEndian.Uint16(body[2:]) == 0x40
		case kind == formula && inMacroSheet && len(body) > 22:
			countCalls(w.calls, functions, body[22:])
		}
	}
	return w.judge()
}

// startName is the name in a record Lbl that Excel runs by itself, "" where it is another.
func startName(body []byte) string {
	const fixed, builtIn = 14, 0x20
	if len(body) < fixed+2 {
		return ""
	}
	length := int(body[3])
	text := body[fixed+1:]
	wide := body[fixed]&1 != 0
	if body[0]&builtIn != 0 {
		switch text[0] {
		case 1:
			return "Auto_Open"
		case 2:
			return "Auto_Close"
		case 10, 11:
			return "Auto_Activate"
		}
		return ""
	}
	if wide {
		length *= 2
	}
	name := readable(text[:min(len(text), length)])
	if regexp.MustCompile(`(?i)^auto_?(?:open|close|activate|deactivate)`).MatchString(name) {
		return name
	}
	return ""
}

// countCalls counts functions in the tokens of a formula. The tokens are not walked one by one, so what stands in a string may be counted:
// that makes no detection alone.
func countCalls(calls map[string]int, functions map[uint16]string, tokens []byte) {
	for i := 0; i+3 <= len(tokens); i++ {
		var number uint16
		switch tokens[i] {
		case 0x21, 0x41, 0x61: // a function with a fixed count of arguments
			number = binary.LittleEndian.Uint16(tokens[i+1:])
		case 0x22, 0x42, 0x62:
			if i+4 > len(tokens) || tokens[i+1] > 30 {
				continue
			}
			number = binary.LittleEndian.Uint16(tokens[i+2:]) & 0x7fff
		default:
			continue
		}
		if name, known := functions[number]; known {
			calls[name]++
		}
	}
}

// judge tells what the macro sheets are for. Macros of old were honest work: they stood in sight, and ran no programs.
func (w *sheets) judge() []hit {
	if w.macro == 0 {
		return nil
	}
	found := &signs{}
	found.add(0, "the workbook has %d macro sheets", w.macro)
	if w.starts != "" {
		found.add(1, "a macro runs by itself (%s)", w.starts)
	}
	switch {
	case w.veryHidden > 0:
		found.add(2, "%d of them are hidden so that Excel does not offer to show them", w.veryHidden)
	case w.hidden > 0:
		found.add(1, "%d of them are hidden", w.hidden)
	}
	for _, name := range []string{"EXEC", "CALL", "REGISTER"} {
		if n := w.calls[name]; n > 0 {
			found.add(2, "%s is called %d times", name, n)
		}
	}
	for _, name := range []string{"FOPEN", "FWRITELN", "FWRITE", "GET.WORKSPACE"} {
		if n := w.calls[name]; n > 0 {
			found.add(1, "%s is called %d times", name, n)
		}
	}
	if n := w.calls["CHAR"]; n >= 20 {
		found.add(1, "%d characters are given by number", n)
	}
	if n := w.calls["FORMULA"]; n >= 3 {
		found.add(1, "it writes %d formulas itself", n)
	}
	if w.starts == "" && w.veryHidden == 0 {
		return nil
	}
	return found.hit("HEUR_XLM_AUTORUN", 3)
}

func isMacroSheetXML(s *subject) bool {
	return s.part.Kind == "member" && strings.Contains(s.name, "macrosheets/") && strings.HasSuffix(s.base(), ".xml")
}

// macroSheetXML looks at a macro sheet of a new workbook together with the workbook, which says whether it runs and is shown.
func macroSheetXML(s *subject) []hit {
	w := &sheets{macro: 1, calls: map[string]int{}}
	data := s.data[:min(len(s.data), maxSheetXML)]
	calls := regexp.MustCompile(`(?i)\b(EXEC|CALL|REGISTER|FOPEN|FWRITELN|FWRITE|FORMULA|CHAR|GET\.WORKSPACE)\(`)
	for _, m := range regexp.MustCompile(`<f\b[^>]*>([^<]*)</f>`).FindAllSubmatch(data, 100_000) {
		for _, call := range calls.FindAllSubmatch([]byte(html.UnescapeString(string(m[1]))), 100) {
			w.calls[strings.ToUpper(string(call[1]))]++
		}
	}
	book := s.sibling("xl/workbook.xml", 4<<20)
	if m := regexp.MustCompile(`(?i)<definedName\b[^>]*name="(?:_xlnm\.)?(auto_?(?:open|close|activate)[^"]*)"`).FindSubmatch(book); m != nil {
		w.starts = string(m[1])
	}
	for _, tag := range regexp.MustCompile(`<sheet\b[^>]*>`).FindAll(book, 10_000) {
		if bytes.Contains(tag, []byte(`state="veryHidden"`)) && len(w.calls) > 0 {
			w.veryHidden = 1
		} else if bytes.Contains(tag, []byte(`state="hidden"`)) {
			w.hidden = 1
		}
	}
	return w.judge()
}
