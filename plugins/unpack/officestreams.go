package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rc4"
	"encoding/binary"
	"errors"
	"io"

	"github.com/postern-mail/postern/sdk/compound"
)

// oldRC4 is the encryption of Office 97 (2.3.6): 40 bits, MD5.
type oldRC4 struct {
	salt, verifier, expected []byte
	base                     []byte
}

func (s *oldRC4) unlock(password string) bool {
	h := sum(md5.New, toUTF16(password))
	var salted []byte
	for range 16 {
		salted = append(append(salted, h[:5]...), s.salt...)
	}
	s.base = sum(md5.New, salted)[:5]
	stream := s.streamOf(0)
	verifier, expected := make([]byte, 16), make([]byte, md5.Size)
	stream.XORKeyStream(verifier, s.verifier)
	stream.XORKeyStream(expected, s.expected)
	return hmac.Equal(sum(md5.New, verifier), expected)
}

func (s *oldRC4) streamOf(block int) *rc4.Cipher {
	cipher, _ := rc4.NewCipher(sum(md5.New, s.base, counter(block))) // 16 bytes are a key
	return cipher
}

// streamSealing is an encryption of the streams of .doc and .xls.
type streamSealing interface {
	unlock(password string) bool
	streamOf(block int) *rc4.Cipher
}

func readStreamSealing(info []byte) (streamSealing, error) {
	if len(info) < 4 {
		return nil, io.ErrUnexpectedEOF
	}
	major, minor := binary.LittleEndian.Uint16(info), binary.LittleEndian.Uint16(info[2:])
	switch {
	case major == 1 && minor == 1:
		if len(info) < 4+48 {
			return nil, io.ErrUnexpectedEOF
		}
		return &oldRC4{salt: info[4:20], verifier: info[20:36], expected: info[36:52]}, nil
	case minor == 2 && major >= 2 && major <= 4:
		s, err := readStandard(info[4:])
		if err == nil && !s.rc4 {
			err = errSealing
		}
		return s, err
	}
	return nil, errSealing
}

// decryptBlocks undoes RC4 that begins anew with every block; what lies between from and to is encrypted, and the rest is counted too.
func decryptBlocks(s streamSealing, data []byte, block int, plain func(at int) bool) []byte {
	out := make([]byte, len(data))
	for at := 0; at < len(data); at += block {
		end := min(len(data), at+block)
		s.streamOf(at/block).XORKeyStream(out[at:end], data[at:end])
		for i := at; i < end; i++ {
			if plain(i) {
				out[i] = data[i]
			}
		}
	}
	return out
}

// encryptedDocument opens .doc, .xls and .ppt that are sealed with a password: their streams are emitted in the clear.
func (j *job) encryptedDocument(f file, o *compound.File) error {
	var info []byte
	var streams []string
	plainUntil := map[string]int{}
	block := 512
	switch {
	case o.Has("WordDocument"):
		word, err := o.Read("WordDocument")
		if err != nil || len(word) < 32 {
			return err
		}
		flags := binary.LittleEndian.Uint16(word[10:])
		if flags&0x0100 == 0 {
			return nil
		}
		if flags&0x8000 != 0 { // only obscured by XOR
			return j.sealed(f)
		}
		table := "0Table"
		if flags&0x0200 != 0 {
			table = "1Table"
		}
		header := int(binary.LittleEndian.Uint32(word[14:]))
		if info, err = o.Read(table); err != nil {
			return err
		}
		const fibBase = 68
		plainUntil["WordDocument"], plainUntil[table] = fibBase, header
		streams = []string{"WordDocument", table, "Data"}
	case o.Has("Workbook") || o.Has("Book"):
		return j.encryptedWorkbook(f, o)
	case o.Has("PowerPoint Document"):
		const encryptedToken = "\xdf\xc4\xd1\xf3"
		if user, err := o.Read("Current User"); err == nil && len(user) >= 16 && string(user[12:16]) == encryptedToken {
			return j.sealed(f)
		}
		return nil
	default:
		return nil
	}
	s, found, err := j.openStreams(f, info)
	if found == nil {
		return err
	}
	for _, name := range streams {
		if !o.Has(name) {
			continue
		}
		data, err := o.Read(name)
		if err != nil {
			return err
		}
		plain := decryptBlocks(s, data, block, func(at int) bool { return at < plainUntil[name] })
		if err := j.emit(f, item{name: name, opened: found.Source}, bytes.NewReader(plain)); err != nil {
			return err
		}
	}
	return nil
}

// openStreams finds the password; found is nil where there is none, which is then reported.
func (j *job) openStreams(f file, info []byte) (s streamSealing, found *password, err error) {
	s, err = readStreamSealing(info)
	if errors.Is(err, errSealing) {
		return nil, nil, j.sealed(f)
	}
	if err != nil {
		return nil, nil, err
	}
	if found = j.tryPasswords(s.unlock, defaultOfOffice()); found == nil {
		return nil, nil, j.sealed(f)
	}
	return s, found, nil
}

// encryptedWorkbook decrypts a workbook's records; their headers, and some records, are never encrypted (MS-XLS 2.2.10).
func (j *job) encryptedWorkbook(f file, o *compound.File) error {
	const filePass, boundSheet, block = 0x2f, 0x85, 1024
	name := "Workbook"
	if !o.Has(name) {
		name = "Book"
	}
	data, err := o.Read(name)
	if err != nil {
		return err
	}
	var info []byte
	clear := make([]bool, len(data))
	for at := 0; at+4 <= len(data); {
		kind, size := binary.LittleEndian.Uint16(data[at:]), int(binary.LittleEndian.Uint16(data[at+2:]))
		body := at + 4
		end := min(len(data), body+size)
		plainEnd := body
		switch kind {
		case filePass:
			if info == nil {
				info = data[body:end]
			}
			plainEnd = end
		case 0x809, 0x194, 0x195, 0xe1, 0x196, 0x138:
			plainEnd = end
		case boundSheet:
			plainEnd = min(end, body+4)
		}
		for i := at; i < plainEnd; i++ {
			clear[i] = true
		}
		if info == nil && at > 64<<10 {
			return nil // the record stands near the beginning
		}
		at = body + size
	}
	if info == nil {
		return nil
	}
	if len(info) < 6 || binary.LittleEndian.Uint16(info) != 1 { // only obscured by XOR
		return j.sealed(f)
	}
	s, found, err := j.openStreams(f, info[2:])
	if found == nil {
		return err
	}
	plain := decryptBlocks(s, data, block, func(at int) bool { return clear[at] })
	return j.emit(f, item{name: name, opened: found.Source}, bytes.NewReader(plain))
}
