package main

import (
	"strings"
)

// sign is what a language's text has and other text mostly has not. Where it stands says how it is looked for.
type sign struct {
	place  place
	text   string
	weight int
}

type place int

const (
	anywhere place = iota
	opening        // a line begins with it
	whole          // a line is it
	closing        // a line ends with it
)

// enough is the sum of weights at which a text is a script, and often is how many times one sign counts.
const (
	enough = 6
	often  = 2
)

type language struct {
	name  string
	signs []sign
}

// languages are scored beside each other, and the highest is named. A weight of 3 and more is for what is not said in prose.
func languages() []language {
	return []language{
		{"js", []sign{
			{opening, "var ", 2}, {opening, "let ", 1}, {opening, "const ", 1}, {opening, "function ", 2}, {anywhere, "function(", 3},
			{anywhere, "function (", 3}, {anywhere, "=>", 1}, {anywhere, "new activexobject", 6}, {anywhere, "wscript.", 3}, {anywhere, "eval(", 2},
			{anywhere, "document.", 1}, {anywhere, "window.", 1}, {anywhere, "require(", 2}, {anywhere, "module.exports", 3},
			{anywhere, "use strict", 2}, {anywhere, "console.log", 3}, {anywhere, "json.parse", 2}, {anywhere, "fromcharcode", 3},
			{anywhere, "===", 2}, {anywhere, "!==", 2}, {closing, "});", 2}, {anywhere, ".prototype", 2}, {opening, "export ", 1},
			{closing, "};", 1}, {closing, ") {", 1}, {anywhere, "){", 1}, {anywhere, "unescape(", 2}, {anywhere, "parseint(", 2},
			{anywhere, ".charat(", 2}, {anywhere, ".charcodeat(", 3}, {anywhere, "typeof ", 2}, {anywhere, "catch(", 2}, {anywhere, "catch (", 2},
			{opening, "return ", 1}, {anywhere, ".split(", 1}, {anywhere, ".replace(/", 2}, {anywhere, "this[", 2}, {anywhere, "getobject(", 2},
		}},
		{"vbs", []sign{
			{anywhere, "createobject(", 3}, {anywhere, "createobject (", 3}, {anywhere, "wscript.", 3}, {opening, "dim ", 2}, {opening, "set ", 1},
			{anywhere, "on error resume next", 4}, {opening, "sub ", 2}, {whole, "end sub", 4}, {whole, "end function", 4}, {whole, "end if", 3},
			{anywhere, "msgbox ", 2}, {anywhere, "msgbox(", 3}, {anywhere, "getobject(", 3}, {anywhere, "executeglobal", 4}, {anywhere, "chr(", 2},
			{whole, "option explicit", 4}, {anywhere, "execute(", 2}, {anywhere, "strreverse(", 3}, {closing, " then", 2},
			{opening, "private sub ", 3}, {opening, "public function ", 3}, {opening, "function ", 1}, {whole, "next", 1}, {whole, "wend", 2},
			{whole, "loop", 1}, {anywhere, "chrw(", 3}, {anywhere, " & vbcrlf", 3}, {opening, "redim ", 3},
		}},
		{"vba", []sign{
			{opening, "attribute vb_", 6}, {opening, "sub autoopen", 4}, {opening, "sub auto_open", 4}, {anywhere, "document_open(", 4},
			{anywhere, "workbook_open(", 4}, {opening, "private declare ", 5}, {opening, "public declare ", 5}, {anywhere, " as string", 2},
			{anywhere, " as object", 2}, {anywhere, " as long", 2}, {anywhere, "activedocument.", 2}, {anywhere, "thisworkbook.", 2},
			{whole, "end sub", 3}, {whole, "end function", 3}, {whole, "option explicit", 3}, {opening, "private sub ", 2}, {closing, " then", 1},
			{opening, "dim ", 1}, {whole, "end if", 2},
		}},
		{"ps1", []sign{
			{opening, "$", 1}, {anywhere, "new-object ", 3}, {anywhere, "invoke-", 3}, {anywhere, "write-host", 4}, {anywhere, "write-output", 4},
			{anywhere, "-executionpolicy ", 3}, {opening, "param(", 2}, {opening, "param (", 2}, {anywhere, "[system.", 3}, {anywhere, "iex ", 2},
			{anywhere, "iex(", 3}, {anywhere, "| iex", 3}, {anywhere, "|iex", 3}, {anywhere, "get-childitem", 3}, {anywhere, "get-content", 3},
			{anywhere, "get-item", 3}, {anywhere, "get-process", 3}, {anywhere, "get-wmiobject", 3}, {anywhere, "set-item", 3},
			{anywhere, "foreach-object", 3}, {anywhere, "where-object", 3}, {anywhere, "-noprofile", 3}, {anywhere, "downloadstring(", 4},
			{anywhere, "downloadfile(", 3}, {anywhere, "frombase64string", 3}, {anywhere, "[convert]::", 4}, {anywhere, "-join", 1},
			{anywhere, "[cmdletbinding", 6}, {anywhere, " -eq ", 1}, {anywhere, "start-process", 3}, {anywhere, "add-type", 3}, {anywhere, "$env:", 3},
			{anywhere, "$_.", 2}, {anywhere, "[byte[]]", 4}, {anywhere, "[char]", 3}, {anywhere, "start-sleep", 3}, {anywhere, "set-executionpolicy", 4},
			{anywhere, "import-module", 3}, {anywhere, "join-path", 3}, {anywhere, "out-file", 3}, {anywhere, "test-path", 3}, {anywhere, "::", 1},
			{opening, "foreach (", 1}, {anywhere, "-erroraction", 3},
		}},
		{"bat", []sign{
			{opening, "@echo off", 6}, {opening, "echo off", 3}, {opening, "@set ", 3}, {opening, "set ", 1}, {opening, "if exist ", 3},
			{opening, "if not ", 2}, {opening, "if \"%", 4}, {opening, "goto ", 3}, {opening, "rem ", 2}, {opening, "echo ", 1}, {opening, "echo.", 3},
			{anywhere, "%~dp0", 5}, {anywhere, "%temp%", 3}, {anywhere, "%appdata%", 3}, {anywhere, "%userprofile%", 3}, {anywhere, "%comspec%", 3},
			{opening, "start ", 1}, {opening, "del /", 3}, {opening, "copy ", 1}, {opening, "call ", 1}, {whole, "setlocal", 4}, {whole, "endlocal", 4},
			{opening, "setlocal ", 4}, {opening, "for %%", 5}, {opening, "for /", 4}, {anywhere, "cmd /c", 3}, {anywhere, "cmd.exe /c", 3},
			{anywhere, "powershell -", 3}, {anywhere, "powershell.exe -", 3}, {opening, "powershell", 3}, {opening, "certutil", 3}, {anywhere, "bitsadmin", 3},
			{anywhere, "rundll32 ", 3}, {anywhere, "regsvr32 ", 3}, {anywhere, "mshta ", 3}, {whole, "pause", 2}, {opening, "exit /b", 4},
			{opening, "reg add ", 4}, {anywhere, "schtasks /", 4}, {anywhere, ">nul", 3}, {anywhere, "> nul", 3}, {opening, "taskkill ", 3},
			{opening, "@powershell", 4}, {anywhere, " -enc ", 3}, {anywhere, " -encodedcommand ", 3}, {anywhere, "-windowstyle hidden", 3},
			{anywhere, " -w hidden", 3}, {whole, "exit", 1}, {opening, "timeout /t", 4}, {opening, "xcopy ", 2}, {opening, "curl ", 1}, {opening, "md ", 1},
			{anywhere, "%errorlevel%", 4}, {opening, "title ", 1},
		}},
		{"sh", []sign{
			{opening, "export ", 2}, {whole, "fi", 3}, {whole, "done", 3}, {closing, "; then", 3}, {closing, "; do", 3}, {opening, "if [ ", 3},
			{opening, "if [[ ", 3}, {whole, "esac", 4}, {anywhere, "$(", 1}, {opening, "echo \"", 1}, {anywhere, "chmod +x", 3}, {anywhere, "chmod 7", 3},
			{opening, "wget http", 3}, {opening, "curl -", 2}, {opening, "sudo ", 2}, {anywhere, "/dev/null", 2}, {anywhere, "| sh", 3}, {anywhere, "| bash", 3},
			{opening, "cd /", 2}, {anywhere, "/bin/sh", 2}, {anywhere, "/bin/bash", 2}, {anywhere, "base64 -d", 3}, {opening, "set -e", 4},
		}},
		{"py", []sign{
			{opening, "import ", 1}, {anywhere, " import ", 1}, {opening, "from ", 1}, {closing, "):", 3}, {opening, "def ", 2}, {anywhere, "print(", 1},
			{anywhere, "if __name__ ==", 6}, {anywhere, "self.", 2}, {opening, "elif ", 3}, {opening, "except ", 2}, {anywhere, "__init__", 3},
			{anywhere, "subprocess.", 3}, {opening, "import os", 3}, {opening, "import sys", 3}, {opening, "import base64", 3}, {opening, "import socket", 3},
			{whole, "try:", 3}, {whole, "else:", 2}, {whole, "except:", 3}, {anywhere, "exec(", 2}, {anywhere, "os.system(", 4}, {opening, "with open(", 3},
			{anywhere, "lambda ", 2},
		}},
		{"pl", []sign{
			{whole, "use strict;", 5}, {whole, "use warnings;", 5}, {opening, "my $", 3}, {opening, "my @", 3}, {opening, "my %", 3}, {opening, "my (", 3},
			{anywhere, "=~ ", 2}, {opening, "sub ", 1}, {closing, "shift;", 2}, {anywhere, "@_", 2}, {opening, "foreach my ", 4}, {opening, "print \"", 1},
			{anywhere, " or die", 2}, {anywhere, "$ARGV[", 3}, {opening, "use ", 1}, {opening, "our $", 3},
		}},
		{"rb", []sign{
			{opening, "require '", 3}, {opening, "require \"", 3}, {opening, "def ", 1}, {whole, "end", 2}, {opening, "puts ", 2}, {anywhere, ".each do", 4},
			{anywhere, " do |", 4}, {opening, "attr_", 4}, {opening, "elsif ", 3}, {opening, "class ", 1}, {opening, "module ", 1}, {anywhere, "#{", 2},
			{opening, "unless ", 2},
		}},
		{"lua", []sign{
			{opening, "local function ", 5}, {opening, "local ", 2}, {closing, " then", 1}, {whole, "end", 2}, {anywhere, "require(", 1},
			{anywhere, "string.char(", 3}, {closing, " do", 1}, {anywhere, "ipairs(", 4}, {anywhere, "pairs(", 3}, {anywhere, "io.open(", 3},
		}},
		{"tcl", []sign{
			{opening, "proc ", 3}, {opening, "package require ", 5}, {opening, "set ", 1}, {opening, "puts ", 2}, {anywhere, "[expr ", 3}, {anywhere, "foreach ", 1},
		}},
	}
}

