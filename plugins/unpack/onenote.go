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
		number++
		if err := j.bytes(f, fmt.Sprintf("object-%d%s", number, extensionOf(content)), content); err != nil {
			return err
		}
	}
	if number > 0 {
		return nil
	}
	return j.carveFiles(f, f.data)
}

// countedBefore is the length that stands before a file in what the web saves (MS-FSSHTTPB 2.2.1.1, compact numbers): the lowest bit that
// is set tells how many bytes the number has. 0 where there is none that may be.
func countedBefore(data []byte, at int) int {
	for n := 5; n >= 1; n-- {
		if at < n {
			continue
		}
		var v uint64
		for i, c := range data[at-n : at] {
			v |= uint64(c) << (8 * i)
		}
		if v&(1<<n-1) != 1<<(n-1) {
			continue
		}
		if size := v >> n; size >= 16 && size <= uint64(len(data)-at) {
			return int(size)
		}
	}
	return 0
}
