package main

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"unicode/utf16"

	"github.com/ulikunitz/xz/lzma"
)

// errPassword says that it is not the one.
var errPassword = errors.New("wrong password")

// The coders that headers are packed with.
const (
	sevenCopy  = "\x00"
	sevenLZMA  = "\x03\x01\x01"
	sevenLZMA2 = "\x21"
	sevenAES   = "\x06\xf1\x07\x01"
)

// encrypted reports whether it takes a password.
func (f *sevenFolder) encrypted() bool {
	for i := range f.coders {
		if string(f.coders[i].id) == sevenAES {
			return true
		}
	}
	return false
}

// chain lists the coders in the order that what is packed goes through them, by their numbers. errFilter says that it is no chain.
func (f *sevenFolder) chain() ([]int, error) {
	if f.outputs != len(f.coders) || len(f.sizes) != len(f.coders) || len(f.pairs) != len(f.coders)-1 {
		return nil, errFilter
	}
	feeds, fed := map[uint64]uint64{}, map[uint64]bool{}
	for _, pair := range f.pairs {
		feeds[pair.out] = pair.in
		fed[pair.in] = true
	}
	var order []int
	at := uint64(0)
	for fed[at] {
		at++
	}
	for range f.coders {
		if at >= uint64(len(f.coders)) {
			return nil, errFilter
		}
		order = append(order, int(at))
		next, more := feeds[at]
		if !more {
			break
		}
		at = next
	}
	if len(order) != len(f.coders) {
		return nil, errFilter
	}
	return order, nil
}

// decode undoes the packing of a header; password is nil where nothing is encrypted. What was read before an error is returned with it.
func (f *sevenFolder) decode(packed []byte, password *string) ([]byte, error) {
	order, err := f.chain()
	if err != nil {
		return nil, err
	}
	for _, n := range order {
		c := &f.coders[n]
		r, openErr := c.open(packed, f.sizes[n], password)
		if openErr != nil {
			return nil, openErr
		}
		if packed, err = io.ReadAll(io.LimitReader(r, int64(f.sizes[n]))); err != nil {
			break
		}
	}
	return packed, err
}

func (c *sevenCoder) open(packed []byte, size uint64, password *string) (io.Reader, error) {
	var r io.Reader = bytes.NewReader(packed)
	switch id := string(c.id); {
	case id == sevenCopy:
		return r, nil
	case id == sevenAES && password != nil:
		return c.decrypt(packed, *password)
	case id == sevenLZMA && len(c.properties) >= 5:
		header := binary.LittleEndian.AppendUint64(bytes.Clone(c.properties), size)
		return newLZMA(io.MultiReader(bytes.NewReader(header), r), dictionaryOf(c.properties))
	case id == sevenLZMA2 && len(c.properties) == 1:
		dictionary, err := dictionary2(c.properties[0])
		if err != nil {
			return nil, err
		}
		return lzma.Reader2Config{DictCap: dictionary}.NewReader2(r)
	}
	return nil, errFilter
}

// mostCycles is the largest power of two of rounds, as in the library.
const mostCycles = 24

// decrypt undoes AES-256 in CBC mode.
func (c *sevenCoder) decrypt(packed []byte, password string) (io.Reader, error) {
	key, err := c.key(password)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	_, initial, err := c.saltAndVector()
	if err != nil {
		return nil, err
	}
	vector := make([]byte, aes.BlockSize)
	copy(vector, initial)
	out := bytes.Clone(packed[:len(packed)/aes.BlockSize*aes.BlockSize])
	cipher.NewCBCDecrypter(block, vector).CryptBlocks(out, out)
	return bytes.NewReader(out), nil
}

// saltAndVector are in the coder's properties (7zAes.cpp of the 7-Zip sources).
func (c *sevenCoder) saltAndVector() (salt, vector []byte, err error) {
	p := c.properties
	if len(p) < 2 {
		return nil, nil, errFilter
	}
	end := 2 + int(p[0]>>7&1+p[1]>>4)
	if len(p) != end+int(p[0]>>6&1+p[1]&0xf) {
		return nil, nil, errFilter
	}
	return p[2:end], p[end:], nil
}

// key is made from the password by 2^n rounds of SHA-256.
func (c *sevenCoder) key(password string) ([]byte, error) {
	const rawKey = 0x3f // no rounds at all
	salt, _, err := c.saltAndVector()
	if err != nil {
		return nil, err
	}
	cycles := c.properties[0] & 0x3f
	if cycles > mostCycles && cycles != rawKey {
		return nil, errFilter
	}
	round := bytes.Clone(salt)
	for _, unit := range utf16.Encode([]rune(password)) {
		round = binary.LittleEndian.AppendUint16(round, unit)
	}
	if cycles == rawKey {
		key := make([]byte, sha256.Size)
		copy(key, round)
		return key, nil
	}
	counter := len(round)
	round = append(round, make([]byte, 8)...)
	h := sha256.New()
	for n := range uint64(1) << cycles {
		binary.LittleEndian.PutUint64(round[counter:], n)
		h.Write(round)
	}
	return h.Sum(nil), nil
}