// interpreters are what a first line may call.
func interpreters() [][2]string {
	return [][2]string{{"python", "py"}, {"perl", "pl"}, {"ruby", "rb"}, {"php", "php"}, {"node", "js"}, {"deno", "js"}, {"lua", "lua"},
		{"tclsh", "tcl"}, {"wish", "tcl"}, {"pwsh", "ps1"}, {"powershell", "ps1"}, {"osascript", "js"}, {"sh", "sh"}}
}

// scripts names the languages of a text in lower case that is not a document, the surest first.
func (r *readers) scripts(text string) []string {
	text = strings.TrimLeft(text, " \t\r\n")
	if rest, found := strings.CutPrefix(text, "#!"); found {
		line, _, _ := strings.Cut(rest, "\n")
		for _, i := range interpreters() {
			if strings.Contains(line, i[0]) {
				return []string{i[1]}
			}
		}
		return []string{"sh"}
	}
	switch {
	case strings.Contains(text, "#@~^") && encoded(text[strings.Index(text, "#@~^"):]):
		return []string{"jse", "vbe"} // the same encoding; only the name tells which
	case strings.Contains(text, "<?php"), strings.HasPrefix(text, "<?="), strings.HasPrefix(text, "<?\n"), strings.HasPrefix(text, "<? "):
		return []string{"php"}
	}
	if name := r.highest(text); name != "" {
		return []string{name}
	}
	return nil
}

