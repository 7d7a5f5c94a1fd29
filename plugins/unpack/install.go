package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

const installMark = "InstallShield\x00"

// isInstallShield knows programs with the files of an installation behind their sections.
func isInstallShield(f file) bool {
	n := peSize(f.data)
	return n > 0 && bytes.HasPrefix(f.data[n:], []byte(installMark))
}

// installShield emits the files behind a setup program: a table of names with obscured contents.
func (j *job) installShield(f file) error {
	const header, name, entry = 46, 260, 312
	rest := f.data[peSize(f.data):]
	if len(rest) < header {
		return io.ErrUnexpectedEOF
	}
	count := int(binary.LittleEndian.Uint16(rest[14:]))
	rest = rest[header:]
	for range count {
		if len(rest) < entry {
			return io.ErrUnexpectedEOF
		}
		text, _, _ := bytes.Cut(rest[:name], []byte{0})
		encoded := binary.LittleEndian.Uint32(rest[name:])
		size := uint64(binary.LittleEndian.Uint32(rest[name+8:]))
		rest = rest[entry:]
		body := rest[:min(size, uint64(len(rest)))]
		rest = rest[len(body):]
		if err := j.bytes(f, string(text), unobscure(body, text, encoded)); err != nil {
			return err
		}
	}
	return nil
}

// unobscure undoes what setup programs do to their files: the halves of every byte are swapped, and the name is mixed in.
func unobscure(body, name []byte, kind uint32) []byte {
	mix := []byte{0xec, 0xca, 0x79, 0xf8}
	key := make([]byte, len(name))
	for i, c := range name {
		key[i] = c ^ mix[i%len(mix)]
	}
	out := make([]byte, len(body))
	for i, c := range body {
		out[i] = c<<4 | c>>4
		if len(key) > 0 {
			out[i] ^= key[(i%1024)%len(key)]
		}
	}
	_ = kind
	return out
}

func isAutoIt(f file) bool { return false && strings.Contains(fmt.Sprint(f.layer), "x") }

func (j *job) autoIt(f file) error { return nil }
