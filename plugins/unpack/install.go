package main

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// installMark begins the table of files of an InstallShield program that carries an .msi.
const installMark = "InstallShield\x00"

// installTable is where that table begins, -1 where there is none.
func installTable(f file) int {
	const near = 4096 // of the end of the program's sections
	n := peSize(f.data)
	if n == 0 {
		return -1
	}
	i := bytes.Index(f.data[n:min(len(f.data), n+near)], []byte(installMark))
	if i < 0 {
		return -1
	}
	return n + i
}

// installTable emits the files behind a setup program: names and lengths in the clear, obscured and mostly compressed contents.
func (j *job) installTable(f file) error {
	const header, name, entry = 46, 260, 312
	rest := f.data[installTable(f):]
	if len(rest) < header {
		return io.ErrUnexpectedEOF
	}
	count := binary.LittleEndian.Uint16(rest[len(installMark):])
	rest = rest[header:]
	for range count {
		if len(rest) < entry {
			return io.ErrUnexpectedEOF
		}
		text, _, _ := bytes.Cut(rest[:name], []byte{0})
		size := uint64(binary.LittleEndian.Uint32(rest[name+8:]))
		rest = rest[entry:]
		body := &unobscured{body: rest[:min(size, uint64(len(rest)))], name: text}
		rest = rest[len(body.body):]
		var content io.Reader = body
		if inflated, err := zlib.NewReader(&unobscured{body: body.body, name: text}); err == nil {
			content = inflated
		}
		if err := j.member(f, string(text), content); err != nil {
			return err
		}
	}
	return nil
}

// unobscured undoes what setup programs do to their files: the halves of every byte are swapped, and the name is mixed in.
type unobscured struct {
	body, name []byte
	at         int
}

func (u *unobscured) Read(p []byte) (int, error) {
	if u.at == len(u.body) {
		return 0, io.EOF
	}
	const run = 1024 // after which the name begins again
	mix := [...]byte{0xec, 0xca, 0x79, 0xf8}
	n := min(len(p), len(u.body)-u.at)
	for i := range n {
		c := u.body[u.at]
		p[i] = c<<4 | c>>4
		if len(u.name) > 0 {
			k := u.at % run % len(u.name)
			p[i] ^= u.name[k] ^ mix[k%len(mix)]
		}
		u.at++
	}
	return n, nil
}

// setupFile is one file behind a setup program of the other kind: name, path, version and length as text, then the content.
type setupFile struct {
	name    string
	content []byte
}

// setupFiles reads them, none where the program is not of that kind.
func setupFiles(f file) []setupFile {
	n := peSize(f.data)
	if n == 0 {
		return nil
	}
	var files []setupFile
	for rest := f.data[n:]; len(rest) > 0; {
		var fields [4]string
		for i := range fields {
			const longest = 512
			field, after, found := bytes.Cut(rest[:min(len(rest), longest)], []byte{0})
			if !found || len(field) == 0 {
				return files
			}
			fields[i] = string(field)
			rest = rest[len(rest[:min(len(rest), longest)])-len(after):]
		}
		size, err := strconv.ParseUint(fields[3], 10, 40)
		if err != nil || !strings.HasSuffix(fields[1], fields[0]) || strings.Trim(fields[2], "0123456789.") != "" {
			return files
		}
		content := rest[:min(size, uint64(len(rest)))]
		rest = rest[len(content):]
		files = append(files, setupFile{fields[0], content})
	}
	return files
}

// setupFiles emits them, and the files of InstallShield's own cabinets, whose directory is a file beside.
func (j *job) setupFiles(f file) error {
	files := setupFiles(f)
	volumes := map[string][]byte{}
	for _, s := range files {
		volumes[strings.ToLower(s.name)] = s.content
		if err := j.bytes(f, s.name, s.content); err != nil {
			return err
		}
	}
	for name, directory := range volumes {
		base, isHeader := strings.CutSuffix(name, ".hdr")
		if !isHeader || !bytes.HasPrefix(directory, []byte("ISc(")) {
			continue
		}
		volume := func(n int) []byte {
			return volumes[fmt.Sprintf("%s%d.cab", strings.TrimRight(base, "0123456789"), n)]
		}
		if err := j.installCabinet(f, directory, volume); err != nil {
			return err
		}
	}
	return nil
}

