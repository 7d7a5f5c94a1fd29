// Package pluginprocess runs one plugin process in a sandbox: an executable with its pinned digest goes in, a gRPC connection comes out,
// and an exit is an event. go-plugin does the handshake; start, sandbox, output, environment and death are ours, because go-plugin lets
// one log line kill the host, waits without bound when it kills, and hands the host's environment down.
package pluginprocess

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	"github.com/postern-mail/postern/core/plugincatalog"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// ErrDigest says that the executable is not the one that was pinned.
var ErrDigest = errors.New("the executable is not the pinned one")

// Spec is what to run and how.
type Spec struct {
	Name       string
	Executable string
	Args       []string
	// Digest is "sha256:" and hexadecimal; the executable is refused where it differs. Empty: any (only `plugin pin` does so).
	Digest string
	// Image is the sealed copy of the executable that runs. Nil: one is made, which ends with the process.
	Image *Image
	// Env is the whole environment that the operator gave; nothing is inherited.
	Env map[string]string
	// Memory is the limit in bytes, 0: none.
	Memory int64
	// Reach are the files and ports that it may use beside its own folder and the system's libraries.
	Reach plugincatalog.Reach
	// Require are the guards without which it is not started.
	Require []string
	// Stage is a program that calls RunStage first thing in main: usually this one, "/proc/self/exe".
	Stage        string
	StartTimeout time.Duration
	// RunDir is the folder in which the instance's own folder is made (mode 0700). Its path must be short: a socket's path
	// has at most 108 bytes.
	RunDir string
	// Log gets the plugin's cleaned output and the life of the process.
	Log hclog.Logger
}

// Process is a plugin that has shaken hands.
type Process struct {
	client *goplugin.Client
	runner *processRunner
	conn   *grpc.ClientConn
	dir    string
	stop   sync.Once
}

// stopGrace is how long a process has to end by itself once its standard input is closed.
const stopGrace = 2 * time.Second

// Start runs the executable and returns when the plugin has shaken hands. On error nothing is left running.
func Start(ctx context.Context, spec Spec) (*Process, error) {
	image := spec.Image
	if image == nil {
		var err error
		if image, err = Seal(spec.Executable, spec.Digest); err != nil {
			return nil, fmt.Errorf("start plugin %s: %w", spec.Name, err)
		}
		defer image.Close()
	}
	dir, err := os.MkdirTemp(spec.RunDir, "p")
	if err != nil {
		return nil, fmt.Errorf("start plugin %s: make instance folder: %w", spec.Name, err)
	}
	for _, folder := range []string{workOf(dir), inboxOf(dir)} {
		if err := os.Mkdir(folder, 0o700); err != nil {
			return nil, fmt.Errorf("start plugin %s: make instance folder: %w", spec.Name, errors.Join(err, os.RemoveAll(dir)))
		}
	}
	p := &Process{dir: dir, runner: newRunner(spec, image, dir)}
	p.client = goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig: goplugin.HandshakeConfig{
			ProtocolVersion: pluginv1.ProtocolVersion, MagicCookieKey: pluginv1.CookieKey, MagicCookieValue: pluginv1.CookieValue,
		},
		Plugins:          goplugin.PluginSet{"postern": connector{}},
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		SkipHostEnv:      true,
		StartTimeout:     spec.StartTimeout,
		Logger:           hclog.NewNullLogger(),
		SyncStdout:       io.Discard,
		SyncStderr:       io.Discard,
		UnixSocketConfig: &goplugin.UnixSocketConfig{TempDir: dir},
		GRPCDialOptions: []grpc.DialOption{
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(pluginv1.MaxMessage), grpc.MaxCallSendMsgSize(pluginv1.MaxMessage)),
			grpc.WithInitialWindowSize(pluginv1.StreamWindow), grpc.WithInitialConnWindowSize(pluginv1.ConnectionWindow),
		},
		RunnerFunc: func(_ hclog.Logger, command *exec.Cmd, _ string) (runner.Runner, error) {
			p.runner.handshakeEnv = command.Env
			return p.runner, nil
		},
	})
	if err := p.connect(ctx); err != nil {
		p.Stop()
		return nil, fmt.Errorf("start plugin %s: %w", spec.Name, err)
	}
	return p, nil
}

// connect shakes hands. It is given up when ctx ends: the process is killed, which ends go-plugin's waiting.
func (p *Process) connect(ctx context.Context) error {
	stopWatch := context.AfterFunc(ctx, func() { _ = p.runner.Kill(ctx) })
	defer stopWatch()
	protocol, err := p.client.Client()
	if err != nil {
		return fmt.Errorf("shake hands: %w%s", err, p.runner.notes())
	}
	raw, err := protocol.Dispense("postern")
	if err != nil {
		return fmt.Errorf("shake hands: %w", err)
	}
	p.conn = raw.(*grpc.ClientConn)
	return ctx.Err()
}

// Conn is the connection to the plugin's services.
func (p *Process) Conn() grpc.ClientConnInterface { return p.conn }

// Broken reports whether the connection breaks within the time: a plugin may also say "unavailable" of its own accord.
func (p *Process) Broken(within time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	return p.conn.WaitForStateChange(ctx, connectivity.Ready)
}

// Inbox is the folder in which the plugin finds bodies by reference.
func (p *Process) Inbox() string { return inboxOf(p.dir) }

// Folder is the folder that the plugin may write.
func (p *Process) Folder() string { return workOf(p.dir) }

// HangUp closes the plugin's standard input, as the end of the host does, and reports whether the process ends within the time.
func (p *Process) HangUp(within time.Duration) bool {
	_ = p.runner.stdin.Close()
	select {
	case <-p.runner.exited:
		return true
	case <-time.After(within):
		return false
	}
}

// Level is the sandbox that the process runs in.
func (p *Process) Level() Level { return p.runner.level }

// Pid is the process id.
func (p *Process) Pid() int { return p.runner.pid() }

// Memory is how much memory the process has of its own, in bytes; 0 where it has ended.
func (p *Process) Memory() int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.Pid()))
	if err != nil {
		return 0
	}
	var total, resident, shared int64
	if _, err := fmt.Sscan(string(text), &total, &resident, &shared); err != nil {
		return 0
	}
	return (resident - shared) * int64(os.Getpagesize())
}

// Exited is closed when the process has ended, for whatever reason.
func (p *Process) Exited() <-chan struct{} { return p.runner.exited }

// ExitStatus says how the process ended and what it last wrote to standard error; call it after Exited.
func (p *Process) ExitStatus() string { return p.runner.exitStatus() }

// Stop ends the process and removes its folder. It closes the plugin's standard input, waits a moment, then kills the process
// group. It is bounded, idempotent, and needs no answer from the plugin.
func (p *Process) Stop() {
	p.stop.Do(func() {
		if p.runner.shutdown(stopGrace) {
			// The process is gone, so that go-plugin's own Kill, which has no deadline, has nothing left to wait for.
			p.client.Kill()
		}
		if err := os.RemoveAll(p.dir); err != nil {
			p.runner.spec.Log.Warn("removing the instance folder failed", "error", err)
		}
	})
}

// connector hands the connection out as it is.
type connector struct {
	goplugin.NetRPCUnsupportedPlugin
}

func (connector) GRPCServer(*goplugin.GRPCBroker, *grpc.Server) error {
	return errors.New("the host serves no plugin")
}

func (connector) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return conn, nil
}
