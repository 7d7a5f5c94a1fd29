package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/postern-mail/postern/core/store"
	"github.com/postern-mail/postern/core/store/internal/rows"
)

// bodies keeps content as files named by their SHA-256. A file is complete and synced before it has its name.
type bodies struct {
	dir string

	mu        sync.Mutex
	inUse     map[string]int           // by commits under way
	condemned map[string]chan struct{} // closed when the removal is over
}

const (
	unfinished = "new-"
	// abandonedAfter is when an unfinished file is taken for one that a crash left. A commit of another process may be writing it before.
	abandonedAfter = time.Hour
)

func openBodies(dir string) (*bodies, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open bodies: %w", err)
	}
	return &bodies{dir: dir, inUse: map[string]int{}, condemned: map[string]chan struct{}{}}, nil
}

func (b *bodies) path(sha256 string) string { return filepath.Join(b.dir, sha256[:2], sha256) }

func (b *bodies) Place(ctx context.Context, body *store.Body) (func(), error) {
	if err := b.use(ctx, body.SHA256); err != nil {
		return nil, err
	}
	release := sync.OnceFunc(func() { b.unuse(body.SHA256) })
	if err := b.place(body); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

func (b *bodies) use(ctx context.Context, sha256 string) error {
	for {
		b.mu.Lock()
		over, condemned := b.condemned[sha256]
		if !condemned {
			b.inUse[sha256]++
		}
		b.mu.Unlock()
		if !condemned {
			return nil
		}
		select {
		case <-over:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (b *bodies) unuse(sha256 string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.inUse[sha256]--; b.inUse[sha256] == 0 {
		delete(b.inUse, sha256)
	}
}

func (b *bodies) place(body *store.Body) (err error) {
	path := b.path(body.SHA256)
	if info, err := os.Stat(path); err == nil && info.Size() == body.Size {
		// Its name may not be durable yet: another commit is about to sync it, or failed to.
		return syncPath(filepath.Dir(path))
	}
	if err := b.makeFolder(filepath.Dir(path)); err != nil {
		return err
	}
	fresh, err := b.write(body)
	if err != nil {
		return err
	}
	if err := os.Rename(fresh, path); err != nil {
		return errors.Join(err, os.Remove(fresh))
	}
	return syncPath(filepath.Dir(path))
}

func (b *bodies) makeFolder(folder string) error {
	err := os.Mkdir(folder, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncPath(b.dir)
}

// write makes a synced file of the content, by link where there is one on this file system already.
func (b *bodies) write(body *store.Body) (path string, err error) {
	f, err := os.CreateTemp(b.dir, unfinished)
	if err != nil {
		return "", err
	}
	path = f.Name()
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	if body.Path != "" && b.link(body.Path, path) {
		return path, errors.Join(f.Close(), syncPath(path))
	}
	if err := copyBody(f, body); err != nil {
		return path, errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return path, errors.Join(err, f.Close())
	}
	return path, f.Close()
}

// link replaces the file by a link to another; false where that is on another file system, or links are not to be had.
func (b *bodies) link(from, to string) bool {
	if err := os.Link(from, to+"l"); err != nil {
		return false
	}
	if err := os.Rename(to+"l", to); err != nil {
		os.Remove(to + "l") // Sweep takes it otherwise
		return false
	}
	return true
}

func copyBody(w io.Writer, body *store.Body) error {
	r, err := body.Open()
	if err != nil {
		return err
	}
	n, err := io.Copy(w, r)
	if err == nil && n != body.Size {
		err = fmt.Errorf("content has %d bytes, not the %d it was said to have", n, body.Size)
	}
	return errors.Join(err, r.Close())
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Insert does nothing: the row tells of the file.
func (b *bodies) Insert(context.Context, rows.Tx, *store.Body) error { return nil }

func (b *bodies) Open(_ context.Context, sha256 string, size int64) (io.ReadCloser, error) {
	f, err := os.Open(b.path(sha256))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(store.ErrNotFound, err)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() != size {
		err = fmt.Errorf("the file has %d bytes, its row says %d: it was changed or damaged", info.Size(), size)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (b *bodies) Condemn(all []string) (condemned []string, finish func(gone []string) error) {
	over := make(chan struct{})
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, sha256 := range all {
		if b.inUse[sha256] == 0 {
			b.condemned[sha256] = over
			condemned = append(condemned, sha256)
		}
	}
	return condemned, func(gone []string) error {
		var failed error
		for _, sha256 := range gone {
			if err := os.Remove(b.path(sha256)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				failed = errors.Join(failed, err)
			}
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, sha256 := range condemned {
			delete(b.condemned, sha256)
		}
		close(over)
		return failed
	}
}

func (b *bodies) Sweep(ctx context.Context, known func(ctx context.Context, sha256 string) (bool, error)) (int64, error) {
	var removed int64
	err := filepath.WalkDir(b.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		n, err := b.sweep(ctx, path, entry, known)
		removed += n
		return errors.Join(err, ctx.Err())
	})
	return removed, err
}

func (b *bodies) sweep(ctx context.Context, path string, entry fs.DirEntry, known func(context.Context, string) (bool, error)) (int64, error) {
	info, err := entry.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil || time.Since(info.ModTime()) < abandonedAfter {
		return 0, err
	}
	if strings.HasPrefix(entry.Name(), unfinished) {
		return 1, os.Remove(path)
	}
	condemned, finish := b.Condemn([]string{entry.Name()})
	var gone []string
	if len(condemned) == 1 {
		is, knownErr := known(ctx, entry.Name())
		if err = knownErr; err == nil && !is {
			gone = condemned
		}
	}
	return int64(len(gone)), errors.Join(err, finish(gone))
}
