package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/postern-mail/postern/sdk/scanner"
)

// tool opens a format with 7zz.
func tool(kind string) func(*job, file) error {
	return func(j *job, f file) error { return j.tool7(f, kind, "") }
}

// findTool looks for Debian's 7zz and asks its version.
func findTool(ctx context.Context, configured string) (path, version string, err error) {
	path = configured
	if path == "" {
		for _, name := range []string{"7zz", "7z"} {
			if path, err = exec.LookPath(name); err == nil {
				break
			}
		}
		if err != nil {
			return "", "", fmt.Errorf("look for 7zz: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	command, err := confined(ctx, path, "i")
	if err != nil {
		return "", "", err
	}
	out, err := command.Output()
	if err != nil {
		return "", "", fmt.Errorf("run %s: %w", path, err)
	}
	for line := range strings.Lines(string(out)) {
		if words := strings.Fields(line); len(words) > 2 && words[0] == "7-Zip" {
			for _, w := range words {
				if w[0] >= '0' && w[0] <= '9' {
					return path, "7zz " + w, nil
				}
			}
		}
	}
	return "", "", fmt.Errorf("%s is not 7-Zip", path)
}

// unsupported says that a container is of a kind that nothing here opens. It is never clean.
func (j *job) unsupported(f file, what string) error {
	return j.trouble(scanner.TroubleBroken, "format_unsupported", fmt.Sprintf("%s: %s cannot be opened", f.name, what))
}

// toolEntry is one file in the tool's listing.
type toolEntry struct {
	name      string
	size      int64 // -1: unknown
	encrypted bool
}

// toolFiles is up to how many files are fetched one by one where the listing does not say how large they are.
const toolFiles = 64

// tool7 opens a container with 7zz in a confined child process: it reads one file in the plugin's own folder, under a neutral name, and
// writes to a pipe. No name out of the container reaches a file system. A container of one file, whose name is known from elsewhere, is not
// listed before.
func (j *job) tool7(f file, kind, name string) error {
	if j.settings.tool == "" {
		return j.trouble(scanner.TroublePlugin, "tool_missing", fmt.Sprintf("%s: 7zz is not installed, which opens %s", f.name, kind))
	}
	in, err := scratch(f.data)
	if err != nil {
		return errOutside{err}
	}
	defer func() { _ = os.RemoveAll(filepath.Dir(in)) }()
	if name != "" {
		return j.run([]string{"x", "-so", "-p-", "-t" + kind, "--", in}, func(out io.Reader) error { return j.member(f, name, out) })
	}
	entries, err := j.list(in, kind)
	if len(entries) == 0 {
		return err
	}
	known := true
	for _, e := range entries {
		known = known && e.size >= 0
	}
	if !known && len(entries) > toolFiles {
		entries, known = entries[:toolFiles], false
		err = errors.Join(err, fmt.Errorf("only the first %d files were read", toolFiles))
	}
	var openErr error
	if known {
		openErr = j.extractAll(f, in, kind, entries)
	} else {
		openErr = j.extractEach(f, in, kind, entries)
	}
	if openErr != nil && ends(openErr) {
		return openErr
	}
	return errors.Join(err, openErr)
}

// toolFile opens a container that holds one file, whose name is known from elsewhere.
func (j *job) toolFile(f file, name, kind string, content []byte) error {
	return j.tool7(file{number: f.number, layer: f.layer, name: f.name, data: content}, kind, name)
}

// scratch writes the container to a folder of its own.
func scratch(data []byte) (path string, err error) {
	dir, err := os.MkdirTemp("", "tool-")
	if err != nil {
		return "", fmt.Errorf("make folder for the tool: %w", err)
	}
	path = filepath.Join(dir, "in")
	if err := os.WriteFile(path, data, 0o400); err != nil {
		return "", errors.Join(fmt.Errorf("write container for the tool: %w", err), os.RemoveAll(dir))
	}
	return path, nil
}

// list asks for the technical listing. The tool may list some files and fail nevertheless.
func (j *job) list(in, kind string) ([]toolEntry, error) {
	command, err := confined(j.ctx, j.settings.tool, "l", "-slt", "-ba", "-p-", "-t"+kind, "--", in)
	if err != nil {
		return nil, err
	}
	const most = 16 << 20
	var out cappedBuffer
	out.most = most
	command.Stdout = &out
	runErr := command.Run()
	if runErr != nil {
		runErr = fmt.Errorf("list with 7zz: %w", runErr)
	}
	var entries []toolEntry
	var current *toolEntry
	folder := false
	flush := func() {
		if current != nil && !folder {
			entries = append(entries, *current)
		}
		current, folder = nil, false
	}
	lines := bufio.NewScanner(&out.Buffer)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		key, value, found := strings.Cut(lines.Text(), " = ")
		if !found {
			key, value = strings.TrimSuffix(lines.Text(), " ="), ""
		}
		switch {
		case key == "Path":
			flush()
			current = &toolEntry{name: value, size: -1}
		case current == nil:
		case key == "Folder":
			folder = value == "+"
		case key == "Attributes":
			folder = folder || strings.HasPrefix(value, "D")
		case key == "Size":
			if n, err := strconv.ParseInt(value, 10, 64); err == nil {
				current.size = n
			}
		case key == "Encrypted":
			current.encrypted = value == "+"
		}
	}
	flush()
	if j.ctx.Err() != nil {
		return nil, j.inTime()
	}
	return entries, runErr
}

// extractAll lets the tool write all files one after the other, and cuts them apart by their listed sizes.
func (j *job) extractAll(f file, in, kind string, entries []toolEntry) error {
	return j.run([]string{"x", "-so", "-p-", "-t" + kind, "--", in}, func(out io.Reader) error {
		for _, e := range entries {
			if e.encrypted {
				if err := j.locked(f, e.name); err != nil {
					return err
				}
				continue
			}
			content := &io.LimitedReader{R: out, N: e.size}
			if err := j.member(f, e.name, content); err != nil {
				return err
			}
			if content.N > 0 {
				return fmt.Errorf("%s: %w", e.name, io.ErrUnexpectedEOF)
			}
		}
		return nil
	})
}

// extractEach runs the tool once for every file.
func (j *job) extractEach(f file, in, kind string, entries []toolEntry) error {
	var broken error
	for _, e := range entries {
		if e.encrypted {
			if err := j.locked(f, e.name); err != nil {
				return err
			}
			continue
		}
		// The name is a pattern to the tool, which -spd takes literally.
		err := j.run([]string{"x", "-so", "-spd", "-p-", "-t" + kind, "--", in, e.name}, func(out io.Reader) error {
			return j.member(f, e.name, out)
		})
		if err != nil && ends(err) {
			return err
		}
		broken = errors.Join(broken, err)
	}
	return broken
}

// run starts the tool and reads what it writes.
func (j *job) run(arguments []string, read func(io.Reader) error) error {
	ctx, cancel := context.WithCancel(j.ctx)
	defer cancel()
	command, err := confined(ctx, j.settings.tool, arguments...)
	if err != nil {
		return err
	}
	out, err := command.StdoutPipe()
	if err != nil {
		return fmt.Errorf("run 7zz: %w", err)
	}
	if err := command.Start(); err != nil {
		return fmt.Errorf("run 7zz: %w", err)
	}
	readErr := read(out)
	if readErr != nil {
		cancel()
	}
	// What it writes beyond what was listed must not keep it from ending.
	_, _ = io.Copy(io.Discard, io.LimitReader(out, 1<<20))
	cancelled := readErr != nil
	err = command.Wait()
	switch {
	case cancelled:
		return readErr
	case j.ctx.Err() != nil:
		return j.inTime()
	case err != nil:
		return fmt.Errorf("7zz: %w", err)
	}
	return nil
}

// cappedBuffer fails when more is written than it takes.
type cappedBuffer struct {
	bytes.Buffer
	most int
}

func (b *cappedBuffer) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.most {
		return 0, errors.New("too much output")
	}
	return b.Buffer.Write(p)
}

// confineWord as the first argument makes this program the small one that limits itself and then becomes the tool.
const confineWord = "confined-tool"

// Limits of the tool's process.
const (
	toolAddressSpace = 1 << 30
	toolSeconds      = 20
	toolOpenFiles    = 32
)

// confined is the tool as a child: a process group of its own that is killed with ctx, a clean environment, and the limits of runConfined.
func confined(ctx context.Context, path string, arguments ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("run 7zz: %w", err)
	}
	command := exec.CommandContext(ctx, "/proc/self/exe", append([]string{confineWord, path}, arguments...)...)
	command.Args[0] = self
	command.Env = []string{"LANG=C.UTF-8", "LC_ALL=C.UTF-8", "PATH=/usr/bin:/bin"}
	command.Dir = "/"
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	command.Cancel = func() error { return unix.Kill(-command.Process.Pid, unix.SIGKILL) }
	command.WaitDelay = time.Second
	return command, nil
}

