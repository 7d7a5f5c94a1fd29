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

// Writer takes a body's bytes. It is used by one goroutine.
type Writer struct {
	scope  *Scope
	limit  int
	memory []byte
	file   *os.File
	size   int64
}

// Write adds bytes; an error is the file system's.
func (w *Writer) Write(p []byte) (int, error) {
	if w.file == nil && !w.keep(len(p)) {
		if err := w.spill(); err != nil {
			return 0, err
		}
	}
	if w.file != nil {
		n, err := w.file.Write(p)
		w.size += int64(n)
		if err != nil {
			return n, fmt.Errorf("spool body: %w", err)
		}
		return n, nil
	}
	w.memory = append(w.memory, p...)
	w.size += int64(len(p))
	return len(p), nil
}

// keep makes room for n more bytes in memory, where limit and budget allow it.
func (w *Writer) keep(n int) bool {
	need := len(w.memory) + n
	if need > w.limit {
		return false
	}
	if need <= cap(w.memory) {
		return true
	}
	grown := min(max(2*cap(w.memory), need, 4096), w.limit)
	if !w.scope.reserve(grown - cap(w.memory)) {
		return false
	}
	memory := make([]byte, len(w.memory), grown)
	copy(memory, w.memory)
	w.memory = memory
	return true
}

func (w *Writer) spill() error {
	f, err := w.scope.newFile()
	if err != nil {
		return err
	}
	w.file = f
	if _, err := f.Write(w.memory); err != nil {
		return fmt.Errorf("spool body: %w", err)
	}
	w.memory = nil
	return nil
}

// Finish ends the body.
func (w *Writer) Finish() (message.Body, error) {
	if w.file == nil {
		return memoryBody(w.memory), nil
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
