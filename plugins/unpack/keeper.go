package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// keepMemory is how much of a member is kept in memory.
const keepMemory = 1 << 20

// keeper holds a member's content for the look inside. A large one is in a file that has no name any more and is mapped, so that the
// page cache, which the system can take back, holds it.
type keeper struct {
	memory bytes.Buffer
	disk   *os.File
	mapped []byte
}

func (k *keeper) Write(p []byte) (int, error) {
	if k.disk == nil && k.memory.Len()+len(p) <= keepMemory {
		return k.memory.Write(p)
	}
	if k.disk == nil {
		if err := k.toDisk(); err != nil {
			return 0, errOutside{fmt.Errorf("keep member: %w", err)}
		}
	}
	n, err := k.disk.Write(p)
	if err != nil {
		return n, errOutside{fmt.Errorf("keep member: %w", err)}
	}
	return n, nil
}

func (k *keeper) toDisk() error {
	disk, err := os.CreateTemp("", "member-")
	if err != nil {
		return err
	}
	k.disk = disk
	if err := os.Remove(disk.Name()); err != nil {
		return err
	}
	_, err = disk.Write(k.memory.Bytes())
	k.memory = bytes.Buffer{}
	return err
}

func (k *keeper) content() ([]byte, error) {
	if k.disk == nil {
		return k.memory.Bytes(), nil
	}
	info, err := k.disk.Stat()
	if err != nil {
		return nil, fmt.Errorf("read member again: %w", err)
	}
	if k.mapped, err = unix.Mmap(int(k.disk.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_PRIVATE); err != nil {
		return nil, fmt.Errorf("map member: %w", err)
	}
	return k.mapped, nil
}

func (k *keeper) close() {
	if k.mapped != nil {
		_ = unix.Munmap(k.mapped)
	}
	if k.disk != nil {
		_ = k.disk.Close()
	}
}

// contentOf gives the pushed container's bytes; a file is mapped.
func contentOf(r io.ReadSeeker, size int64) (data []byte, release func(), err error) {
	if f, ok := r.(*os.File); ok {
		info, err := f.Stat()
		if err != nil {
			return nil, nil, err
		}
		if info.Size() == 0 {
			return nil, func() {}, nil
		}
		data, err = unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_PRIVATE)
		if err != nil {
			return nil, nil, fmt.Errorf("map: %w", err)
		}
		return data, func() { _ = unix.Munmap(data) }, nil
	}
	data = make([]byte, 0, size+1)
	for {
		n, err := r.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		if errors.Is(err, io.EOF) {
			return data, func() {}, nil
		}
		if err != nil {
			return nil, nil, err
		}
		if len(data) == cap(data) {
			data = append(data, 0)[:len(data)]
		}
	}
}
