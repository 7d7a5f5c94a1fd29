package main

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf16"
)

// textSize is how much of a text is weighed, comments not counted; of a longer one also its end, since a script may hide behind a long text.
const (
	textSize = 12 << 10
	textEnd  = 4 << 10
)

// text is the start and the end of a text in lower case, decoded, or false where the content is none.
func (s *sample) text() (string, bool) {
	head, wide := plain(s.head)
	if len(head) == 0 || !isText(head) {
		return "", false
	}
	if len(s.tail) > 0 && !wide {
		end := s.tail[max(0, len(s.tail)-textEnd):]
		head = slices.Concat(head, []byte("\n"), end)
	}
	return lowerASCII(head), true
}

// plain is text without its mark, of one byte for each ASCII character: UTF-16 with or without a mark is what Windows writes scripts in.
func plain(b []byte) (text []byte, wide bool) {
	switch {
	case bytes.HasPrefix(b, []byte("\xef\xbb\xbf")):
		return b[3:], false
	case bytes.HasPrefix(b, []byte("\xff\xfe")):
		return fromUTF16(b[2:], 0), true
	case bytes.HasPrefix(b, []byte("\xfe\xff")):
		return fromUTF16(b[2:], 1), true
	}
	if low := 1; len(b) >= 16 {
		for order := range 2 { // every second byte is 0
			zeros := 0
			for i := low - order; i < 16; i += 2 {
				if b[i] == 0 {
					zeros++
				}
			}
			if zeros == 8 && b[order] != 0 {
				return fromUTF16(b, order), true
			}
		}
	}
	return b, false
}

func fromUTF16(b []byte, high int) []byte {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = uint16(b[2*i+high]) | uint16(b[2*i+1-high])<<8
	}
	return []byte(string(utf16.Decode(units)))
}

// isText holds for what has next to no control characters.
func isText(b []byte) bool {
	strange := 0
	for _, c := range b {
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' && c != '\f' && c != 0x1b && c != 0x1a {
			strange++
		}
	}
	return strange*100 <= len(b) && bytes.Count(b[:min(len(b), 512)], []byte{0}) == 0
}

