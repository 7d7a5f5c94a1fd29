package pluginprocess

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/postern-mail/postern/core/plugincatalog"
)

// probe is a plugin that tries what it may not, and tells on standard error how each attempt went.
func probe() {
	attempt := func(name string, try func() error) {
		result := "done"
		if err := try(); err != nil {
			result = "denied"
		}
		fmt.Fprintf(os.Stderr, "probe %s: %s\n", name, result)
	}
	read := func(path string) func() error {
		return func() error { _, err := os.ReadFile(path); return err }
	}
	write := func(path string) func() error {
		return func() error { return os.WriteFile(path, []byte("x"), 0o600) }
	}
	dial := func(network, address string) func() error {
		return func() error {
			conn, err := net.DialTimeout(network, address, time.Second)
			if err == nil {
				_, err = conn.Write([]byte("x"))
			}
			return err
		}
	}
	host, _ := strconv.Atoi(os.Getenv("HOST_PID"))
	work := os.Getenv("TMPDIR")
	inbox := filepath.Join(filepath.Dir(work), "in")
	attempt("own-folder", write(filepath.Join(work, "f")))
	attempt("secret", read(os.Getenv("SECRET")))
	attempt("granted", read(os.Getenv("GRANTED")))
	attempt("granted-write", write(os.Getenv("GRANTED")))
	attempt("passwd", read("/etc/passwd"))
	attempt("write-outside", write(filepath.Join(filepath.Dir(os.Getenv("SECRET")), "new")))
	attempt("write-inbox", write(filepath.Join(inbox, "f")))
	attempt("write-itself", func() error { f, err := os.OpenFile("/proc/self/exe", os.O_WRONLY, 0); _ = f; return err })
	attempt("run-own-file", func() error {
		script := filepath.Join(work, "script")
		return errors.Join(os.WriteFile(script, []byte("#!/bin/sh\n"), 0o700), exec.Command(script).Run())
	})
	attempt("run-system-program", func() error { return exec.Command("/bin/true").Run() })
	attempt("host-environment", read(fmt.Sprintf("/proc/%d/environ", host)))
	attempt("host-signal", func() error { return syscall.Kill(host, 0) })
	attempt("host-ptrace", func() error { return unix.PtraceSeize(host) })
	attempt("tcp", dial("tcp", os.Getenv("TCP")))
	attempt("tcp-granted", dial("tcp", os.Getenv("TCP_GRANTED")))
	attempt("udp", dial("udp", os.Getenv("UDP")))
	attempt("listen", func() error { _, err := net.Listen("tcp", "127.0.0.1:0"); return err })
	attempt("mptcp", func() error {
		_, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP)
		return err
	})
	attempt("raw-socket", func() error { _, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP); return err })
	attempt("new-namespace", func() error { return unix.Unshare(unix.CLONE_NEWUSER) })
	attempt("abstract-socket", dial("unix", os.Getenv("ABSTRACT")))
	attempt("mount", func() error { return unix.Mount("none", work, "tmpfs", 0, "") })
	attempt("gain-rights", func() error {
		status, err := os.ReadFile("/proc/self/status")
		if err == nil && strings.Contains(string(status), "CapEff:\t0000000000000000") && strings.Contains(string(status), "NoNewPrivs:\t1") {
			return errors.New("it has none")
		}
		return err
	})
	attempt("many-processes", func() error {
		if os.Getuid() == 0 {
			return errors.New("root's are not counted")
		}
		var limit unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NPROC, &limit); err != nil || limit.Max != ownThreads {
			return nil
		}
		// That the limit holds is seen sooner at a lower one.
		if limit.Cur = 64; unix.Setrlimit(unix.RLIMIT_NPROC, &limit) != nil {
			return nil
		}
		shell := exec.Command("/bin/sh", "-c", "i=0; while [ $i -lt 64 ]; do /bin/sleep 600 & i=$((i+1)); done")
		shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := shell.Start(); err != nil {
			return nil
		}
		return errors.Join(shell.Wait(), syscall.Kill(-shell.Process.Pid, syscall.SIGKILL))
	})
	fmt.Fprintln(os.Stderr, "probe end")
}

// probed starts the probe and returns how its attempts went, by name.
func probed(t *testing.T, change func(*Spec)) (map[string]string, Level) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"secret", "granted"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	listen := func(network, address string) string {
		listener, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
		return listener.Addr().String()
	}
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = udp.Close() })
	log := newRecorded()
	spec := specOf(t, "probe", log)
	spec.Memory = 512 << 20
	spec.Reach.Read = []string{filepath.Join(dir, "granted"), filepath.Join(dir, "absent")}
	for name, value := range map[string]string{
		"HOST_PID": strconv.Itoa(os.Getpid()), "SECRET": filepath.Join(dir, "secret"), "GRANTED": filepath.Join(dir, "granted"),
		"TCP": listen("tcp", "127.0.0.1:0"), "TCP_GRANTED": listen("tcp", "127.0.0.1:0"), "UDP": udp.LocalAddr().String(),
		"ABSTRACT": listen("unix", fmt.Sprintf("@postern-test-%d", os.Getpid())),
	} {
		spec.Env[name] = value
	}
	change(&spec)
	p, err := Start(context.Background(), spec)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	log.wait(t, "probe end")
	results := map[string]string{}
	for line := range strings.Lines(log.String()) {
		if _, text, found := strings.Cut(line, `"@message":"probe `); found {
			name, rest, _ := strings.Cut(text, ": ")
			if rest != "" {
				results[name], _, _ = strings.Cut(rest, `"`)
			}
		}
	}
	return results, p.Level()
}

