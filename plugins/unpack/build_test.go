package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strings"
	"testing"
)

// What follows makes containers as their formats say, so that what the readers give can be compared with what was put in.

func zipOf(t testing.TB, method uint16, entries ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(entries); i += 2 {
		f, err := w.CreateHeader(&zip.FileHeader{Name: entries[i], Method: method})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, entries[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// packed writes content through a compressor.
func packed(t testing.TB, content string, open func(io.Writer) io.WriteCloser) []byte {
	t.Helper()
	var b bytes.Buffer
	w := open(&b)
	_, err := io.WriteString(w, content)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipOf(t testing.TB, content []byte) []byte {
	return packed(t, string(content), func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })
}

func deflated(t testing.TB, content string) []byte {
	return packed(t, content, func(w io.Writer) io.WriteCloser {
		deflater, err := flate.NewWriter(w, 9)
		if err != nil {
			t.Fatal(err)
		}
		return deflater
	})
}

func zlibOf(t testing.TB, content string) []byte {
	return packed(t, content, func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) })
}

func tarOf(t testing.TB, name, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(content)), Typeflag: tar.TypeReg, Mode: 0o600}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func seed(t testing.TB, name string) []byte {
	t.Helper()
	content, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func arOf(entries ...string) []byte {
	out := "!<arch>\n"
	for i := 0; i < len(entries); i += 2 {
		out += fmt.Sprintf("%-16s%-12s%-6s%-6s%-8s%-10d`\n%s", entries[i], "0", "0", "0", "644", len(entries[i+1]), entries[i+1])
		if len(entries[i+1])%2 == 1 {
			out += "\n"
		}
	}
	return []byte(out)
}

func cpioOf(form, name, content string) []byte {
	pad := func(s string, n int) string {
		for len(s)%n != 0 {
			s += "\x00"
		}
		return s
	}
	entry := func(name, content string) string {
		switch form {
		case "newc":
			return pad(pad(fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00", 1, 0o100644, 0, 0, 1, 0, len(content), 0, 0, 0, 0,
				len(name)+1, 0, name), 4)+content, 4)
		case "odc":
			return fmt.Sprintf("070707%06o%06o%06o%06o%06o%06o%06o%011o%06o%011o%s\x00%s", 0, 1, 0o100644, 0, 0, 1, 0, 0, len(name)+1, len(content), name, content)
		}
		var order binary.AppendByteOrder = binary.LittleEndian
		if form == "big" {
			order = binary.BigEndian
		}
		var head []byte
		for _, v := range []int{0o070707, 0, 1, 0o100644, 0, 0, 1, 0, 0, 0, len(name) + 1, len(content) >> 16, len(content) & 0xffff} {
			head = order.AppendUint16(head, uint16(v))
		}
		return pad(pad(string(head)+name+"\x00", 2)+content, 2)
	}
	return []byte(entry(name, content) + entry("TRAILER!!!", ""))
}

// cabOf makes a cabinet with one folder of one block for each piece; its file is all of them.
func cabOf(t testing.TB, mszip bool, name string, pieces ...string) []byte {
	t.Helper()
	whole := strings.Join(pieces, "")
	var blocks bytes.Buffer
	for i, piece := range pieces {
		packed := []byte(piece)
		if mszip {
			var b bytes.Buffer
			w, err := flate.NewWriterDict(&b, 9, []byte(strings.Join(pieces[max(0, i-1):i], "")))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(w, piece); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			packed = append([]byte("CK"), b.Bytes()...)
		}
		blocks.Write([]byte{0, 0, 0, 0})
		blocks.Write(binary.LittleEndian.AppendUint16(nil, uint16(len(packed))))
		blocks.Write(binary.LittleEndian.AppendUint16(nil, uint16(len(piece))))
		blocks.Write(packed)
	}
	file := append(binary.LittleEndian.AppendUint32(nil, uint32(len(whole))), make([]byte, 10)...)
	file = append(append(file, 0x20, 0), name+"\x00"...)
	data := 36 + 8 + len(file)
	out := append([]byte("MSCF"), make([]byte, 32)...)
	binary.LittleEndian.PutUint32(out[8:], uint32(data+blocks.Len()))
	out[16], out[24], out[25], out[26], out[28] = 44, 3, 1, 1, 1
	out = binary.LittleEndian.AppendUint32(out, uint32(data))
	out = binary.LittleEndian.AppendUint16(out, uint16(len(pieces)))
	kind := uint16(0)
	if mszip {
		kind = 1
	}
	out = binary.LittleEndian.AppendUint16(out, kind)
	return append(append(out, file...), blocks.Bytes()...)
}

