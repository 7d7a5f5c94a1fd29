package main

import (
	"archive/zip"
	"bytes"
	"compress/bzip2"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/postern-mail/postern/sdk/scanner"
)

// Methods of compression (APPNOTE.TXT 4.4.5) beyond those of the standard library.
const (
	methodDeflate64 = 9
	methodBzip2     = 12
	methodLZMA      = 14
	methodZstdOld   = 20
	methodZstd      = 93
	methodXZ        = 95
	methodAES       = 99 // the true method is in an extra field
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
	tail := f.data[max(0, len(f.data)-endRecordSpan):]
	at := bytes.LastIndex(tail, []byte(endRecord))
	return at >= 0 && len(tail)-at >= 22 && bytes.Contains(f.data, []byte(localHeader))
}

// zipEntry is one file of a zip, as the directory or a local header tells of it.
type zipEntry struct {
	name      string
	method    uint16
	flags     uint16
	modTime   uint16
	crc       uint32
	size      uint64
	extra     []byte
	content   []byte // compressed
	localOnly bool
}

func (e *zipEntry) encrypted() bool { return e.flags&1 != 0 }

// zip emits the files of the directory, and those that only a local header tells of: programs differ in which they believe.
func (j *job) zip(f file) error {
	entries, truncated, err := directoryEntries(f.data)
	if errors.Is(err, errOverlap) {
		return j.limit("overlap", fmt.Sprintf("%s: files of the archive share their bytes", f.name))
	}
	listed := len(entries)
	entries = append(entries, localEntries(f.data, entries)...)
	if err != nil && len(entries) == listed {
		return err // neither the directory nor a local header could be read
	}
	office := isOfficeZip(entries)
	var keys zipKeys
	for i := range entries {
		e := &entries[i]
		if strings.HasSuffix(e.name, "/") && e.size == 0 {
			if err := j.inTime(); err != nil {
				return err
			}
			continue
		}
		if err := j.zipEntry(f, e, office, &keys); err != nil {
			return err
		}
	}
	if truncated {
		return io.ErrUnexpectedEOF
	}
	return nil
}

var errOverlap = errors.New("files overlap")

// maxEntries bounds how many entries of a directory are looked at.
const maxEntries = 100_000

// directoryEntries reads the directory. Some entries may come with an error.
func directoryEntries(data []byte) (entries []zipEntry, truncated bool, err error) {
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return nil, false, err
	}
	type extent struct{ from, to int64 }
	var extents []extent
	for _, member := range r.File[:min(len(r.File), maxEntries)] {
		offset, err := member.DataOffset()
		if err != nil || offset > int64(len(data)) {
			truncated = true
			continue
		}
		end := offset + int64(min(member.CompressedSize64, uint64(len(data))))
		if end > int64(len(data)) {
			end, truncated = int64(len(data)), true
		}
		if end > offset {
			extents = append(extents, extent{offset, end})
		}
		entries = append(entries, zipEntry{
			name: member.Name, method: member.Method, flags: member.Flags, modTime: member.ModifiedTime, crc: member.CRC32,
			size: member.UncompressedSize64, extra: member.Extra, content: data[offset:end],
		})
	}
	truncated = truncated || len(r.File) > maxEntries
	slices.SortFunc(extents, func(a, b extent) int { return int(a.from - b.from) })
	for i := 1; i < len(extents); i++ {
		if extents[i].from < extents[i-1].to {
			return nil, false, errOverlap
		}
	}
	return entries, truncated, nil
}

// localEntries finds the files whose local headers the directory does not list.
func localEntries(data []byte, listed []zipEntry) []zipEntry {
	sizes := map[int]int{} // of listed contents, by where they begin
	for _, e := range listed {
		sizes[cap(data)-cap(e.content)] = len(e.content)
	}
	var found []zipEntry
	for offset := 0; len(found) < maxEntries; {
		i := bytes.Index(data[offset:], []byte(localHeader))
		if i < 0 {
			break
		}
		offset += i
		e, length, ok := readLocal(data[offset:])
		if !ok {
			offset += len(localHeader)
			continue
		}
		begin := offset + length
		if size, isListed := sizes[begin]; isListed {
			// What looks like a header within a listed file belongs to that file.
			offset = begin + size
			continue
		}
		found = append(found, e)
		offset = begin + len(e.content)
		if e.flags&8 != 0 {
			offset = begin // its length stands behind it
		}
	}
	return found
}