// needGuards skips where the system does not permit what the test is about.
func needGuards(t *testing.T, level Level, guards ...string) {
	t.Helper()
	if missing := level.Lacks(guards); len(missing) > 0 {
		t.Skipf("this system does not permit %s", strings.Join(missing, ", "))
	}
}

func compare(t *testing.T, got map[string]string, allowed ...string) {
	t.Helper()
	for name, result := range got {
		want := "denied"
		if slices.Contains(allowed, name) {
			want = "done"
		}
		if result != want {
			t.Errorf("%s: %s, want %s", name, result, want)
		}
	}
	if len(got) < 24 {
		t.Errorf("only %d attempts were made: %v", len(got), got)
	}
}

// TestSandbox: without a grant a plugin reaches its own folder and the system's libraries.
func TestSandbox(t *testing.T) {
	got, level := probed(t, func(*Spec) {})
	t.Logf("the level is %s (Landlock %d)", level, level.Landlock)
	needGuards(t, level, plugincatalog.GuardFiles, plugincatalog.GuardNoNetwork, plugincatalog.GuardProcesses, plugincatalog.GuardCalls)
	compare(t, got, "own-folder", "granted", "run-system-program")
	if len(level.Absent) != 1 || filepath.Base(level.Absent[0]) != "absent" {
		t.Errorf("absent are %v", level.Absent)
	}
}

// TestGrantedPort: with an endpoint the plugin is in the host's network, and its TCP goes to that port only.
func TestGrantedPort(t *testing.T) {
	got, level := probed(t, func(s *Spec) {
		_, text, _ := net.SplitHostPort(s.Env["TCP_GRANTED"])
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			t.Fatal(err)
		}
		s.Reach.Ports = []uint16{uint16(port)}
	})
	needGuards(t, level, plugincatalog.GuardFiles, plugincatalog.GuardTCP, plugincatalog.GuardProcesses)
	// UDP is open then: names have to be resolved, and Landlock knows nothing of it.
	compare(t, got, "own-folder", "granted", "run-system-program", "tcp-granted", "udp")
	if level.Network {
		t.Error("the level says that there is no network")
	}
}

// TestUnprivileged runs TestSandbox as a user without rights, where this one may become one.
func TestUnprivileged(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("this user is one")
	}
	dir, err := os.MkdirTemp("", "pp")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	const nobody = 65534
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(filepath.Join(dir, "t"), 0o700), os.Chown(filepath.Join(dir, "t"), nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "test") // the original may stand where nobody else may look
	content, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, content, 0o755); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(program, "-test.run", "^(TestSandbox|TestGrantedPort|TestGoodPlugin)$", "-test.v")
	command.Dir, command.Env = dir, []string{"TMPDIR=" + filepath.Join(dir, "t"), "PATH=/usr/bin:/bin"}
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, Pdeathsig: syscall.SIGKILL}
	out, err := command.CombinedOutput()
	if err != nil || strings.Count(string(out), "--- PASS")+strings.Count(string(out), "--- SKIP") != 3 {
		t.Errorf("%v:\n%s", err, out)
	}
	t.Logf("%s", out)
}

// TestWithoutNamespaces: where the system permits none, Landlock and the filter of system calls hold alone, and the level says so.
func TestWithoutNamespaces(t *testing.T) {
	if os.Getenv("WITHOUT_NAMESPACES") == "" {
		const none = "for n in user pid net ipc uts mnt; do echo 0 >/proc/sys/user/max_${n}_namespaces || exit 9; done; exec \"$0\" \"$@\""
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		command := exec.Command("unshare", "--user", "--map-root-user", "/bin/sh", "-c", none, self, "-test.run", "^TestWithoutNamespaces$", "-test.v")
		command.Env = append(os.Environ(), "WITHOUT_NAMESPACES=1")
		command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		out, err := command.CombinedOutput()
		if err != nil && !strings.Contains(string(out), "=== RUN") {
			t.Skipf("namespaces cannot be forbidden here: %v, %s", err, out)
		}
		if err != nil || !strings.Contains(string(out), "--- PASS") {
			t.Errorf("%v:\n%s", err, out)
		}
		return
	}
	got, level := probed(t, func(*Spec) {})
	if level.User || level.Process || level.IPC {
		t.Errorf("the level is %+v", level)
	}
	needGuards(t, level, plugincatalog.GuardFiles, plugincatalog.GuardCalls)
	if !level.Network || !level.TCP {
		t.Errorf("the level is %s", level)
	}
	compare(t, got, "own-folder", "granted", "run-system-program")
}

