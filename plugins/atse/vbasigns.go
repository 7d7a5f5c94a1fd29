package main

import (
	"bytes"
	"regexp"
	"slices"
	"strings"

	"github.com/postern-mail/postern/sdk/compound"
)

// startsItself are procedures that Office runs without being asked.
const startsItself = `auto_?(?:exec|open|close|exit|new)|document_?(?:open|close|new|beforeclose)|newdocument|` +
	`workbook_(?:open|activate|beforeclose|close|deactivate)|app_(?:documentopen|workbookopen)|` +
	`[a-z0-9_]{1,40}_(?:layout|painted|onconnecting|beforenavigate2|statuschange|mousehover)`

// macroTerms are what macros seldom need that arrive by mail.
func macroTerms() []terms {
	return []terms{
		{"starts programs", 2, []string{"wscript.shell", "shellexecute", "shell.application", "win32_process", "winmgmts:", "createprocess", "schedule.service", "createobject(\"shell"}},
		{"names an interpreter", 2, []string{"powershell", "cmd.exe", "cmd /c", "mshta", "wscript.exe", "cscript", "rundll32", "regsvr32", "certutil", "bitsadmin"}},
		{"fetches from the net", 2, []string{"urldownloadtofile", "xmlhttp", "winhttprequest", "internetopenurl", "internetreadfile", "downloadfile", "downloadstring"}},
		{"runs machine code", 2, []string{"virtualalloc", "createthread", "writeprocessmemory", "ntallocatevirtualmemory", "enumsystemlocales", "callwindowproc", "createremotethread"}},
		{"changes macros", 2, []string{"accessvbom", "vbawarnings", "insertlines", "addfromstring", "addfromfile", "organizercopy", "virusprotection", "vbcomponents"}},
		{"writes files", 1, []string{"adodb.stream", "savetofile", "scripting.filesystemobject", "createtextfile", "for binary", "for output", "filecopy "}},
		{"looks for a folder of its own", 1, []string{"environ(", "environ$(", "%temp%", "%appdata%", "\\startup", "specialfolders"}},
		{"hides what it does", 1, []string{"strreverse", "callbyname", "bin.base64", "rtlmovememory"}},
		{"stays", 1, []string{"regwrite", "currentversion\\run", "schtasks"}},
	}
}

// vba looks at every project of macros in the file.
func vba(o *compound.File) []hit {
	projects := 0
	for _, path := range o.Paths {
		folder, isDir := strings.CutSuffix(path, "dir")
		if !isDir || folder != "" && !strings.HasSuffix(folder, "/") || !o.Has(folder+"_VBA_PROJECT") {
			continue
		}
		if projects++; projects > maxProjects {
			break
		}
		if hits := macros(readProject(o, folder)); len(hits) > 0 {
			return hits
		}
	}
	return nil
}

// macros judges a project: that it runs by itself is one sign, what it does others.
func macros(p *project) []hit {
	text := macroText(p.source)
	starts := regexp.MustCompile(`(?m)^[ \t]*(?:public |private |friend |static )*(?:sub|function) (` + startsItself + `)\b`)
	m := starts.FindSubmatch(text)
	if m == nil {
		return stomped(p, text)
	}
	found := &signs{}
	found.add(0, "the macro runs by itself (%s)", m[1])
	meanings := found.find(text, macroTerms())
	if shell := regexp.MustCompile(`(?m)(?:^|[ \t=:(])(?:vba\.)?shell[ (][^\n]*`).Find(text); shell != nil && !meanings["starts programs"] {
		found.add(2, "starts programs (%s)", quoted(string(shell)))
	}
	if n := bytes.Count(text, []byte("chr(")) + bytes.Count(text, []byte("chrw(")) + bytes.Count(text, []byte("chr$(")); n >= 20 {
		found.add(1, "%d characters are given by number", n)
	}
	if n := bytes.Count(text, []byte(" xor ")); n >= 1 && bytes.Contains(text, []byte("asc(")) {
		found.add(1, "text is decoded by xor")
	}
	return found.hit("HEUR_VBA_AUTORUN", 2)
}

// macroText is the source in lower case, without comments, continued lines and strings in pieces made whole.
func macroText(source []byte) []byte {
	lower := bytes.ReplaceAll(asciiLower(source), []byte("\r"), nil)
	lower = bytes.ReplaceAll(lower, []byte(" _\n"), []byte(" "))
	var out []byte
	for line := range bytes.Lines(lower) {
		if trimmed := bytes.TrimLeft(line, " \t"); !bytes.HasPrefix(trimmed, []byte("'")) && !bytes.HasPrefix(trimmed, []byte("rem ")) {
			out = append(out, line...)
		}
	}
	return regexp.MustCompile(`"[ \t]*[&+][ \t]*"`).ReplaceAll(out, nil)
}

// stomped finds macros whose source was taken away, while the compiled form stayed: Office runs it, and readers of sources see nothing. The
// names in it are all that is read of the compiled form.
func stomped(p *project, text []byte) []hit {
	names := asciiLower(p.names)
	compiled := asciiLower(p.cached)
	start := regexp.MustCompile(`(?:^|[^a-z0-9_])(auto_?open|auto_?exec|auto_?close|document_open|document_close|workbook_open)(?:$|[^a-z0-9_])`).FindSubmatch(names)
	if start == nil || bytes.Contains(text, start[1]) {
		return nil
	}
	found := &signs{}
	found.add(1, "the compiled macro has %s, the source has not", start[1])
	for _, t := range macroTerms() {
		word := t.in(compiled)
		if word == "" {
			word = t.in(names)
		}
		if word != "" && !bytes.Contains(text, []byte(word)) {
			found.add(1, "%s in the compiled form alone (%s)", t.meaning, word)
		}
	}
	if bytes.Contains(names, []byte("shell")) && !bytes.Contains(text, []byte("shell")) {
		found.add(1, "starts programs in the compiled form alone")
	}
	return found.hit("HEUR_VBA_STOMPED", 2)
}

// isMacroSource knows modules that somebody exported.
func isMacroSource(s *subject) bool {
	return slices.Contains([]string{".vba", ".bas", ".cls", ".frm"}, s.extension()) && bytes.IndexByte(s.data[:min(len(s.data), 1024)], 0) < 0
}

func macroSource(s *subject) []hit {
	return macros(&project{source: s.data[:min(len(s.data), maxSource)]})
}
