package main

import (
	"bytes"
	"encoding/binary"
	"regexp"
	"strings"
)

const linkMagic = "\x4c\x00\x00\x00\x01\x14\x02\x00\x00\x00\x00\x00\xc0\x00\x00\x00\x00\x00\x00\x46"

func isLink(s *subject) bool { return begins(s.data, linkMagic) }

// link is what a shell link says (MS-SHLLINK).
type link struct {
	items     string // identifiers of the target, as far as they are text
	base      string // path of the target on its volume
	name      string
	relative  string
	folder    string
	arguments string
	icon      string
	variable  string // target by environment
	trailing  int    // bytes behind the end
}

// readLink reads as far as the link goes; what is cut off is empty.
func readLink(data []byte) *link {
	const header = 76
	const hasItems, hasInfo, hasName, hasRelative, hasFolder, hasArguments, hasIcon, isUnicode = 1, 2, 4, 8, 16, 32, 64, 128
	l := &link{}
	if len(data) < header {
		return l
	}
	flags := binary.LittleEndian.Uint32(data[20:])
	rest := data[header:]
	take := func(n int) []byte {
		n = min(max(n, 0), len(rest))
		out := rest[:n]
		rest = rest[n:]
		return out
	}
	if flags&hasItems != 0 && len(rest) >= 2 {
		l.items = readable(take(2 + int(binary.LittleEndian.Uint16(rest))))
	}
	if flags&hasInfo != 0 && len(rest) >= 4 {
		l.base = linkBase(take(int(min(binary.LittleEndian.Uint32(rest), 1<<20))))
	}
	for _, text := range []struct {
		flag uint32
		to   *string
	}{{hasName, &l.name}, {hasRelative, &l.relative}, {hasFolder, &l.folder}, {hasArguments, &l.arguments}, {hasIcon, &l.icon}} {
		if flags&text.flag == 0 || len(rest) < 2 {
			continue
		}
		n := int(binary.LittleEndian.Uint16(take(2)))
		if flags&isUnicode != 0 {
			*text.to = utf16String(take(2 * n))
		} else {
			*text.to = string(take(n))
		}
	}
	const environment = 0xa0000001
	for len(rest) >= 4 {
		size := binary.LittleEndian.Uint32(rest)
		if size < 4 || uint64(size) > uint64(len(rest)) {
			if size < 4 {
				take(4) // the last block
			}
			break
		}
		block := take(int(size))
		if len(block) >= 8+260 && binary.LittleEndian.Uint32(block[4:]) == environment {
			l.variable = untilZero(block[8:268])
		}
	}
	l.trailing = len(rest)
	return l
}

// linkBase is the path of the target in LinkInfo (MS-SHLLINK 2.3).
func linkBase(info []byte) string {
	const baseAt = 16
	if len(info) < baseAt+4 {
		return ""
	}
	at := binary.LittleEndian.Uint32(info[baseAt:])
	if at == 0 || uint64(at) >= uint64(len(info)) {
		return ""
	}
	return untilZero(info[at:])
}

func untilZero(data []byte) string {
	text, _, _ := bytes.Cut(data, []byte{0})
	return string(text)
}

// readable is the text in binary data, of one byte or two for each character.
func readable(data []byte) string {
	var out strings.Builder
	for _, c := range data {
		switch {
		case c >= ' ' && c < 0x7f:
			out.WriteByte(c)
		case c != 0:
			out.WriteByte(' ')
		}
	}
	return out.String()
}

