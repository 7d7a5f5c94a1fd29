package pluginprocess

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Image is a sealed copy of an executable in memory. It is what runs: whatever happens to the file it was made of, nobody can change
// the copy any more, and a process that died starts again from the very same bytes.
type Image struct {
	file   *os.File
	size   int64
	digest string
	script bool // begins with "#!": its interpreter has to open it
}

// maxImage bounds what is taken for an executable.
const maxImage = 512 << 20

// Seal copies the executable, hashing on the way, and seals the copy. Where digest is not empty and another one the error is ErrDigest.
func Seal(path, digest string) (image *Image, err error) {
	source, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a FIFO must not block
	if err != nil {
		return nil, fmt.Errorf("open executable: %w", err)
	}
	defer source.Close()
	info, err := source.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("open executable: %w", err)
	case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
		return nil, fmt.Errorf("open executable: %s is no executable file", path)
	case info.Size() > maxImage:
		return nil, fmt.Errorf("open executable: %s has more than %d MiB", path, maxImage>>20)
	}
	file, err := memoryFile(filepath.Base(path))
	if err != nil {
		return nil, fmt.Errorf("seal executable: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close())
		}
	}()
	// The kernel copies. A file that grows meanwhile has another digest; it must not fill the memory.
	size, err := io.Copy(file, io.LimitReader(source, maxImage))
	if err != nil {
		return nil, fmt.Errorf("seal executable: %w", err)
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(file.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return nil, fmt.Errorf("seal executable: %w", err)
	}
	// What is hashed is what cannot change any more.
	image = &Image{file: file, size: size}
	hash := sha256.New()
	if _, err := io.CopyBuffer(onlyWriter{hash}, image.Content(), make([]byte, 1<<20)); err != nil {
		return nil, fmt.Errorf("seal executable: %w", err)
	}
	image.digest = "sha256:" + hex.EncodeToString(hash.Sum(nil))
	if digest != "" && digest != image.digest {
		return nil, fmt.Errorf("%w: %s is %s, pinned is %s", ErrDigest, path, image.digest, digest)
	}
	begin := make([]byte, 2)
	if n, _ := file.ReadAt(begin, 0); n == 2 && bytes.Equal(begin, []byte("#!")) {
		image.script = true
	}
	return image, nil
}

// memoryFile is an empty file without a name on any disk, which can be sealed and executed.
func memoryFile(name string) (*os.File, error) {
	const sealable = unix.MFD_ALLOW_SEALING | unix.MFD_CLOEXEC
	fd, err := unix.MemfdCreate(name, sealable|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3 every such file can be executed
		fd, err = unix.MemfdCreate(name, sealable)
	}
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// Digest is "sha256:" and the hexadecimal SHA-256 of the copy.
func (i *Image) Digest() string { return i.digest }

// Size is the copy's length in bytes.
func (i *Image) Size() int64 { return i.size }

// Content reads the copy from its beginning.
func (i *Image) Content() io.Reader { return io.NewSectionReader(i.file, 0, i.size) }

// Share is the same copy with a life of its own.
func (i *Image) Share() (*Image, error) {
	fd, err := unix.FcntlInt(i.file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("share sealed executable: %w", err)
	}
	return &Image{file: os.NewFile(uintptr(fd), i.file.Name()), size: i.size, digest: i.digest, script: i.script}, nil
}

// onlyWriter hides what else a hash can do, so that the large buffer is used.
type onlyWriter struct{ io.Writer }

// Close gives the copy up. Processes that run it keep it.
func (i *Image) Close() error { return i.file.Close() }

// Digest is "sha256:" and the hexadecimal SHA-256 of the file.
func Digest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("digest: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("digest %s: %w", path, err)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}
