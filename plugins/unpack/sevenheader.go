package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// errClaims says that a header claims more than it can hold.
var errClaims = errors.New("the header claims more than it can hold")

// check7z walks the header of a 7z file (7zFormat.txt of the 7-Zip sources) before the library does, which allocates whatever the header
// claims. It finds only that: what it cannot read, the library judges.
func check7z(data []byte) error {
	const start, most = 32, 32 << 20
	if len(data) < start {
		return nil
	}
	offset, size := binary.LittleEndian.Uint64(data[12:]), binary.LittleEndian.Uint64(data[20:])
	if offset > uint64(len(data)-start) {
		return nil
	}
	size = min(size, uint64(len(data)-start)-offset) // the library begins to read what is cut off
	header := data[start+offset : start+offset+size]
	for range 4 {
		w := &sevenWalker{rest: header, total: len(header)}
		switch w.byte() {
		case 0x01:
			w.header()
			return w.claim
		case 0x17:
			w.streams()
			if w.claim != nil || w.failed || len(w.folders) != 1 || len(w.packSizes) == 0 {
				return w.claim
			}
			at := start + w.packAt
			if at < start || at > uint64(len(data)) {
				return nil
			}
			if w.folders[0].size > most {
				return errClaims
			}
			var err error
			header, err = w.folders[0].decode(data[at : at+min(w.packSizes[0], uint64(len(data))-at)])
			if len(header) == 0 && err != nil {
				return nil
			}
		default:
			return nil
		}
	}
	return errClaims
}

type sevenWalker struct {
	rest      []byte
	total     int
	failed    bool
	claim     error
	packAt    uint64
	packSizes []uint64
	folders   []sevenFolder
}

type sevenFolder struct {
	coders    []sevenCoder
	outputs   int
	size      uint64
	hasDigest bool
	streams   int
}

type sevenCoder struct{ id, properties []byte }

func (w *sevenWalker) take(n uint64) []byte {
	if n > uint64(len(w.rest)) {
		w.failed = true
		n = uint64(len(w.rest))
	}
	out := w.rest[:n]
	w.rest = w.rest[n:]
	return out
}

