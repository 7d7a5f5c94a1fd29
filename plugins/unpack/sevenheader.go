package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
)

// errClaims says that a header claims more than it can hold.
var errClaims = errors.New("the header claims more than it can hold")

// check7z walks the header of a 7z file (7zFormat.txt of the 7-Zip sources) before the library does, which allocates whatever the header
// claims. It finds only that, and with a password whether it is a wrong one (errPassword); what it cannot read, the library judges. Without
// a password an encrypted header is left to the library too, which does not read it either.
func check7z(data []byte, password *string) error {
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
			f := &w.folders[0]
			at := start + w.packAt
			if at < start || at > uint64(len(data)) {
				return nil
			}
			if slices.Max(f.sizes) > most {
				return errClaims
			}
			if f.encrypted() && password == nil {
				return nil
			}
			var err error
			header, err = f.decode(data[at:at+min(w.packSizes[0], uint64(len(data))-at)], password)
			switch {
			case errors.Is(err, errFilter): // nobody writes a header like that
				return fmt.Errorf("%w: %w", errClaims, err)
			case f.encrypted() && f.hasDigest && crc32.ChecksumIEEE(header) != f.digest:
				return errPassword
			case len(header) == 0 && err != nil:
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
	pairs     []sevenPair
	outputs   int
	sizes     []uint64 // of the outputs, at least one
	hasDigest bool
	digest    uint32
	streams   int
}

// sevenPair says that a coder's input is another's output.
type sevenPair struct{ in, out uint64 }

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

// sevenDigest is a checksum where there is one.
type sevenDigest struct {
	defined bool
	sum     uint32
}

// digests reads which of n have a checksum, and the checksums.
func (w *sevenWalker) digests(n int) []sevenDigest {
	digests := make([]sevenDigest, n)
	all := w.byte() != 0
	var bits byte
	for i := range digests {
		if !all && i%8 == 0 {
			bits = w.byte()
		}
		digests[i].defined = all || bits&(0x80>>(i%8)) != 0
	}
	for i := range digests {
		if !digests[i].defined {
			continue
		}
		if sum := w.take(4); len(sum) == 4 {
			digests[i].sum = binary.LittleEndian.Uint32(sum)
		}
	}
	return digests
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
				f := &w.folders[i]
				f.sizes = make([]uint64, max(1, f.outputs))
				for n := range f.outputs {
					f.sizes[n] = w.number()
				}
			}
		case 0x0a:
			for i, d := range w.digests(len(w.folders)) {
				w.folders[i].hasDigest, w.folders[i].digest = d.defined, d.sum
			}
		default:
			return
		}
	}
}

func (w *sevenWalker) folder() sevenFolder {
	f := sevenFolder{streams: 1, sizes: make([]uint64, 1)}
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
		f.pairs = append(f.pairs, sevenPair{in: w.number(), out: w.number()})
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
