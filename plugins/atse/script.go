package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"regexp"
	"slices"
	"unicode/utf16"
)

// maxScript bounds what is read of a script: what a script does stands in it early, or it is not a script.
const maxScript = 2 << 20

// language is how a script is run.
type language int

const (
	noScript   language = iota
	hostScript          // by the script host of Windows: js, vbs, wsf, hta
	powerShell
	batch
	encodedScript // vbe, jse
)

func languageOf(extension string) language {
	switch extension {
	case ".js", ".vbs", ".wsf", ".wsh", ".hta", ".sct", ".wsc", ".vb":
		return hostScript
	case ".ps1", ".psm1", ".psc1":
		return powerShell
	case ".bat", ".cmd":
		return batch
	case ".vbe", ".jse":
		return encodedScript
	}
	return noScript
}

func isScript(s *subject) bool {
	return languageOf(s.extension()) != noScript || isNameless(s) && hasScriptWords(s.data)
}

// isNameless knows members that the unpacker itself had to name.
func isNameless(s *subject) bool {
	return s.part.Kind == "member" && slices.Contains([]string{"", ".bin", ".dat", ".tmp"}, s.extension())
}

// hasScriptWords knows a script by its beginning where its name says nothing.
func hasScriptWords(data []byte) bool {
	head := data[:min(len(data), subjectHead)]
	if bytes.IndexByte(head, 0) >= 0 {
		return false
	}
	head = asciiLower(head)
	for _, word := range []string{"<hta:application", "wscript.", "createobject(", "powershell", "@echo off", "activexobject", "<job"} {
		if bytes.Contains(head, []byte(word)) {
			return true
		}
	}
	return false
}

// scriptTerms are what droppers are made of. None of them is bad in itself.
func scriptTerms() []terms {
	return []terms{
		{"runs programs", 1, []string{
			"wscript.shell", "shell.application", "shellexecute", "start-process", "invoke-item", "win32_process", "process.start", "cmd /c", "cmd.exe /c",
			"mshta", "rundll32", "regsvr32", "schtasks", "powershell", "pwsh ", "wscript //", "cscript //", "cscript.exe",
		}},
		{"fetches from the net", 1, []string{
			"xmlhttp", "winhttprequest", "downloadstring", "downloadfile", "downloaddata", "invoke-webrequest", "iwr ", "net.webclient", "invoke-restmethod",
			"bitstransfer", "bitsadmin", "-urlcache", "curl ", "curl.exe", "wget ", "net.sockets",
		}},
		{"writes files", 1, []string{
			"adodb.stream", "savetofile", "createtextfile", "opentextfile", "writealltext", "writeallbytes", "out-file", "set-content", "copyfile", "-outfile",
			" -o ", ">> %", ">>%", "> %temp",
		}},
		{"decodes", 1, []string{
			"frombase64string", "-decode", "bin.base64", "atob(", "unescape(", "fromcharcode", "strreverse", "-bxor", "gzipstream", "deflatestream",
			"charcodeat", "[char]", "-encodedcommand", " -enc ", "[array]::reverse", "toint16(", "tobyte(",
		}},
		{"runs what it makes", 1, []string{
			"eval(", "execute(", "executeglobal", "iex ", "iex(", "|iex", "invoke-expression", "new function(", "[scriptblock]", "reflection.assembly", "add-type",
		}},
		{"hides", 1, []string{
			"-windowstyle hidden", "-w hidden", "-w h ", "-nop", "executionpolicy bypass", "-ep bypass", "%temp%", "getspecialfolder", "$env:temp", "$env:appdata",
			"%appdata%", "vbhide", "resizeto(0", "moveto(-", "showintaskbar=\"no\"", "@echo off",
		}},
		{"runs machine code", 2, []string{"virtualalloc", "createthread", "amsiutils", "amsiinitfailed", "amsiscanbuffer", "getdelegateforfunctionpointer", "[dllimport"}},
	}
}