func (w *sevenWalker) byte() byte {
	if b := w.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

// number reads a number whose first byte's high bits tell how many follow.
func (w *sevenWalker) number() uint64 {
	first := w.byte()
	var value uint64
	for i := range 8 {
		mask := byte(0x80 >> i)
		if first&mask == 0 {
			return value | uint64(first&(mask-1))<<(8*i)
		}
		value |= uint64(w.byte()) << (8 * i)
	}
	return value
}

// count reads how many things follow, of which every one takes at least a byte.
func (w *sevenWalker) count() int { return w.countTo(maxEntries) }

func (w *sevenWalker) countTo(most int) int {
	n := w.number()
	if n > uint64(min(w.total, most)) {
		w.claim = fmt.Errorf("%w: %d entries", errClaims, n)
		w.failed = true
		return 0
	}
	return int(n)
}

func (w *sevenWalker) header() {
	for !w.failed {
		switch w.byte() {
		case 0x02: // properties of the archive
			for !w.failed && w.byte() != 0 {
				w.take(uint64(w.count()))
			}
		case 0x03, 0x04:
			w.streams()
		case 0x05:
			w.count() // of files: every one has a name
			return
		default:
			return
		}
	}
}

func (w *sevenWalker) streams() {
	w.folders, w.packSizes = nil, nil
	for !w.failed {
		switch w.byte() {
		case 0x06:
			w.packInfo()
		case 0x07:
			w.unpackInfo()
		case 0x08:
			w.subStreams()
		default:
			return
		}
	}
}

func (w *sevenWalker) packInfo() {
	w.packAt = w.number()
	n := w.count()
	for !w.failed {
		switch w.byte() {
		case 0x09:
			for range n {
				w.packSizes = append(w.packSizes, w.number())
			}
		case 0x0a:
			w.digests(n)
		default:
			return
		}
	}
}

// digests reads which of n have a checksum, and the checksums.
func (w *sevenWalker) digests(n int) []bool {
	defined := make([]bool, n)
	all := w.byte() != 0
	var bits byte
	for i := range defined {
		if !all && i%8 == 0 {
			bits = w.byte()
		}
		defined[i] = all || bits&(0x80>>(i%8)) != 0
	}
	for _, d := range defined {
		if d {
			w.take(4)
		}
	}
	return defined
}

func (w *sevenWalker) unpackInfo() {
	for !w.failed {
		switch w.byte() {
		case 0x0b:
			n := w.count()
			if w.byte() != 0 { // the folders are elsewhere
				w.failed = true
				return
			}
			for range n {
				if w.failed {
					return
				}
				w.folders = append(w.folders, w.folder())
			}
		case 0x0c:
			for i := range w.folders {
				for range w.folders[i].outputs {
					w.folders[i].size = w.number()
				}
			}
		case 0x0a:
			for i, d := range w.digests(len(w.folders)) {
				w.folders[i].hasDigest = d
			}
		default:
			return
		}
	}
}

func (w *sevenWalker) folder() sevenFolder {
	f := sevenFolder{streams: 1}
	const mostCoders = 64 // 7-Zip itself takes 32
	coders, inputs := w.countTo(mostCoders), 0
	for range coders {
		if w.failed {
			return f
		}
		flags := w.byte()
		c := sevenCoder{id: w.take(uint64(flags & 0xf))}
		in, out := 1, 1
		if flags&0x10 != 0 {
			in, out = w.countTo(mostCoders), w.countTo(mostCoders)
		}
		if flags&0x20 != 0 {
			c.properties = w.take(uint64(w.count()))
		}
		inputs, f.outputs = inputs+in, f.outputs+out
		f.coders = append(f.coders, c)
		if err := c.memory(); err != nil {
			w.claim, w.failed = err, true
			return f
		}
	}
	pairs := max(0, f.outputs-1)
	for range min(pairs, w.total) {
		w.number()
		w.number()
	}
	if packed := inputs - pairs; packed > 1 {
		for range min(packed, w.total) {
			w.number()
		}
	}
	return f
}

// memory refuses coders that ask for more than windowBytes.
func (c *sevenCoder) memory() error {
	switch id := string(c.id); {
	case id == "\x21" && len(c.properties) == 1:
		_, err := dictionary2(c.properties[0])
		return err
	case (id == "\x03\x01\x01" || id == "\x03\x04\x01") && len(c.properties) >= 5: // LZMA, PPMd
		if dictionaryOf(c.properties) > windowBytes {
			return errWindow
		}
	}
	return nil
}

func (w *sevenWalker) subStreams() {
	kind := w.byte()
	if kind == 0x0d {
		for i := range w.folders {
			w.folders[i].streams = w.count()
		}
		kind = w.byte()
	}
	if kind == 0x09 {
		for i := range w.folders {
			for range max(0, w.folders[i].streams-1) {
				if w.failed {
					return
				}
				w.number()
			}
		}
		kind = w.byte()
	}
	if kind == 0x0a {
		unknown := 0
		for i := range w.folders {
			if f := &w.folders[i]; f.streams != 1 || !f.hasDigest {
				unknown += f.streams
			}
		}
		if unknown > 8*w.total {
			w.claim, w.failed = errClaims, true
			return
		}
		w.digests(unknown)
		kind = w.byte()
	}
	if kind != 0 {
		w.failed = true
	}
}

// decode undoes the compression of a header; encrypted ones are for the library.
func (f *sevenFolder) decode(packed []byte) ([]byte, error) {
	if len(f.coders) != 1 {
		return nil, errFilter
	}
	c := f.coders[0]
	var r io.Reader = bytes.NewReader(packed)
	switch string(c.id) {
	case "\x00":
	case "\x03\x01\x01":
		header := binary.LittleEndian.AppendUint64(bytes.Clone(c.properties), f.size)
		decoder, err := newLZMA(io.MultiReader(bytes.NewReader(header), r), dictionaryOf(c.properties))
		if err != nil {
			return nil, err
		}
		r = decoder
	case "\x21":
		dictionary, err := dictionary2(c.properties[0])
		if err != nil {
			return nil, err
		}
		if r, err = (lzma.Reader2Config{DictCap: dictionary}).NewReader2(r); err != nil {
			return nil, err
		}
	default:
		return nil, errFilter
	}
	return io.ReadAll(io.LimitReader(r, int64(f.size)))
}
