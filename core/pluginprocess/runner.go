package pluginprocess

import (
	"bytes"
	"context"
	"encoding/json"
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
	"time"

	goplugin "github.com/hashicorp/go-plugin"
	"golang.org/x/sys/unix"
)

// processRunner is go-plugin's runner.Runner over a process of ours.
type processRunner struct {
	spec         Spec
	dir          string
	handshakeEnv []string

	image   *Image
	command *exec.Cmd
	stdin   *os.File // held open; the plugin ends when it closes
	output  *output
	level   Level
	cgroup  string // folder, "": none
	exited  chan struct{}

	mu      sync.Mutex
	started bool
	waitErr error
}

func newRunner(spec Spec, image *Image, dir string) *processRunner {
	return &processRunner{spec: spec, image: image, dir: dir, exited: make(chan struct{}), output: newOutput(spec.Log)}
}

// workOf and inboxOf are an instance's folders: one that it may write, with its socket, and one where it finds bodies. They stand side by
// side because what may be done in a folder may be done in all below it.
func workOf(dir string) string  { return filepath.Join(dir, "w") }
func inboxOf(dir string) string { return filepath.Join(dir, "in") }

// Start starts the stage, which becomes the plugin, in the best namespaces that the system permits.
func (r *processRunner) Start(context.Context) error {
	startError := make(chan error)
	go r.own(startError)
	return <-startError
}

// own is the life of the process. It stays on one thread because Pdeathsig is about the thread that forked, and reads the output
// to its end before it reaps the process.
func (r *processRunner) own(startError chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	stdout, stderr, err := r.launch()
	if err != nil {
		startError <- err
		return
	}
	reading := r.output.read(stdout, stderr)
	startError <- nil

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
	if r.cgroup != "" {
		if err := os.Remove(r.cgroup); err != nil {
			r.spec.Log.Warn("removing the control group failed", "error", err)
		}
	}
	r.mu.Lock()
	if waitErr == nil && !state.Success() {
		waitErr = errors.New(state.String())
	}
	r.waitErr = waitErr
	r.mu.Unlock()
	close(r.exited)
}

// launch starts the stage and returns when it has become the plugin, or has said why it cannot.
func (r *processRunner) launch() (stdout, stderr *os.File, err error) {
	var ends pipes
	defer ends.closeTheirs()
	stdin, stdout, stderr, report := ends.toChild(), ends.fromChild(), ends.fromChild(), ends.fromChild()
	if ends.err != nil {
		ends.closeOurs()
		return nil, nil, fmt.Errorf("make pipe: %w", ends.err)
	}
	defer report.Close()
	if r.spec.Memory > 0 {
		if root, own, found := ownCgroup(); found {
			r.cgroup = controlGroup(root, own, filepath.Base(r.dir), r.spec.Memory)
		}
	}
	for _, way := range waysApart(len(r.spec.Reach.Ports) > 0) {
		if r.command, err = r.stage(way, &ends); err != nil {
			break
		}
		r.level = way.level()
		if err = r.command.Start(); err == nil || way.flags == 0 || !refused(err) {
			break
		}
		r.spec.Log.Debug("the system does not permit these namespaces", "error", err)
	}
	if err != nil {
		ends.closeOurs()
		return nil, nil, fmt.Errorf("execute the sandbox stage %s: %w", r.spec.Stage, err)
	}
	ends.closeTheirs()
	r.mu.Lock()
	r.started, r.stdin = true, stdin
	r.mu.Unlock()
	if err := r.staged(report); err != nil {
		_ = unix.Kill(-r.command.Process.Pid, unix.SIGKILL)
		state, _ := r.command.Process.Wait()
		if errors.Is(err, errSilentStage) {
			err = fmt.Errorf("%w; its end: %s, its last output: %q", err, state, lastOutput(stderr))
		}
		ends.closeOurs()
		r.output.close()
		close(r.exited)
		return nil, nil, err
	}
	return stdout, stderr, nil
}

// stage is the command of the stage.
func (r *processRunner) stage(way namespaces, ends *pipes) (*exec.Cmd, error) {
	text, err := json.Marshal(settings{
		Args: append([]string{r.spec.Executable}, r.spec.Args...), Script: r.image.script, Work: workOf(r.dir), Inbox: inboxOf(r.dir),
		Read: r.spec.Reach.Read, Write: r.spec.Reach.Write, Ports: r.spec.Reach.Ports, Own: way.user,
		Data: dataLimit(r.spec.Memory), Cgroup: r.cgroup,
	})
	if err != nil {
		return nil, fmt.Errorf("write settings of the sandbox: %w", err)
	}
	return &exec.Cmd{
		Path: r.spec.Stage, Args: []string{"postern-sandbox"}, Env: append(r.environment(), stageVariable+"="+string(text)),
		Dir: workOf(r.dir), Stdin: ends.theirs[0], Stdout: ends.theirs[1], Stderr: ends.theirs[2],
		ExtraFiles: []*os.File{r.image.file, ends.theirs[3]}, SysProcAttr: way.attributes(),
	}, nil
}

// errSilentStage says that the stage did not get as far as RunStage.
var errSilentStage = errors.New("the sandbox stage ended without a word: it has to call RunStage")