// encoded is the head of an encoded script: #@~^, six characters of length, ==.
func encoded(text string) bool {
	const lengthEnds = 10
	return len(text) > lengthEnds+2 && text[lengthEnds:lengthEnds+2] == "=="
}

// readers hold what is made once for reading text.
type readers struct {
	languages []language
	openings  [256][]at // by the first byte of the line
	closings  []at
	wholes    map[string][]at
	anywheres []at
}

// at is a sign with its language.
type at struct {
	sign
	language int
}

func newReaders() *readers {
	r := &readers{languages: languages(), wholes: map[string][]at{}}
	for l := range r.languages {
		for _, s := range r.languages[l].signs {
			a := at{s, l}
			a.text = strings.ToLower(a.text)
			switch s.place {
			case opening:
				r.openings[a.text[0]] = append(r.openings[a.text[0]], a)
			case whole:
				r.wholes[a.text] = append(r.wholes[a.text], a)
			case closing:
				r.closings = append(r.closings, a)
			case anywhere:
				r.anywheres = append(r.anywheres, a)
			}
		}
	}
	return r
}

// highest is the language with the highest score, if that is enough. Lines of prose are left out, so that a letter about code scores as
// little as its examples are few; where most of the text is prose it is none at all.
func (r *readers) highest(text string) string {
	var code strings.Builder
	scores := make([]int, len(r.languages))
	counts := map[at]int{}
	count := func(a at) {
		if counts[a] < often {
			counts[a]++
			scores[a.language] += a.weight
		}
	}
	prose, written, place, block := 0, 0, 0, ""
	for line := range strings.Lines(text) {
		place += len(line)
		line = strings.TrimSpace(line)
		if line == "" || written > textSize && place < len(text)-textEnd {
			continue
		}
		within := block != ""
		block = stillIn(block, line)
		if comment(line) {
			continue
		}
		// What stands in a block of comment says nothing about the rest; that it is one is not known before the language is, so its signs count.
		if !within {
			written += len(line)
		}
		if isProse(line) {
			if !within {
				prose += len(line)
			}
			continue
		}
		code.WriteString(line)
		code.WriteByte('\n')
		for _, a := range r.wholes[line] {
			count(a)
		}
		for _, a := range r.openings[line[0]] {
			if strings.HasPrefix(line, a.text) {
				count(a)
			}
		}
		for _, a := range r.closings {
			if strings.HasSuffix(line, a.text) {
				count(a)
			}
		}
	}
	if prose*2 > written {
		return ""
	}
	lines := code.String()
	for _, a := range r.anywheres {
		if n := strings.Count(lines, a.text); n > 0 {
			scores[a.language] += a.weight * min(n, often)
		}
	}
	best := 0
	for l := range scores {
		if scores[l] > scores[best] {
			best = l
		}
	}
	if scores[best] < enough {
		return ""
	}
	return r.languages[best].name
}