// shellLink judges a link: mail seldom carries any, and one that starts an interpreter with a task is made to be opened.
func shellLink(s *subject) []hit {
	l := readLink(s.data)
	target := strings.ToLower(strings.Join([]string{l.items, l.base, l.relative, l.variable}, " "))
	arguments := strings.ToLower(l.arguments)
	plain := strings.NewReplacer("^", "", "`", "", `"`, "").Replace(arguments)
	found := &signs{}
	shell := regexp.MustCompile(`\b(powershell|pwsh|cmd|mshta|wscript|cscript|rundll32|regsvr32|msiexec|certutil|bitsadmin|conhost|forfiles|pcalua|` +
		`hh|ssh|curl|installutil|msbuild|odbcconf|scriptrunner|wmic|explorer)(?:\.exe)?\b`).FindString(target)
	if shell != "" {
		found.add(1, "the link starts %s", shell)
	}
	if remote := regexp.MustCompile(`\\\\[^ ]*(?:@ssl|@\d+|davwwwroot|\d+\.\d+\.\d+\.\d+)[^ ]*`).FindString(target + " " + arguments); remote != "" {
		found.add(2, "it runs what a server on the net holds (%s)", quoted(remote))
	}
	if shell == "" && found.weight == 0 {
		return nil
	}
	if inner := regexp.MustCompile(`\b(?:powershell|pwsh|mshta|wscript|cscript|rundll32|regsvr32|msiexec|certutil|bitsadmin|curl)\b`).FindString(plain); inner != "" {
		found.add(1, "by it %s", inner)
	}
	if found.weight == 0 || arguments == "" && found.weight < 2 {
		return nil
	}
	for _, sign := range []struct {
		weight  int
		what    string
		pattern string
	}{
		{2, "an encoded command", `[-/]e(?:nc?|ncod\w*|c)?\s+[a-z0-9+/=]{16,}`},
		{2, "a script in the arguments", `(?:javascript|vbscript):|\biex\b|invoke-expression|downloadstring|downloadfile|invoke-webrequest|frombase64string`},
		{1, "an address", `https?:[/\\]|\\\\[a-z0-9.-]+\\`},
		{1, "a hidden window", `[-/]w\w*\s+(?:h\w*|1)\b|/min\b`},
		{1, "a command line", `(?:^|\s)/[ckr]\b|(?:^|\s)/v(?::on)?\b|[-/]c(?:ommand)?\s`},
		{1, "a bypass of the policy of scripts", `[-/]e(?:p|x\w*)\s+(?:bypass|unrestricted)|-nop\b`},
	} {
		if m := regexp.MustCompile(sign.pattern).FindString(plain); m != "" {
			found.add(sign.weight, "%s (%s)", sign.what, quoted(m))
		}
	}
	if run := regexp.MustCompile(`[ \t\r\n]{32,}`).FindString(arguments); run != "" {
		found.add(2, "%d blanks hide the arguments", len(run))
	}
	if n := strings.Count(arguments, "^"); n >= 5 {
		found.add(1, "%d carets break up the command", n)
	}
	if len(arguments) > 260 {
		found.add(1, "%d characters of arguments, of which Windows shows 260", len(arguments))
	}
	if l.trailing > 4<<10 {
		found.add(1, "%d bytes behind the end of the link", l.trailing)
	}
	if icon := strings.ToLower(l.icon); regexp.MustCompile(`winword|excel|acrord|acrobat|wordpad|imageres|msedge|chrome|\.(?:pdf|docx?|xlsx?|txt)\b`).MatchString(icon) {
		found.add(1, "the icon of something else (%s)", quoted(l.icon))
	}
	return found.hit("HEUR_LNK_SHELL", 2)
}

func isInternetShortcut(s *subject) bool {
	return s.extension() == ".url" || s.extension() == ".website"
}

// internetShortcut finds shortcuts to what a server holds as a file, which Windows runs after one click.
func internetShortcut(s *subject) []hit {
	m := regexp.MustCompile(`(?im)^[ \t]*URL[ \t]*=[ \t]*((?:file:)?[\\/]{2,}[^\r\n]*)`).FindSubmatch(plainText(s.data[:min(len(s.data), 64<<10)]))
	if m == nil {
		return nil
	}
	found := &signs{}
	target := strings.ToLower(strings.TrimSpace(string(m[1])))
	if server := regexp.MustCompile(`^(?:file:)?[\\/]{2,}([^\\/]*[.@][^\\/]*)[\\/]`).FindStringSubmatch(target); server != nil {
		found.add(1, "the target is a file on a server (%s)", quoted(server[1]))
	}
	if end := regexp.MustCompile(`\.[a-z0-9]{2,4}$`).FindString(target); runsByName(end) || end == ".zip" {
		found.add(1, "it runs when it is opened (%s)", quoted(target))
	}
	return found.hit("HEUR_URL_REMOTE_FILE", 2)
}
