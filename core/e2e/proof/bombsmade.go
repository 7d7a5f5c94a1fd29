package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"
)

// bomb is a file that costs more to open than it should, or lies about itself. None of them may pass as clean.
type bomb struct {
	name string
	make func() ([]byte, error)
}

// escapeName is what names in bombs try to write; nothing may have it afterwards.
const escapeName = "postern-escaped"

// zeros is an endless run of zero bytes.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// opener begins compressing.
type opener func(io.Writer) (io.WriteCloser, error)

func checksum(data []byte) uint32 { return crc32.ChecksumIEEE(data) }

// compressedOf compresses content.
func compressedOf(content []byte, open opener) ([]byte, error) {
	var b bytes.Buffer
	w, err := open(&b)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(content)
	err = errors.Join(err, w.Close())
	return b.Bytes(), err
}

// compressed writes n zeros through a compressor.
func compressed(n int64, open opener) ([]byte, error) {
	var b bytes.Buffer
	w, err := open(&b)
	if err != nil {
		return nil, err
	}
	_, err = io.CopyN(w, zeros{}, n)
	err = errors.Join(err, w.Close())
	return b.Bytes(), err
}

func gzipped(content []byte) ([]byte, error) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(content)
	err = errors.Join(err, w.Close())
	return b.Bytes(), err
}

func toGzip(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }
func toXZ(w io.Writer) (io.WriteCloser, error) {
	return xz.WriterConfig{DictCap: 1 << 20}.NewWriter(w)
}
func toLZMA(w io.Writer) (io.WriteCloser, error) {
	return lzma.WriterConfig{DictCap: 1 << 20}.NewWriter(w)
}
func toZstd(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }
func toLZ4(w io.Writer) (io.WriteCloser, error)  { return lz4.NewWriter(w), nil }
func toZlib(w io.Writer) (io.WriteCloser, error) { return zlib.NewWriterLevel(w, 9) }
func toFlate(w io.Writer) (io.WriteCloser, error) {
	return flate.NewWriter(w, 9)
}

// large is more than one member may have, and beyond the ratio.
const large = 100 << 20

// zipOf packs the same content under many names.
func zipOf(method uint16, names []string, content io.Reader, size int64) ([]byte, error) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range names {
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: method})
		if err != nil {
			return nil, err
		}
		if size > 0 {
			if _, err := io.CopyN(f, content, size); err != nil {
				return nil, err
			}
		}
	}
	err := w.Close()
	return b.Bytes(), err
}

func numbered(n int, format string) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf(format, i))
	}
	return out
}

func zipNest(depth, width int, leaf []byte) ([]byte, error) {
	for range depth {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		for i := range width {
			f, err := w.Create(fmt.Sprintf("%d.zip", i))
			if err != nil {
				return nil, err
			}
			if _, err := f.Write(leaf); err != nil {
				return nil, err
			}
		}
		if err := w.Close(); err != nil {
			return nil, err
		}
		leaf = b.Bytes()
	}
	return leaf, nil
}

// overlapZip has many entries of the directory that share one file.
func overlapZip() ([]byte, error) {
	one, err := zipOf(zip.Deflate, []string{"a"}, zeros{}, 20<<20)
	if err != nil {
		return nil, err
	}
	directory := bytes.LastIndex(one, []byte("PK\x01\x02"))
	end := bytes.LastIndex(one, []byte("PK\x05\x06"))
	entry := one[directory:end]
	const entries = 2000
	out := append([]byte{}, one[:directory]...)
	for range entries {
		out = append(out, entry...)
	}
	tail := append([]byte{}, one[end:]...)
	binary.LittleEndian.PutUint16(tail[8:], entries)
	binary.LittleEndian.PutUint16(tail[10:], entries)
	binary.LittleEndian.PutUint32(tail[12:], uint32(entries*len(entry)))
	return append(out, tail...), nil
}

// lyingZip changes a field of the only entry, in the directory and before the file.
func lyingZip(local, central int, value uint32) func() ([]byte, error) {
	return func() ([]byte, error) {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		content := []byte("some content that is stored as it is")
		f, err := w.CreateRaw(&zip.FileHeader{
			Name: "a.txt", Method: zip.Store, CRC32: crc32.ChecksumIEEE(content), CompressedSize64: uint64(len(content)), UncompressedSize64: uint64(len(content)),
		})
		if err == nil {
			_, err = f.Write(content)
		}
		if err := errors.Join(err, w.Close()); err != nil {
			return nil, err
		}
		out := b.Bytes()
		binary.LittleEndian.PutUint32(out[local:], value)
		binary.LittleEndian.PutUint32(out[bytes.Index(out, []byte("PK\x01\x02"))+central:], value)
		return out, nil
	}
}