// readLocal reads one local file header (APPNOTE.TXT 4.3.7) and takes what follows for its content.
func readLocal(data []byte) (e zipEntry, length int, ok bool) {
	const fixed = 30
	if len(data) < fixed {
		return zipEntry{}, 0, false
	}
	half := func(at int) uint16 { return binary.LittleEndian.Uint16(data[at:]) }
	nameLength, extraLength := int(half(26)), int(half(28))
	length = fixed + nameLength + extraLength
	if nameLength == 0 || length > len(data) {
		return zipEntry{}, 0, false
	}
	e = zipEntry{
		name: string(data[fixed : fixed+nameLength]), method: half(8), flags: half(6), modTime: half(10),
		crc: binary.LittleEndian.Uint32(data[14:]), size: uint64(binary.LittleEndian.Uint32(data[22:])),
		extra: data[fixed+nameLength : length], content: data[length:], localOnly: true,
	}
	compressed := binary.LittleEndian.Uint32(data[18:])
	switch {
	case e.flags&8 != 0:
		// The length stands in a descriptor behind the content: it ends before the next record.
		end := len(e.content)
		for _, mark := range []string{"PK\x07\x08", "PK\x01\x02", localHeader} {
			if i := bytes.Index(e.content[:end], []byte(mark)); i >= 0 {
				end = i
			}
		}
		e.content = e.content[:end]
	case uint64(compressed) < uint64(len(e.content)):
		e.content = e.content[:compressed]
	}
	return e, length, true
}

// zipEntry emits one file. One that is broken does not hide the ones after it.
func (j *job) zipEntry(f file, e *zipEntry, office bool, keys *zipKeys) error {
	it, content, method := item{name: e.name}, e.content, e.method
	if e.encrypted() {
		opened, err := keys.open(j, e)
		if err != nil {
			return err
		}
		if opened == nil {
			return j.locked(f, e.name)
		}
		it.opened, content, method = opened.source, opened.content, opened.method
	}
	r, err := zipDecoder(method, content, e)
	if errors.Is(err, zip.ErrAlgorithm) && e.encrypted() {
		return j.unsupported(file{name: f.name + "/" + e.name}, fmt.Sprintf("encrypted compression method %d", method))
	}
	if errors.Is(err, zip.ErrAlgorithm) {
		return j.zipByTool(f, e)
	}
	if err == nil {
		r = verified(r, e)
	}
	if err == nil && office {
		var skip bool
		if skip, r, err = j.officeEntry(f, e.name, r); skip {
			return err
		}
	}
	if err == nil {
		err = j.emit(f, it, r)
	}
	if err != nil && !ends(err) {
		return j.trouble(scanner.TroubleBroken, "archive_broken", fmt.Sprintf("%s/%s: %v", f.name, e.name, err))
	}
	return err
}

// zipByTool has the tool open an entry whose method no reader here knows.
func (j *job) zipByTool(f file, e *zipEntry) error {
	if e.localOnly {
		return j.unsupported(file{name: f.name + "/" + e.name}, fmt.Sprintf("compression method %d", e.method))
	}
	// The entry alone, as a zip of its own: the tool sees nothing else and no name.
	return j.toolFile(f, e.name, "zip", zipOfOne(e))
}

// errLies says that a file is not as its header says.
var errLies = errors.New("length or checksum is not as the header says")

// verifier compares length and checksum at the end of a file.
type verifier struct {
	r    io.Reader
	e    *zipEntry
	size uint64
	sum  hash.Hash32
}

// verified compares what is read with what the entry says, where it says anything: AE-2 has no checksum, and a local header may have neither.
func verified(r io.Reader, e *zipEntry) io.Reader {
	if e.localOnly && e.flags&8 != 0 {
		return r
	}
	return &verifier{r: r, e: e, sum: crc32.NewIEEE()}
}

func (v *verifier) Read(p []byte) (int, error) {
	n, err := v.r.Read(p)
	v.size += uint64(n)
	v.sum.Write(p[:n])
	if errors.Is(err, io.EOF) && (v.size != v.e.size || v.e.method != methodAES && v.sum.Sum32() != v.e.crc) {
		return n, errLies
	}
	return n, err
}

