package main

import (
	"bytes"
	"crypto/aes"
	"crypto/hmac"
	"crypto/rc4"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"strings"

	"github.com/postern-mail/postern/sdk/compound"
)

// officeDefault is the password that Office tries by itself, so that a file sealed with it opens without a question.
const officeDefault = "VelvetSweatshop"

func defaultOfOffice() password { return password{Text: officeDefault, Source: "default"} }

// errSealing says that a document is encrypted in a way that is not known here.
var errSealing = errors.New("this kind of encryption is not known")

// sealing is how a document is encrypted (MS-OFFCRYPTO).
type sealing interface {
	// unlock takes a password where it fits.
	unlock(password string) bool
	// packageOf decrypts the stream EncryptedPackage after unlock.
	packageOf(sealed []byte) ([]byte, error)
}

// encryptedPackage opens a document of Office 2007 and later that is sealed with a password.
func (j *job) encryptedPackage(f file, o *compound.File) error {
	info, err := o.Read("EncryptionInfo")
	if err != nil {
		return err
	}
	s, err := readSealing(info)
	if errors.Is(err, errSealing) {
		return j.sealed(f)
	}
	if err != nil {
		return err
	}
	found := j.tryPasswords(s.unlock, defaultOfOffice())
	if found == nil {
		return j.sealed(f)
	}
	sealed, err := o.Read("EncryptedPackage")
	if err != nil {
		return err
	}
	plain, err := s.packageOf(sealed)
	if err != nil {
		return err
	}
	return j.emit(f, item{name: path.Base(f.name), opened: found.Source}, bytes.NewReader(plain))
}

func readSealing(info []byte) (sealing, error) {
	if len(info) < 8 {
		return nil, io.ErrUnexpectedEOF
	}
	major, minor := binary.LittleEndian.Uint16(info), binary.LittleEndian.Uint16(info[2:])
	switch {
	case major == 4 && minor == 4:
		return readAgile(info[8:])
	case minor == 2 && major >= 2 && major <= 4:
		return readStandard(info[4:])
	}
	return nil, errSealing
}

// agile is the encryption of Office 2010 and later (2.3.4.10).
type agile struct {
	KeyData struct {
		Salt      string `xml:"saltValue,attr"`
		BlockSize int    `xml:"blockSize,attr"`
		Hash      string `xml:"hashAlgorithm,attr"`
	} `xml:"keyData"`
	Key []struct {
		Spin     int    `xml:"spinCount,attr"`
		Salt     string `xml:"saltValue,attr"`
		KeyBits  int    `xml:"keyBits,attr"`
		Hash     string `xml:"hashAlgorithm,attr"`
		Verifier string `xml:"encryptedVerifierHashInput,attr"`
		Expected string `xml:"encryptedVerifierHashValue,attr"`
		Value    string `xml:"encryptedKeyValue,attr"`
	} `xml:"keyEncryptors>keyEncryptor>encryptedKey"`

	secret []byte
}

// maxSpin bounds the work that a document may ask for each password; Office writes 100,000.
const maxSpin = 1_000_000

func readAgile(data []byte) (sealing, error) {
	a := &agile{}
	if err := xml.Unmarshal(data, a); err != nil {
		return nil, fmt.Errorf("read encryption of document: %w", err)
	}
	if len(a.Key) == 0 || hashNamed(a.Key[0].Hash) == nil || hashNamed(a.KeyData.Hash) == nil || a.Key[0].Spin > maxSpin ||
		a.KeyData.BlockSize != aes.BlockSize || a.Key[0].KeyBits%8 != 0 || a.Key[0].KeyBits <= 0 || a.Key[0].KeyBits > 256 {
		return nil, errSealing
	}
	return a, nil
}

func hashNamed(name string) func() hash.Hash {
	switch strings.ToUpper(strings.ReplaceAll(name, "-", "")) {
	case "SHA1":
		return sha1.New
	case "SHA256":
		return sha256.New
	case "SHA384":
		return sha512.New384
	case "SHA512":
		return sha512.New
	}
	return nil
}

func sum(make func() hash.Hash, pieces ...[]byte) []byte {
	h := make()
	for _, p := range pieces {
		h.Write(p)
	}
	return h.Sum(nil)
}

func counter(n int) []byte { return binary.LittleEndian.AppendUint32(nil, uint32(n)) }

func (a *agile) unlock(password string) bool {
	k := a.Key[0]
	newHash := hashNamed(k.Hash)
	salt, err := base64.StdEncoding.DecodeString(k.Salt)
	if err != nil || len(salt) < aes.BlockSize {
		return false
	}
	h := sum(newHash, salt, toUTF16(password))
	for i := range k.Spin {
		h = sum(newHash, counter(i), h)
	}
	open := func(sealed string, block ...byte) []byte {
		key := fitted(sum(newHash, h, block), k.KeyBits/8)
		data, err := base64.StdEncoding.DecodeString(sealed)
		if err != nil {
			return nil
		}
		plain, err := decryptCBC(key, salt, data)
		if err != nil {
			return nil
		}
		return plain
	}
	verifier := open(k.Verifier, 0xfe, 0xa7, 0xd2, 0x76, 0x3b, 0x4b, 0x9e, 0x79)
	expected := open(k.Expected, 0xd7, 0xaa, 0x0f, 0x6d, 0x30, 0x61, 0x34, 0x4e)
	got := sum(newHash, verifier)
	if len(verifier) == 0 || len(expected) < len(got) || !hmac.Equal(got, expected[:len(got)]) {
		return false
	}
	a.secret = fitted(open(k.Value, 0x14, 0x6e, 0x0b, 0xe7, 0xab, 0xac, 0xd0, 0xd6), k.KeyBits/8)
	return true
}

