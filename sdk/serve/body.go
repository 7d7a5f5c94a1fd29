package serve

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
	"github.com/postern-mail/postern/sdk/scanner"
)

// memoryBody is a body that came inside a message.
type memoryBody []byte

func (b memoryBody) Open() (io.ReadSeekCloser, error) {
	return struct {
		io.ReadSeeker
		io.Closer
	}{bytes.NewReader(b), io.NopCloser(nil)}, nil
}

func (b memoryBody) Bytes() ([]byte, error) { return b, nil }

// fileBody is a body by reference: a file that the host made readable for the time of the call, or one that was spilled here.
type fileBody struct {
	path string

	mu     sync.Mutex
	mapped []byte
}

func (b *fileBody) Open() (io.ReadSeekCloser, error) {
	f, err := os.Open(b.path)
	if err != nil {
		return nil, fmt.Errorf("open body: %w", err)
	}
	return f, nil
}

// Bytes maps the file, so that many large bodies at once take no memory of the plugin's own. Nothing makes it shorter meanwhile.
func (b *fileBody) Bytes() ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mapped != nil {
		return b.mapped, nil
	}
	f, err := os.Open(b.path)
	if err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	if info.Size() == 0 {
		return nil, nil
	}
	if b.mapped, err = syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_PRIVATE); err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	return b.mapped, nil
}

// release ends the mapping: the call has ended.
func (b *fileBody) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mapped != nil {
		_ = syscall.Munmap(b.mapped)
		b.mapped = nil
	}
}

// releaseBodies ends what the bodies of the parts hold.
func releaseBodies(parts []scanner.Part) {
	for i := range parts {
		if body, ok := parts[i].Body.(*fileBody); ok {
			body.release()
		}
	}
}

// spillSize is how much of a body that comes in chunks is kept in memory before it goes to a temporary file.
const spillSize = 1 << 20

// spill collects a body that comes in chunks.
type spill struct {
	memory []byte
	file   *os.File
}

func (s *spill) add(chunk []byte) error {
	if s.file == nil && len(s.memory)+len(chunk) <= spillSize {
		s.memory = append(s.memory, chunk...)
		return nil
	}
	if s.file == nil {
		f, err := os.CreateTemp("", "postern-body-")
		if err != nil {
			return fmt.Errorf("spill body: %w", err)
		}
		s.file = f
		if _, err := f.Write(s.memory); err != nil {
			return fmt.Errorf("spill body: %w", err)
		}
		s.memory = nil
	}
	if _, err := s.file.Write(chunk); err != nil {
		return fmt.Errorf("spill body: %w", err)
	}
	return nil
}

func (s *spill) body() scanner.Body {
	if s.file != nil {
		return &fileBody{path: s.file.Name()}
	}
	return memoryBody(s.memory)
}

func (s *spill) remove() {
	if s.file != nil {
		_ = s.file.Close()
		_ = os.Remove(s.file.Name())
	}
}

func partFrom(w *pluginv1.Part) scanner.Part {
	p := scanner.Part{
		ID: int(w.GetId()), Parent: int(w.GetParent()), Path: w.GetPath(), Display: w.GetDisplay(), Names: w.GetNames(),
		Declared: w.GetDeclaredType(), Charset: w.GetCharset(), Kind: w.GetKind(), Size: int64(w.GetSize()),
		SHA1: w.GetSha1(), SHA256: w.GetSha256(),
	}
	switch w.GetTransfer() {
	case pluginv1.BodyTransfer_BODY_TRANSFER_INLINE:
		p.Body = memoryBody(w.GetBody())
	case pluginv1.BodyTransfer_BODY_TRANSFER_FILE:
		p.Body = &fileBody{path: w.GetFile()}
	}
	return p
}
