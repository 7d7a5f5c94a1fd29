package main

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

// zipWith is a zip of members with content, the one named mimetype first and stored.
func zipWith(t testing.TB, members map[string]string) string {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	add := func(name string, method uint16) {
		m, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: method})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Write([]byte(members[name])); err != nil {
			t.Fatal(err)
		}
	}
	if _, first := members["mimetype"]; first {
		add("mimetype", zip.Store)
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if name != "mimetype" {
			add(name, zip.Deflate)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// office is an Office file with that main type and those other members.
func office(t testing.TB, main string, others ...string) string {
	members := map[string]string{"[Content_Types].xml": `<Types><Override PartName="/x.xml" ContentType="application/` + main + `+xml"/></Types>`}
	for _, other := range others {
		members[other] = "x"
	}
	return zipWith(t, members)
}

// ole is a compound file of one directory with streams of those names and that class.
func ole(class string, names ...string) string {
	const sector, end, free, table = 512, 0xfffffffe, 0xffffffff, 0xfffffffd
	le := binary.LittleEndian
	var directory []byte
	for i, name := range append([]string{"Root Entry"}, names...) {
		entry := make([]byte, 128)
		units := utf16.Encode([]rune(name))
		for u, unit := range units {
			le.PutUint16(entry[2*u:], unit)
		}
		le.PutUint16(entry[64:], uint16(2*len(units)+2))
		entry[66] = 2
		if i == 0 {
			entry[66] = 5
			copy(entry[80:96], class+strings.Repeat("\x00", 16))
		}
		directory = append(directory, entry...)
	}
	for len(directory)%sector != 0 {
		directory = append(directory, 0)
	}
	header := make([]byte, sector)
	copy(header, oleMagic)
	le.PutUint16(header[26:], 3)
	le.PutUint16(header[28:], 0xfffe)
	le.PutUint16(header[30:], 9)
	le.PutUint32(header[44:], 1)
	// The directory begins behind the table, and its second sector stands behind a gap, so that the chain has to be followed.
	le.PutUint32(header[48:], 1)
	fat := bytes.Repeat([]byte{0xff}, sector)
	le.PutUint32(fat, table)
	body := slices.Clone(directory[:sector])
	last := 1
	for n := 1; n*sector < len(directory); n++ {
		body = append(body, make([]byte, sector)...)
		body = append(body, directory[n*sector:(n+1)*sector]...)
		le.PutUint32(fat[4*last:], uint32(last+2))
		last += 2
	}
	le.PutUint32(fat[4*last:], end)
	for i := range 109 {
		le.PutUint32(header[76+4*i:], free)
	}
	le.PutUint32(header[76:], 0)
	return string(header) + string(fat) + string(body)
}

// pe is the headers of a Windows program, and one section of 512 bytes at 512.
func pe(characteristics uint16) string {
	le := binary.LittleEndian
	b := make([]byte, 1024)
	copy(b, "MZ\x90\x00\x03")
	le.PutUint32(b[60:], 128)
	copy(b[128:], "PE\x00\x00\x4c\x01\x01\x00")
	le.PutUint16(b[128+22:], characteristics)
	le.PutUint32(b[128+24+16:], 512)
	le.PutUint32(b[128+24+20:], 512)
	return string(b)
}

func utf16LE(text string) string {
	out := []byte{0xff, 0xfe}
	for _, unit := range utf16.Encode([]rune(text)) {
		out = binary.LittleEndian.AppendUint16(out, unit)
	}
	return string(out)
}