// stillIn is the end of the block of comment that the text is in behind the line, or "".
func stillIn(end, line string) string {
	if end == "" {
		for _, block := range [][2]string{{"/*", "*/"}, {"<#", "#>"}, {"\"\"\"", "\"\"\""}, {"=begin", "=end"}, {"=pod", "=cut"}} {
			if rest, opens := strings.CutPrefix(line, block[0]); opens && !strings.Contains(rest, block[1]) {
				return block[1]
			}
		}
		return ""
	}
	if strings.Contains(line, end) {
		return ""
	}
	return end
}

// comment is a line that says nothing to the machine, whatever the language.
func comment(line string) bool {
	return strings.HasPrefix(line, "//") || strings.HasPrefix(line, "'") || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "* ") ||
		strings.HasPrefix(line, "/*") || line == "*" || strings.HasPrefix(line, "*/") || strings.HasPrefix(line, ">")
}

// isProse is a line of several words with little in it that a language would need.
func isProse(line string) bool {
	const words, signsFor = 5, 24
	spaces, signs := 0, 0
	for i := range len(line) {
		switch c := line[i]; {
		case c == ' ':
			spaces++
		case strings.IndexByte("(){}[]=;$%\\<>_|&+*/\"", c) >= 0:
			signs++
		case c == '-' && i > 0 && line[i-1] == ' ' && i+1 < len(line) && 'a' <= line[i+1] && line[i+1] <= 'z': // an option
			signs++
		}
	}
	return spaces+1 >= words && signs*signsFor <= len(line)
}
