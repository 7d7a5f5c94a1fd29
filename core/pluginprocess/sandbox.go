package pluginprocess

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/postern-mail/postern/core/plugincatalog"
)

// ErrSandbox says that the kernel, or what it permits here, lacks a guard that the operator requires.
var ErrSandbox = errors.New("the sandbox lacks what is required")

// Level is the sandbox that a process runs in. What is false or empty the process is not held by.
type Level struct {
	Landlock int  `json:"landlock"` // version of the kernel's interface; 0: files are not held
	TCP      bool `json:"tcp"`      // only to granted ports, or no network at all
	Network  bool `json:"network"`  // no network: a namespace without any, or a filter that gives no sockets
	Calls    bool `json:"calls"`    // a filter of system calls
	Process  bool `json:"process"`  // a PID namespace
	IPC      bool `json:"ipc"`
	User     bool `json:"user"`   // a user namespace
	Memory   bool `json:"memory"` // a memory cgroup; without it the limits of one process hold
	// Absent are granted paths that did not exist at the start: the plugin cannot open them before it is started again.
	Absent []string `json:"absent,omitempty"`
}

// Guards are the names of what holds, as `sandbox { require }` takes them.
func (l Level) Guards() []string {
	var out []string
	for _, guard := range plugincatalog.Guards() {
		if l.has(guard) {
			out = append(out, guard)
		}
	}
	return out
}

func (l Level) has(guard string) bool {
	switch guard {
	case plugincatalog.GuardFiles:
		return l.Landlock > 0
	case plugincatalog.GuardTCP:
		return l.TCP
	case plugincatalog.GuardNoNetwork:
		return l.Network
	case plugincatalog.GuardCalls:
		return l.Calls
	case plugincatalog.GuardProcesses:
		return l.Process
	case plugincatalog.GuardUser:
		return l.User
	case plugincatalog.GuardMemory:
		return l.Memory
	}
	return false
}

// Lacks are the guards of the list that do not hold.
func (l Level) Lacks(required []string) []string {
	return slices.DeleteFunc(slices.Clone(required), l.has)
}

func (l Level) String() string {
	if guards := l.Guards(); len(guards) > 0 {
		return strings.Join(guards, ", ")
	}
	return "none"
}

func lacking(missing []string) error {
	return fmt.Errorf("%w: %s; allow user namespaces or use a kernel with Landlock, or take it out of `sandbox { require }`",
		ErrSandbox, strings.Join(missing, ", "))
}

// namespaces is one way to start a process apart from the host.
type namespaces struct {
	flags uintptr
	user  bool
}

// waysApart are the ways to try, the best first: with a user namespace, which any user may have where the system lets him; without, which
// only root may; and in the host's own namespaces. A plugin that was granted a TCP endpoint needs the host's network.
func waysApart(network bool) []namespaces {
	apart := uintptr(syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS)
	if !network {
		apart |= syscall.CLONE_NEWNET
	}
	return []namespaces{{apart | syscall.CLONE_NEWUSER, true}, {apart, false}, {0, false}}
}

// attributes are how the process is started: in a group of its own, and killed when the thread that started it ends.
func (n namespaces) attributes() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Cloneflags: n.flags}
	if n.user {
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}}
	}
	return a
}

// level is what the namespaces alone give.
func (n namespaces) level() Level {
	has := func(flag uintptr) bool { return n.flags&flag != 0 }
	return Level{User: n.user, Process: has(syscall.CLONE_NEWPID), IPC: has(syscall.CLONE_NEWIPC), Network: has(syscall.CLONE_NEWNET)}
}

// refused reports whether the system does not permit the namespaces, as against any other failure to start.
func refused(err error) bool {
	for _, reason := range []error{syscall.EPERM, syscall.EINVAL, syscall.ENOSPC, syscall.EUSERS, syscall.EACCES} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}