func tarred(headers []tar.Header, content func(i int) []byte) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := range headers {
		body := content(i)
		headers[i].Size = int64(len(body))
		if err := w.WriteHeader(&headers[i]); err != nil {
			return nil, err
		}
		if _, err := w.Write(body); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return b.Bytes(), err
}

func tarMany(n int) ([]byte, error) {
	var headers []tar.Header
	for i := range n {
		headers = append(headers, tar.Header{Name: fmt.Sprint(i), Mode: 0o600, Typeflag: tar.TypeReg})
	}
	return tarred(headers, func(int) []byte { return nil })
}

func tarNest(depth int) ([]byte, error) {
	content := []byte("leaf")
	for range depth {
		var err error
		content, err = tarred([]tar.Header{{Name: "in.tar", Mode: 0o600, Typeflag: tar.TypeReg}}, func(int) []byte { return content })
		if err != nil {
			return nil, err
		}
	}
	return content, nil
}

// lyingTar claims a file of a terabyte.
func lyingTar() ([]byte, error) {
	out, err := tarred([]tar.Header{{Name: "a", Mode: 0o600, Typeflag: tar.TypeReg}}, func(int) []byte { return []byte("small") })
	if err != nil {
		return nil, err
	}
	copy(out[124:], "77777777777\x00")
	copy(out[148:], "        ")
	sum := 0
	for _, c := range out[:512] {
		sum += int(c)
	}
	copy(out[148:], fmt.Sprintf("%06o\x00 ", sum))
	return out, nil
}

// bzip2Zeros is bzip2 of 8,100,000 zeros; such streams may follow each other.
const bzip2Zeros = "QlpoOTFBWSZTWR21fa4APgpACMAAQAAACCAAIKU0GYxIFVsSQKrxdyRThQkB21fa4A=="

func bzip2Bomb() ([]byte, error) {
	one, err := base64.StdEncoding.DecodeString(bzip2Zeros)
	return bytes.Repeat(one, 100), err
}

// cabBomb is a cabinet whose one folder has blocks of zeros, as many as it can.
func cabBomb(blocks int, claimed uint32) func() ([]byte, error) {
	return func() ([]byte, error) {
		block, err := compressed(1<<15, toFlate)
		if err != nil {
			return nil, err
		}
		block = append([]byte("CK"), block...)
		const header, folder = 36, 8
		file := append(binary.LittleEndian.AppendUint32(nil, claimed), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 'a', 0)
		data := header + folder + len(file)
		var b bytes.Buffer
		put := func(values ...any) {
			for _, v := range values {
				_ = binary.Write(&b, binary.LittleEndian, v)
			}
		}
		b.WriteString("MSCF")
		put(uint32(0), uint32(data+blocks*(8+len(block))), uint32(0), uint32(header+folder), uint32(0), byte(3), byte(1), uint16(1), uint16(1), uint16(0),
			uint16(0), uint16(0), uint32(data), uint16(blocks), uint16(1))
		b.Write(file)
		for range blocks {
			put(uint32(0), uint16(len(block)), uint16(1<<15))
			b.Write(block)
		}
		return b.Bytes(), nil
	}
}

func cpioEntry(name string, size uint32, body string) string {
	head := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", 1, 0o100644, 0, 0, 1, 0, size, 0, 0, 0, 0, len(name)+1, 0)
	out := head + name + "\x00"
	for len(out)%4 != 0 {
		out += "\x00"
	}
	out += body
	for len(out)%4 != 0 {
		out += "\x00"
	}
	return out
}

// rtfNest is an object in an object in an object, each in binary, so that it does not grow.
func rtfNest(depth int) ([]byte, error) {
	content := []byte("{\\rtf1 leaf}")
	for range depth {
		object := append(binary.LittleEndian.AppendUint32(nil, 0x501), 2, 0, 0, 0)
		class := "Word\x00"
		object = append(binary.LittleEndian.AppendUint32(object, uint32(len(class))), class...)
		object = append(object, 0, 0, 0, 0, 0, 0, 0, 0)
		object = append(binary.LittleEndian.AppendUint32(object, uint32(len(content))), content...)
		content = append(fmt.Appendf(nil, "{\\rtf1{\\object{\\*\\objdata \\bin%d ", len(object)), object...)
		content = append(content, "}}}"...)
	}
	return content, nil
}

