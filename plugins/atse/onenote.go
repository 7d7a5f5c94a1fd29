package main

import (
	"bytes"
	"encoding/binary"
	"regexp"
)

// Identifiers of a section (MS-ONESTORE 2.3.1) and of a file within (2.6.13).
const (
	oneSection = "\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1\x53\x78\xd0\x29\x96\xd3"
	oneFile    = "\xe7\x16\xe3\xbd\x65\x26\x11\x45\xa4\xc4\x8d\x4d\x0b\x7a\x9e\xac"
)

const maxOneFiles = 1000

func isOneNote(s *subject) bool { return begins(s.data, oneSection) }

// oneNote finds files in a section that run when they are clicked: notes carry pictures and documents.
func oneNote(s *subject) []hit {
	const header = 16 + 8 + 4 + 8
	names := regexp.MustCompile(`(?i)(?:[\w .()-]\x00){1,64}\.\x00(?:e\x00x\x00e|s\x00c\x00r|c\x00m\x00d|b\x00a\x00t|v\x00b\x00[se]|j\x00s\x00e?|w\x00s\x00f|h\x00t\x00a|p\x00s\x001|l\x00n\x00k|c\x00h\x00m|c\x00p\x00l)\x00`).Find(s.data)
	for rest, at, number := s.data, 0, 0; number < maxOneFiles; number++ {
		i := bytes.Index(rest, []byte(oneFile))
		if i < 0 || len(rest)-i < header {
			return nil
		}
		size := binary.LittleEndian.Uint64(rest[i+16:])
		at += i + header
		rest = rest[i+header:]
		content := rest[:min(size, uint64(len(rest)))]
		what := runnable(content)
		rest, at = rest[len(content):], at+len(content)
		if what == "" {
			continue
		}
		found := &signs{}
		found.add(1, "the note holds a file at %d", at-len(content))
		found.add(1, "it is %s", what)
		if names != nil {
			found.add(1, "a name in the note is %s", quoted(readable(names)))
		}
		return found.hit("HEUR_ONENOTE_EMBEDDED", 2)
	}
	return nil
}

// runnable says in words what content is that runs when it is opened, "" where it does not.
func runnable(content []byte) string {
	switch {
	case begins(content, "MZ") && readImage(content) != nil:
		return "a program"
	case begins(content, linkMagic):
		return "a link"
	case begins(content, "ITSF"):
		return "a help file, which runs scripts"
	case begins(content, "#@~^"):
		return "an encoded script"
	case hasScriptWords(content):
		return "a script"
	}
	return ""
}
