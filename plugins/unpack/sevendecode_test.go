package main

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"hash/crc32"
	"runtime"
	"slices"
	"testing"
)

// sevenNumber is a number of a 7z header in its longest form.
func sevenNumber(n uint64) []byte { return binary.LittleEndian.AppendUint64([]byte{0xff}, n) }

// sevenOf is a 7z file whose header is packed by one coder. digest says that its checksum stands beside it.
func sevenOf(coder, packed, header []byte, digest bool) []byte {
	outer := slices.Concat([]byte("\x17\x06"), sevenNumber(0), sevenNumber(1), []byte("\x09"), sevenNumber(uint64(len(packed))), []byte("\x00"),
		[]byte("\x07\x0b"), sevenNumber(1), []byte("\x00"), sevenNumber(1), coder, []byte("\x0c"), sevenNumber(uint64(len(header))))
	if digest {
		outer = binary.LittleEndian.AppendUint32(append(outer, "\x0a\x01"...), crc32.ChecksumIEEE(header))
	}
	outer = append(outer, "\x00\x00"...)
	start := binary.LittleEndian.AppendUint64(nil, uint64(len(packed)))
	start = binary.LittleEndian.AppendUint64(start, uint64(len(outer)))
	start = binary.LittleEndian.AppendUint32(start, crc32.ChecksumIEEE(outer))
	out := binary.LittleEndian.AppendUint32([]byte(sevenMagic+"\x00\x04"), crc32.ChecksumIEEE(start))
	return slices.Concat(out, start, packed, outer)
}

// sealedSeven is one whose header is encrypted with "password", in one round.
func sealedSeven(t *testing.T, header []byte, digest bool) []byte {
	t.Helper()
	coder := []byte("\x24" + sevenAES + "\x03\x40\x00\x00") // an initialisation vector of one byte, 0
	c := sevenCoder{id: []byte(sevenAES), properties: coder[len(coder)-3:]}
	key, err := c.key("password")
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	padded := append(slices.Clone(header), make([]byte, (aes.BlockSize-len(header)%aes.BlockSize)%aes.BlockSize)...)
	cipher.NewCBCEncrypter(block, make([]byte, aes.BlockSize)).CryptBlocks(padded, padded)
	return sevenOf(coder, padded, header, digest)
}

// TestSevenZipHeadersThatCannotBeBelieved: what a packed or encrypted header claims is not allocated.
func TestSevenZipHeadersThatCannotBeBelieved(t *testing.T) {
	// A folder with a coder whose properties are a GiB.
	claims := slices.Concat([]byte("\x01\x04\x07\x0b"), sevenNumber(1), []byte("\x00"), sevenNumber(1), []byte("\x21\x21"), sevenNumber(1<<30))
	for name, file := range map[string][]byte{
		"as it is":                 sevenOf([]byte("\x01\x00"), claims, claims, true),
		"behind a password":        sealedSeven(t, claims, true),
		"without a checksum":       sealedSeven(t, claims, false),
		"packed as nobody does it": sevenOf([]byte("\x03\x04\x01\x08"), []byte("\x4b\x04\x00"), []byte("a"), true), // Deflate
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			c := unpackAll(t, "a.7z", file)
			runtime.ReadMemStats(&after)
			if got := c.listing(); !slices.Equal(got, []string{"archive_claims"}) {
				t.Errorf("it gives %q", got)
			}
			if taken := after.TotalAlloc - before.TotalAlloc; taken > 64<<20 {
				t.Errorf("it takes %d MiB", taken>>20)
			}
		})
	}
}