// lowerASCII leaves all other bytes as they are; what is looked for is ASCII.
func lowerASCII(text []byte) string {
	lower := make([]byte, len(text))
	for i, c := range text {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	return string(lower)
}

// textKinds names what the text is, the surest first; nothing where it is only text.
func (r *readers) textKinds(text string) []string {
	text = strings.TrimLeft(text, " \t\r\n\f")
	body := afterProlog(text)
	switch {
	case strings.HasPrefix(text, "{\\rt"):
		return []string{"rtf"}
	case strings.HasPrefix(text, "%pdf-"):
		return []string{"pdf"}
	case strings.HasPrefix(text, "%!ps"):
		return []string{"ps"}
	case isURLFile(text):
		return []string{"url"}
	case strings.HasPrefix(text, "begin ") && uuHeader(text):
		return []string{"uue"}
	case strings.HasPrefix(body, "<svg"), strings.HasPrefix(body, "<!doctype svg"):
		return []string{"svg"}
	case isHTML(body):
		return htmlKinds(text)
	case strings.HasPrefix(body, "<"):
		return markupKinds(text, body)
	}
	if name := mailKind(text); name != "" {
		return []string{name}
	}
	return r.scripts(text)
}

// afterProlog is markup behind its declarations and comments.
func afterProlog(text string) string {
	for {
		text = strings.TrimLeft(text, " \t\r\n\f\x00")
		end := ""
		switch {
		case strings.HasPrefix(text, "<!--"):
			end = "-->"
		case strings.HasPrefix(text, "<?xml"):
			end = "?>"
		default:
			return text
		}
		_, rest, found := strings.Cut(text, end)
		if !found {
			return text
		}
		text = rest
	}
}

func isHTML(body string) bool {
	for _, tag := range []string{"<!doctype html", "<html", "<head", "<body", "<title", "<script", "<meta", "<table", "<div", "<iframe", "<style", "<font",
		"<br", "<p>", "<h1", "<a ", "<img", "<center", "<form", "<link", "<span"} {
		if rest, found := strings.CutPrefix(body, tag); found && (strings.HasSuffix(tag, ">") || rest == "" || strings.ContainsRune(" \t\r\n>/", rune(rest[0]))) {
			return true
		}
		if strings.HasSuffix(tag, " ") && strings.HasPrefix(body, tag) {
			return true
		}
	}
	return false
}

// htmlKinds tells a page from one that is meant for mshta, which may do what a program may.
func htmlKinds(text string) []string {
	switch {
	case strings.Contains(text, "<hta:application"):
		return []string{"hta", "html"}
	case strings.Contains(text, "<?php"):
		return []string{"php", "html"}
	case strings.Contains(text, "<script") && (strings.Contains(text, "activexobject") || strings.Contains(text, "createobject")) &&
		(strings.Contains(text, "wscript.shell") || strings.Contains(text, "shell.application") || strings.Contains(text, "scripting.filesystemobject")):
		return []string{"html", "hta"}
	}
	return []string{"html"}
}

// markupKinds is for markup that begins with no tag of HTML.
func markupKinds(text, body string) []string {
	has := func(tag string) bool { return strings.Contains(body, tag) }
	switch {
	case strings.HasPrefix(body, "<?php"), strings.HasPrefix(body, "<?="), strings.HasPrefix(body, "<? "):
		return []string{"php"}
	case has("<hta:application"):
		return []string{"hta"}
	case (strings.HasPrefix(body, "<job") || strings.HasPrefix(body, "<package")) && has("<script"):
		return []string{"wsf"}
	case strings.HasPrefix(body, "<scriptlet") || strings.HasPrefix(body, "<component") && has("<script"):
		return []string{"sct"}
	case strings.Contains(text, "progid=\"word.document\""), strings.HasPrefix(body, "<w:worddocument"), strings.HasPrefix(body, "<pkg:package"):
		return []string{"doc"}
	case strings.Contains(text, "progid=\"excel.sheet\""), strings.HasPrefix(body, "<workbook") && has("office:spreadsheet"):
		return []string{"xls"}
	case strings.HasPrefix(body, "<office:document"):
		return []string{"fodt"}
	case strings.HasPrefix(text, "<!--") && (has("<html") || has("<body") || has("<script")):
		return htmlKinds(text)
	}
	return nil
}

// isURLFile is an Internet shortcut: its section stands first or behind other sections.
func isURLFile(text string) bool {
	return (strings.HasPrefix(text, "[internetshortcut]") || strings.Contains(text, "\n[internetshortcut]")) && strings.Contains(text, "\nurl=") &&
		strings.HasPrefix(text, "[")
}

func uuHeader(text string) bool {
	line, rest, _ := strings.Cut(text, "\n")
	fields := strings.Fields(line)
	return len(fields) >= 3 && (len(fields[1]) == 3 || len(fields[1]) == 4) && strings.Trim(fields[1], "01234567") == "" && rest != ""
}

// mailKind is a message, a mailbox or a page saved as one: lines of a header, among them some that only mail has.
func mailKind(text string) string {
	const maxLines, wanted = 80, 2
	mailbox := strings.HasPrefix(text, "from ") && strings.Contains(text[:min(len(text), 200)], "\n")
	known, lines, related := 0, 0, false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if lines++; lines > maxLines || line == "" && lines > 1 {
			break
		}
		if line == "" || line[0] == ' ' || line[0] == '\t' || lines == 1 && mailbox {
			related = related || strings.Contains(line, "multipart/related")
			continue
		}
		field, value, found := strings.Cut(line, ":")
		field = strings.TrimRight(field, " \t")
		if i := strings.IndexByte(field, '('); i > 0 { // a comment in the name, which some readers drop
			field = strings.TrimRight(field[:i], " \t")
		}
		if !found || strings.ContainsAny(field, " \t") || field == "" {
			break
		}
		switch field {
		case "received", "from", "to", "subject", "date", "message-id", "mime-version", "content-type", "return-path", "content-transfer-encoding",
			"delivered-to", "x-mailer", "reply-to", "cc", "dkim-signature", "content-disposition", "x-originating-ip", "sender", "arc-seal",
			"authentication-results":
			known++
		}
		if field == "content-type" && strings.Contains(value, "multipart/related") || strings.HasPrefix(field, "snapshot-content-location") {
			related = true
		}
	}
	switch {
	case known < wanted:
		return ""
	case mailbox:
		return "mbox"
	case related && (strings.Contains(text, "saved by") || strings.Contains(text, "snapshot-content-location") || !strings.Contains(text, "received:") && strings.Contains(text, "content-location:")):
		return "mht"
	}
	return "eml"
}
