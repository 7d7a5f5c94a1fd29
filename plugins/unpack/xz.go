package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// xzReader reads the xz format (xz file format 1.1) over the library's LZMA2: the library would allocate whatever dictionary a block asks
// for. Checks of the content are not compared; broken content is found by LZMA2 mostly, and is looked into anyway.
type xzReader struct {
	in      *bytes.Reader
	begin   int64 // of the block, for its padding
	check   int   // bytes behind every block
	block   io.Reader
	streams int
}

// errFilter says that a block uses a filter that is not known here.
var errFilter = errors.New("a filter of xz that is not known")

const (
	xzMagic  = "\xfd7zXZ\x00"
	xzHeader = 12
)

func newXZ(data []byte) *xzReader { return &xzReader{in: bytes.NewReader(data)} }

// start reads the headers up to the first block.
func (r *xzReader) start() error {
	for r.block == nil {
		if err := r.next(); err != nil {
			return err
		}
	}
	return nil
}

func (r *xzReader) Read(p []byte) (int, error) {
	for {
		if r.block == nil {
			if err := r.next(); err != nil {
				return 0, err
			}
			continue
		}
		n, err := r.block.Read(p)
		if n > 0 {
			return n, nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if err != nil {
			r.block = nil
			read := r.in.Size() - int64(r.in.Len()) - r.begin
			if err := r.skip((4-read%4)%4 + int64(r.check)); err != nil {
				return 0, err
			}
		}
	}
}

func (r *xzReader) skip(n int64) error {
	if n > int64(r.in.Len()) {
		return io.ErrUnexpectedEOF
	}
	_, err := r.in.Seek(n, io.SeekCurrent)
	return err
}

// next begins the next block or stream.
func (r *xzReader) next() error {
	if r.streams == 0 {
		return r.stream()
	}
	size, err := r.in.ReadByte()
	if err != nil {
		return io.ErrUnexpectedEOF
	}
	if size == 0 { // the index
		return r.index()
	}
	r.begin = r.in.Size() - int64(r.in.Len()) - 1
	header := make([]byte, (int(size)+1)*4-1)
	if _, err := io.ReadFull(r.in, header); err != nil {
		return io.ErrUnexpectedEOF
	}
	flags, rest := header[0], header[1:len(header)-4]
	for _, present := range []byte{0x40, 0x80} {
		if flags&present != 0 {
			_, n := binary.Uvarint(rest)
			if n <= 0 {
				return io.ErrUnexpectedEOF
			}
			rest = rest[n:]
		}
	}
	if flags&3 != 0 || len(rest) < 3 || rest[0] != 0x21 || rest[1] != 1 {
		return errFilter
	}
	dictionary, err := dictionary2(rest[2])
	if err != nil {
		return err
	}
	r.block, err = lzma.Reader2Config{DictCap: dictionary}.NewReader2(r.in)
	return err
}

// dictionary2 is the dictionary of LZMA2 by its one byte of properties.
func dictionary2(properties byte) (int, error) {
	if properties > 40 {
		return 0, errFilter
	}
	size := (2 | uint64(properties)&1) << (properties/2 + 11)
	if size > windowBytes {
		return 0, errWindow
	}
	return int(max(size, lzma.MinDictCap)), nil
}

// stream reads the header of a stream, or the end of the file.
func (r *xzReader) stream() error {
	var header [xzHeader]byte
	if _, err := io.ReadFull(r.in, header[:]); err != nil {
		return io.ErrUnexpectedEOF
	}
	if string(header[:6]) != xzMagic {
		return errors.New("no header of xz")
	}
	sizes := [...]int{0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64}
	r.check = sizes[header[7]&0xf]
	r.streams++
	return nil
}

// index passes over the index and the footer, and over the padding behind them.
func (r *xzReader) index() error {
	begin := r.in.Size() - int64(r.in.Len()) - 1
	records, err := binary.ReadUvarint(r.in)
	for ; err == nil && records > 0; records-- {
		for range 2 {
			if err == nil {
				_, err = binary.ReadUvarint(r.in)
			}
		}
	}
	if err != nil {
		return io.ErrUnexpectedEOF
	}
	read := r.in.Size() - int64(r.in.Len()) - begin
	const checksum, footer = 4, 12
	if err := r.skip((4-read%4)%4 + checksum + footer); err != nil {
		return err
	}
	for {
		c, err := r.in.ReadByte()
		if err != nil {
			return io.EOF
		}
		if c != 0 {
			if err := r.in.UnreadByte(); err != nil {
				return err
			}
			return r.stream()
		}
	}
}
