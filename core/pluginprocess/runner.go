package pluginprocess

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// processRunner is go-plugin's runner.Runner over a process of ours.
type processRunner struct {
	spec         Spec
	dir          string
	handshakeEnv []string

	executable *os.File
	command    *exec.Cmd
	stdin      *os.File // held open; the plugin ends when it closes
	output     *output
	exited     chan struct{}

	mu      sync.Mutex
	started bool
	waitErr error
}

func newRunner(spec Spec, dir string) *processRunner {
	return &processRunner{spec: spec, dir: dir, exited: make(chan struct{}), output: newOutput(spec.Log)}
}

// Start runs the executable whose digest was checked: it is opened once, hashed through the open file, and executed through it,
// so that a file put in its place meanwhile is not what runs.
func (r *processRunner) Start(context.Context) error {
	if err := r.openExecutable(); err != nil {
		return err
	}
	stdinRead, stdinWrite, err := os.Pipe()
	if err != nil {
		return errors.Join(fmt.Errorf("make pipe: %w", err), r.executable.Close())
	}
	defer stdinRead.Close()
	r.stdin = stdinWrite
	r.command = &exec.Cmd{
		Path:        "/proc/self/fd/" + strconv.Itoa(int(r.executable.Fd())),
		Args:        append([]string{r.spec.Executable}, r.spec.Args...),
		Env:         r.environment(),
		Dir:         r.dir,
		Stdin:       stdinRead,
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
	}
	stdout, err := r.command.StdoutPipe()
	if err != nil {
		return fmt.Errorf("make pipe: %w", err)
	}
	stderr, err := r.command.StderrPipe()
	if err != nil {
		return fmt.Errorf("make pipe: %w", err)
	}
	startError := make(chan error)
	go r.own(stdout, stderr, startError)
	return <-startError
}

// own is the life of the process. It stays on one thread because Pdeathsig is about the thread that forked, and reads the output
// to its end before it reaps the process.
func (r *processRunner) own(stdout, stderr io.ReadCloser, startError chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := r.command.Start()
	_ = r.executable.Close()
	if err != nil {
		_ = r.stdin.Close()
		startError <- fmt.Errorf("execute %s: %w", r.spec.Executable, err)
		return
	}
	r.mu.Lock()
	r.started = true
	r.mu.Unlock()
	if r.spec.Memory > 0 {
		r.limitMemory()
	}
	r.spec.Log.Debug("plugin process started", "pid", r.command.Process.Pid)
	startError <- nil

	reading := r.output.read(stdout, stderr)
	// A grandchild that keeps the pipes open must not keep the exit from being seen.
	state, waitErr := r.command.Process.Wait()
	_ = unix.Kill(-r.command.Process.Pid, unix.SIGKILL)
	select {
	case <-reading:
	case <-time.After(time.Second):
	}
	_ = stdout.Close()
	_ = stderr.Close()
	r.output.close()
	<-reading
	r.mu.Lock()
	if waitErr == nil && !state.Success() {
		waitErr = errors.New(state.String())
	}
	r.waitErr = waitErr
	r.mu.Unlock()
	close(r.exited)
}

func (r *processRunner) openExecutable() error {
	f, err := os.OpenFile(r.spec.Executable, os.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("open executable: %w", err)
	}
	if r.spec.Digest != "" {
		digest, err := digestOf(f)
		if err == nil && digest != r.spec.Digest {
			err = fmt.Errorf("%w: %s is %s, pinned is %s; run `postern plugin pin` if you trust it",
				ErrDigest, r.spec.Executable, digest, r.spec.Digest)
		}
		if err != nil {
			return errors.Join(err, f.Close())
		}
	}
	r.executable = f
	return nil
}

// Digest is "sha256:" and the hexadecimal SHA-256 of the file.
func Digest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("digest: %w", err)
	}
	defer f.Close()
	return digestOf(f)
}

func digestOf(f *os.File) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("digest %s: %w", f.Name(), err)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