// becomeWithin limits the address space and becomes the program. This program itself has more than that mapped, and ends when it cannot
// get more: everything that takes memory is done before.
func becomeWithin(addressSpace uint64, arguments []string) error {
	debug.SetGCPercent(-1)
	path, err := unix.BytePtrFromString(arguments[0])
	if err != nil {
		return err
	}
	argv, err := syscall.SlicePtrFromStrings(arguments)
	if err != nil {
		return err
	}
	env, err := syscall.SlicePtrFromStrings(os.Environ())
	if err != nil {
		return err
	}
	limit := unix.Rlimit{Cur: addressSpace, Max: addressSpace}
	if err := unix.Setrlimit(unix.RLIMIT_AS, &limit); err != nil {
		return err
	}
	_, _, errno := unix.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(path)), uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&env[0])))
	return errno
}

func isConfined() bool { return len(os.Args) > 2 && os.Args[1] == confineWord }

// runConfined limits this process and becomes the tool. A file it writes may have no length, so that whatever a container's reader can be
// brought to do, it leaves nothing behind.
func runConfined(arguments []string) int {
	if err := restrict(arguments); err != nil {
		fmt.Fprintf(os.Stderr, "restrict the tool: %v\n", err)
		return 1
	}
	for limit, value := range map[int]uint64{
		unix.RLIMIT_FSIZE: 0, unix.RLIMIT_CORE: 0, unix.RLIMIT_CPU: toolSeconds, unix.RLIMIT_NOFILE: toolOpenFiles,
	} {
		if err := unix.Setrlimit(limit, &unix.Rlimit{Cur: value, Max: value}); err != nil {
			fmt.Fprintf(os.Stderr, "limit the tool: %v\n", err)
			return 1
		}
	}
	err := becomeWithin(toolAddressSpace, arguments)
	fmt.Fprintf(os.Stderr, "become the tool: %v\n", err)
	return 1
}
