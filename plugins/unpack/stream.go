package main

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz/lzma"
)

// maxStream bounds a stream that is read into memory.
const maxStream = 64 << 20

// windowBytes bounds the window or dictionary that a compressed file may ask for.
const windowBytes = 64 << 20

func (j *job) gzip(f file) error {
	in := f.reader()
	r, err := gzip.NewReader(in)
	if err != nil {
		return err
	}
	r.Multistream(false)
	name := path.Base(r.Name)
	if r.Name == "" {
		name = innerName(f.name, ".gz", ".tgz")
	}
	return j.member(f, name, &gzipMembers{in: in, r: r})
}

// gzipMembers reads the members of a gzip file one after the other. Zeros behind the last one are padding, as tapes have it.
type gzipMembers struct {
	in *bytes.Reader
	r  *gzip.Reader
}

func (g *gzipMembers) Read(p []byte) (int, error) {
	for {
		n, err := g.r.Read(p)
		if err == nil || !errors.Is(err, io.EOF) {
			return n, err
		}
		if n > 0 {
			return n, nil // the end comes again
		}
		padding, err := g.padding()
		if err != nil {
			return 0, err
		}
		if padding {
			return 0, io.EOF
		}
		if err := g.r.Reset(g.in); err != nil {
			return 0, err
		}
		g.r.Multistream(false)
	}
}

// padding reports whether only zeros follow.
func (g *gzipMembers) padding() (bool, error) {
	at := g.in.Size() - int64(g.in.Len())
	for {
		c, err := g.in.ReadByte()
		if err != nil {
			return true, nil
		}
		if c != 0 {
			_, err := g.in.Seek(at, io.SeekStart)
			return false, err
		}
	}
}

func (j *job) bzip2(f file) error {
	return j.member(f, innerName(f.name, ".bz2", ".tbz2", ".tbz"), bzip2.NewReader(bufio.NewReader(f.reader())))
}

func (j *job) zstd(f file) error {
	r, err := newZstd(f.reader())
	if err != nil {
		return err
	}
	defer r.Close()
	return j.member(f, innerName(f.name, ".zst", ".tzst"), r)
}

func newZstd(r io.Reader) (*zstd.Decoder, error) {
	return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(windowBytes), zstd.WithDecoderLowmem(true))
}

func (j *job) xz(f file) error {
	name := innerName(f.name, ".xz", ".txz")
	r := newXZ(f.data)
	// A filter that is not known shows before anything is read.
	if err := r.start(); errors.Is(err, errFilter) {
		return j.toolFile(f, name, "xz", f.data)
	}
	return j.member(f, name, newXZ(f.data))
}

func (j *job) lzma(f file) error {
	if len(f.data) < lzma.HeaderLen {
		return io.ErrUnexpectedEOF
	}
	r, err := newLZMA(bufio.NewReader(f.reader()), dictionaryOf(f.data))
	if err != nil {
		return err
	}
	return j.member(f, innerName(f.name, ".lzma", ".tlz"), r)
}

// errWindow says that a file asks for more memory than it gets.
var errWindow = errors.New("the dictionary is too large")

func dictionaryOf(header []byte) uint32 {
	return uint32(header[1]) | uint32(header[2])<<8 | uint32(header[3])<<16 | uint32(header[4])<<24
}

func newLZMA(r io.Reader, dictionary uint32) (io.Reader, error) {
	if dictionary > windowBytes {
		return nil, errWindow
	}
	return lzma.ReaderConfig{DictCap: windowBytes}.NewReader(r)
}

// lzip is an LZMA stream with a header of its own (lzip manual, "File format"); members may follow each other.
func (j *job) lzip(f file) error {
	const headerBytes, trailerBytes = 6, 20
	if len(f.data) < headerBytes+trailerBytes {
		return io.ErrUnexpectedEOF
	}
	coded := f.data[5]
	size := uint32(1) << (coded & 0x1f)
	size -= size / 16 * uint32(coded>>5)
	// As .lzma: properties lc=3 lp=0 pb=2, the dictionary, and an unknown length.
	header := []byte{0x5d, byte(size), byte(size >> 8), byte(size >> 16), byte(size >> 24), 255, 255, 255, 255, 255, 255, 255, 255}
	r, err := newLZMA(io.MultiReader(strings.NewReader(string(header)), bufio.NewReader(strings.NewReader(string(f.data[headerBytes:])))), size)
	if err != nil {
		return err
	}
	return j.member(f, innerName(f.name, ".lz", ".tlz"), r)
}

func (j *job) lz4(f file) error {
	return j.member(f, innerName(f.name, ".lz4", ".tlz4"), lz4.NewReader(bufio.NewReader(f.reader())))
}

// innerName is the name of the one file in a compressed one: without the suffix, and .tgz and its kin become .tar.
func innerName(name, suffix string, tarSuffixes ...string) string {
	base := path.Base(name)
	lower := strings.ToLower(base)
	if strings.HasSuffix(lower, suffix) && len(base) > len(suffix) {
		return base[:len(base)-len(suffix)]
	}
	for _, s := range tarSuffixes {
		if strings.HasSuffix(lower, s) && len(base) > len(s) {
			return base[:len(base)-len(s)] + ".tar"
		}
	}
	return base + ".out"
}