// installCabinet emits the files of a cabinet of InstallShield 6 and later.
func (j *job) installCabinet(f file, directory []byte, volume func(int) []byte) error {
	const (
		descriptorBytes = 0x57
		maxFiles        = 100_000

		split, obfuscated, compressed, invalid = 1, 2, 4, 8
	)
	word := func(at int) int {
		if at < 0 || at+4 > len(directory) {
			return -1
		}
		return int(binary.LittleEndian.Uint32(directory[at:]))
	}
	if version := word(4); version>>24 == 1 && version>>12&0xf < 6 && version>>12&0xf > 0 {
		return j.unsupported(f, "a cabinet of an old InstallShield")
	}
	descriptor := word(12)
	table, files, second := word(descriptor+0xc), word(descriptor+0x28), word(descriptor+0x2c)
	if descriptor <= 0 || table < 0 || files < 0 || files > maxFiles || second < 0 {
		return errors.New("directory of a cabinet")
	}
	var broken error
	for i := range files {
		at := descriptor + table + second + i*descriptorBytes
		if at+descriptorBytes > len(directory) {
			return errors.Join(broken, io.ErrUnexpectedEOF)
		}
		d := directory[at : at+descriptorBytes]
		flags, size, packed, offset := binary.LittleEndian.Uint16(d), binary.LittleEndian.Uint64(d[2:]), binary.LittleEndian.Uint64(d[10:]),
			binary.LittleEndian.Uint64(d[18:])
		if flags&invalid != 0 || size == 0 || offset == 0 {
			continue
		}
		nameAt := descriptor + table + int(binary.LittleEndian.Uint32(d[0x3a:]))
		name := fmt.Sprintf("file-%d", i+1)
		if nameAt < len(directory) {
			text, _, _ := bytes.Cut(directory[nameAt:], []byte{0})
			name = string(text)
		}
		data := volume(int(binary.LittleEndian.Uint16(d[0x55:])))
		if flags&(split|obfuscated) != 0 || offset > uint64(len(data)) {
			broken = errors.Join(broken, fmt.Errorf("%s: cannot be read from its volume", name))
			continue
		}
		data = data[offset:]
		var content io.Reader = bytes.NewReader(data[:min(size, uint64(len(data)))])
		if flags&compressed != 0 {
			content = io.LimitReader(&chunks{rest: data[:min(packed, uint64(len(data)))]}, int64(min(size, 1<<40)))
		}
		if err := j.member(f, name, content); err != nil {
			if ends(err) {
				return err
			}
			broken = errors.Join(broken, fmt.Errorf("%s: %w", name, err))
		}
	}
	return broken
}

// chunks inflates pieces that are each counted and deflated by themselves.
type chunks struct {
	rest    []byte
	current io.Reader
}

func (c *chunks) Read(p []byte) (int, error) {
	for {
		if c.current != nil {
			n, err := c.current.Read(p)
			if n > 0 {
				return n, nil
			}
			if err != nil && !errors.Is(err, io.EOF) {
				return 0, err
			}
			c.current = nil
		}
		if len(c.rest) == 0 {
			return 0, io.EOF
		}
		if len(c.rest) < 2 {
			return 0, io.ErrUnexpectedEOF
		}
		size := int(binary.LittleEndian.Uint16(c.rest))
		c.rest = c.rest[2:]
		if size > len(c.rest) {
			return 0, io.ErrUnexpectedEOF
		}
		c.current = flate.NewReader(bytes.NewReader(c.rest[:size]))
		c.rest = c.rest[size:]
	}
}
