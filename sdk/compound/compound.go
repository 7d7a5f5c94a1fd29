// Package compound reads compound files (MS-CFB), the containers of Office's old documents, of Outlook's messages and of installers: bytes
// go in, streams by their paths come out.
package compound

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
)

// Magic is what every compound file begins with.
const Magic = "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

// Bounds of what is read.
const (
	maxStream  = 64 << 20 // of one stream, into memory
	maxEntries = 100_000  // of the directory
)

// File is a compound file. The reader is ours because the library that would serve follows chains of sectors that lead back to
// themselves without end; here every walk is as long as there are sectors at most.
type File struct {
	// Paths are those of the streams, in the file's order, storages joined by "/".
	Paths []string

	data       []byte
	sectorSize int
	table      []uint32 // the next sector of every sector
	small      []uint32 // the same for small sectors
	smallData  []byte
	streams    map[string]stream
}

type stream struct {
	start uint32
	size  uint64
}

// Special numbers of sectors.
const (
	endOfChain = 0xfffffffe
	freeSector = 0xffffffff
	lastSector = 0xfffffffa
)

const smallSector, smallLimit = 64, 4096

// Read reads the tables and the directory. What could be read comes with the error; the data must not change while the file is in use.
func Read(data []byte) (*File, error) {
	const header, inHeader = 512, 109
	if len(data) < header {
		return nil, io.ErrUnexpectedEOF
	}
	word := func(at int) uint32 { return binary.LittleEndian.Uint32(data[at:]) }
	shift := binary.LittleEndian.Uint16(data[30:])
	if shift < 7 || shift > 16 {
		return nil, errors.New("size of sectors")
	}
	o := &File{data: data, sectorSize: 1 << shift, streams: map[string]stream{}}
	most := len(data)/o.sectorSize + 1
	var tables []uint32
	for i := range inHeader {
		tables = append(tables, word(76+4*i))
	}
	for next, steps := word(68), 0; next < lastSector && steps < most; steps++ {
		sector := o.sector(next)
		if sector == nil {
			break
		}
		n := o.sectorSize/4 - 1
		for i := range n {
			tables = append(tables, binary.LittleEndian.Uint32(sector[4*i:]))
		}
		next = binary.LittleEndian.Uint32(sector[4*n:])
	}
	for _, t := range tables {
		if sector := o.sector(t); t < lastSector && sector != nil && len(o.table) < most {
			o.table = append(o.table, words(sector)...)
		}
	}
	directory, err := o.chain(word(48), maxStream)
	if len(directory) == 0 {
		return nil, errors.Join(errors.New("no directory"), err)
	}
	smallTable, smallErr := o.chain(word(60), maxStream)
	o.small = words(smallTable)
	return o, errors.Join(err, smallErr, o.readDirectory(directory))
}

func words(data []byte) []uint32 {
	out := make([]uint32, len(data)/4)
	for i := range out {
		out[i] = binary.LittleEndian.Uint32(data[4*i:])
	}
	return out
}

// sector is the content of a sector, nil where it is beyond the file. The last one may be short.
func (o *File) sector(n uint32) []byte {
	at := (uint64(n) + 1) * uint64(o.sectorSize)
	if n >= lastSector || at >= uint64(len(o.data)) {
		return nil
	}
	sector := o.data[at:min(uint64(len(o.data)), at+uint64(o.sectorSize))]
	if len(sector) < o.sectorSize {
		sector = append(append([]byte{}, sector...), make([]byte, o.sectorSize-len(sector))...)
	}
	return sector
}

// errChain says that a chain of sectors leads nowhere or back to itself.
var errChain = errors.New("a chain of sectors is broken")

// chain reads at most size bytes along a chain.
func (o *File) chain(start uint32, size uint64) ([]byte, error) {
	var out []byte
	for n, steps := start, 0; n != endOfChain && n != freeSector && uint64(len(out)) < size; steps++ {
		sector := o.sector(n)
		if sector == nil || steps > len(o.table) {
			return out, errChain
		}
		out = append(out, sector...)
		if int(n) >= len(o.table) {
			return out, errChain
		}
		n = o.table[n]
	}
	return out[:min(uint64(len(out)), size)], nil
}

// readDirectory follows the tree of storages, and takes streams that the tree does not lead to as well.
func (o *File) readDirectory(directory []byte) error {
	const entry, storageKind, streamKind, rootKind = 128, 1, 2, 5
	count := min(len(directory)/entry, maxEntries)
	field := func(i, at int) uint32 { return binary.LittleEndian.Uint32(directory[i*entry+at:]) }
	if count == 0 {
		return io.ErrUnexpectedEOF
	}
	var err error
	if directory[66] == rootKind {
		o.smallData, err = o.chain(field(0, 116), uint64(field(0, 120)))
	}
	visited := make([]bool, count)
	type place struct {
		entry  uint32
		prefix string
	}
	add := func(i int, prefix string) (name string) {
		e := directory[i*entry:]
		length := int(min(binary.LittleEndian.Uint16(e[64:]), 64))
		units := make([]uint16, 0, 32)
		for k := 0; k+1 < length; k += 2 {
			if u := binary.LittleEndian.Uint16(e[k:]); u >= ' ' {
				units = append(units, u)
			}
		}
		name = prefix + string(utf16.Decode(units))
		size := binary.LittleEndian.Uint64(e[120:])
		if o.sectorSize == 512 {
			size &= 0xffffffff // the upper half may hold anything
		}
		if _, known := o.streams[name]; e[66] == streamKind && size > 0 && !known {
			o.streams[name] = stream{start: field(i, 116), size: size}
			o.Paths = append(o.Paths, name)
		}
		return name
	}
	const deepest = 4096 // length of a path
	visited[0] = true
	todo := []place{{field(0, 76), ""}}
	for len(todo) > 0 {
		p := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if p.entry >= uint32(count) || visited[p.entry] || len(p.prefix) > deepest {
			continue
		}
		i := int(p.entry)
		visited[i] = true
		name := add(i, p.prefix)
		todo = append(todo, place{field(i, 72), p.prefix}, place{field(i, 68), p.prefix})
		if directory[i*entry+66] == storageKind {
			todo = append(todo, place{field(i, 76), name + "/"})
		}
	}
	for i, seen := range visited {
		if !seen && directory[i*entry+66] == streamKind {
			add(i, "")
		}
	}
	return err
}

// Has reports whether there is such a stream.
func (o *File) Has(path string) bool {
	_, ok := o.streams[path]
	return ok
}

// Read reads a stream, at most 64 MiB of it. What could be read comes with the error.
func (o *File) Read(path string) ([]byte, error) { return o.ReadSome(path, maxStream) }

// ReadSome reads the beginning of a stream.
func (o *File) ReadSome(path string, most uint64) ([]byte, error) {
	s, ok := o.streams[path]
	if !ok {
		return nil, fmt.Errorf("no stream %s", strings.ToValidUTF8(path, "?"))
	}
	size := min(s.size, most)
	if s.size >= smallLimit {
		data, err := o.chain(s.start, size)
		if err == nil && uint64(len(data)) < size {
			err = io.ErrUnexpectedEOF
		}
		return data, err
	}
	var out []byte
	for n, steps := s.start, 0; uint64(len(out)) < size; steps++ {
		at := uint64(n) * smallSector
		if n >= lastSector || at >= uint64(len(o.smallData)) || steps > len(o.small) || int(n) >= len(o.small) {
			return out, errChain
		}
		out = append(out, o.smallData[at:min(uint64(len(o.smallData)), at+smallSector)]...)
		n = o.small[n]
	}
	return out[:size], nil
}
