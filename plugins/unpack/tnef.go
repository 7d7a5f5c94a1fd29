package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Attributes of TNEF (MS-OXTNEF 2.1.3.2) and properties (MS-OXPROPS) that hold files and their names.
const (
	tnefAttachBegin = 0x9002
	tnefTitle       = 0x8010
	tnefData        = 0x800f
	tnefAttachProps = 0x9005
	tnefMessage     = 0x9003
	tnefBody        = 0x800c

	propLongName   = 0x3707
	propShortName  = 0x3704
	propName       = 0x3001
	propData       = 0x3701
	propBodyText   = 0x1000
	propBodyRTF    = 0x1009
	propBodyHTML   = 0x1013
	typeObject     = 0x000d
	typeUnicode    = 0x001f
	typeString     = 0x001e
	typeBinary     = 0x0102
	manyValuesFlag = 0x1000
)

// tnefFile is an attachment as its attributes come together.
type tnefFile struct {
	name, title string
	data        []byte
	has         bool
}

// tnef emits the attachments and bodies of a winmail.dat.
func (j *job) tnef(f file) error {
	const header, attributeHeader, checksum = 6, 9, 2
	var current *tnefFile
	number := 0
	finish := func() error {
		a := current
		current = nil
		if a == nil || !a.has {
			return nil
		}
		number++
		name := a.name
		if name == "" {
			name = a.title
		}
		if name == "" {
			name = fmt.Sprintf("attachment-%d", number)
		}
		return j.bytes(f, name, a.data)
	}
	rest := f.data[min(header, len(f.data)):]
	for len(rest) >= attributeHeader {
		level, id, size := rest[0], binary.LittleEndian.Uint16(rest[1:]), int(binary.LittleEndian.Uint32(rest[5:]))
		if level != 1 && level != 2 {
			// Some programs write more behind the last attribute.
			return finish()
		}
		rest = rest[attributeHeader:]
		if size < 0 || size > len(rest) {
			return errors.Join(finish(), io.ErrUnexpectedEOF)
		}
		data := rest[:size]
		rest = rest[min(len(rest), size+checksum):]
		var err error
		switch id {
		case tnefAttachBegin:
			err = finish()
			current = &tnefFile{}
		case tnefTitle:
			if current == nil {
				current = &tnefFile{}
			}
			current.title = string(bytes.TrimRight(data, "\x00"))
		case tnefData:
			if current == nil {
				current = &tnefFile{}
			}
			current.data, current.has = data, true
		case tnefAttachProps:
			if current == nil {
				current = &tnefFile{}
			}
			err = readProperties(data, current.property)
		case tnefBody:
			err = j.bytes(f, "body.txt", bytes.TrimRight(data, "\x00"))
		case tnefMessage:
			err = j.tnefBodies(f, data)
		}
		if err != nil {
			if ends(err) {
				return err
			}
			return errors.Join(finish(), err)
		}
	}
	return finish()
}

func (a *tnefFile) property(id, kind uint16, value []byte) error {
	switch id {
	case propLongName:
		a.name = propertyText(kind, value)
	case propShortName, propName:
		if a.name == "" {
			a.name = propertyText(kind, value)
		}
	case propData:
		const interfaceID = 16
		if kind == typeObject && len(value) > interfaceID {
			value = value[interfaceID:]
		}
		if !a.has || len(a.data) == 0 {
			a.data, a.has = value, true
		}
	}
	return nil
}

func propertyText(kind uint16, value []byte) string {
	if kind == typeUnicode {
		return fromUTF16(value)
	}
	return string(bytes.TrimRight(value, "\x00"))
}

func (j *job) tnefBodies(f file, data []byte) error {
	return readProperties(data, func(id, kind uint16, value []byte) error {
		switch id {
		case propBodyText:
			return j.bytes(f, "body.txt", []byte(propertyText(kind, value)))
		case propBodyHTML:
			return j.bytes(f, "body.html", value)
		case propBodyRTF:
			text, err := decompressRTF(value)
			if err != nil {
				return err
			}
			return j.bytes(f, "body.rtf", text)
		}
		return nil
	})
}