func zipDecoder(method uint16, content []byte, e *zipEntry) (io.Reader, error) {
	r := bytes.NewReader(content)
	switch method {
	case zip.Store:
		return r, nil
	case zip.Deflate:
		return flate.NewReader(r), nil
	case methodDeflate64:
		return newDeflate64(content), nil
	case methodBzip2:
		return bzip2.NewReader(r), nil
	case methodZstd, methodZstdOld:
		return newZstd(r)
	case methodXZ:
		return newXZ(content), nil
	case methodLZMA:
		// Two bytes of version, two of the length of the properties, the properties; then as .lzma, whose header has the length too.
		const properties = 5
		if len(content) < 4+properties {
			return nil, io.ErrUnexpectedEOF
		}
		header := append([]byte{}, content[4:4+properties]...)
		header = append(header, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
		if e.flags&2 == 0 && e.flags&8 == 0 { // no end mark: the length tells
			binary.LittleEndian.PutUint64(header[properties:], e.size)
		}
		return newLZMA(io.MultiReader(bytes.NewReader(header), bytes.NewReader(content[4+properties:])), dictionaryOf(header))
	}
	return nil, zip.ErrAlgorithm
}

// zipOfOne is a zip with one entry of a neutral name.
func zipOfOne(e *zipEntry) []byte {
	const name = "content"
	var b bytes.Buffer
	put := func(values ...any) {
		for _, v := range values {
			_ = binary.Write(&b, binary.LittleEndian, v) // a buffer in memory does not fail
		}
	}
	fields := []any{uint16(63), e.flags &^ 8, e.method, uint16(0), uint16(0), e.crc, uint32(len(e.content)), uint32(e.size), uint16(len(name)), uint16(0)}
	b.WriteString(localHeader)
	put(fields...)
	b.WriteString(name)
	b.Write(e.content)
	directory := b.Len()
	b.WriteString("PK\x01\x02")
	put(uint16(63))
	put(fields...)
	put(uint16(0), uint16(0), uint16(0), uint32(0), uint32(0))
	b.WriteString(name)
	size := b.Len() - directory
	b.WriteString(endRecord)
	put(uint16(0), uint16(0), uint16(1), uint16(1), uint32(size), uint32(directory), uint16(0))
	return b.Bytes()
}

// isOfficeZip knows documents of Office and OpenDocument.
func isOfficeZip(entries []zipEntry) bool {
	for i := range entries {
		switch entries[i].name {
		case "[Content_Types].xml", "META-INF/manifest.xml":
			return true
		}
	}
	return false
}

// officeEntry handles the entries of documents that are not worth being parts: plain XML that no scanner reads, and pictures, which are
// looked at for QR codes here. What only pretends to be such is emitted. It also reads the links out of relations.
func (j *job) officeEntry(f file, name string, r io.Reader) (skip bool, _ io.Reader, err error) {
	start := make([]byte, 16)
	n, err := io.ReadFull(r, start)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return false, nil, err
	}
	start = start[:n]
	whole := io.MultiReader(bytes.NewReader(start), r)
	lower := strings.ToLower(name)
	switch {
	case strings.HasSuffix(lower, ".rels"):
		data, err := io.ReadAll(j.limited(io.LimitReader(whole, maxRelations)))
		if err != nil {
			return false, bytes.NewReader(data), nil
		}
		return false, bytes.NewReader(data), j.relations(f, data)
	case isPassiveXML(lower) && bytes.HasPrefix(bytes.TrimPrefix(start, []byte("\xef\xbb\xbf")), []byte("<")):
		return true, nil, nil
	case isPicture(file{data: start}) && isPictureName(lower):
		data, err := io.ReadAll(j.limited(io.LimitReader(whole, maxPictureBytes)))
		if err != nil {
			return false, bytes.NewReader(data), nil
		}
		return true, nil, j.picture(file{number: f.number, name: f.name + "/" + name, data: data})
	}
	return false, whole, nil
}

func isPictureName(lower string) bool {
	switch path.Ext(lower) {
	case ".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp":
		return true
	}
	return false
}

// isPassiveXML knows entries that say how a document looks, or hold its plain content.
func isPassiveXML(lower string) bool {
	if path.Ext(lower) != ".xml" {
		return false
	}
	for _, part := range []string{
		"/theme/", "docprops/", "/worksheets/", "/slidelayouts/", "/slidemasters/", "/notesslides/", "/notesmasters/", "/charts/", "/drawings/",
		"/styles.xml", "/fonttable.xml", "/websettings.xml", "/sharedstrings.xml", "/calcchain.xml", "/numbering.xml", "/tables/",
		"/stylesWithEffects.xml", "/tablestyles.xml", "/presprops.xml", "/viewprops.xml", "configurations2/",
	} {
		if strings.Contains(lower, part) {
			return true
		}
	}
	return false
}
