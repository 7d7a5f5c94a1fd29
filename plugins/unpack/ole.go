package main

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"

	"github.com/postern-mail/postern/sdk/compound"
)

// ole emits what is embedded in a compound file: objects of documents, attachments of messages, and streams that are containers or
// programs. What its own streams mean is for scanners, which read the file itself.
func (j *job) ole(f file) error {
	o, err := compound.Read(f.data)
	if o == nil {
		return err
	}
	if o.Has("EncryptedPackage") && o.Has("EncryptionInfo") {
		return j.encryptedPackage(f, o)
	}
	broken := err
	if err := j.encryptedDocument(f, o); err != nil {
		if ends(err) {
			return err
		}
		broken = errors.Join(broken, err)
	}
	if isMessage(o) {
		return errors.Join(j.msg(f, o), broken)
	}
	for _, path := range o.Paths {
		if err := j.oleStream(f, o, path); err != nil {
			if ends(err) {
				return err
			}
			broken = errors.Join(broken, fmt.Errorf("%s: %w", path, err))
		}
	}
	return broken
}

func (j *job) oleStream(f file, o *compound.File, path string) error {
	base := path[strings.LastIndexByte(path, '/')+1:]
	switch {
	case base == "Ole10Native":
		data, err := o.Read(path)
		if err != nil {
			return err
		}
		name, content := readPackage(data)
		return j.bytes(f, name, content)
	case base == "PowerPoint Document":
		data, err := o.Read(path)
		if err != nil {
			return err
		}
		return j.powerPoint(f, data)
	}
	start, err := o.ReadSome(path, 64)
	if err != nil {
		return err
	}
	if !isEmbedded(start) {
		return nil
	}
	data, err := o.Read(path)
	if err != nil {
		return err
	}
	return j.bytes(f, path, data)
}

// isEmbedded knows streams that are files of their own.
func isEmbedded(start []byte) bool {
	f := file{data: start}
	return len(start) > 8 && begins("MZ\x90\x00", "PK\x03\x04", compound.Magic, "%PDF-", "MSCF\x00\x00\x00\x00", "Rar!\x1a\x07", sevenMagic, "{\\rtf",
		"\x7fELF")(f)
}

// readPackage takes an OLE package apart: a name that the sender chose, and a file. What does not read like one is the file itself.
func readPackage(data []byte) (name string, content []byte) {
	const lengthBytes = 4
	if len(data) < lengthBytes {
		return "object", data
	}
	if name, content, ok := packageBody(data[lengthBytes:]); ok {
		return name, content
	}
	if name, content, ok := packageBody(data); ok {
		return name, content
	}
	return "object", data[lengthBytes:]
}

func packageBody(data []byte) (name string, content []byte, ok bool) {
	if len(data) < 2 || binary.LittleEndian.Uint16(data) != 2 {
		return "", nil, false
	}
	rest := data[2:]
	text := func() string {
		s, after, found := bytes.Cut(rest, []byte{0})
		ok = ok && found
		rest = after
		return string(s)
	}
	word := func() uint32 {
		if len(rest) < 4 {
			ok = false
			return 0
		}
		v := binary.LittleEndian.Uint32(rest)
		rest = rest[4:]
		return v
	}
	ok = true
	label := text()
	source := text()
	word() // flags
	n := word()
	if uint64(n) > uint64(len(rest)) {
		return "", nil, false
	}
	rest = rest[n:] // the path of a temporary file
	size := word()
	if !ok {
		return "", nil, false
	}
	if name = label; name == "" {
		name = source
	}
	if i := strings.LastIndexAny(name, `\/`); i >= 0 {
		name = name[i+1:]
	}
	return name, rest[:min(uint64(size), uint64(len(rest)))], true
}

// powerPoint emits the objects in a presentation's records (MS-PPT 2.10.34, ExOleObjStg), among them its macros.
func (j *job) powerPoint(f file, data []byte) error {
	const header, objectStorage = 8, 0x1011
	number := 0
	for at := 0; at+header <= len(data); {
		version, kind := binary.LittleEndian.Uint16(data[at:]), binary.LittleEndian.Uint16(data[at+2:])
		size := int(binary.LittleEndian.Uint32(data[at+4:]))
		at += header
		if version&0xf == 0xf { // a container: its records follow
			continue
		}
		body := data[at:min(len(data), at+min(size, len(data)))]
		at += min(size, len(data))
		if kind != objectStorage {
			continue
		}
		number++
		name := fmt.Sprintf("object-%d", number)
		if version>>4 != 1 {
			if err := j.bytes(f, name, body); err != nil {
				return err
			}
			continue
		}
		if len(body) < 4 {
			return io.ErrUnexpectedEOF
		}
		r, err := zlib.NewReader(bytes.NewReader(body[4:]))
		if err != nil {
			return err
		}
		if err := j.member(f, name, r); err != nil {
			return err
		}
	}
	return nil
}

// isMessage knows Outlook's .msg files.
func isMessage(o *compound.File) bool {
	for _, path := range o.Paths {
		if strings.HasPrefix(path, "__properties_version1.0") || strings.HasPrefix(path, "__nameid_version1.0") {
			return true
		}
	}
	return false
}

// msg emits the body and the attachments of a message, and of the messages attached to it.
func (j *job) msg(f file, o *compound.File) error {
	text := func(prefix string, ids ...string) string {
		for _, id := range ids {
			if data, err := o.Read(prefix + "__substg1.0_" + id + "001F"); err == nil {
				return fromUTF16(data)
			}
			if data, err := o.Read(prefix + "__substg1.0_" + id + "001E"); err == nil {
				return string(bytes.TrimRight(data, "\x00"))
			}
		}
		return ""
	}
	var broken error
	for _, path := range o.Paths {
		i := strings.Index(path, "__substg1.0_")
		if i < 0 || strings.HasPrefix(path, "__nameid_version1.0") { // there the numbers are of names
			continue
		}
		prefix, id := path[:i], path[i+len("__substg1.0_"):]
		name := ""
		switch id {
		case "37010102": // data of an attachment
			if name = text(prefix, "3707", "3704", "3001"); name == "" {
				name = "attachment"
			}
		case "10130102", "1013001E", "1013001F":
			name = "body.html"
		case "10090102":
			name = "body.rtf"
		case "1000001F", "1000001E":
			name = "body.txt"
		default:
			continue
		}
		data, err := o.Read(path)
		if err == nil && id == "10090102" {
			data, err = decompressRTF(data)
		}
		if err == nil && strings.HasSuffix(id, "001F") {
			data = []byte(fromUTF16(data))
		}
		if err == nil {
			err = j.bytes(f, name, data)
		}
		if err != nil {
			if ends(err) {
				return err
			}
			broken = errors.Join(broken, fmt.Errorf("%s: %w", path, err))
		}
	}
	return broken
}

func fromUTF16(data []byte) string {
	units := make([]uint16, len(data)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(data[2*i:])
	}
	return strings.TrimRight(string(utf16.Decode(units)), "\x00")
}

func toUTF16(s string) []byte {
	var out []byte
	for _, u := range utf16.Encode([]rune(s)) {
		out = append(out, byte(u), byte(u>>8))
	}
	return out
}
