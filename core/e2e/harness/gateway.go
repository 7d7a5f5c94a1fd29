package harness

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Setup says which gateway to run.
type Setup struct {
	Bin    string   // folder of postern and its plugins
	Config string   // configuration folder, with its lock file
	State  string   // for POSTERN_STATE
	Env    []string // added to the environment
	Levels string   // of the log; "info" where empty
	// Wrap is put in front of the command line, for strace and its kind.
	Wrap []string
	// Tee gets every line of the log too.
	Tee io.Writer
}

// Gateway is a running `postern serve`.
type Gateway struct {
	setup   Setup
	command *exec.Cmd
	reading sync.WaitGroup

	mu        sync.Mutex
	log       bytes.Buffer
	addresses map[string]string
	ready     chan struct{}
	exited    chan struct{}
	exitErr   error
}

// Start runs the gateway and returns when it is ready, or with what it said instead.
func Start(ctx context.Context, setup Setup) (*Gateway, error) {
	if setup.Levels == "" {
		setup.Levels = "info"
	}
	line := append(append([]string{}, setup.Wrap...), setup.binary(), "serve", "--config", setup.Config, "--log-json", "--log-level", setup.Levels)
	g := &Gateway{setup: setup, addresses: map[string]string{}, ready: make(chan struct{}), exited: make(chan struct{})}
	g.command = exec.Command(line[0], line[1:]...)
	g.command.Env = setup.environment()
	g.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := g.command.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("start gateway: %w", err)
	}
	if err := g.command.Start(); err != nil {
		return nil, fmt.Errorf("start gateway: %w", err)
	}
	g.reading.Go(func() { g.read(stderr) })
	go func() {
		g.reading.Wait()
		g.exitErr = g.command.Wait()
		close(g.exited)
	}()
	select {
	case <-g.ready:
		return g, nil
	case <-g.exited:
		return nil, fmt.Errorf("start gateway: it ended (%w) and said:\n%s", errOr(g.exitErr), g.Log())
	case <-ctx.Done():
		g.Kill()
		return nil, fmt.Errorf("start gateway: %w; it said:\n%s", ctx.Err(), g.Log())
	}
}

func errOr(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

func (s *Setup) binary() string { return filepath.Join(s.Bin, "postern") }

func (s *Setup) environment() []string {
	return append(append(os.Environ(), "POSTERN_STATE="+s.State), s.Env...)
}

// read keeps the log and looks for what Start waits for.
func (g *Gateway) read(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var entry struct {
			Message  string `json:"@message"`
			Listener string `json:"listener"`
			Address  string `json:"address"`
		}
		isEntry := json.Unmarshal(lines.Bytes(), &entry) == nil
		g.mu.Lock()
		g.log.Write(lines.Bytes())
		g.log.WriteByte('\n')
		if isEntry && entry.Message == "listening" {
			g.addresses[entry.Listener] = entry.Address
		}
		g.mu.Unlock()
		if g.setup.Tee != nil {
			_, _ = fmt.Fprintf(g.setup.Tee, "%s\n", lines.Bytes())
		}
		if isEntry && entry.Message == "postern is ready" {
			close(g.ready)
		}
	}
}

// Log is what the gateway has said so far.
func (g *Gateway) Log() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.log.String()
}

// Address is where the listener of that name listens.
func (g *Gateway) Address(listener string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.addresses[listener]
}

// Pid is the process id of the gateway, or of what wraps it.
func (g *Gateway) Pid() int { return g.command.Process.Pid }

// Signal sends the gateway a signal.
func (g *Gateway) Signal(s os.Signal) error { return g.command.Process.Signal(s) }

// Stop drains the gateway and waits for its end.
func (g *Gateway) Stop() error {
	if err := g.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop gateway: %w", err)
	}
	<-g.exited
	if g.exitErr != nil {
		return fmt.Errorf("stop gateway: %w; it said:\n%s", g.exitErr, g.Log())
	}
	return nil
}

// Kill ends the gateway as a power failure of the process would.
func (g *Gateway) Kill() {
	_ = g.command.Process.Kill()
	<-g.exited
}

// Exited is closed when the gateway has ended.
func (g *Gateway) Exited() <-chan struct{} { return g.exited }

// Run runs another command of postern on the same configuration and store and returns what it printed.
func (s Setup) Run(ctx context.Context, args ...string) (string, error) {
	command := exec.CommandContext(ctx, s.binary(), append(args, "--config", s.Config)...)
	command.Env = s.environment()
	var out, errOut bytes.Buffer
	command.Stdout, command.Stderr = &out, &errOut
	if err := command.Run(); err != nil {
		return out.String(), fmt.Errorf("postern %s: %w: %s", strings.Join(args, " "), err, errOut.String())
	}
	return out.String(), nil
}

// Pin writes the lock file of the configuration folder for all plugins in the folder of binaries.
func (s Setup) Pin(ctx context.Context) error {
	plugins, err := filepath.Glob(filepath.Join(s.Bin, "postern-*"))
	if err != nil {
		return fmt.Errorf("pin plugins: %w", err)
	}
	_, err = s.Run(ctx, append([]string{"plugin", "pin"}, plugins...)...)
	return err
}

// Eventually asks until the answer is yes or ctx ends, for what cannot be waited for otherwise: another process's store.
func Eventually(ctx context.Context, what string, ask func() (bool, error)) error {
	ticks := time.NewTicker(50 * time.Millisecond)
	defer ticks.Stop()
	for {
		ok, err := ask()
		if err != nil || ok {
			return err
		}
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w", what, ctx.Err())
		}
	}
}