// htmlNest is a page in a data: URI in a page, and so on.
func htmlNest(depth int) ([]byte, error) {
	content := []byte("<html>leaf</html>")
	for range depth {
		content = []byte("<html><a href=\"data:text/html;base64," + base64.StdEncoding.EncodeToString(content) + "\">x</a></html>")
	}
	return content, nil
}

func pdfOf(streams int, dictionary string, body []byte) []byte {
	var b bytes.Buffer
	b.WriteString("%PDF-1.7\n")
	for i := range streams {
		fmt.Fprintf(&b, "%d 0 obj\n<< /Type /EmbeddedFile %s /Length %d >>\nstream\n%s\nendstream\nendobj\n", i+1, dictionary, len(body), body)
	}
	b.WriteString("%%EOF\n")
	return b.Bytes()
}

func tnefOf(attachments int, size uint32, body []byte) []byte {
	out := []byte{0x78, 0x9f, 0x3e, 0x22, 1, 0}
	attribute := func(id uint16, length uint32, data []byte) {
		out = append(out, 2)
		out = binary.LittleEndian.AppendUint16(out, id)
		out = append(out, 6, 0)
		out = binary.LittleEndian.AppendUint32(out, length)
		out = append(append(out, data...), 0, 0)
	}
	for range attachments {
		attribute(0x9002, 4, []byte{0, 0, 0, 0})
		attribute(0x800f, size, body)
	}
	return out
}

// loopedOLE is a compound file whose table of sectors leads back to itself.
func loopedOLE() ([]byte, error) {
	const sector = 512
	out := make([]byte, 4*sector)
	copy(out, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
	put16 := func(at int, v uint16) { binary.LittleEndian.PutUint16(out[at:], v) }
	put32 := func(at int, v uint32) { binary.LittleEndian.PutUint32(out[at:], v) }
	put16(24, 0x3e)
	put16(26, 3)
	put16(28, 0xfffe)
	put16(30, 9)
	put16(32, 6)
	put32(44, 1)
	put32(48, 1) // directory
	put32(56, 4096)
	put32(60, 0xfffffffe)
	put32(68, 0xfffffffe)
	for i := 1; i < 109; i++ {
		put32(76+4*i, 0xffffffff)
	}
	table := sector
	put32(table, 0xfffffffd)
	put32(table+4, 1) // the directory leads to itself
	put32(table+8, 2)
	for i := 3; i < 128; i++ {
		put32(table+4*i, 0xffffffff)
	}
	copy(out[2*sector:], "R\x00o\x00o\x00t\x00")
	put16(2*sector+64, 10)
	out[2*sector+66] = 5
	return out, nil
}

// sealedZip has entries that say they are encrypted: every one may cost every password.
func sealedZip(entries int) ([]byte, error) {
	out, err := zipOf(zip.Store, numbered(entries, "%d.doc"), strings.NewReader(strings.Repeat("sealed content..", entries)), 16)
	if err != nil {
		return nil, err
	}
	for _, mark := range []struct {
		signature string
		at        int
	}{{"PK\x03\x04", 6}, {"PK\x01\x02", 8}} {
		for at := 0; ; {
			i := bytes.Index(out[at:], []byte(mark.signature))
			if i < 0 {
				break
			}
			at += i + mark.at
			out[at] |= 1
		}
	}
	return out, nil
}

// binHexBomb repeats one byte as often as its runs can.
func binHexBomb() ([]byte, error) {
	const alphabet = "!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr"
	raw := append([]byte{1, 'a', 0}, "TEXTabcd\x00\x00"...)
	raw = append(raw, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 'x')
	for range 400_000 {
		raw = append(raw, 0x90, 0xff)
	}
	var b bytes.Buffer
	b.WriteString("(This file must be converted with BinHex 4.0)\r\n:")
	var bits, have uint
	for i, c := range raw {
		bits, have = bits<<8|uint(c), have+8
		for have >= 6 {
			have -= 6
			b.WriteByte(alphabet[bits>>have&63])
		}
		if i%48 == 47 {
			b.WriteString("\r\n")
		}
	}
	b.WriteString(":\r\n")
	return b.Bytes(), nil
}
