package main

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
)

// autoItOf is a compiled script with one file, not compressed in the old form, as literals in the new one.
func autoItOf(form byte, name, content string) []byte {
	keys := autoItKeys{0xceb06dff, 0x29bc, 0xa25e, 0x29ac, 0xf25e, 0x45aa, 0x22af, false, mersenne}
	body, compressed := []byte(content), byte(0)
	if form == autoItNew {
		keys = autoItKeys{0x52ca436b, 0xadbc, 0xb33f, 0xf820, 0xf479, 0x87bc, 0x2477, true, lagged}
		var digits strings.Builder
		for _, c := range []byte(content) {
			fmt.Fprintf(&digits, "1%08b", c)
		}
		for digits.Len()%8 != 0 {
			digits.WriteByte('0')
		}
		body, compressed = binary.BigEndian.AppendUint32([]byte("EA06"), uint32(len(content))), 1
		for i := 0; i < digits.Len(); i += 8 {
			var c byte
			for _, bit := range []byte(digits.String()[i : i+8]) {
				c = c<<1 | (bit - '0')
			}
			body = append(body, c)
		}
	}
	out := append([]byte("MZ-program"+autoItMark), form)
	out = append(out, make([]byte, 16)...)
	out = binary.LittleEndian.AppendUint32(out, keys.file)
	for _, text := range []struct {
		plain       string
		length, key uint32
	}{{name, keys.kindLength, keys.kind}, {"C:\\here\\" + name, keys.pathLength, keys.path}} {
		plain, count := []byte(text.plain), uint32(len(text.plain))
		if keys.wide {
			plain = toUTF16(text.plain)
		}
		out = binary.LittleEndian.AppendUint32(out, count^text.length)
		out = append(out, keys.decrypt(plain, count+text.key)...)
	}
	out = append(out, compressed)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(body))^keys.size)
	out = append(out, make([]byte, 24)...)
	return append(out, keys.decrypt(body, keys.data)...)
}

// peOf is the least that tells where a program's sections end, with something behind them.
func peOf(behind []byte) []byte {
	const headers, section = 64 + 24, 40
	out := make([]byte, headers+section)
	copy(out, "MZ")
	out[60] = 64
	copy(out[64:], "PE\x00\x00")
	out[64+6] = 1
	binary.LittleEndian.PutUint32(out[headers+16:], 8)
	binary.LittleEndian.PutUint32(out[headers+20:], uint32(len(out)))
	return append(append(out, "section."...), behind...)
}

// installTableOf is what stands behind a setup program that carries an .msi.
func installTableOf(t testing.TB, name, content string) []byte {
	table := append([]byte(installMark), 1)
	table = append(table, make([]byte, 46-len(table))...)
	entry := make([]byte, 312)
	copy(entry, name)
	body := zlibOf(t, content)
	entry[268] = byte(len(body))
	key := []byte(name)
	for i, c := range body {
		k := i % 1024 % len(key)
		c ^= key[k] ^ []byte{0xec, 0xca, 0x79, 0xf8}[k%4]
		body[i] = c<<4 | c>>4
	}
	return peOf(append(append(table, entry...), body...))
}

// setupFilesOf is the other kind, with a cabinet of InstallShield's own in two files.
func setupFilesOf(t testing.TB, name, content string) []byte {
	packed := deflated(t, content)
	volume := append([]byte("ISc("), make([]byte, 60)...)
	at := len(volume)
	volume = append(binary.LittleEndian.AppendUint16(volume, uint16(len(packed))), packed...)
	const descriptor, table = 64, 64
	directory := make([]byte, 512)
	copy(directory, "ISc(\x00\x95\x00\x01")
	put := func(at, v int) { binary.LittleEndian.PutUint32(directory[at:], uint32(v)) }
	put(12, descriptor)
	put(descriptor+0xc, table)
	put(descriptor+0x28, 1)
	put(descriptor+0x2c, 32)
	file := descriptor + table + 32
	directory[file] = 4
	put(file+2, len(content))
	put(file+10, len(packed)+2)
	put(file+18, at)
	directory[file+0x3a], directory[file+0x55] = 200, 1
	copy(directory[descriptor+table+200:], name)
	var out []byte
	for _, f := range []struct {
		name    string
		content []byte
	}{{"data1.cab", volume}, {"data1.hdr", directory}} {
		out = append(out, fmt.Sprintf("%s\x00Disk1\\%s\x000.0.0.0\x00%d\x00", f.name, f.name, len(f.content))...)
		out = append(out, f.content...)
	}
	return peOf(out)
}
