package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"strings"
)

// What AutoIt's compiled scripts are known by, and the two forms: of version 3 and from 3.3 on.
const (
	autoItMark = "\xa3\x48\x4b\xbe\x98\x6c\x4a\xa9\x99\x4c\x53\x0a\x86\xd6\x48\x7dAU3!EA0"
	autoItOld  = '5'
	autoItNew  = '6'
)

// autoItKeys are the numbers that a form mixes in, and the generator of its key stream.
type autoItKeys struct {
	file, kindLength, kind, pathLength, path, size, data uint32
	wide                                                 bool // texts are UTF-16
	stream                                               func(seed uint32) func() byte
}

func autoItAt(f file) int { return bytes.Index(f.data, []byte(autoItMark)) }

// autoIt emits the script and the files in a compiled script.
func (j *job) autoIt(f file) error {
	rest := f.data[autoItAt(f)+len(autoItMark):]
	const password = 16
	if len(rest) < 1+password {
		return io.ErrUnexpectedEOF
	}
	keys := autoItKeys{0xceb06dff, 0x29bc, 0xa25e, 0x29ac, 0xf25e, 0x45aa, 0x22af, false, mersenne}
	if rest[0] == autoItNew {
		keys = autoItKeys{0x52ca436b, 0xadbc, 0xb33f, 0xf820, 0xf479, 0x87bc, 0x2477, true, lagged}
	}
	if rest[0] == autoItOld {
		for _, c := range rest[1 : 1+password] {
			keys.data += uint32(c)
		}
	}
	rest = rest[1+password:]
	for number := 1; len(rest) >= 4 && binary.LittleEndian.Uint32(rest) == keys.file; number++ {
		rest = rest[4:]
		kind, after, err := keys.text(rest, keys.kindLength, keys.kind)
		if err != nil {
			return err
		}
		path, after, err := keys.text(after, keys.pathLength, keys.path)
		if err != nil {
			return err
		}
		const header, times = 13, 16
		if len(after) < header+times {
			return io.ErrUnexpectedEOF
		}
		compressed, size := after[0] == 1, binary.LittleEndian.Uint32(after[1:])^keys.size
		after = after[header+times:]
		if uint64(size) > uint64(len(after)) {
			return io.ErrUnexpectedEOF
		}
		content := keys.decrypt(after[:size], keys.data)
		rest = after[size:]
		name := path[strings.LastIndexAny(path, `\/`)+1:]
		if strings.HasPrefix(kind, ">") || name == "" {
			name = fmt.Sprintf("script-%d.a3x", number)
		}
		var reader io.Reader = bytes.NewReader(content)
		if compressed {
			if reader, err = newAutoIt(content); err != nil {
				return err
			}
		}
		if err := j.member(f, name, reader); err != nil {
			return err
		}
	}
	return nil
}

func (k *autoItKeys) decrypt(data []byte, seed uint32) []byte {
	next := k.stream(seed)
	out := make([]byte, len(data))
	for i, c := range data {
		out[i] = c ^ next()
	}
	return out
}

// text reads a counted, encrypted text.
func (k *autoItKeys) text(data []byte, lengthKey, seed uint32) (text string, rest []byte, err error) {
	if len(data) < 4 {
		return "", nil, io.ErrUnexpectedEOF
	}
	count := binary.LittleEndian.Uint32(data) ^ lengthKey
	size := uint64(count)
	if k.wide {
		size *= 2
	}
	data = data[4:]
	if size > uint64(len(data)) {
		return "", nil, io.ErrUnexpectedEOF
	}
	plain := k.decrypt(data[:size], count+seed)
	if k.wide {
		return fromUTF16(plain), data[size:], nil
	}
	return string(plain), data[size:], nil
}

