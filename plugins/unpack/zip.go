package main

import (
	"archive/zip"
	"bytes"
	"compress/bzip2"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/postern-mail/postern/sdk/scanner"
)

// Methods of compression (APPNOTE.TXT 4.4.5) beyond those of the standard library.
const (
	methodBzip2 = 12
	methodZstd  = 93
)

// Signatures of a zip's records.
const (
	localHeader = "PK\x03\x04"
	endRecord   = "PK\x05\x06"
)

// endRecordSpan is where the end record may begin, counted from the end of the file: its own length and a comment.
const endRecordSpan = 22 + 65535

// hasZipEnd reports whether the file ends as a zip does.
func hasZipEnd(f file) bool {
	start := max(0, f.size-endRecordSpan)
	if _, err := f.content.Seek(start, io.SeekStart); err != nil {
		return false
	}
	tail, err := io.ReadAll(io.LimitReader(f.content, endRecordSpan))
	if _, seekErr := f.content.Seek(0, io.SeekStart); err != nil || seekErr != nil {
		return false
	}
	return bytes.Contains(tail, []byte(endRecord))
}

// zip emits the files of the directory, and those that only a local header tells of: programs differ in which they believe.
func (j *job) zip(f file) error {
	at, ok := f.content.(io.ReaderAt)
	if !ok {
		at = &seekReaderAt{f.content}
	}
	listed := map[int64]uint64{} // compressed sizes by where the content begins
	r, err := zip.NewReader(at, f.size)
	if err == nil {
		r.RegisterDecompressor(methodBzip2, func(r io.Reader) io.ReadCloser { return io.NopCloser(bzip2.NewReader(r)) })
		r.RegisterDecompressor(methodZstd, zstd.ZipDecompressor(zstd.WithDecoderMaxWindow(windowBytes), zstd.WithDecoderConcurrency(1)))
		for _, member := range r.File {
			if offset, err := member.DataOffset(); err == nil {
				listed[offset] = member.CompressedSize64
			}
			if err := j.zipMember(f, member); err != nil {
				return err
			}
		}
	}
	found, localErr := j.localMembers(f, at, listed)
	if err != nil && found == 0 {
		return err // neither the directory nor a local header could be read
	}
	return localErr
}

func (j *job) zipMember(f file, member *zip.File) error {
	if member.FileInfo().IsDir() {
		return nil
	}
	if member.Flags&1 != 0 {
		if _, _, err := j.out.Member(f.number, member.Name, true); err != nil {
			return errOutside{err}
		}
		return nil
	}
	r, err := member.Open()
	if errors.Is(err, zip.ErrAlgorithm) {
		return j.trouble(scanner.TroubleBroken, "method_unknown", fmt.Sprintf("%s/%s: compression method %d", f.name, member.Name, member.Method))
	}
	if err != nil {
		return err
	}
	err = j.member(f, member.Name, r)
	if closeErr := r.Close(); err == nil {
		err = closeErr
	}
	// One broken file does not hide the ones after it.
	var outside errOutside
	if err != nil && !errors.As(err, &outside) {
		return j.trouble(scanner.TroubleBroken, "archive_broken", fmt.Sprintf("%s/%s: %v", f.name, member.Name, err))
	}
	return err
}

// localScan bounds the search for local headers that the directory does not list.
const localScan = 64 << 20

// localMembers emits the stored and deflated files whose local headers the directory does not list, and returns how many.
func (j *job) localMembers(f file, at io.ReaderAt, listed map[int64]uint64) (found int, err error) {
	data := make([]byte, min(f.size, localScan))
	n, err := at.ReadAt(data, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	data = data[:n]
	for offset := 0; ; {
		i := bytes.Index(data[offset:], []byte(localHeader))
		if i < 0 {
			return found, nil
		}
		offset += i
		header, ok := readLocal(data[offset:])
		if !ok {
			offset += len(localHeader)
			continue
		}
		if size, isListed := listed[int64(offset+header.length)]; isListed {
			// What looks like a header within a listed file belongs to that file.
			offset += header.length + int(min(size, uint64(len(data)-offset-header.length)))
			continue
		}
		found++
		body := data[offset+header.length:]
		if header.encrypted {
			if _, _, err := j.out.Member(f.number, header.name, true); err != nil {
				return found, errOutside{err}
			}
		} else if err := j.local(f, header, body); err != nil {
			return found, err
		}
		offset += header.length + min(int(header.compressed), len(body))
	}
}

// local is one local file header (APPNOTE.TXT 4.3.7).
type local struct {
	name       string
	method     uint16
	encrypted  bool
	compressed uint32
	length     int // of the header
}

func readLocal(data []byte) (local, bool) {
	const fixed = 30
	if len(data) < fixed {
		return local{}, false
	}
	nameLength, extra := int(binary.LittleEndian.Uint16(data[26:])), int(binary.LittleEndian.Uint16(data[28:]))
	h := local{
		method: binary.LittleEndian.Uint16(data[8:]), encrypted: data[6]&1 != 0, compressed: binary.LittleEndian.Uint32(data[18:]),
		length: fixed + nameLength + extra,
	}
	if nameLength == 0 || h.length > len(data) {
		return local{}, false
	}
	h.name = string(data[fixed : fixed+nameLength])
	return h, true
}

func (j *job) local(f file, h local, body []byte) error {
	var r io.Reader
	switch h.method {
	case zip.Store:
		r = bytes.NewReader(body[:min(len(body), int(h.compressed))])
	case zip.Deflate:
		r = flate.NewReader(bytes.NewReader(body))
	default:
		return j.trouble(scanner.TroubleBroken, "method_unknown", fmt.Sprintf("%s/%s: compression method %d", f.name, h.name, h.method))
	}
	err := j.member(f, h.name, r)
	var outside errOutside
	if err != nil && !errors.As(err, &outside) {
		return j.trouble(scanner.TroubleBroken, "archive_broken", fmt.Sprintf("%s/%s: %v", f.name, h.name, err))
	}
	return err
}

// seekReaderAt reads at an offset by seeking; it is used by one goroutine.
type seekReaderAt struct{ r io.ReadSeeker }

func (s *seekReaderAt) ReadAt(p []byte, offset int64) (int, error) {
	if _, err := s.r.Seek(offset, io.SeekStart); err != nil {
		return 0, err
	}
	n, err := io.ReadFull(s.r, p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}
