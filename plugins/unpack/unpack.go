package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/postern-mail/postern/sdk/scanner"
	"github.com/postern-mail/postern/sdk/unpacker"
)

// unpack opens containers by what they begin with, and every member that is one itself.
type unpack struct{}

// job is one container of a call, with what its members need.
type job struct {
	ctx    context.Context
	out    unpacker.Emitter
	budget unpacker.Budget
}

// file is a container's content with its place in the nesting.
type file struct {
	number  int // as the emitter counts; 0 is the container that was pushed
	layer   int
	name    string
	size    int64
	content io.ReadSeeker
}

// windowBytes bounds the window that a zstd frame may ask for.
const windowBytes = 64 << 20

// errOutside marks errors of the emitter, which end the call; all others are about the container.
type errOutside struct{ error }

func (e errOutside) Unwrap() error { return e.error }

// Unpack emits all members of the container and of the containers inside.
func (unpack) Unpack(ctx context.Context, c *unpacker.Container, out unpacker.Emitter) error {
	j := &job{ctx: ctx, out: out, budget: c.Budget}
	err := j.open(file{name: c.Name, size: c.Size, content: c.Content, layer: 1})
	var outside errOutside
	if errors.As(err, &outside) {
		return outside.error
	}
	return err
}

// open takes one container apart. One that is broken is a trouble; what was read of it before stays.
func (j *job) open(f file) error {
	opener := openerOf(f)
	if opener == nil {
		return nil
	}
	if err := j.ctx.Err(); err != nil {
		return errOutside{err}
	}
	err := opener(j, f)
	var outside errOutside
	switch {
	case err == nil:
		return nil
	case errors.As(err, &outside):
		return err
	}
	return j.trouble(scanner.TroubleBroken, "archive_broken", fmt.Sprintf("%s: %v", f.name, err))
}

func (j *job) trouble(kind scanner.TroubleKind, reason, detail string) error {
	if err := j.out.Trouble(scanner.Trouble{Kind: kind, Reason: reason, Detail: detail}); err != nil {
		return errOutside{err}
	}
	return nil
}

type opener func(*job, file) error

// openerOf is what opens a file that begins so, nil where nothing does. A zip may have a program or text in front of it: its end
// tells.
func openerOf(f file) opener {
	head := make([]byte, 512)
	n, err := io.ReadFull(f.content, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	head = head[:n]
	if _, err := f.content.Seek(0, io.SeekStart); err != nil {
		return nil
	}
	for magic, open := range map[string]opener{
		"PK\x03\x04": (*job).zip, "PK\x05\x06": (*job).zip, "\x1f\x8b": (*job).gzip, "BZh": (*job).bzip2, "\x28\xb5\x2f\xfd": (*job).zstd,
	} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return open
		}
	}
	if len(head) >= 262 && string(head[257:262]) == "ustar" {
		return (*job).tar
	}
	if hasZipEnd(f) {
		return (*job).zip
	}
	return nil
}

// member emits one file, and opens it in its turn. Its content is kept while it is being emitted, in memory or in a file of the
// plugin's own folder.
func (j *job) member(parent file, name string, content io.Reader) error {
	number, out, err := j.out.Member(parent.number, name, false)
	if err != nil {
		return errOutside{err}
	}
	kept := &keeper{}
	defer kept.close()
	size, readErr := io.Copy(io.MultiWriter(outside{out}, kept), j.limited(content))
	var gone errOutside
	if errors.As(readErr, &gone) {
		return readErr
	}
	inner := file{number: number, layer: parent.layer + 1, name: parent.name + "/" + name, size: size}
	if inner.content, err = kept.reader(); err != nil {
		return errOutside{err}
	}
	// What could be read of a broken member is still looked into.
	return errors.Join(readErr, j.nested(inner))
}

func (j *job) nested(f file) error {
	if j.budget.Layers > 0 && f.layer > j.budget.Layers {
		if openerOf(f) == nil {
			return nil
		}
		return j.trouble(scanner.TroubleLimit, "layers", fmt.Sprintf("%s: more than %d layers", f.name, j.budget.Layers))
	}
	return j.open(f)
}

// limited ends a member one byte beyond what the core takes, which then says so itself.
func (j *job) limited(r io.Reader) io.Reader {
	if j.budget.FileBytes <= 0 {
		return r
	}
	return io.LimitReader(r, j.budget.FileBytes+1)
}

// outside marks the errors of the emitter's writer.
type outside struct{ io.Writer }

func (o outside) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if err != nil {
		return n, errOutside{err}
	}
	return n, nil
}

func (j *job) gzip(f file) error {
	r, err := gzip.NewReader(bufio.NewReader(f.content))
	if err != nil {
		return err
	}
	name := r.Name
	if name == "" {
		name = innerName(f.name, ".gz", ".tgz")
	}
	return j.member(f, path.Base(name), r)
}

func (j *job) bzip2(f file) error {
	return j.member(f, innerName(f.name, ".bz2", ".tbz2"), bzip2.NewReader(bufio.NewReader(f.content)))
}

func (j *job) zstd(f file) error {
	r, err := zstd.NewReader(f.content, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(windowBytes))
	if err != nil {
		return err
	}
	defer r.Close()
	return j.member(f, innerName(f.name, ".zst", ".tzst"), r)
}

// innerName is the name of the one file in a compressed one: without the suffix, and .tgz and its kin become .tar.
func innerName(name, suffix, tarSuffix string) string {
	base := path.Base(name)
	lower := strings.ToLower(base)
	switch {
	case strings.HasSuffix(lower, suffix):
		return base[:len(base)-len(suffix)]
	case strings.HasSuffix(lower, tarSuffix):
		return base[:len(base)-len(tarSuffix)] + ".tar"
	}
	return base + ".out"
}

func (j *job) tar(f file) error {
	r := tar.NewReader(f.content)
	for {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		if err := j.member(f, header.Name, r); err != nil {
			return err
		}
	}
}

// keepMemory is how much of a member is kept in memory.
const keepMemory = 1 << 20

// keeper holds a member's content for the look inside.
type keeper struct {
	memory bytes.Buffer
	disk   *os.File
}

func (k *keeper) Write(p []byte) (int, error) {
	if k.disk == nil && k.memory.Len()+len(p) <= keepMemory {
		return k.memory.Write(p)
	}
	if k.disk == nil {
		disk, err := os.CreateTemp("", "member-")
		if err != nil {
			return 0, errOutside{fmt.Errorf("keep member: %w", err)}
		}
		k.disk = disk
		if _, err := disk.Write(k.memory.Bytes()); err != nil {
			return 0, errOutside{fmt.Errorf("keep member: %w", err)}
		}
		k.memory = bytes.Buffer{}
	}
	n, err := k.disk.Write(p)
	if err != nil {
		return n, errOutside{fmt.Errorf("keep member: %w", err)}
	}
	return n, nil
}

func (k *keeper) reader() (io.ReadSeeker, error) {
	if k.disk == nil {
		return bytes.NewReader(k.memory.Bytes()), nil
	}
	if _, err := k.disk.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read member again: %w", err)
	}
	return k.disk, nil
}

func (k *keeper) close() {
	if k.disk != nil {
		_ = k.disk.Close()
		_ = os.Remove(k.disk.Name())
	}
}