// mersenne is the generator MT19937; a byte is its low bits but the lowest.
func mersenne(seed uint32) func() byte {
	const n, m = 624, 397
	var state [n]uint32
	state[0] = seed
	for i := 1; i < n; i++ {
		state[i] = uint32(i) + 0x6c078965*(state[i-1]>>30^state[i-1])
	}
	at := n
	return func() byte {
		if at == n {
			for i := range n {
				y := state[i]&0x80000000 | state[(i+1)%n]&0x7fffffff
				state[i] = state[(i+m)%n] ^ y>>1 ^ 0x9908b0df*(y&1)
			}
			at = 0
		}
		y := state[at]
		at++
		y ^= y >> 11
		y ^= y << 7 & 0x9d2c5680
		y ^= y << 15 & 0xefc60000
		y ^= y >> 18
		return byte(y >> 1)
	}
}

// lagged is a generator of lagged sums over 17 numbers; a byte is every second result as a fraction.
func lagged(seed uint32) func() byte {
	const n = 17
	var state [n]uint32
	for i := range state {
		seed = 1 - seed*0x53a9b4fb
		state[i] = seed
	}
	a, b := 0, 10
	next := func() float64 {
		v := bits.RotateLeft32(state[a], 9) + bits.RotateLeft32(state[b], 13)
		state[a] = v
		a, b = (a+n-1)%n, (b+n-1)%n
		return math.Float64frombits(0x3ff<<52|uint64(v)<<20) - 1
	}
	for range 9 {
		next()
	}
	return func() byte {
		next()
		return byte(min(next()*256, 255))
	}
}

// autoItReader undoes the compression: literals and references into what came before, in bits from the highest.
type autoItReader struct {
	in      []byte
	bits    uint64
	have    uint
	out     []byte
	read    int // of out
	size    int
	literal int // the bit before a literal
}

// errReference says that a reference leads before the beginning.
var errReference = errors.New("a reference before the beginning")

func newAutoIt(content []byte) (io.Reader, error) {
	const header = 8
	if len(content) < header || string(content[:3]) != "EA0" && string(content[:3]) != "JB0" {
		return nil, errors.New("the compressed file has no header")
	}
	size := binary.BigEndian.Uint32(content[4:])
	r := &autoItReader{in: content[header:], size: int(min(size, maxStream)), literal: 0}
	if content[3] == autoItNew {
		r.literal = 1
	}
	return r, nil
}

func (r *autoItReader) Read(p []byte) (int, error) {
	for r.read == len(r.out) {
		if len(r.out) >= r.size {
			return 0, io.EOF
		}
		if err := r.step(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.out[r.read:])
	r.read += n
	return n, nil
}

func (r *autoItReader) take(n uint) (int, error) {
	for r.have < n {
		if len(r.in) == 0 {
			return 0, io.ErrUnexpectedEOF
		}
		r.bits, r.have = r.bits<<8|uint64(r.in[0]), r.have+8
		r.in = r.in[1:]
	}
	r.have -= n
	return int(r.bits >> r.have & (1<<n - 1)), nil
}

// step decodes a literal or a reference.
func (r *autoItReader) step() error {
	bit, err := r.take(1)
	if err != nil {
		return err
	}
	if bit == r.literal {
		c, err := r.take(8)
		r.out = append(r.out, byte(c))
		return err
	}
	distance, err := r.take(15)
	if err != nil {
		return err
	}
	length := 3
	// Lengths grow in steps: all bits set lead to the next one.
	for _, width := range []uint{2, 3, 5, 8, 8} {
		n, err := r.take(width)
		if err != nil {
			return err
		}
		length += n
		for width == 8 && n == 255 && length < 1<<20 {
			if n, err = r.take(8); err != nil {
				return err
			}
			length += n
		}
		if n != 1<<width-1 || width == 8 {
			break
		}
	}
	if distance == 0 || distance > len(r.out) {
		return errReference
	}
	for range min(length, r.size-len(r.out)) {
		r.out = append(r.out, r.out[len(r.out)-distance])
	}
	return nil
}
