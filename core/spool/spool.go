// Package spool holds the bytes of messages under way: what is written goes in, bodies that can be read any number of times come
// out. Small bodies stay in memory as long as the budget lasts, everything else is a file. Nothing here outlives the process: what
// must last is committed to the store.
package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/postern-mail/postern/core/message"
)

// Spool is a folder of temporary bodies with a budget of memory.
type Spool struct {
	dir    string
	budget int64
	used   atomic.Int64
	serial atomic.Int64
	chunks sync.Pool // of *[chunkSize]byte, for bodies that are being written
}

// Open makes the folder (mode 0700) and removes what an earlier process left in it. budget is how many bytes of bodies are kept
// in memory over all messages.
func Open(dir string, budget int64) (*Spool, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	leftovers, err := filepath.Glob(filepath.Join(dir, "body-*"))
	if err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	for _, path := range leftovers {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("open spool: %w", err)
		}
	}
	return &Spool{dir: dir, budget: budget}, nil
}

// MemoryUsed is how many bytes of bodies are in memory now.
func (s *Spool) MemoryUsed() int64 { return s.used.Load() }

// lend is an empty chunk.
func (s *Spool) lend() []byte {
	if chunk, ok := s.chunks.Get().(*[chunkSize]byte); ok {
		return chunk[:0]
	}
	return make([]byte, 0, chunkSize)
}

// NewScope returns the holder of one message's bodies.
func (s *Spool) NewScope() *Scope { return &Scope{spool: s} }

// Scope holds the bodies of one message; Release removes them all. Its methods are safe for concurrent use.
type Scope struct {
	spool    *Spool
	mu       sync.Mutex
	files    []string
	reserved int64
	released bool
}

// Create begins a body that stays in memory up to limit bytes.
func (sc *Scope) Create(limit int) *Writer { return &Writer{scope: sc, limit: limit} }

// Release removes every body of the scope, finished or not. No body may be open then.
func (sc *Scope) Release() error {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if sc.released {
		return nil
	}
	sc.released = true
	sc.spool.used.Add(-sc.reserved)
	var failed error
	for _, path := range sc.files {
		failed = errors.Join(failed, os.Remove(path))
	}
	if failed != nil {
		return fmt.Errorf("release spooled bodies: %w", failed)
	}
	return nil
}

// reserve takes n bytes of the budget; false where it is used up.
func (sc *Scope) reserve(n int) bool {
	if sc.spool.used.Add(int64(n)) > sc.spool.budget {
		sc.spool.used.Add(-int64(n))
		return false
	}
	sc.mu.Lock()
	sc.reserved += int64(n)
	sc.mu.Unlock()
	return true
}

func (sc *Scope) giveBack(n int) {
	sc.spool.used.Add(-int64(n))
	sc.mu.Lock()
	sc.reserved -= int64(n)
	sc.mu.Unlock()
}

func (sc *Scope) newFile() (*os.File, error) {
	path := filepath.Join(sc.spool.dir, "body-"+strconv.FormatInt(sc.spool.serial.Add(1), 36))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o400)
	if err != nil {
		return nil, fmt.Errorf("spool body: %w", err)
	}
	sc.mu.Lock()
	sc.files = append(sc.files, path)
	sc.mu.Unlock()
	return f, nil
}

// chunkSize is what a body in memory grows by while it is written.
const chunkSize = 64 << 10

// Writer takes a body's bytes. It is used by one goroutine.
type Writer struct {
	scope    *Scope
	limit    int
	chunks   [][]byte // all full but the last; lent by the spool
	reserved int
	file     *os.File
	size     int64
}

// Write adds bytes; an error is the file system's.
func (w *Writer) Write(p []byte) (int, error) {
	if w.file == nil && !w.keeps(len(p)) {
		if err := w.spill(); err != nil {
			return 0, err
		}
	}
	w.size += int64(len(p))
	if w.file != nil {
		n, err := w.file.Write(p)
		if err != nil {
			return n, fmt.Errorf("spool body: %w", err)
		}
		return n, nil
	}
	for rest := p; len(rest) > 0; {
		last := len(w.chunks) - 1
		if last < 0 || len(w.chunks[last]) == chunkSize {
			w.chunks = append(w.chunks, w.scope.spool.lend())
			continue
		}
		n := min(len(rest), chunkSize-len(w.chunks[last]))
		w.chunks[last] = append(w.chunks[last], rest[:n]...)
		rest = rest[n:]
	}
	return len(p), nil
}

// keeps makes room for n more bytes in memory, where limit and budget allow it.
func (w *Writer) keeps(n int) bool {
	need := int(w.size) + n
	if need > w.limit {
		return false
	}
	if more := need - w.reserved; more > 0 {
		// By the chunk, so that the budget is not asked for each write.
		more = min((more+chunkSize-1)/chunkSize*chunkSize, w.limit-w.reserved)
		if !w.scope.reserve(more) {
			return false
		}
		w.reserved += more
	}
	return true
}

func (w *Writer) spill() error {
	f, err := w.scope.newFile()
	if err != nil {
		return err
	}
	w.file = f
	for _, chunk := range w.chunks {
		if _, err := f.Write(chunk); err != nil {
			return fmt.Errorf("spool body: %w", err)
		}
	}
	w.giveBack(0)
	return nil
}

// giveBack returns the chunks, and what was reserved beyond keep bytes.
func (w *Writer) giveBack(keep int) {
	for _, chunk := range w.chunks {
		w.scope.spool.chunks.Put((*[chunkSize]byte)(chunk[:chunkSize]))
	}
	w.chunks = nil
	w.scope.giveBack(w.reserved - keep)
	w.reserved = 0
}

// Finish ends the body.
func (w *Writer) Finish() (message.Body, error) {
	if w.file == nil {
		content := bytes.Join(w.chunks, nil)
		w.giveBack(len(content))
		return memoryBody(content), nil
	}
	if err := w.file.Close(); err != nil {
		return nil, fmt.Errorf("spool body: %w", err)
	}
	return &fileBody{path: w.file.Name(), size: w.size}, nil
}

// FromBytes is a body over content that is in memory anyway; it is not counted in a budget and needs no release.
func FromBytes(content []byte) message.Body { return memoryBody(content) }

type memoryBody []byte

func (b memoryBody) Open() (io.ReadSeekCloser, error) { return nopCloser{bytes.NewReader(b)}, nil }
func (b memoryBody) Size() int64                      { return int64(len(b)) }
func (b memoryBody) Bytes() ([]byte, bool)            { return b, true }
func (b memoryBody) Path() string                     { return "" }

type nopCloser struct{ *bytes.Reader }

func (nopCloser) Close() error { return nil }

type fileBody struct {
	path string
	size int64
}

func (b *fileBody) Open() (io.ReadSeekCloser, error) {
	f, err := os.Open(b.path)
	if err != nil {
		return nil, fmt.Errorf("open spooled body: %w", err)
	}
	return f, nil
}
func (b *fileBody) Size() int64           { return b.size }
func (b *fileBody) Bytes() ([]byte, bool) { return nil, false }
func (b *fileBody) Path() string          { return b.path }