// rarOf is a rar 5 archive with one stored file (RAR 5.0 archive format).
func rarOf(name, content string) []byte {
	number := func(v int) []byte { return binary.AppendUvarint(nil, uint64(v)) }
	block := func(pieces ...[]byte) []byte {
		var fields []byte
		for _, p := range pieces {
			fields = append(fields, p...)
		}
		sized := append(number(len(fields)), fields...)
		return append(binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(sized)), sized...)
	}
	out := []byte("Rar!\x1a\x07\x01\x00")
	out = append(out, block(number(1), number(0), number(0))...)
	sum := binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(content)))
	out = append(out, block(number(2), number(2), number(len(content)), number(4), number(len(content)), number(0o644), sum, number(0), number(1),
		number(len(name)), []byte(name))...)
	out = append(out, content...)
	return append(out, block(number(5), number(0), number(0))...)
}

func szddOf(content string) []byte {
	out := append([]byte("SZDD\x88\xf0\x27\x33Ae"), binary.LittleEndian.AppendUint32(nil, uint32(len(content)))...)
	for len(content) > 0 {
		n := min(8, len(content))
		out = append(append(out, 0xff), content[:n]...)
		content = content[n:]
	}
	return out
}

func uuOf(name, content string) string {
	out := "begin 644 " + name + "\n"
	for len(content) > 0 {
		n := min(45, len(content))
		line := []byte(content[:n])
		content = content[n:]
		out += string(rune(' ' + n))
		for len(line)%3 != 0 {
			line = append(line, 0)
		}
		for i := 0; i < len(line); i += 3 {
			v := uint(line[i])<<16 | uint(line[i+1])<<8 | uint(line[i+2])
			for _, shift := range []uint{18, 12, 6, 0} {
				if c := v >> shift & 63; c == 0 {
					out += "`"
				} else {
					out += string(rune(' ' + c))
				}
			}
		}
		out += "\n"
	}
	return out + "`\nend\n"
}

func yencOf(name, content string) string {
	out := fmt.Sprintf("=ybegin line=128 size=%d name=%s\r\n", len(content), name)
	var line []byte
	for i := range len(content) {
		switch c := content[i] + 42; c {
		case 0, '\n', '\r', '=':
			line = append(line, '=', c+64)
		default:
			line = append(line, c)
		}
	}
	return out + string(line) + fmt.Sprintf("\r\n=yend size=%d\r\n", len(content))
}

func binHexOf(name, content string) string {
	const alphabet = "!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr"
	raw := append([]byte{byte(len(name))}, name+"\x00TEXTedit\x00\x00"...)
	raw = binary.BigEndian.AppendUint32(raw, uint32(len(content)))
	raw = append(raw, 0, 0, 0, 0, 0, 0)
	raw = append(append(raw, content...), 0, 0, 0, 0)
	raw = bytes.ReplaceAll(raw, []byte{0x90}, []byte{0x90, 0})
	var out strings.Builder
	out.WriteString("(This file must be converted with BinHex 4.0)\n\n:")
	var bits, have uint
	for _, c := range append(raw, 0) {
		for bits, have = bits<<8|uint(c), have+8; have >= 6; {
			have -= 6
			out.WriteByte(alphabet[bits>>have&63])
		}
	}
	return out.String() + ":\n"
}

// cmsOf is signed S/MIME with its content inside, in lengths that are said or not, the content in two pieces then.
func cmsOf(kind, content string, said bool) []byte {
	value := func(tag byte, body string) string {
		if !said && tag&0x20 != 0 {
			return string([]byte{tag, 0x80}) + body + "\x00\x00"
		}
		return string([]byte{tag, 0x82, byte(len(body) >> 8), byte(len(body))}) + body
	}
	octets := value(0x04, content)
	if !said {
		half := len(content) / 2
		octets = value(0x24, value(0x04, content[:half])+value(0x04, content[half:]))
	}
	inner := "\x02\x01\x01" + value(0x31, value(0x30, "\x06\x01\x01")) + value(0x30, "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01"+value(0xa0, octets))
	return []byte(value(0x30, kind+value(0xa0, value(0x30, inner))))
}
