package main

import (
	"bytes"
	"compress/flate"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/binary"
	"hash/crc32"
	"io"
)

// zipKeys remembers the password that opened an entry: the others have mostly the same.
type zipKeys struct {
	known  *password
	failed bool // no password fitted the first one: the others are not tried again
}

// openedEntry is the compressed content of an entry, decrypted.
type openedEntry struct {
	content []byte
	method  uint16
	source  string
}

// maxEncrypted bounds the entries that are decrypted in memory.
const maxEncrypted = 64 << 20

// open finds the password of an entry; nil where there is none.
func (k *zipKeys) open(j *job, e *zipEntry) (*openedEntry, error) {
	if len(e.content) > maxEncrypted || e.flags&(1<<6) != 0 && e.method != methodAES { // strong encryption: nobody documents it in full
		return nil, nil
	}
	try := zipCryptoOpens
	if e.method == methodAES {
		try = aesOpens
	}
	var content []byte
	var method uint16
	attempt := func(word string) bool {
		var ok bool
		content, method, ok = try(e, word)
		return ok
	}
	if k.known != nil && attempt(k.known.Text) {
		return &openedEntry{content, method, k.known.Source}, nil
	}
	if k.failed {
		return nil, nil
	}
	found := j.tryPasswords(attempt)
	if err := j.inTime(); err != nil {
		return nil, err
	}
	if found == nil {
		k.failed = true
		return nil, nil
	}
	k.known = found
	return &openedEntry{content, method, found.Source}, nil
}

// zipCryptoOpens decrypts the traditional encryption (APPNOTE.TXT 6.1). One byte tells a wrong password in 255 of 256 cases; the checksum of
// the content tells the rest.
func zipCryptoOpens(e *zipEntry, word string) ([]byte, uint16, bool) {
	const header = 12
	if len(e.content) < header {
		return nil, 0, false
	}
	keys := [3]uint32{0x12345678, 0x23456789, 0x34567890}
	update := func(c byte) {
		keys[0] = crc32.IEEETable[byte(keys[0])^c] ^ keys[0]>>8
		keys[1] = (keys[1]+keys[0]&0xff)*134775813 + 1
		keys[2] = crc32.IEEETable[byte(keys[2])^byte(keys[1]>>24)] ^ keys[2]>>8
	}
	next := func(c byte) byte {
		t := keys[2] | 2
		c ^= byte((t * (t ^ 1)) >> 8)
		update(c)
		return c
	}
	for i := range len(word) {
		update(word[i])
	}
	var check byte
	for _, c := range e.content[:header] {
		check = next(c)
	}
	if check != byte(e.crc>>24) && check != byte(e.modTime>>8) {
		return nil, 0, false
	}
	out := make([]byte, len(e.content)-header)
	for i, c := range e.content[header:] {
		out[i] = next(c)
	}
	return out, e.method, checksumFits(e, e.method, out)
}

// checksumFits decompresses what a password gave, where that is cheap, and compares the checksum.
func checksumFits(e *zipEntry, method uint16, content []byte) bool {
	var r io.Reader = bytes.NewReader(content)
	switch method {
	case 0:
	case 8:
		r = flate.NewReader(r)
	default:
		return true
	}
	sum := crc32.NewIEEE()
	const enough = 256 << 20
	n, err := io.Copy(sum, io.LimitReader(r, enough))
	return err == nil && (n == enough || e.crc == 0 || sum.Sum32() == e.crc)
}

// aesOpens decrypts WinZip's AES (AE-1 and AE-2): PBKDF2 with 1000 rounds, CTR with a little-endian counter, and an HMAC.
func aesOpens(e *zipEntry, word string) ([]byte, uint16, bool) {
	strength, method, ok := aesExtra(e.extra)
	if !ok {
		return nil, 0, false
	}
	const check, mac, rounds = 2, 10, 1000
	salt, key := 4+4*strength, 8+8*strength
	if len(e.content) < salt+check+mac {
		return nil, 0, false
	}
	derived, err := pbkdf2.Key(sha1.New, word, e.content[:salt], rounds, 2*key+check)
	if err != nil || subtle.ConstantTimeCompare(derived[2*key:], e.content[salt:salt+check]) == 0 {
		return nil, 0, false
	}
	sealed := e.content[salt+check : len(e.content)-mac]
	sum := hmac.New(sha1.New, derived[key:2*key])
	sum.Write(sealed)
	if !hmac.Equal(sum.Sum(nil)[:mac], e.content[len(e.content)-mac:]) {
		return nil, 0, false
	}
	block, err := aes.NewCipher(derived[:key])
	if err != nil {
		return nil, 0, false
	}
	out := make([]byte, len(sealed))
	var counter, stream [aes.BlockSize]byte
	for i := 0; i < len(sealed); i += aes.BlockSize {
		binary.LittleEndian.PutUint64(counter[:], uint64(i/aes.BlockSize+1))
		block.Encrypt(stream[:], counter[:])
		subtle.XORBytes(out[i:], sealed[i:], stream[:])
	}
	return out, method, true
}

// aesExtra reads the extra field 0x9901: the strength (1 to 3) and the true method.
func aesExtra(extra []byte) (strength int, method uint16, ok bool) {
	for len(extra) >= 4 {
		id, size := binary.LittleEndian.Uint16(extra), int(binary.LittleEndian.Uint16(extra[2:]))
		extra = extra[4:]
		if size > len(extra) {
			return 0, 0, false
		}
		if id == 0x9901 && size >= 7 {
			strength = int(extra[4])
			return strength, binary.LittleEndian.Uint16(extra[5:]), strength >= 1 && strength <= 3
		}
		extra = extra[size:]
	}
	return 0, 0, false
}

// decryptCBC decrypts whole blocks; what is left over is dropped.
func decryptCBC(key, iv, sealed []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	out := make([]byte, len(sealed)/aes.BlockSize*aes.BlockSize)
	cipher.NewCBCDecrypter(block, iv[:aes.BlockSize]).CryptBlocks(out, sealed[:len(out)])
	return out, nil
}

func encryptCBC(block cipher.Block, iv, plain []byte) []byte {
	out := make([]byte, len(plain))
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(out, plain)
	return out
}
