package main

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// restrict lets this process, and what it becomes, read its program, the system's libraries and the container, and write nowhere (Landlock,
// kernel 5.13). A kernel without it is no error: the other limits hold.
func restrict(arguments []string) error {
	const (
		read     = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
		execute  = unix.LANDLOCK_ACCESS_FS_EXECUTE
		handled  = 1<<13 - 1 // every right of the first version
		beneath  = unix.LANDLOCK_RULE_PATH_BENEATH
		openFlag = unix.O_PATH | unix.O_CLOEXEC
	)
	// The thread that restricts itself is the one that executes.
	runtime.LockOSThread()
	attributes := unix.LandlockRulesetAttr{Handled_access_fs: handled}
	ruleset, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attributes)), 8, 0)
	if errno != 0 {
		return nil
	}
	allow := func(path string, rights uint64) error {
		fd, err := unix.Open(path, openFlag, 0)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		rule := unix.LandlockPathBeneathAttr{Allowed_access: rights, Parent_fd: int32(fd)}
		if _, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, ruleset, beneath, uintptr(unsafe.Pointer(&rule)), 0, 0, 0); errno != 0 {
			return errno
		}
		return nil
	}
	for _, dir := range []string{"/usr", "/lib", "/lib64", "/bin", filepath.Dir(arguments[0])} {
		if err := allow(dir, read|execute); err != nil {
			return err
		}
	}
	if in := arguments[len(arguments)-1]; filepath.IsAbs(in) && len(arguments) > 2 {
		if err := allow(filepath.Dir(in), read); err != nil {
			return err
		}
	}
	for i, argument := range arguments { // the container stands behind "--"
		if argument == "--" && i+1 < len(arguments) {
			if err := allow(filepath.Dir(arguments[i+1]), read); err != nil {
				return err
			}
		}
	}
	for _, file := range []string{"/etc/ld.so.cache", "/proc"} {
		info, err := os.Stat(file)
		rights := uint64(unix.LANDLOCK_ACCESS_FS_READ_FILE)
		if err == nil && info.IsDir() {
			rights = read
		}
		if err := allow(file, rights); err != nil {
			return err
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, ruleset, 0, 0); errno != 0 {
		return errno
	}
	return nil
}
