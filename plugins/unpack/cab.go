package main

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// cabFolder is a run of blocks that decompress to the files of the folder, one behind the other.
type cabFolder struct {
	at          int // of its first block
	blocks      int
	compression uint16
	content     *cabReader
	read        int64 // how far content was read
}

// cab reads cabinets (MS-CAB): stored and MSZIP by itself, LZX and Quantum by the tool.
func (j *job) cab(f file) error {
	const header, folderBytes, fileBytes = 36, 8, 16
	data := f.data
	if len(data) < header {
		return io.ErrUnexpectedEOF
	}
	half := func(at int) int { return int(binary.LittleEndian.Uint16(data[at:])) }
	word := func(at int) int { return int(binary.LittleEndian.Uint32(data[at:])) }
	files, folders, fileCount, flags := word(16), half(26), half(28), half(30)
	at, perFolder, perBlock := header, 0, 0
	if flags&4 != 0 { // reserved fields
		if len(data) < header+4 {
			return io.ErrUnexpectedEOF
		}
		perFolder, perBlock = int(data[header+2]), int(data[header+3])
		at += 4 + half(header)
	}
	for range (flags&1 + flags>>1&1) * 2 { // names of the cabinet before and after
		n := bytes.IndexByte(data[min(at, len(data)):], 0)
		if n < 0 {
			return io.ErrUnexpectedEOF
		}
		at += n + 1
	}
	var runs []*cabFolder
	for range folders {
		if at+folderBytes > len(data) {
			return io.ErrUnexpectedEOF
		}
		r := &cabFolder{at: word(at), blocks: half(at + 4), compression: uint16(half(at+6)) & 0xf}
		r.content = &cabReader{data: data, at: r.at, blocks: r.blocks, extra: perBlock, mszip: r.compression == 1}
		runs = append(runs, r)
		at += folderBytes + perFolder
		if r.compression > 1 {
			return j.tool7(f, "cab", "")
		}
	}
	var broken error
	at = files
	for range fileCount {
		if at < 0 || at+fileBytes > len(data) {
			return errors.Join(broken, io.ErrUnexpectedEOF)
		}
		size, offset, folder := int64(word(at)), int64(word(at+4)), half(at+8)
		name, _, found := bytes.Cut(data[at+fileBytes:], []byte{0})
		if !found {
			return errors.Join(broken, io.ErrUnexpectedEOF)
		}
		at += fileBytes + len(name) + 1
		if folder >= len(runs) {
			// Of a file that goes on in another cabinet only a piece is here.
			broken = errors.Join(broken, fmt.Errorf("%s: is continued in another cabinet", name))
			continue
		}
		r := runs[folder]
		if offset < r.read {
			r.content = &cabReader{data: data, at: r.at, blocks: r.blocks, extra: perBlock, mszip: r.compression == 1}
			r.read = 0
		}
		skipped, err := io.CopyN(io.Discard, &timed{job: j, r: r.content}, offset-r.read)
		r.read += skipped
		if err == nil {
			content := &io.LimitedReader{R: r.content, N: size}
			err = j.member(f, string(name), content)
			r.read += size - content.N
			if err == nil && content.N > 0 {
				err = io.ErrUnexpectedEOF
			}
		}
		if err != nil {
			if ends(err) {
				return err
			}
			broken = errors.Join(broken, fmt.Errorf("%s: %w", name, err))
		}
		if err := j.inTime(); err != nil {
			return err
		}
	}
	return broken
}

// cabReader reads the blocks of a folder.
type cabReader struct {
	data   []byte
	at     int
	blocks int
	extra  int
	mszip  bool
	block  []byte // not yet read
	window []byte // the block before, which MSZIP refers to
}

func (r *cabReader) Read(p []byte) (int, error) {
	for len(r.block) == 0 {
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.block)
	r.block = r.block[n:]
	return n, nil
}

func (r *cabReader) next() error {
	const header, most = 8, 1 << 15
	if r.blocks == 0 {
		return io.EOF
	}
	r.blocks--
	if r.at < 0 || r.at+header+r.extra > len(r.data) {
		return io.ErrUnexpectedEOF
	}
	packed := int(binary.LittleEndian.Uint16(r.data[r.at+4:]))
	body := r.data[r.at+header+r.extra:]
	if packed > len(body) {
		return io.ErrUnexpectedEOF
	}
	r.at += header + r.extra + packed
	body = body[:packed]
	if !r.mszip {
		r.block = body
		return nil
	}
	if !bytes.HasPrefix(body, []byte("CK")) {
		return errors.New("a block is not MSZIP")
	}
	out, err := io.ReadAll(io.LimitReader(flate.NewReaderDict(bytes.NewReader(body[2:]), r.window), most))
	if err != nil {
		return err
	}
	r.block, r.window = out, out
	return nil
}

// szdd reads files of Microsoft's COMPRESS.EXE: LZSS with a window of 4096 blanks.
func (j *job) szdd(f file) error {
	const window = 4096
	at, start := 14, window-16
	name := innerName(f.name, ".szdd")
	if begins("SZ ")(f) {
		at, start = 12, window-18
	}
	if len(f.data) < at {
		return io.ErrUnexpectedEOF
	}
	size := int(binary.LittleEndian.Uint32(f.data[at-4:]))
	var ring [window]byte
	for i := range ring {
		ring[i] = ' '
	}
	var out []byte
	most := min(size, maxStream)
	put := func(c byte) {
		out = append(out, c)
		ring[start%window] = c
		start++
	}
	for rest := f.data[at:]; len(rest) > 0 && len(out) < most; {
		flags := rest[0]
		rest = rest[1:]
		for bit := 0; bit < 8 && len(rest) > 0 && len(out) < most; bit++ {
			if flags&(1<<bit) != 0 {
				put(rest[0])
				rest = rest[1:]
				continue
			}
			if len(rest) < 2 {
				rest = nil
				break
			}
			from, length := int(rest[0])|int(rest[1]&0xf0)<<4, int(rest[1]&0xf)+3
			rest = rest[2:]
			for i := range length {
				put(ring[(from+i)%window])
			}
		}
	}
	out = out[:min(len(out), most)]
	if err := j.bytes(f, name, out); err != nil {
		return err
	}
	if len(out) < size {
		return io.ErrUnexpectedEOF
	}
	return nil
}