// environment is what the handshake needs and what the operator gave, and nothing of the host's own.
func (r *processRunner) environment() []string {
	env := append([]string{"PATH=/usr/bin:/bin", "TMPDIR=" + r.dir, "LANG=C.UTF-8", "GOGC=200"}, r.handshakeEnv...)
	if r.spec.Memory > 0 {
		env = append(env, "GOMEMLIMIT="+strconv.FormatInt(r.spec.Memory*9/10, 10))
	}
	names := make([]string, 0, len(r.spec.Env))
	for name := range r.spec.Env {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		env = append(env, name+"="+r.spec.Env[name])
	}
	return env
}

// addressFloor is the address space beyond its memory that a plugin may reserve: a Go program with C in it takes 1.8 GiB before it does
// any work, and what a runtime gave back to the system keeps its addresses.
const addressFloor = 4 << 30

// limitMemory bounds the address space. It is a backstop behind GOMEMLIMIT; where it cannot be set the plugin runs without, and
// the log says so.
func (r *processRunner) limitMemory() {
	limit := uint64(r.spec.Memory) + addressFloor
	err := unix.Prlimit(r.command.Process.Pid, unix.RLIMIT_AS, &unix.Rlimit{Cur: limit, Max: limit}, nil)
	if err != nil {
		r.spec.Log.Warn("limiting the plugin's memory failed", "error", err)
	}
}

// PluginToHost refuses every address but a socket in the instance's own folder: the plugin picks what the host dials.
func (r *processRunner) PluginToHost(network, address string) (string, string, error) {
	if network != "unix" {
		return "", "", fmt.Errorf("the plugin wants to be reached at %s %q; only a unix socket in its own folder is allowed",
			network, address)
	}
	clean := filepath.Clean(address)
	if !strings.HasPrefix(clean, r.dir+string(filepath.Separator)) {
		return "", "", fmt.Errorf("the plugin wants to be reached at %q, outside its own folder", address)
	}
	info, err := os.Lstat(clean)
	if err != nil {
		return "", "", fmt.Errorf("look at the plugin's socket: %w", err)
	}
	if info.Mode().Type() != os.ModeSocket {
		return "", "", fmt.Errorf("the plugin's address %q is not a socket", address)
	}
	return network, clean, nil
}

// HostToPlugin is not used: there is no broker connection from the plugin to the host.
func (r *processRunner) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}

// Kill ends the process group at once.
func (r *processRunner) Kill(context.Context) error {
	r.shutdown(0)
	return nil
}

// shutdown closes standard input, gives the process the grace, kills its group and waits for its end.
func (r *processRunner) shutdown(grace time.Duration) {
	r.mu.Lock()
	started := r.started
	r.mu.Unlock()
	if !started {
		return
	}
	_ = r.stdin.Close()
	if grace > 0 {
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-r.exited:
			return
		case <-timer.C:
		}
	}
	_ = unix.Kill(-r.pid(), unix.SIGKILL)
	<-r.exited
}

// Wait returns when the process has ended.
func (r *processRunner) Wait(ctx context.Context) error {
	select {
	case <-r.exited:
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.waitErr
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *processRunner) pid() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.started {
		return 0
	}
	return r.command.Process.Pid
}

func (r *processRunner) exitStatus() string {
	r.mu.Lock()
	err := r.waitErr
	r.mu.Unlock()
	status := "exited by itself"
	if err != nil {
		status = err.Error()
	}
	return status + r.notes()
}

// notes are the last words on standard error, for error messages.
func (r *processRunner) notes() string {
	if tail := r.output.tail(); tail != "" {
		return "; its last output: " + tail
	}
	return ""
}

// Stdout gives go-plugin the handshake line and nothing after it.
func (r *processRunner) Stdout() io.ReadCloser { return r.output.handshake }

// Stderr gives go-plugin nothing: what the plugin logs is cleaned and logged here.
func (r *processRunner) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }

// Name is the plugin's name.
func (r *processRunner) Name() string { return r.spec.Name }

// ID is the process id, "" before the start.
func (r *processRunner) ID() string {
	if pid := r.pid(); pid != 0 {
		return strconv.Itoa(pid)
	}
	return ""
}

// Diagnose gives go-plugin nothing to add; connect adds the last output itself.
func (r *processRunner) Diagnose(context.Context) string { return "" }
