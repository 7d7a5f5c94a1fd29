package main

import (
	"bytes"
	"crypto/aes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rc4"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"regexp"
	"strconv"
)

// pdfSealing is how a PDF is encrypted by the standard handler (ISO 32000-2 7.6).
type pdfSealing struct {
	version, revision, keyBytes int
	permissions                 uint32
	owner, user, userKey, id    []byte
	aes, plainMetadata          bool

	key []byte
}

// pdfPad fills passwords.
const pdfPad = "\x28\xbf\x4e\x5e\x4e\x75\x8a\x41\x64\x00\x4e\x56\xff\xfa\x01\x08\x2e\x2e\x00\xb6\xd0\x68\x3e\x80\x2f\x0c\xa9\xfe\x64\x53\x69\x7a"

// readPDFSealing finds the encryption of a PDF; nil where there is none, known false where it is of a kind that is not known here.
func readPDFSealing(data []byte) (s *pdfSealing, known bool) {
	reference := regexp.MustCompile(`/Encrypt\s+(\d{1,9})\s+(\d{1,5})\s+R`).FindSubmatch(data)
	var dictionary []byte
	if reference != nil {
		mark := append(append(append(bytes.Clone(reference[1]), ' '), reference[2]...), " obj"...)
		if dictionary = lastObject(data, mark); dictionary == nil {
			return &pdfSealing{}, false
		}
	} else if i := bytes.Index(data, []byte("/Encrypt<<")); i >= 0 {
		dictionary = data[i:]
	} else if i := bytes.Index(data, []byte("/Encrypt <<")); i >= 0 {
		dictionary = data[i:]
	} else {
		return nil, true
	}
	if end := bytes.Index(dictionary, []byte("endobj")); end >= 0 {
		dictionary = dictionary[:end]
	}
	dictionary = dictionary[:min(len(dictionary), 8<<10)]
	s = &pdfSealing{
		version: pdfNumber(dictionary, "V"), revision: pdfNumber(dictionary, "R"), permissions: uint32(pdfNumber(dictionary, "P")),
		owner: pdfStringOf(dictionary, "O"), user: pdfStringOf(dictionary, "U"), userKey: pdfStringOf(dictionary, "UE"),
		aes: bytes.Contains(dictionary, []byte("AESV")), plainMetadata: bytes.Contains(dictionary, []byte("/EncryptMetadata false")),
	}
	s.keyBytes = pdfNumber(dictionary, "Length") / 8
	switch { // what stands first may be the length of a crypt filter
	case s.revision == 2:
		s.keyBytes = 5
	case s.version >= 5:
		s.keyBytes = 32
	case s.version == 4 || s.keyBytes == 0:
		s.keyBytes = 16
	}
	if m := regexp.MustCompile(`/ID\s*\[\s*`).FindIndex(data); m != nil {
		id, _ := stringAt(data[m[1]:min(len(data), m[1]+512)])
		s.id = []byte(id)
	}
	known = s.version >= 1 && s.version <= 5 && s.revision >= 2 && s.revision <= 6 && len(s.owner) >= 32 && len(s.user) >= 32 &&
		s.keyBytes >= 5 && s.keyBytes <= 32 && bytes.Contains(dictionary, []byte("/Standard"))
	if s.revision >= 5 {
		known = known && len(s.user) >= 48 && len(s.userKey) >= 32
	}
	return s, known
}

// lastObject is what stands behind the last mark that no digit stands before: "4 0 obj" is in "14 0 obj" too.
func lastObject(data, mark []byte) []byte {
	for end := len(data); ; {
		i := bytes.LastIndex(data[:end], mark)
		if i < 0 {
			return nil
		}
		if i == 0 || data[i-1] < '0' || data[i-1] > '9' {
			return data[i+len(mark):]
		}
		end = i
	}
}

// pdfValue is what stands behind a name.
func pdfValue(dictionary []byte, name string) []byte {
	for rest := dictionary; ; {
		i := bytes.Index(rest, []byte("/"+name))
		if i < 0 {
			return nil
		}
		rest = rest[i+1+len(name):]
		if len(rest) > 0 && !isRegular(rest[0]) {
			return bytes.TrimLeft(rest, " \t\r\n")
		}
		if len(rest) > 0 && (rest[0] >= '0' && rest[0] <= '9' || rest[0] == '-') { // "/V4" is not a name of ours, "/V 4" is
			continue
		}
	}
}

func pdfNumber(dictionary []byte, name string) int {
	value := pdfValue(dictionary, name)
	n := 0
	for n < len(value) && n < 12 && (value[n] == '-' || value[n] >= '0' && value[n] <= '9') {
		n++
	}
	v, err := strconv.Atoi(string(value[:n]))
	if err != nil {
		return 0
	}
	return v
}