// TestRequire: what the kernel cannot give is refused where it is required.
func TestRequire(t *testing.T) {
	spec := specOf(t, "good", newRecorded())
	spec.Reach.Ports = []uint16{443}
	spec.Require = []string{plugincatalog.GuardNoNetwork}
	if p, err := Start(context.Background(), spec); !errors.Is(err, ErrSandbox) || !strings.Contains(err.Error(), "no_network") {
		p.Stop()
		t.Errorf("the error is %v", err)
	}
}

// TestMemory: a process that asks for more than it may have dies of it, and the host learns that.
func TestMemory(t *testing.T) {
	spec := specOf(t, "glutton", newRecorded())
	spec.Memory = 64 << 20
	starved := func(text string) bool { // as Go's runtime says it, and the race detector's
		return strings.Contains(text, "out of memory") || strings.Contains(text, "failed to allocate") || strings.Contains(text, "cannot allocate memory")
	}
	p, err := Start(context.Background(), spec)
	if err != nil {
		if !starved(err.Error()) {
			t.Fatal(err)
		}
		return
	}
	defer p.Stop()
	select {
	case <-p.Exited():
	case <-time.After(20 * time.Second):
		t.Fatal("it lives on")
	}
	if status := p.ExitStatus(); !starved(status) {
		t.Errorf("it ended by %q", status)
	}
}

// TestScript: an executable that has an interpreter is started from its sealed copy too.
func TestScript(t *testing.T) {
	spec := specOf(t, "", newRecorded())
	spec.Executable = filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(spec.Executable, []byte("#!/bin/sh\necho I am a script >&2\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if p, err := Start(context.Background(), spec); err == nil || !strings.Contains(err.Error(), "I am a script") {
		p.Stop()
		t.Errorf("the error is %v", err)
	}
}

// TestSeal: the copy is the pinned file and cannot be changed; what is no executable is refused.
func TestSeal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("content"), 0o755); err != nil {
		t.Fatal(err)
	}
	digest, err := Digest(path)
	if err != nil {
		t.Fatal(err)
	}
	image, err := Seal(path, digest)
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	if _, err := image.file.WriteAt([]byte("X"), 0); !errors.Is(err, syscall.EPERM) {
		t.Errorf("writing to the copy: %v", err)
	}
	if err := image.file.Truncate(0); !errors.Is(err, syscall.EPERM) {
		t.Errorf("cutting the copy: %v", err)
	}
	if _, err := Seal(path, "sha256:"+strings.Repeat("0", 64)); !errors.Is(err, ErrDigest) {
		t.Errorf("another digest: %v", err)
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{path, fifo, filepath.Dir(path)} {
		if image, err := Seal(bad, ""); err == nil {
			_ = image.Close()
			t.Errorf("%s was sealed", bad)
		}
	}
}

// TestCgroup: a folder that was delegated gets a group with the limit; any other gets none.
func TestCgroup(t *testing.T) {
	root := t.TempDir()
	service := filepath.Join(root, "system.slice", "postern.service")
	if err := os.MkdirAll(filepath.Join(service, "main"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(service, "cgroup.subtree_control"), []byte("cpu memory pids\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	own := "/system.slice/postern.service/main"
	if folder := controlGroup(root, own, "p1", 1<<20); folder != "" {
		t.Errorf("%s was made without being allowed to", folder)
	}
	if err := unix.Setxattr(service, "user.delegate", []byte("1"), 0); err != nil {
		t.Skipf("this file system has no attributes: %v", err)
	}
	folder := controlGroup(root, own, "p1", 1<<20)
	if limit, err := os.ReadFile(filepath.Join(folder, "memory.max")); err != nil || string(limit) != "1048576" {
		t.Errorf("the limit of memory is %q, %v", limit, err)
	}
	if limit, err := os.ReadFile(filepath.Join(folder, "pids.max")); err != nil || string(limit) != "1024" {
		t.Errorf("the limit of processes is %q, %v", limit, err)
	}
	for _, outside := range []string{"/", "/../.."} {
		if folder := controlGroup(root, outside, "p1", 1<<20); folder != "" {
			t.Errorf("%s was made for %s", folder, outside)
		}
	}
}

// TestFlood: what is too much is counted, not logged.
func TestFlood(t *testing.T) {
	b := bucket{left: linesAtOnce}
	now := time.Unix(1000, 0)
	passed := 0
	for range 10 * linesAtOnce {
		if pass, _ := b.take(now); pass {
			passed++
		}
	}
	pass, dropped := b.take(now.Add(time.Second))
	if passed != linesAtOnce || !pass || dropped != 9*linesAtOnce {
		t.Errorf("%d passed at once; a second later %v, %d dropped", passed, pass, dropped)
	}
}
