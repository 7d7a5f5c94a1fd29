package main

import (
	"encoding/binary"
	"encoding/hex"
	"unicode/utf16"
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

// oleOf is a compound file (MS-CFB) with small streams in the root, each in whole sectors and at least 4096 bytes, as large ones are kept.
func oleOf(streams ...string) []byte {
	const sector, large = 512, 4096
	var table []uint32
	var body []byte
	chain := func(data []byte) (start uint32) {
		start = uint32(len(table))
		n := max(1, (len(data)+sector-1)/sector)
		for i := range n {
			next := start + uint32(i) + 1
			if i == n-1 {
				next = 0xfffffffe
			}
			table = append(table, next)
		}
		body = append(append(body, data...), make([]byte, n*sector-len(data))...)
		return start
	}
	table, body = append(table, 0xfffffffd), make([]byte, sector) // the table itself is the first sector
	var directory []byte
	entry := func(name string, kind byte, child, start uint32, size int, right uint32) {
		e := make([]byte, 128)
		units := utf16.Encode([]rune(name))
		for i, u := range units {
			binary.LittleEndian.PutUint16(e[2*i:], u)
		}
		binary.LittleEndian.PutUint16(e[64:], uint16(2*len(units)+2))
		e[66], e[67] = kind, 1
		binary.LittleEndian.PutUint32(e[68:], 0xffffffff)
		binary.LittleEndian.PutUint32(e[72:], right)
		binary.LittleEndian.PutUint32(e[76:], child)
		binary.LittleEndian.PutUint32(e[116:], start)
		binary.LittleEndian.PutUint32(e[120:], uint32(size))
		directory = append(directory, e...)
	}
	count := len(streams) / 2
	entry("Root Entry", 5, 1, 0xfffffffe, 0, 0xffffffff)
	for i := range count {
		data := []byte(streams[2*i+1])
		data = append(data, make([]byte, max(0, large-len(data)))...)
		right := uint32(i + 2)
		if i == count-1 {
			right = 0xffffffff
		}
		entry(streams[2*i], 2, 0xffffffff, chain(data), len(data), right)
	}
	directoryAt := chain(directory)
	for i := range sector / 4 {
		v := uint32(0xffffffff)
		if i < len(table) {
			v = table[i]
		}
		binary.LittleEndian.PutUint32(body[4*i:], v)
	}
	head := make([]byte, sector)
	copy(head, oleMagic)
	head[24], head[26], head[28], head[29], head[30], head[32] = 0x3e, 3, 0xfe, 0xff, 9, 6
	binary.LittleEndian.PutUint32(head[44:], 1)
	binary.LittleEndian.PutUint32(head[48:], directoryAt)
	binary.LittleEndian.PutUint32(head[56:], large)
	binary.LittleEndian.PutUint32(head[60:], 0xfffffffe)
	binary.LittleEndian.PutUint32(head[68:], 0xfffffffe)
	for i := 1; i < 109; i++ {
		binary.LittleEndian.PutUint32(head[76+4*i:], 0xffffffff)
	}
	return append(head, body...)
}
