package pluginprocess

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data. Of an argument the low half is read, which is the first on the machines below.
const (
	dataCall     = 0
	dataArch     = 4
	dataArgument = 16
)

// foreignABI is the bit of system calls of amd64's other interface, x32.
const foreignABI = 0x40000000

// forbiddenCalls are what no plugin needs and what reaches around the other guards: io_uring makes sockets that no filter sees, new
// namespaces give powers within them, the others look into processes or the kernel. They fail with EPERM.
func forbiddenCalls() []uint32 {
	return []uint32{
		unix.SYS_IO_URING_SETUP, unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_BPF,
		unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_MOUNT,
		unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_OPEN_BY_HANDLE_AT,
		unix.SYS_OPEN_TREE, unix.SYS_MOVE_MOUNT, unix.SYS_FSOPEN, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_KEXEC_LOAD,
	}
}

// filter is the program that the kernel runs at every system call: no sockets but unix ones, and, where endpoints were granted, plain TCP
// and UDP. Landlock holds the ports of plain TCP alone, so its relatives, such as MPTCP, must not be had.
func filter(network bool) []bpf.Instruction {
	refuse := func(errno unix.Errno) bpf.Instruction {
		return bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(errno)}
	}
	allow := bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}
	argument := func(n uint32) bpf.Instruction { return bpf.LoadAbsolute{Off: dataArgument + 8*n, Size: 4} }
	equal := func(value uint32, skip uint8) bpf.Instruction {
		return bpf.JumpIf{Cond: bpf.JumpEqual, Val: value, SkipTrue: skip}
	}
	unless := func(value uint32, skip uint8) bpf.Instruction {
		return bpf.JumpIf{Cond: bpf.JumpEqual, Val: value, SkipFalse: skip}
	}
	program := []bpf.Instruction{
		bpf.LoadAbsolute{Off: dataArch, Size: 4},
		equal(auditArch(), 1),
		bpf.RetConstant{Val: unix.SECCOMP_RET_KILL_PROCESS},
		bpf.LoadAbsolute{Off: dataCall, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpLessThan, Val: foreignABI, SkipTrue: 1},
		bpf.RetConstant{Val: unix.SECCOMP_RET_KILL_PROCESS},
	}
	for _, call := range forbiddenCalls() {
		program = append(program, unless(call, 1), refuse(unix.EPERM))
	}
	program = append(program,
		equal(unix.SYS_SOCKET, 1),
		allow,
		argument(0),
		unless(unix.AF_UNIX, 1), allow,
		unless(unix.AF_NETLINK, 1), allow, // resolvers look at the interfaces; it reaches no network
	)
	if network {
		program = append(program,
			equal(unix.AF_INET, 2), equal(unix.AF_INET6, 1),
			refuse(unix.EAFNOSUPPORT),
			argument(2),
			unless(0, 1), bpf.Jump{Skip: 5},
			unless(unix.IPPROTO_TCP, 1), allow,
			unless(unix.IPPROTO_UDP, 1), allow,
			refuse(unix.EPROTONOSUPPORT),
			// Protocol 0 is that of the type: a stream is TCP, a datagram UDP.
			argument(1),
			bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xf},
			unless(unix.SOCK_STREAM, 1), allow,
			unless(unix.SOCK_DGRAM, 1), allow,
		)
	}
	return append(program, refuse(unix.EACCES))
}

// auditArch is the kernel's word for the machine, 0 for one that this filter was not written for.
func auditArch() uint32 {
	switch runtime.GOARCH {
	case "amd64":
		return unix.AUDIT_ARCH_X86_64
	case "arm64":
		return unix.AUDIT_ARCH_AARCH64
	}
	return 0
}

// filterCalls installs the filter for this thread and what it becomes. false: the kernel or the machine has none.
func filterCalls(network bool) (bool, error) {
	if auditArch() == 0 {
		return false, nil
	}
	raw, err := bpf.Assemble(filter(network))
	if err != nil {
		return false, fmt.Errorf("assemble the filter of system calls: %w", err)
	}
	instructions := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		instructions[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	program := unix.SockFprog{Len: uint16(len(instructions)), Filter: &instructions[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW, uintptr(unsafe.Pointer(&program)))
	switch errno {
	case 0:
		return true, nil
	case unix.ENOSYS, unix.EINVAL:
		return false, nil
	}
	return false, fmt.Errorf("install the filter of system calls: %w", errno)
}
