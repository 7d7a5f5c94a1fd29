package pluginprocess

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Landlock's rights, by what they are given for.
const (
	lookRights = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	runRights  = lookRights | unix.LANDLOCK_ACCESS_FS_EXECUTE
	workRights = lookRights | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE |
		unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK |
		unix.LANDLOCK_ACCESS_FS_MAKE_SYM | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REFER
	deviceRights = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE
	// fileRights are those that can be given for a file that is no folder.
	fileRights = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE |
		unix.LANDLOCK_ACCESS_FS_TRUNCATE
)

// fileVersions is every right on files that each version of the interface knows.
func fileVersions(abi int) uint64 {
	switch {
	case abi >= 5:
		return 1<<16 - 1 // device ioctls
	case abi >= 3:
		return 1<<15 - 1 // truncation
	case abi == 2:
		return 1<<14 - 1 // linking between folders
	}
	return 1<<13 - 1
}

// systemFolders are what programs and the C library need to run. They hold no secrets.
func systemFolders() []string {
	return []string{"/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin"}
}

// systemFiles are read by runtimes at their start, and by resolvers and TLS.
func systemFiles() []string {
	return []string{
		"/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/localtime", "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/resolv.conf",
		"/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/services", "/etc/protocols", "/etc/mime.types",
		"/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/sys/vm", "/sys/devices/system/cpu",
		"/sys/kernel/mm/transparent_hugepage",
	}
}

func devices() []string {
	return []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}
}

// landlock holds this thread, and what it becomes, to the granted files and ports. abi is 0 where the kernel has no Landlock.
func landlock(s *settings) (abi int, tcp bool, absent []string, err error) {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0, false, nil, nil // it is not there, or switched off: the report says so
	}
	abi = int(version)
	attributes := unix.LandlockRulesetAttr{Handled_access_fs: fileVersions(abi)}
	size := unsafe.Sizeof(attributes.Handled_access_fs)
	if abi >= 4 {
		attributes.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
		size += unsafe.Sizeof(attributes.Handled_access_net)
	}
	if abi >= 6 {
		attributes.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
		size += unsafe.Sizeof(attributes.Scoped)
	}
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attributes)), size, 0)
	if errno != 0 {
		return 0, false, nil, fmt.Errorf("make rules for files: %w", errno)
	}
	rules := ruleset{fd: fd, rights: attributes.Handled_access_fs}
	defer unix.Close(int(fd))
	if absent, err = rules.allowFiles(s); err != nil {
		return 0, false, nil, err
	}
	if abi >= 4 {
		if err := rules.allowPorts(s.Ports); err != nil {
			return 0, false, nil, err
		}
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return 0, false, nil, fmt.Errorf("apply rules for files: %w", errno)
	}
	return abi, abi >= 4, absent, nil
}

type ruleset struct {
	fd     uintptr
	rights uint64 // what the kernel knows
}

func (r ruleset) allowFiles(s *settings) (absent []string, err error) {
	files := systemFiles()
	// resolv.conf is often a link to a file that is replaced: its folder is what stays.
	if target, err := filepath.EvalSymlinks("/etc/resolv.conf"); err == nil && !strings.HasPrefix(target, "/etc/") {
		files = append(files, filepath.Dir(target))
	}
	for _, group := range []struct {
		paths   []string
		rights  uint64
		granted bool
	}{
		{systemFolders(), runRights, false}, {files, lookRights, false}, {devices(), deviceRights, false},
		{[]string{s.Work}, workRights, true}, {[]string{s.Inbox}, lookRights, true},
		{s.Read, runRights, true}, // a granted file may be a program, such as an archiver
		{s.Write, workRights, true},
	} {
		for _, path := range group.paths {
			err := r.allow(path, group.rights)
			switch {
			case errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission):
				// It cannot be opened in the sandbox, as it could not without.
				if group.granted {
					absent = append(absent, path)
				}
			case err != nil:
				return nil, fmt.Errorf("allow %s: %w", path, err)
			}
		}
	}
	return absent, nil
}

func (r ruleset) allow(path string, rights uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return err
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= fileRights
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: rights & r.rights, Parent_fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, r.fd, unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// landlockRuleNetPort is LANDLOCK_RULE_NET_PORT, which x/sys does not have.
const landlockRuleNetPort = 2

// domainPort is where names are resolved, which whoever may connect needs.
const domainPort = 53

// allowPorts lets TCP connections to the ports be made, to whatever address. Nothing may listen.
func (r ruleset) allowPorts(ports []uint16) error {
	if len(ports) > 0 {
		ports = append(ports[:len(ports):len(ports)], domainPort)
	}
	for _, port := range ports {
		rule := struct{ access, port uint64 }{unix.LANDLOCK_ACCESS_NET_CONNECT_TCP, uint64(port)}
		_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, r.fd, landlockRuleNetPort, uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
		if errno != 0 {
			return fmt.Errorf("allow port %d: %w", port, errno)
		}
	}
	return nil
}
