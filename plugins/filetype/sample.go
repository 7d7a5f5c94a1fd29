package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/postern-mail/postern/sdk/scanner"
)

const (
	// headSize is enough for nearly everything: the mark of an ISO image is at 32 KiB.
	headSize = 48 << 10
	// tailSize is the end of a zip with the longest comment.
	tailSize = 64<<10 + 22
)

// sample is content of which the start is in memory; the rest is read only where a format needs it.
type sample struct {
	head []byte
	tail []byte // what is behind the head, at most tailSize from the end; empty where the head is all
	size int64
	at   io.ReadSeeker
	err  error // of the first read that failed for another reason than the end
}

// inMemory is a sample of content that is there as a whole.
func inMemory(content []byte) *sample {
	s := &sample{size: int64(len(content)), at: bytes.NewReader(content)}
	s.head = content[:min(len(content), headSize)]
	if rest := content[len(s.head):]; len(rest) > 0 {
		s.tail = rest[max(0, len(rest)-tailSize):]
	}
	return s
}

// sampleOf reads the start of a body, and its end where that is elsewhere. The body may be cut: see scanner.Inputs.MaxBodyBytes.
func sampleOf(part *scanner.Part, r io.ReadSeeker) (*sample, error) {
	size, err := r.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", part.Path, err)
	}
	s := &sample{size: size, at: r}
	s.head = s.read(0, headSize)
	if rest := size - int64(len(s.head)); rest > 0 {
		n := min(rest, tailSize)
		s.tail = s.read(size-n, int(n))
	}
	if s.err != nil {
		return nil, fmt.Errorf("read %s: %w", part.Path, s.err)
	}
	return s, nil
}

// read is up to n bytes from the place; fewer where the content ends. What the head has is not read again.
func (s *sample) read(offset int64, n int) []byte {
	if offset < 0 || offset >= s.size || n <= 0 {
		return nil
	}
	n = int(min(int64(n), s.size-offset))
	if end := offset + int64(n); end <= int64(len(s.head)) {
		return s.head[offset:end]
	}
	if _, err := s.at.Seek(offset, io.SeekStart); err != nil {
		s.fail(err)
		return nil
	}
	out := make([]byte, n)
	read, err := io.ReadFull(s.at, out)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		s.fail(err)
	}
	return out[:read]
}

func (s *sample) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

// end is the last n bytes, or fewer.
func (s *sample) end(n int) []byte {
	from := s.tail
	if len(from) < n {
		from = s.read(max(0, s.size-int64(n)), n)
	}
	return from[max(0, len(from)-n):]
}
