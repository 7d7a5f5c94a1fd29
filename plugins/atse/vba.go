package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/bits"
	"strings"
	"unicode/utf16"

	"github.com/postern-mail/postern/sdk/compound"
)

// Bounds of a project of macros.
const (
	maxProjects = 10
	maxModules  = 1000
	maxStreams  = 64 << 20 // read of all modules together
	maxSource   = 8 << 20  // of all modules together
)

// project is what a project's modules say.
type project struct {
	source []byte // as it is shown to the user
	names  []byte // of _VBA_PROJECT: every identifier that was ever compiled
	cached []byte // the compiled form, which Office runs where it fits its version
}

// readProject reads the modules below a folder that holds "dir" (MS-OVBA 2.3.4).
func readProject(o *compound.File, folder string) *project {
	p := &project{}
	offsets := map[string]uint32{}
	if dir, err := decompressVBA(readStream(o, folder+"dir"), maxSource); len(dir) > 0 {
		offsets = moduleOffsets(dir)
	} else if err != nil {
		offsets = nil // its modules are found by how they begin
	}
	count, left := 0, maxStreams
	for _, path := range o.Paths {
		name, inside := strings.CutPrefix(path, folder)
		if !inside || strings.Contains(name, "/") || name == "dir" || count >= maxModules {
			continue
		}
		data, _ := o.ReadSome(path, uint64(left)) // as far as it goes
		if left -= len(data); left <= 0 {
			break
		}
		if name == "_VBA_PROJECT" {
			p.names = data
			continue
		}
		count++
		start := moduleStart(data, offsets, name)
		if start < 0 {
			continue
		}
		source, _ := decompressVBA(data[start:], maxSource-len(p.source)) // as far as it goes
		p.source = append(append(p.source, source...), '\n')
		p.cached = append(p.cached, data[:start]...)
	}
	return p
}

// moduleStart is where the compressed source begins, -1 where there is none.
func moduleStart(data []byte, offsets map[string]uint32, name string) int {
	if at, known := offsets[strings.ToLower(name)]; known && uint64(at) < uint64(len(data)) && data[at] == 1 {
		return int(at)
	}
	// Eight letters stand behind a byte of flags, the size of the chunk, and the mark of the container.
	if i := bytes.Index(data, []byte("\x00Attribut")); i >= 3 && data[i-3] == 1 {
		return i - 3
	}
	return -1
}

// moduleOffsets reads the records of a dir stream (MS-OVBA 2.3.4.2) for where in its stream each module's source begins.
func moduleOffsets(dir []byte) map[string]uint32 {
	const version, streamName, streamNameUnicode, offset = 0x09, 0x1a, 0x32, 0x31
	out := map[string]uint32{}
	name := ""
	for at := 0; at+6 <= len(dir) && len(out) < maxModules; {
		id, size := binary.LittleEndian.Uint16(dir[at:]), uint64(binary.LittleEndian.Uint32(dir[at+2:]))
		if id == version {
			size += 2 // it says 4 and has 6
		}
		at += 6
		if size > uint64(len(dir)-at) {
			return out
		}
		body := dir[at : at+int(size)]
		at += int(size)
		switch id {
		case streamName:
			name = string(body)
		case streamNameUnicode:
			name = utf16String(body)
		case offset:
			if len(body) == 4 {
				out[strings.ToLower(name)] = binary.LittleEndian.Uint32(body)
			}
		}
	}
	return out
}

func utf16String(data []byte) string {
	units := make([]uint16, len(data)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(data[2*i:])
	}
	return strings.TrimRight(string(utf16.Decode(units)), "\x00")
}

var errVBA = errors.New("the compressed source is broken")

// decompressVBA undoes the compression of MS-OVBA 2.4.1. What could be read comes with the error.
func decompressVBA(data []byte, most int) ([]byte, error) {
	const chunk = 4096
	if len(data) == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	if data[0] != 1 {
		return nil, errVBA
	}
	var out []byte
	for at := 1; at+2 <= len(data) && len(out) < most; {
		header := binary.LittleEndian.Uint16(data[at:])
		end := min(len(data), at+int(header&0xfff)+3)
		if header>>12&7 != 3 {
			return out, errVBA
		}
		body := data[at+2 : end]
		at = end
		if header&0x8000 == 0 {
			out = append(out, body[:min(len(body), chunk)]...)
			continue
		}
		var err error
		if out, err = decompressChunk(out, body, chunk); err != nil {
			return out, err
		}
	}
	return out[:min(len(out), most)], nil
}

func decompressChunk(out, body []byte, chunk int) ([]byte, error) {
	start := len(out)
	for at := 0; at < len(body); {
		flags := body[at]
		at++
		for bit := 0; bit < 8 && at < len(body); bit++ {
			if flags>>bit&1 == 0 {
				out = append(out, body[at])
				at++
				continue
			}
			if at+2 > len(body) {
				return out, errVBA
			}
			token := binary.LittleEndian.Uint16(body[at:])
			at += 2
			done := len(out) - start
			if done == 0 || done > chunk {
				return out, errVBA
			}
			width := max(4, bits.Len(uint(done-1)))
			length := int(token&(0xffff>>width)) + 3
			back := int(token>>(16-width)) + 1
			if back > done || done+length > chunk {
				return out, errVBA
			}
			for range length {
				out = append(out, out[len(out)-back])
			}
		}
	}
	return out, nil
}
