package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strings"
	"testing"
	"unicode/utf16"
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

func gzipOf(t testing.TB, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
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

func deflated(t testing.TB, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, 9)
	if err != nil {
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

func zlibOf(t testing.TB, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
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

func tnefAttribute(level byte, id, kind uint16, data []byte) []byte {
	out := binary.LittleEndian.AppendUint16([]byte{level}, id)
	out = binary.LittleEndian.AppendUint16(out, kind)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(data)))
	return append(append(out, data...), 0, 0)
}

func tnefOf(name, content string) []byte {
	long := append([]byte{}, toUTF16("long-"+name+"\x00")...)
	properties := []byte{1, 0, 0, 0, 0x1f, 0, 0x07, 0x37, 1, 0, 0, 0}
	properties = append(binary.LittleEndian.AppendUint32(properties, uint32(len(long))), long...)
	for len(properties)%4 != 0 {
		properties = append(properties, 0)
	}
	out := []byte{0x78, 0x9f, 0x3e, 0x22, 1, 0}
	out = append(out, tnefAttribute(1, 0x800c, 2, []byte("the body\x00"))...)
	out = append(out, tnefAttribute(2, 0x9002, 6, make([]byte, 14))...)
	out = append(out, tnefAttribute(2, 0x8010, 1, []byte(name+"\x00"))...)
	out = append(out, tnefAttribute(2, 0x800f, 6, []byte(content))...)
	return append(out, tnefAttribute(2, 0x9005, 6, properties)...)
}

// packageOf is what stands in an Ole10Native stream.
func packageOf(name, content string) []byte {
	body := append([]byte{2, 0}, name+"\x00C:\\here\\"+name+"\x00"...)
	body = append(body, 0, 0, 3, 0)
	temporary := "C:\\temp\\" + name + "\x00"
	body = binary.LittleEndian.AppendUint32(body, uint32(len(temporary)))
	body = append(body, temporary...)
	body = binary.LittleEndian.AppendUint32(body, uint32(len(content)))
	body = append(body, content...)
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(body))), body...)
}

func rtfOf(class string, data []byte) []byte {
	object := []byte{1, 5, 0, 0, 2, 0, 0, 0}
	object = append(binary.LittleEndian.AppendUint32(object, uint32(len(class)+1)), class+"\x00"...)
	object = append(object, 0, 0, 0, 0, 0, 0, 0, 0)
	object = append(binary.LittleEndian.AppendUint32(object, uint32(len(data))), data...)
	digits := hex.EncodeToString(object)
	// As hostile files do: blanks, a group and a control word between the digits.
	return []byte(`{\rtf1{\object\objemb{\*\objdata ` + digits[:11] + "\r\n " + digits[11:20] + `{\par}` + digits[20:] + `}}}`)
}

func oneNoteOf(content string) []byte {
	out := append([]byte(oneSection), make([]byte, 100)...)
	out = append(out, oneFile...)
	out = binary.LittleEndian.AppendUint64(out, uint64(len(content)))
	return append(append(out, make([]byte, 12)...), content...)
}

// oleOf is a compound file (MS-CFB) with small streams in the root, each in whole sectors and at least 4096 bytes, as large ones are kept.
func oleOf(streams ...string) []byte {
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
	copy(head, oleMagic)
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
	packed := zlibOf(t, content)
	entry[268] = byte(len(packed))
	key := []byte(name)
	for i, c := range packed {
		k := i % 1024 % len(key)
		c ^= key[k] ^ []byte{0xec, 0xca, 0x79, 0xf8}[k%4]
		packed[i] = c<<4 | c>>4
	}
	return peOf(append(append(table, entry...), packed...))
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