// lastOutput is what a process that has ended left in the pipe: the runtime tells there why it could not start.
func lastOutput(pipe *os.File) []byte {
	if pipe.SetReadDeadline(time.Now().Add(time.Second)) != nil {
		return nil
	}
	text, _ := io.ReadAll(io.LimitReader(pipe, 2048)) // as much as there is
	return text
}

// staged reads what the stage tells, to the end: the pipe closes when the plugin is executed.
func (r *processRunner) staged(report *os.File) error {
	if err := report.SetReadDeadline(time.Now().Add(r.spec.StartTimeout)); err != nil {
		return fmt.Errorf("wait for the sandbox stage: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(report, 1<<20))
	if err != nil {
		return fmt.Errorf("wait for the sandbox stage: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	for n := 0; ; n++ {
		var told stageResult
		err := decoder.Decode(&told)
		switch {
		case errors.Is(err, io.EOF) && n > 0:
			if missing := r.level.Lacks(r.spec.Require); len(missing) > 0 {
				return lacking(missing)
			}
			return nil
		case errors.Is(err, io.EOF):
			return fmt.Errorf("%s: %w", r.spec.Stage, errSilentStage)
		case err != nil:
			return fmt.Errorf("read what the sandbox stage tells: %w", err)
		case told.Error != "":
			return fmt.Errorf("set up the sandbox: %s", told.Error)
		}
		r.level.Landlock, r.level.Calls, r.level.Memory, r.level.Absent = told.Landlock, told.Calls, told.Memory, told.Absent
		r.level.Network = r.level.Network || told.Calls && len(r.spec.Reach.Ports) == 0
		r.level.TCP = r.level.Network || told.TCP && told.Calls
	}
}

// pipes are those between host and child.
type pipes struct {
	ours, theirs []*os.File
	err          error
}

func (p *pipes) add(ours, theirs *os.File, err error) *os.File {
	if p.err = errors.Join(p.err, err); err == nil {
		p.ours, p.theirs = append(p.ours, ours), append(p.theirs, theirs)
	}
	return ours
}

func (p *pipes) toChild() *os.File {
	r, w, err := os.Pipe()
	return p.add(w, r, err)
}

func (p *pipes) fromChild() *os.File {
	r, w, err := os.Pipe()
	return p.add(r, w, err)
}

func (p *pipes) closeTheirs() {
	for _, f := range p.theirs {
		_ = f.Close()
	}
	p.theirs = nil
}

func (p *pipes) closeOurs() {
	for _, f := range p.ours {
		_ = f.Close()
	}
}

// environment is what the handshake needs and what the operator gave, and nothing of the host's own.
func (r *processRunner) environment() []string {
	env := []string{
		"PATH=/usr/bin:/bin", "TMPDIR=" + workOf(r.dir), "LANG=C.UTF-8", "GOGC=200",
		"GOMAXPROCS=" + strconv.Itoa(runtime.GOMAXPROCS(0)), // a control group's share, which cannot be read in the sandbox
	}
	for _, variable := range r.handshakeEnv {
		if !strings.HasPrefix(variable, goplugin.EnvUnixSocketDir+"=") {
			env = append(env, variable)
		}
	}
	env = append(env, goplugin.EnvUnixSocketDir+"="+workOf(r.dir))
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

// dataFloor is what a process may map beyond its memory: each thread of a program with C in it has 8 MiB for its stack, and what a runtime
// gave back to the system keeps its addresses.
const dataFloor = 1 << 30

// dataLimit bounds the private memory of one process, a backstop behind GOMEMLIMIT and beside the control group.
func dataLimit(memory int64) uint64 {
	if memory <= 0 {
		return 0
	}
	return uint64(memory) + dataFloor
}

// PluginToHost refuses every address but a socket in the instance's own folder: the plugin picks what the host dials.
func (r *processRunner) PluginToHost(network, address string) (string, string, error) {
	if network != "unix" {
		return "", "", fmt.Errorf("the plugin wants to be reached at %s %q; only a unix socket in its own folder is allowed",
			network, address)
	}
	clean := filepath.Clean(address)
	if !strings.HasPrefix(clean, workOf(r.dir)+string(filepath.Separator)) {
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

// killPatience is how long a killed process is waited for. Longer takes only one that hangs in the kernel, which its owner goroutine
// goes on waiting for.
const killPatience = 5 * time.Second

// shutdown closes standard input, gives the process the grace, kills its group and waits for its end. It reports whether it ended.
func (r *processRunner) shutdown(grace time.Duration) bool {
	r.mu.Lock()
	started := r.started
	r.mu.Unlock()
	if !started {
		return true
	}
	_ = r.stdin.Close()
	if grace > 0 {
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-r.exited:
			return true
		case <-timer.C:
		}
	}
	select {
	case <-r.exited: // its number may be another's by now
		return true
	default:
	}
	_ = unix.Kill(-r.pid(), unix.SIGKILL)
	patience := time.NewTimer(killPatience)
	defer patience.Stop()
	select {
	case <-r.exited:
		return true
	case <-patience.C:
		r.spec.Log.Error("a killed plugin process does not end", "pid", r.pid())
		return false
	}
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