func pdfStringOf(dictionary []byte, name string) []byte {
	s, _ := stringAt(pdfValue(dictionary, name))
	return []byte(s)
}

// unlock takes a user password where it fits; the empty one fits most.
func (s *pdfSealing) unlock(password string) bool {
	if s.revision >= 5 {
		if !hmac.Equal(s.hash(password, s.user[32:40]), s.user[:32]) {
			return false
		}
		key, err := decryptCBC(s.hash(password, s.user[40:48]), make([]byte, aes.BlockSize), s.userKey[:32])
		s.key = key
		return err == nil
	}
	padded := []byte(password + pdfPad)[:32]
	pieces := [][]byte{padded, s.owner[:32], binary.LittleEndian.AppendUint32(nil, s.permissions), s.id}
	if s.revision >= 4 && s.plainMetadata {
		pieces = append(pieces, []byte{0xff, 0xff, 0xff, 0xff})
	}
	keyBytes := min(s.keyBytes, 16)
	key := sum(md5.New, pieces...)
	if s.revision >= 3 {
		for range 50 {
			key = sum(md5.New, key[:keyBytes])
		}
	}
	s.key = key[:keyBytes]
	if s.revision == 2 {
		return hmac.Equal(rc4Of(s.key, []byte(pdfPad)), s.user[:32])
	}
	check := rc4Of(s.key, sum(md5.New, []byte(pdfPad), s.id))
	for i := byte(1); i < 20; i++ {
		mixed := bytes.Clone(s.key)
		for k := range mixed {
			mixed[k] ^= i
		}
		check = rc4Of(mixed, check)
	}
	return hmac.Equal(check, s.user[:16])
}

// hash is SHA-256, or from revision 6 on the hardened hash (algorithm 2.B).
func (s *pdfSealing) hash(password string, salt []byte) []byte {
	k := sum(sha256.New, []byte(password), salt)
	if s.revision == 5 {
		return k
	}
	for round := 0; ; round++ {
		k1 := bytes.Repeat(append([]byte(password), k...), 64)
		block, err := aes.NewCipher(k[:16])
		if err != nil {
			return nil
		}
		e := encryptCBC(block, k[16:32], k1)
		remainder := 0
		for _, c := range e[:16] {
			remainder += int(c)
		}
		switch remainder % 3 {
		case 0:
			k = sum(sha256.New, e)
		case 1:
			k = sum(sha512.New384, e)
		default:
			k = sum(sha512.New, e)
		}
		if round >= 63 && int(e[len(e)-1]) <= round-31 {
			return k[:32]
		}
	}
}

func rc4Of(key, data []byte) []byte {
	cipher, err := rc4.NewCipher(key)
	if err != nil {
		return nil
	}
	out := make([]byte, len(data))
	cipher.XORKeyStream(out, data)
	return out
}

// decrypt opens a string or stream of an object.
func (s *pdfSealing) decrypt(object, generation int, sealed []byte) []byte {
	key := s.key
	if s.revision < 5 {
		salted := append(bytes.Clone(s.key), byte(object), byte(object>>8), byte(object>>16), byte(generation), byte(generation>>8))
		if s.aes {
			salted = append(salted, "sAlT"...)
		}
		key = sum(md5.New, salted)[:min(len(s.key)+5, 16)]
	}
	if !s.aes && s.revision < 5 {
		return rc4Of(key, sealed)
	}
	if len(sealed) < 2*aes.BlockSize {
		return nil
	}
	plain, err := decryptCBC(key, sealed[:aes.BlockSize], sealed[aes.BlockSize:])
	if err != nil || len(plain) == 0 {
		return nil
	}
	if pad := int(plain[len(plain)-1]); pad <= aes.BlockSize && pad <= len(plain) {
		plain = plain[:len(plain)-pad]
	}
	return plain
}

// objectBefore is the number and generation of the object that a place of the file is in.
func objectBefore(data []byte) (object, generation int, ok bool) {
	const near = 64 << 10
	data = data[max(0, len(data)-near):]
	i := bytes.LastIndex(data, []byte(" obj"))
	if i < 0 {
		return 0, 0, false
	}
	fields := bytes.Fields(data[max(0, i-24):i])
	if len(fields) < 2 {
		return 0, 0, false
	}
	generation, err1 := strconv.Atoi(string(fields[len(fields)-1]))
	digits := fields[len(fields)-2]
	from := len(digits)
	for from > 0 && digits[from-1] >= '0' && digits[from-1] <= '9' {
		from--
	}
	object, err2 := strconv.Atoi(string(digits[from:]))
	return object, generation, err1 == nil && err2 == nil
}