// script judges a script. Scripts of a web site, of administrators and of installers do much of what a dropper does, so what counts is that
// three kinds of it come together.
func script(s *subject) []hit {
	kind := languageOf(s.extension())
	data := plainText(s.data[:min(len(s.data), maxScript)])
	if kind == encodedScript || begins(data, "#@~^") {
		found := &signs{}
		if begins(bytes.TrimSpace(data), "#@~^") {
			found.add(1, "the source is encoded")
			found.add(1, "the name %s is of scripts that are run when opened", quoted(s.base()))
		}
		return found.hit("HEUR_SCRIPT_ENCODED", 2)
	}
	text := scriptText(data)
	found := &signs{}
	meanings := found.find(text, scriptTerms())
	starts := meanings["runs programs"] || meanings["runs machine code"]
	if !starts && !meanings["runs what it makes"] {
		return nil
	}
	measures := obfuscation(data, kind)
	for _, m := range measures {
		found.add(1, "%s", m)
	}
	covert := meanings["decodes"] || meanings["runs machine code"] || len(measures) > 0
	fetches := meanings["fetches from the net"]
	dropper := starts && fetches && (meanings["writes files"] || meanings["runs what it makes"])
	switch {
	case kind == hostScript || kind == noScript:
		// A page's script makes objects as well, though none that runs programs.
		page := isPageScript(text)
		host := isHostScript(text) && (starts || !page) || kind == noScript && starts
		blind := len(measures) >= 2 && meanings["runs what it makes"] && !page
		if !host && !blind {
			return nil
		}
		if dropper {
			return found.hit("HEUR_SCRIPT_DROPPER", 3)
		}
	case dropper && (covert || meanings["hides"]):
		return found.hit("HEUR_SCRIPT_DROPPER", 4)
	}
	if !covert {
		return nil
	}
	return found.hit("HEUR_SCRIPT_OBFUSCATED", 3)
}

func isHostScript(text []byte) bool {
	for _, word := range []string{"wscript", "createobject(", "getobject(", "activexobject", "<hta:"} {
		if bytes.Contains(text, []byte(word)) {
			return true
		}
	}
	return false
}

func isPageScript(text []byte) bool {
	for _, word := range []string{"document.", "window.", "module.exports", "define(", "jquery", "require("} {
		if bytes.Contains(text, []byte(word)) {
			return true
		}
	}
	return false
}

// plainText makes bytes of text in UTF-16, which Windows runs as well.
func plainText(data []byte) []byte {
	const sample = 64
	wide := begins(data, "\xff\xfe")
	if !wide && len(data) >= sample {
		zeros := 0
		for i := 1; i < sample; i += 2 {
			if data[i] == 0 && data[i-1] != 0 {
				zeros++
			}
		}
		wide = zeros > sample/2*9/10
	}
	if !wide {
		return bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	}
	units := make([]uint16, len(data)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(data[2*i:])
	}
	return bytes.TrimPrefix([]byte(string(utf16.Decode(units))), []byte("\ufeff"))
}

// scriptText is the script in lower case, with what breaks its words up taken away: carets, ticks, strings in pieces.
func scriptText(data []byte) []byte {
	return slices.DeleteFunc(joinStrings(asciiLower(data)), func(c byte) bool { return c == '^' || c == '`' })
}

// jointEnd is where the next piece of a string begins, if a piece ends at a place and a sign joins both; else 0.
func jointEnd(data []byte, at int) int {
	i := runOf(data, at+1, isBlank)
	if i >= len(data) || data[i] != '+' && data[i] != '&' {
		return 0
	}
	if i = runOf(data, i+1, isBlank); i >= len(data) || !isQuote(data[i]) {
		return 0
	}
	return i + 1
}

func isQuote(c byte) bool { return c == '"' || c == '\'' || c == '`' }

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// obfuscation is what a script does to be unreadable.
func obfuscation(data []byte, kind language) []string {
	var out []string
	measure := func(pattern string, enough int, what string) {
		if n := len(regexp.MustCompile(pattern).FindAllIndex(data, enough)); n >= enough {
			out = append(out, fmt.Sprintf("%s, %d times at least", what, enough))
		}
	}
	measure(`["'][ \t]*[+&][ \t]*["']`, 30, "strings in pieces")
	measure(`\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4})`, 60, "escaped characters")
	measure(`(?i)\bchrw?\$?\(`, 20, "characters by number")
	measure(`(?:0x[0-9a-fA-F]+|\b\d{1,5})\s*,\s*(?:0x[0-9a-fA-F]+|\d{1,5})\s*,`, 100, "lists of numbers")
	measure(`_0x[0-9a-f]{4,}`, 40, "names made by a program")
	if n, _ := largestString(data); n > 0 {
		out = append(out, fmt.Sprintf("an encoded string of %d characters", n))
	}
	switch kind {
	case batch:
		measure(`[A-Za-z]\^[A-Za-z]`, 4, "words broken up by carets")
		measure(`%[^%\s]{1,64}:~-?\d+(?:,-?\d+)?%`, 8, "letters cut out of variables")
	case powerShell:
		measure("[A-Za-z]`[A-Za-z]", 8, "words broken up by ticks")
		measure(`\{\d+\}\{\d+\}\{\d+\}`, 2, "strings put together by format")
	}
	return out
}
