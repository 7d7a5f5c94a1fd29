package main

import (
	"bytes"
	"compress/flate"
	"io"
)

// deflate64 reads Deflate64, which is Deflate (RFC 1951) with a window of 64 KiB, two more distance codes, and a last length code with 16
// extra bits.
type deflate64 struct {
	in      *bytes.Reader
	bits    uint32
	have    uint
	window  [1 << 16]byte
	at      int // next place in the window
	unread  int // bytes before at that were not yet read
	last    bool
	inBlock bool
	stored  int // bytes left of a stored block
	codes   [2]*prefixCode
	copying int // bytes left to copy
	from    int // distance
}

func newDeflate64(content []byte) io.Reader {
	return &deflate64{in: bytes.NewReader(content), stored: -1}
}

func (d *deflate64) Read(p []byte) (int, error) {
	const room = 1 << 15 // of what was decoded and not read, so that the window is never overrun
	for d.unread < min(len(p), room) {
		if done, err := d.step(); err != nil {
			return 0, err
		} else if done {
			break
		}
	}
	n := min(len(p), d.unread)
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	for i := range n {
		p[i] = d.window[(d.at-d.unread+i)&0xffff]
	}
	d.unread -= n
	return n, nil
}

func (d *deflate64) put(c byte) {
	d.window[d.at&0xffff] = c
	d.at++
	d.unread++
}

// step decodes one symbol, or some of a copy.
func (d *deflate64) step() (done bool, err error) {
	switch {
	case d.copying > 0:
		d.put(d.window[(d.at-d.from)&0xffff])
		d.copying--
		return false, nil
	case d.stored > 0:
		c, err := d.in.ReadByte()
		if err != nil {
			return false, io.ErrUnexpectedEOF
		}
		d.put(c)
		d.stored--
		d.inBlock = d.stored > 0
		return false, nil
	case d.inBlock:
		return false, d.symbol()
	case d.last:
		return true, nil
	}
	return false, d.block()
}

func (d *deflate64) symbol() error {
	s, err := d.codes[0].read(d)
	switch {
	case err != nil:
		return err
	case s < 256:
		d.put(byte(s))
		return nil
	case s == 256:
		d.inBlock = false
		return nil
	case s > 285:
		return flate.CorruptInputError(0)
	}
	lengthBase := [...]int{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 3}
	lengthBits := [...]uint{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 16}
	extra, err := d.take(lengthBits[s-257])
	if err != nil {
		return err
	}
	length := lengthBase[s-257] + extra
	s, err = d.codes[1].read(d)
	if err != nil || s > 31 {
		return flate.CorruptInputError(0)
	}
	distance := s + 1
	if s >= 2 {
		n := uint(s/2 - 1)
		extra, err := d.take(n)
		if err != nil {
			return err
		}
		distance = (2+s%2)<<n + 1 + extra
	}
	if distance > d.at {
		return flate.CorruptInputError(0)
	}
	d.copying, d.from = length, distance
	return nil
}

// block reads the header of the next block.
func (d *deflate64) block() error {
	head, err := d.take(3)
	if err != nil {
		return err
	}
	d.last = head&1 != 0
	switch head >> 1 {
	case 0:
		d.bits, d.have = 0, 0 // whole bytes are never held back beyond the current one, see take
		var sizes [4]byte
		if _, err := io.ReadFull(d.in, sizes[:]); err != nil {
			return io.ErrUnexpectedEOF
		}
		d.stored = int(sizes[0]) | int(sizes[1])<<8
		d.inBlock = d.stored > 0
		return nil
	case 1:
		lengths := make([]byte, 288)
		for i := range lengths {
			switch {
			case i < 144:
				lengths[i] = 8
			case i < 256:
				lengths[i] = 9
			case i < 280:
				lengths[i] = 7
			default:
				lengths[i] = 8
			}
		}
		d.codes = [2]*prefixCode{newPrefixCode(lengths), newPrefixCode(bytes.Repeat([]byte{5}, 32))}
	case 2:
		if err := d.readCodes(); err != nil {
			return err
		}
	default:
		return flate.CorruptInputError(0)
	}
	d.inBlock = true
	return nil
}

func (d *deflate64) readCodes() error {
	counts, err := d.take(14)
	if err != nil {
		return err
	}
	literals, distances, meta := counts&31+257, counts>>5&31+1, counts>>10+4
	order := [...]int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
	lengths := make([]byte, 19)
	for _, i := range order[:meta] {
		n, err := d.take(3)
		if err != nil {
			return err
		}
		lengths[i] = byte(n)
	}
	code := newPrefixCode(lengths)
	lengths = make([]byte, 0, literals+distances)
	for len(lengths) < literals+distances {
		s, err := code.read(d)
		if err != nil {
			return err
		}
		if s < 16 {
			lengths = append(lengths, byte(s))
			continue
		}
		var value byte
		base, bits := 3, uint(2)
		switch {
		case s == 16 && len(lengths) == 0:
			return flate.CorruptInputError(0)
		case s == 16:
			value = lengths[len(lengths)-1]
		case s == 17:
			bits = 3
		default:
			base, bits = 11, 7
		}
		n, err := d.take(bits)
		if err != nil {
			return err
		}
		lengths = append(lengths, bytes.Repeat([]byte{value}, base+n)...)
	}
	d.codes = [2]*prefixCode{newPrefixCode(lengths[:literals]), newPrefixCode(lengths[literals : literals+distances])}
	return nil
}

// take reads n bits. It never reads a byte that it does not need.
func (d *deflate64) take(n uint) (int, error) {
	for d.have < n {
		c, err := d.in.ReadByte()
		if err != nil {
			return 0, io.ErrUnexpectedEOF
		}
		d.bits |= uint32(c) << d.have
		d.have += 8
	}
	v := d.bits & (1<<n - 1)
	d.bits >>= n
	d.have -= n
	return int(v), nil
}

// prefixCode decodes canonical prefix codes (RFC 1951 section 3.2.2) by counting codes of each length.
type prefixCode struct {
	count   [16]int
	symbols []int
}

func newPrefixCode(lengths []byte) *prefixCode {
	c := &prefixCode{}
	for _, n := range lengths {
		c.count[n]++
	}
	c.count[0] = 0
	for n := byte(1); n < 16; n++ {
		for s, length := range lengths {
			if length == n {
				c.symbols = append(c.symbols, s)
			}
		}
	}
	return c
}

func (c *prefixCode) read(d *deflate64) (int, error) {
	code, first, index := 0, 0, 0
	for n := 1; n < 16; n++ {
		bit, err := d.take(1)
		if err != nil {
			return 0, err
		}
		code |= bit
		if count := c.count[n]; code-first < count {
			return c.symbols[index+code-first], nil
		} else {
			index += count
			first = (first + count) << 1
		}
		code <<= 1
	}
	return 0, flate.CorruptInputError(0)
}