// readProperties reads a list of MAPI properties (MS-OXTNEF 2.1.3.4).
func readProperties(data []byte, each func(id, kind uint16, value []byte) error) error {
	if len(data) < 4 {
		return io.ErrUnexpectedEOF
	}
	count := binary.LittleEndian.Uint32(data)
	rest := data[4:]
	var short error
	take := func(n int) []byte {
		if n < 0 || n > len(rest) {
			short = io.ErrUnexpectedEOF
			return nil
		}
		v := rest[:n]
		rest = rest[n:]
		return v
	}
	word := func() int {
		v := take(4)
		if short != nil {
			return 0
		}
		return int(binary.LittleEndian.Uint32(v))
	}
	for ; count > 0 && len(rest) >= 4; count-- {
		kind, id := binary.LittleEndian.Uint16(rest), binary.LittleEndian.Uint16(rest[2:])
		rest = rest[4:]
		if id >= 0x8000 { // a named property: its set, and a number or a name
			take(16)
			if word() == 1 {
				take(alignUp(word(), 4))
			} else {
				take(4)
			}
		}
		many := kind&manyValuesFlag != 0
		kind &^= manyValuesFlag
		values := 1
		variable := kind == typeObject || kind == typeUnicode || kind == typeString || kind == typeBinary
		if many || variable {
			values = word()
		}
		for ; values > 0 && short == nil; values-- {
			if !variable {
				take(fixedSize(kind))
				continue
			}
			size := word()
			value := take(size)
			take(min(alignUp(size, 4)-size, len(rest)))
			if short != nil {
				break
			}
			if err := each(id, kind, value); err != nil {
				return err
			}
		}
		if short != nil {
			return short
		}
	}
	return nil
}

// fixedSize is how many bytes a property of a fixed size takes, padded to four.
func fixedSize(kind uint16) int {
	switch kind {
	case 0x0005, 0x0006, 0x0007, 0x0014, 0x0040:
		return 8
	case 0x0048:
		return 16
	}
	return 4
}

// rtfDictionary is what compressed RTF begins with in its window (MS-OXRTFCP 2.1.2.1).
const rtfDictionary = `{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript ` +
	`\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\colortbl\red0\green0\blue0` + "\r\n" +
	`\par \pard\plain\f0\fs20\b\i\u\tab\tx`

// decompressRTF undoes the compression of RTF in messages.
func decompressRTF(data []byte) ([]byte, error) {
	const header, window = 16, 4096
	if len(data) < header {
		return nil, io.ErrUnexpectedEOF
	}
	size, mark := binary.LittleEndian.Uint32(data[4:]), string(data[8:12])
	rest := data[header:]
	switch mark {
	case "MELA":
		return rest[:min(uint64(size), uint64(len(rest)))], nil
	case "LZFu":
	default:
		return nil, fmt.Errorf("compressed RTF of kind %q", mark)
	}
	var dictionary [window]byte
	at := copy(dictionary[:], rtfDictionary)
	var out []byte
	put := func(c byte) {
		out = append(out, c)
		dictionary[at%window] = c
		at++
	}
	for len(rest) > 0 {
		flags := rest[0]
		rest = rest[1:]
		for bit := 0; bit < 8 && len(rest) > 0; bit++ {
			if flags&(1<<bit) == 0 {
				put(rest[0])
				rest = rest[1:]
				continue
			}
			if len(rest) < 2 {
				return out, nil
			}
			reference := binary.BigEndian.Uint16(rest)
			rest = rest[2:]
			from, length := int(reference>>4), int(reference&0xf)+2
			if from == at%window {
				return out, nil
			}
			for i := range length {
				put(dictionary[(from+i)%window])
			}
		}
		if len(out) > maxStream {
			return out, errors.New("compressed RTF is too large")
		}
	}
	if !strings.HasPrefix(string(out[:min(len(out), 5)]), "{\\rtf") {
		return out, errors.New("compressed RTF without its end")
	}
	return out, nil
}
