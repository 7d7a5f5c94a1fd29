package host

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// watch swaps in what is put into the folder: a file named as a plugin, with or without "postern-" in front, when it is written in full or
// moved there.
func (h *Host) watch(folder string) error {
	if folder == "" {
		return nil
	}
	if err := trusted(folder); err != nil {
		return fmt.Errorf("watch for plugins: %w", err)
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("watch for plugins: %w", err)
	}
	events := os.NewFile(uintptr(fd), "inotify")
	if _, err := unix.InotifyAddWatch(fd, folder, unix.IN_CLOSE_WRITE|unix.IN_MOVED_TO); err != nil {
		return errors.Join(fmt.Errorf("watch for plugins: %w", err), events.Close())
	}
	h.workers.Go(func() {
		<-h.life.Done()
		_ = events.Close()
	})
	h.workers.Go(func() {
		buffer := make([]byte, 64<<10)
		for {
			n, err := events.Read(buffer)
			if err != nil {
				if h.life.Err() == nil {
					h.log.Error("watching for plugins ended", "error", err)
				}
				return
			}
			for _, name := range namesIn(buffer[:n]) {
				h.swapFound(filepath.Join(folder, name))
			}
		}
	})
	return nil
}

// namesIn are the file names in the events that the kernel wrote.
func namesIn(events []byte) (names []string) {
	for len(events) >= unix.SizeofInotifyEvent {
		event := (*unix.InotifyEvent)(unsafe.Pointer(&events[0]))
		end := min(unix.SizeofInotifyEvent+int(event.Len), len(events))
		name := string(bytes.TrimRight(events[unix.SizeofInotifyEvent:end], "\x00"))
		if name != "" && !strings.HasPrefix(name, ".") {
			names = append(names, name)
		}
		events = events[end:]
	}
	return names
}

func (h *Host) swapFound(path string) {
	name := strings.TrimPrefix(filepath.Base(path), "postern-")
	err := trusted(path)
	if err == nil {
		_, err = h.SwapPlugin(h.life, name, path, "")
	}
	if err != nil {
		h.log.Error("the plugin was not changed", "file", path, "error", err)
		return
	}
	h.log.Info("plugin swapped from the watched folder", "file", path)
}

// trusted reports whether nobody but root and this user can have written the file or folder: to put a plugin there is to approve of it.
func trusted(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || stat.Uid != 0 && int(stat.Uid) != os.Geteuid() || info.Mode()&0o022 != 0 {
		return fmt.Errorf("%s can be written by others than root and this user", path)
	}
	return nil
}
