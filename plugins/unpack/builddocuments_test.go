package main

import (
	"encoding/binary"
	"encoding/hex"
)

func tnefAttribute(level byte, id, kind uint16, data []byte) []byte {
	out := binary.LittleEndian.AppendUint16([]byte{level}, id)
	out = binary.LittleEndian.AppendUint16(out, kind)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(data)))
	return append(append(out, data...), 0, 0)
}

func tnefOf(name, content string) []byte {
	long := append([]byte{}, toUTF16("long-"+name+"\x00")...)
	properties := []byte{1, 0, 0, 0, 0x1f, 0, 0x07, 0x37, 1, 0, 0, 0}
	properties = append(binary.LittleEndian.AppendUint32(properties, uint32(len(long))), long...)
	for len(properties)%4 != 0 {
		properties = append(properties, 0)
	}
	out := []byte{0x78, 0x9f, 0x3e, 0x22, 1, 0}
	out = append(out, tnefAttribute(1, 0x800c, 2, []byte("the body\x00"))...)
	out = append(out, tnefAttribute(2, 0x9002, 6, make([]byte, 14))...)
	out = append(out, tnefAttribute(2, 0x8010, 1, []byte(name+"\x00"))...)
	out = append(out, tnefAttribute(2, 0x800f, 6, []byte(content))...)
	return append(out, tnefAttribute(2, 0x9005, 6, properties)...)
}

// packageOf is what stands in an Ole10Native stream.
func packageOf(name, content string) []byte {
	body := append([]byte{2, 0}, name+"\x00C:\\here\\"+name+"\x00"...)
	body = append(body, 0, 0, 3, 0)
	temporary := "C:\\temp\\" + name + "\x00"
	body = binary.LittleEndian.AppendUint32(body, uint32(len(temporary)))
	body = append(body, temporary...)
	body = binary.LittleEndian.AppendUint32(body, uint32(len(content)))
	body = append(body, content...)
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(body))), body...)
}

func rtfOf(class string, data []byte) []byte {
	object := []byte{1, 5, 0, 0, 2, 0, 0, 0}
	object = append(binary.LittleEndian.AppendUint32(object, uint32(len(class)+1)), class+"\x00"...)
	object = append(object, 0, 0, 0, 0, 0, 0, 0, 0)
	object = append(binary.LittleEndian.AppendUint32(object, uint32(len(data))), data...)
	digits := hex.EncodeToString(object)
	// As hostile files do: blanks, a group and a control word between the digits.
	return []byte(`{\rtf1{\object\objemb{\*\objdata ` + digits[:11] + "\r\n " + digits[11:20] + `{\par}` + digits[20:] + `}}}`)
}

func oneNoteOf(content string) []byte {
	out := append([]byte(oneSection), make([]byte, 100)...)
	out = append(out, oneFile...)
	out = binary.LittleEndian.AppendUint64(out, uint64(len(content)))
	return append(append(out, make([]byte, 12)...), content...)
}
