package main

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"github.com/postern-mail/postern/sdk/compound"
)

// program looks for archives in a program: those that open themselves have one behind or among their sections.
func (j *job) program(f file) error {
	switch {
	case bytes.Contains(f.data, []byte("\xef\xbe\xad\xdeNullsoftInst")):
		return j.tool7(f, "nsis", "")
	case installTable(f) >= 0:
		return j.installTable(f)
	case autoItAt(f) >= 0:
		return j.autoIt(f)
	case len(setupFiles(f)) > 0:
		return j.setupFiles(f)
	}
	return j.archivesInside(f)
}

// archivesInside opens the archives that stand in or behind a file of another kind.
func (j *job) archivesInside(f file) error {
	found := archivesInside(f.data)
	for _, a := range found {
		if err := a.open(j, file{number: f.number, layer: f.layer, name: f.name, data: f.data[a.at:]}); err != nil {
			if ends(err) {
				return err
			}
			if err := j.broken(f, err); err != nil {
				return err
			}
		}
	}
	if len(found) == maxInside {
		return j.limit("archives_inside", fmt.Sprintf("%s: %d archives inside, or more", f.name, maxInside))
	}
	if hasZipEnd(f) {
		return j.zip(f)
	}
	return nil
}

// inside is an archive that begins within another file.
type inside struct {
	at   int
	open func(*job, file) error
}

// maxInside is how many archives are looked for inside of one file.
const maxInside = 32

// archivesInside finds archives whose header proves that it is one.
func archivesInside(data []byte) []inside {
	var found []inside
	search := func(mark string, valid func([]byte) bool, open func(*job, file) error) {
		for at := 1; len(found) < maxInside; {
			i := bytes.Index(data[min(at, len(data)):], []byte(mark))
			if i < 0 {
				return
			}
			at += i
			if valid(data[at:]) {
				found = append(found, inside{at, open})
			}
			at++
		}
	}
	search(sevenMagic, func(d []byte) bool {
		const header = 32
		return len(d) >= header && crc32.ChecksumIEEE(d[12:header]) == binary.LittleEndian.Uint32(d[8:])
	}, (*job).sevenzip)
	search("Rar!\x1a\x07\x00", func([]byte) bool { return true }, (*job).rar)
	search("Rar!\x1a\x07\x01\x00", func([]byte) bool { return true }, (*job).rar)
	search("MSCF\x00\x00\x00\x00", func(d []byte) bool {
		const header = 36
		return len(d) >= header && d[24] == 3 && d[25] == 1 && uint64(binary.LittleEndian.Uint32(d[8:])) <= uint64(len(d)) && binary.LittleEndian.Uint16(d[28:]) > 0
	}, (*job).cab)
	return found
}

// carveFiles emits programs and containers that stand in a file whose structure is not known.
func (j *job) carveFiles(f file, data []byte) error {
	number := 0
	for at := 1; at < len(data) && number < 32; {
		next := len(data)
		for _, mark := range []string{"MZ", "PK\x03\x04", compound.Magic, "%PDF-", "{\\rtf"} {
			for from := at; from < next; {
				i := bytes.Index(data[from:next], []byte(mark))
				if i < 0 {
					break
				}
				if mark != "MZ" || isPE(data[from+i:]) {
					next = from + i
					break
				}
				from += i + 1
			}
		}
		if next == len(data) {
			return nil
		}
		content := data[next:]
		if n := countedBefore(data, next); n > 0 {
			content = content[:n]
		} else if n := peSize(content); n > 0 {
			content = content[:n]
		}
		number++
		if err := j.bytes(f, fmt.Sprintf("object-%d%s", number, extensionOf(content)), content); err != nil {
			return err
		}
		at = next + max(1, peSize(content))
	}
	return nil
}

func isPE(data []byte) bool {
	if len(data) < 64 || data[0] != 'M' || data[1] != 'Z' {
		return false
	}
	at := binary.LittleEndian.Uint32(data[60:])
	return at < 1<<16 && int(at)+4 <= len(data) && string(data[at:at+4]) == "PE\x00\x00"
}

// peSize is how long a program is, by the table of its sections; 0 where that cannot be told.
func peSize(data []byte) int {
	if !isPE(data) {
		return 0
	}
	at := int(binary.LittleEndian.Uint32(data[60:]))
	if at+24 > len(data) {
		return 0
	}
	sections, optional := int(binary.LittleEndian.Uint16(data[at+6:])), int(binary.LittleEndian.Uint16(data[at+20:]))
	end := 0
	for i := range sections {
		s := at + 24 + optional + 40*i
		if s+40 > len(data) {
			return 0
		}
		size, offset := int(binary.LittleEndian.Uint32(data[s+16:])), int(binary.LittleEndian.Uint32(data[s+20:]))
		end = max(end, size+offset)
	}
	return min(end, len(data))
}

// isSIS knows Symbian's installation files by the third of their identifiers.
func isSIS(f file) bool {
	return len(f.data) > 16 && (string(f.data[8:12]) == "\x19\x04\x00\x10" || string(f.data[:4]) == "\x7a\x1a\x20\x10")
}

// sis emits the files of an installation file: they are zlib streams, whose checksums prove them.
func (j *job) sis(f file) error { return j.zlibStreams(f, f.data) }

func (j *job) zlibStreams(f file, data []byte) error {
	number := 0
	for at := 0; at+2 < len(data); at++ {
		if data[at] != 0x78 || (int(data[at])<<8|int(data[at+1]))%31 != 0 || data[at+1]&0x20 != 0 {
			continue
		}
		if err := j.inTime(); err != nil {
			return err
		}
		in := bytes.NewReader(data[at:])
		r, err := zlib.NewReader(in)
		if err != nil {
			continue
		}
		content, err := io.ReadAll(j.limited(io.LimitReader(r, maxStream)))
		if err != nil || len(content) == 0 {
			continue
		}
		number++
		if err := j.bytes(f, fmt.Sprintf("file-%d%s", number, extensionOf(content)), content); err != nil {
			return err
		}
		at += len(data[at:]) - in.Len() - 1
	}
	return nil
}

// compress is the Unix program of that name, whose one file has the name without .Z.
func (j *job) compress(f file) error {
	return j.toolFile(f, innerName(f.name, ".z", ".taz"), "z", f.data)
}

// disk is an image of a CD or DVD: ISO 9660 or UDF. Where both are on it, both are looked at, because systems differ in which they show.
func (j *job) disk(f file) error {
	var udf bool
	for at := 32768; at+2048 <= min(len(f.data), 32768+32*2048); at += 2048 {
		if strings.HasPrefix(string(f.data[at+1:at+6]), "NSR0") {
			udf = true
		}
	}
	iso := has("CD001", 32769)(f)
	if !udf {
		return j.tool7(f, "iso", "")
	}
	err := j.tool7(f, "udf", "")
	if err != nil && ends(err) || !iso {
		return err
	}
	if isoErr := j.tool7(f, "iso", ""); isoErr != nil {
		return isoErr
	}
	return err
}
