// Package compoundtest builds compound files for tests: names and contents of streams go in, a file comes out.
package compoundtest

import (
	"encoding/binary"
	"unicode/utf16"

	"github.com/postern-mail/postern/sdk/compound"
)

// File is a compound file (MS-CFB) with few streams in the root, names and contents in turn, each in whole sectors and at least 4096 bytes, as large ones are kept.
func File(streams ...string) []byte {
	const sector, large = 512, 4096
	var table []uint32
	var body []byte
	chain := func(data []byte) (start uint32) {
		start = uint32(len(table))
		n := max(1, (len(data)+sector-1)/sector)
		for i := range n {
			next := start + uint32(i) + 1
			if i == n-1 {
				next = 0xfffffffe
			}
			table = append(table, next)
		}
		body = append(append(body, data...), make([]byte, n*sector-len(data))...)
		return start
	}
	table, body = append(table, 0xfffffffd), make([]byte, sector) // the table itself is the first sector
	var directory []byte
	entry := func(name string, kind byte, child, start uint32, size int, right uint32) {
		e := make([]byte, 128)
		units := utf16.Encode([]rune(name))
		for i, u := range units {
			binary.LittleEndian.PutUint16(e[2*i:], u)
		}
		binary.LittleEndian.PutUint16(e[64:], uint16(2*len(units)+2))
		e[66], e[67] = kind, 1
		binary.LittleEndian.PutUint32(e[68:], 0xffffffff)
		binary.LittleEndian.PutUint32(e[72:], right)
		binary.LittleEndian.PutUint32(e[76:], child)
		binary.LittleEndian.PutUint32(e[116:], start)
		binary.LittleEndian.PutUint32(e[120:], uint32(size))
		directory = append(directory, e...)
	}
	count := len(streams) / 2
	entry("Root Entry", 5, 1, 0xfffffffe, 0, 0xffffffff)
	for i := range count {
		data := []byte(streams[2*i+1])
		data = append(data, make([]byte, max(0, large-len(data)))...)
		right := uint32(i + 2)
		if i == count-1 {
			right = 0xffffffff
		}
		entry(streams[2*i], 2, 0xffffffff, chain(data), len(data), right)
	}
	directoryAt := chain(directory)
	for i := range sector / 4 {
		v := uint32(0xffffffff)
		if i < len(table) {
			v = table[i]
		}
		binary.LittleEndian.PutUint32(body[4*i:], v)
	}
	head := make([]byte, sector)
	copy(head, compound.Magic)
	head[24], head[26], head[28], head[29], head[30], head[32] = 0x3e, 3, 0xfe, 0xff, 9, 6
	binary.LittleEndian.PutUint32(head[44:], 1)
	binary.LittleEndian.PutUint32(head[48:], directoryAt)
	binary.LittleEndian.PutUint32(head[56:], large)
	binary.LittleEndian.PutUint32(head[60:], 0xfffffffe)
	binary.LittleEndian.PutUint32(head[68:], 0xfffffffe)
	for i := 1; i < 109; i++ {
		binary.LittleEndian.PutUint32(head[76+4*i:], 0xffffffff)
	}
	return append(head, body...)
}