// fitted makes a key as long as it has to be.
func fitted(key []byte, length int) []byte {
	for len(key) < length {
		key = append(key, 0x36)
	}
	return key[:length]
}

func (a *agile) packageOf(sealed []byte) ([]byte, error) {
	const segment = 4096
	salt, err := base64.StdEncoding.DecodeString(a.KeyData.Salt)
	if err != nil || len(sealed) < 8 {
		return nil, io.ErrUnexpectedEOF
	}
	size := binary.LittleEndian.Uint64(sealed)
	sealed = sealed[8:]
	out := make([]byte, 0, len(sealed))
	for i := 0; len(sealed) > 0; i++ {
		n := min(segment, len(sealed))
		iv := fitted(sum(hashNamed(a.KeyData.Hash), salt, counter(i)), aes.BlockSize)
		plain, err := decryptCBC(a.secret, iv, sealed[:n])
		if err != nil {
			return nil, err
		}
		out, sealed = append(out, plain...), sealed[n:]
	}
	return out[:min(size, uint64(len(out)))], nil
}

// standard is the encryption of Office 2007, and with RC4 that of older documents (2.3.2 to 2.3.6).
type standard struct {
	rc4      bool
	keyBytes int
	salt     []byte
	verifier []byte
	expected []byte
	base     []byte // hash of salt and password
}

func readStandard(info []byte) (*standard, error) {
	const header, aes128, aes192, aes256, rc4ID = 32, 0x660e, 0x660f, 0x6610, 0x6801
	if len(info) < 8 {
		return nil, io.ErrUnexpectedEOF
	}
	size := int(binary.LittleEndian.Uint32(info[4:]))
	if size < header || 8+size+4+16+16+4+20 > len(info) {
		return nil, io.ErrUnexpectedEOF
	}
	h, v := info[8:8+size], info[8+size:]
	algorithm, keyBits := binary.LittleEndian.Uint32(h[8:]), int(binary.LittleEndian.Uint32(h[16:]))
	s := &standard{rc4: algorithm == rc4ID, keyBytes: keyBits / 8, salt: v[4:20], verifier: v[20:36], expected: v[40:]}
	if s.rc4 && s.keyBytes == 0 {
		s.keyBytes = 5
	}
	aesKnown := algorithm == aes128 || algorithm == aes192 || algorithm == aes256
	if !s.rc4 && !aesKnown || s.keyBytes < 5 || s.keyBytes > 32 || !s.rc4 && len(s.expected) < 32 {
		return nil, errSealing
	}
	return s, nil
}

func (s *standard) unlock(password string) bool {
	s.base = sum(sha1.New, s.salt, toUTF16(password))
	if s.rc4 {
		stream := s.streamOf(0)
		verifier, expected := make([]byte, 16), make([]byte, sha1.Size)
		stream.XORKeyStream(verifier, s.verifier)
		stream.XORKeyStream(expected, s.expected[:sha1.Size])
		return hmac.Equal(sum(sha1.New, verifier), expected)
	}
	const spin = 50_000
	for i := range spin {
		s.base = sum(sha1.New, counter(i), s.base)
	}
	verifier, err := s.decryptECB(s.verifier)
	if err != nil {
		return false
	}
	expected, err := s.decryptECB(s.expected[:32])
	return err == nil && hmac.Equal(sum(sha1.New, verifier), expected[:sha1.Size])
}

func (s *standard) decryptECB(sealed []byte) ([]byte, error) {
	final := sum(sha1.New, s.base, counter(0))
	var key []byte
	for _, fill := range []byte{0x36, 0x5c} {
		block := bytes.Repeat([]byte{fill}, 64)
		for i, c := range final {
			block[i] ^= c
		}
		key = append(key, sum(sha1.New, block)...)
	}
	cipher, err := aes.NewCipher(key[:s.keyBytes])
	if err != nil {
		return nil, err
	}
	out := make([]byte, len(sealed)/aes.BlockSize*aes.BlockSize)
	for i := 0; i < len(out); i += aes.BlockSize {
		cipher.Decrypt(out[i:], sealed[i:])
	}
	return out, nil
}

func (s *standard) packageOf(sealed []byte) ([]byte, error) {
	if len(sealed) < 8 || s.rc4 {
		return nil, errSealing
	}
	plain, err := s.decryptECB(sealed[8:])
	if err != nil {
		return nil, err
	}
	return plain[:min(binary.LittleEndian.Uint64(sealed), uint64(len(plain)))], nil
}

// streamOf is the key stream of a block (2.3.5.2); a key of 40 bits is filled with zeros.
func (s *standard) streamOf(block int) *rc4.Cipher {
	key := sum(sha1.New, s.base, counter(block))[:s.keyBytes:s.keyBytes]
	if s.keyBytes == 5 {
		key = append(key, make([]byte, 11)...)
	}
	cipher, _ := rc4.NewCipher(key) // the length was checked
	return cipher
}
