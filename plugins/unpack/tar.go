package main

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

func (j *job) tar(f file) error {
	r := tar.NewReader(f.reader())
	for {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch header.Typeflag {
		case tar.TypeDir, tar.TypeSymlink, tar.TypeLink, tar.TypeChar, tar.TypeBlock, tar.TypeFifo, tar.TypeXGlobalHeader:
			if err := j.inTime(); err != nil {
				return err
			}
			continue
		}
		if err := j.member(f, header.Name, r); err != nil {
			return err
		}
	}
}

// isTar knows a header by its mark, or by its checksum where it is older than the mark (POSIX.1 pax, "ustar").
func isTar(data []byte) bool {
	const block = 512
	if len(data) < block {
		return false
	}
	if string(data[257:262]) == "ustar" {
		return true
	}
	if data[0] == 0 {
		return false
	}
	want, err := strconv.ParseUint(strings.Trim(string(data[148:156]), " \x00"), 8, 32)
	if err != nil {
		return false
	}
	sum := uint64(8 * ' ')
	for i, c := range data[:block] {
		if i < 148 || i >= 156 {
			sum += uint64(c)
		}
	}
	return sum == want
}

// ar reads Unix archives, Debian packages among them: a line of 60 characters before each file.
func (j *job) ar(f file) error {
	const magic, header = 8, 60
	var longNames []byte
	for rest := f.data[min(magic, len(f.data)):]; len(rest) >= header; {
		size, err := strconv.ParseUint(strings.TrimSpace(string(rest[48:58])), 10, 40)
		if err != nil || rest[58] != '`' {
			return fmt.Errorf("header of a file: %q", rest[:header])
		}
		name := strings.TrimRight(string(rest[:16]), " ")
		rest = rest[header:]
		body := rest[:min(uint64(len(rest)), size)]
		rest = rest[min(uint64(len(rest)), size+size%2):]
		if uint64(len(body)) < size {
			err = io.ErrUnexpectedEOF
		}
		switch {
		case name == "//":
			longNames = body
			continue
		case name == "/" || name == "/SYM64/" || strings.HasPrefix(name, "__.SYMDEF"):
			continue
		case strings.HasPrefix(name, "#1/"): // BSD: the name stands before the content
			if n, parseErr := strconv.Atoi(name[3:]); parseErr == nil && n >= 0 && n <= len(body) {
				name, body = string(bytes.TrimRight(body[:n], "\x00")), body[n:]
			}
		case strings.HasPrefix(name, "/"):
			if n, parseErr := strconv.Atoi(name[1:]); parseErr == nil && n >= 0 && n < len(longNames) {
				long, _, _ := bytes.Cut(longNames[n:], []byte("\n"))
				name = string(long)
			}
		}
		if emitErr := j.bytes(f, strings.TrimSuffix(name, "/"), body); emitErr != nil {
			return emitErr
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// cpioEntry is what a header says of one file.
type cpioEntry struct {
	mode, nameSize, size uint64
	header, align        int
}

// cpio reads all four forms: old binary in both byte orders, odc, and newc with or without checksums.
func (j *job) cpio(f file) error {
	const formatBits, regular = 0o170000, 0o100000
	rest := f.data
	for len(rest) > 0 {
		e, err := readCpio(rest)
		if err != nil {
			return err
		}
		nameEnd := alignUp(e.header+int(e.nameSize), e.align)
		if e.nameSize == 0 || e.nameSize > 1<<16 || nameEnd > len(rest) {
			return io.ErrUnexpectedEOF
		}
		name := string(bytes.TrimRight(rest[e.header:e.header+int(e.nameSize)], "\x00"))
		rest = rest[nameEnd:]
		if name == "TRAILER!!!" {
			return nil
		}
		body := rest[:min(uint64(len(rest)), e.size)]
		rest = rest[min(len(rest), alignUp(int(min(e.size, 1<<40)), e.align)):]
		if e.mode&formatBits == regular {
			if err := j.bytes(f, name, body); err != nil {
				return err
			}
		} else if err := j.inTime(); err != nil {
			return err
		}
		if uint64(len(body)) < e.size {
			return io.ErrUnexpectedEOF
		}
	}
	return io.ErrUnexpectedEOF
}

func alignUp(n, align int) int { return (n + align - 1) / align * align }

func readCpio(data []byte) (cpioEntry, error) {
	const newcHeader, odcHeader, binaryHeader = 110, 76, 26
	field := func(from, to, base int) uint64 {
		v, err := strconv.ParseUint(string(data[from:to]), base, 64)
		if err != nil {
			return 1 << 50 // beyond any file: the reader stops
		}
		return v
	}
	switch {
	case len(data) >= newcHeader && (string(data[:6]) == "070701" || string(data[:6]) == "070702"):
		return cpioEntry{mode: field(14, 22, 16), size: field(54, 62, 16), nameSize: field(94, 102, 16), header: newcHeader, align: 4}, nil
	case len(data) >= odcHeader && string(data[:6]) == "070707":
		return cpioEntry{mode: field(18, 24, 8), nameSize: field(59, 65, 8), size: field(65, 76, 8), header: odcHeader, align: 1}, nil
	case len(data) >= binaryHeader && (string(data[:2]) == "\xc7\x71" || string(data[:2]) == "\x71\xc7"):
		var order binary.ByteOrder = binary.LittleEndian
		if data[0] == 0x71 {
			order = binary.BigEndian
		}
		half := func(at int) uint64 { return uint64(order.Uint16(data[at:])) }
		return cpioEntry{mode: half(6), nameSize: half(20), size: half(22)<<16 | half(24), header: binaryHeader, align: 2}, nil
	}
	return cpioEntry{}, errors.New("no header where a file should begin")
}
