package pluginprocess

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/postern-mail/postern/sdk/scanner"
	"github.com/postern-mail/postern/sdk/serve"

	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// TestMain runs this program as a plugin where MODE says so, and the tests otherwise.
func TestMain(m *testing.M) {
	RunStage()
	if mode := os.Getenv("MODE"); mode != "" {
		misbehave(mode)
		return
	}
	goleak.VerifyTestMain(m)
}

// misbehave is a plugin with one fault, or none.
func misbehave(mode string) {
	handshake := func(network, address string) { fmt.Printf("1|1|%s|%s|grpc\n", network, address) }
	switch mode {
	case "good":
	case "noise":
		fmt.Fprintln(os.Stderr, `{"@level":7,"@message":["no","text"],"@timestamp":"never","x":{"y":1}}`)
		fmt.Fprintln(os.Stderr, `{"@level":"warn","@message":"fine","k":"v\u001b[31m"}`)
		fmt.Fprintln(os.Stderr, "panic: not really\x1b[2J")
		fmt.Fprintln(os.Stderr, strings.Repeat("long ", 100_000))
	case "no-handshake":
		fmt.Println("hello?")
	case "exits":
		fmt.Fprintln(os.Stderr, "I have no time")
		os.Exit(3)
	case "silent":
		select {}
	case "tcp":
		handshake("tcp", "127.0.0.1:19999") // the sandbox lets it listen nowhere
		select {}
	case "outside":
		handshake("unix", filepath.Join(os.Getenv("OUTSIDE"), "s"))
		select {}
	case "link":
		link := filepath.Join(os.Getenv("TMPDIR"), "s")
		if os.Symlink(filepath.Join(os.Getenv("OUTSIDE"), "s"), link) == nil {
			handshake("unix", link)
		}
		select {}
	case "glutton":
		for kept := map[int][]byte{}; ; {
			kept[len(kept)] = bytes.Repeat([]byte("x"), 1<<20)
		}
	case "probe":
		probe()
	case "forks":
		// A child that keeps the pipes open and outlives its parent.
		child := exec.Command("/bin/sleep", "1000")
		child.Stdout, child.Stderr = os.Stdout, os.Stderr
		if err := child.Start(); err != nil {
			panic(err)
		}
		fmt.Fprintln(os.Stderr, "child", child.Process.Pid)
		os.Exit(1)
	case "deaf":
		// Neither the end of standard input nor SIGTERM end it.
		stdin, err := os.Open("/dev/zero")
		if err != nil {
			panic(err)
		}
		os.Stdin = stdin
	}
	fmt.Fprintln(os.Stderr, "environment "+strings.Join(os.Environ(), " "))
	serve.Main(serve.Plugin{
		Name: "test", Version: "1.0.0", Summary: "A plugin for tests.", Scanner: nothing{},
		Configure: func(context.Context, *serve.Configuration) (*serve.Configured, error) {
			for range 10_000 {
				_, _ = syscall.Write(1, []byte("words on standard output\n")) // go-plugin has put something else in os.Stdout
			}
			return &serve.Configured{}, nil
		},
	})
}

type nothing struct{}

func (nothing) Scan(context.Context, *scanner.Message) (*scanner.Report, error) {
	return &scanner.Report{}, nil
}

// recorded is a log whose lines a test can wait for.
type recorded struct {
	mu   sync.Mutex
	text bytes.Buffer
	news chan struct{}
}

func newRecorded() *recorded { return &recorded{news: make(chan struct{}, 1)} }

func (r *recorded) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text.Write(p)
	select {
	case r.news <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (r *recorded) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func (r *recorded) wait(t *testing.T, text string) {
	t.Helper()
	patience := time.After(20 * time.Second)
	for !strings.Contains(r.String(), text) {
		select {
		case <-r.news:
		case <-patience:
			t.Fatalf("the log lacks %q: %.2000s", text, r.String())
		}
	}
}

func specOf(t *testing.T, mode string, log *recorded) Spec {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "pp") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		left, err := os.ReadDir(dir)
		if err != nil || len(left) > 0 {
			t.Errorf("left behind are %v, %v", left, err)
		}
		_ = os.RemoveAll(dir)
	})
	return Spec{
		Name: "test", Executable: executable, Env: map[string]string{"MODE": mode}, StartTimeout: 10 * time.Second, RunDir: dir,
		Stage: "/proc/self/exe",
		Log:   hclog.New(&hclog.LoggerOptions{Output: log, Level: hclog.Debug, JSONFormat: true}),
	}
}

func TestGoodPlugin(t *testing.T) {
	t.Setenv("DATABASE_PASSWORD", "secret")
	log := newRecorded()
	spec := specOf(t, "good", log)
	digest, err := Digest(spec.Executable)
	if err != nil {
		t.Fatal(err)
	}
	spec.Digest = digest
	p, err := Start(context.Background(), spec)
	if err != nil {
		t.Fatal(err)
	}
	description, err := pluginv1.NewPluginServiceClient(p.Conn()).Describe(context.Background(), &pluginv1.DescribeRequest{})
	if err != nil || description.GetName() != "test" {
		t.Errorf("described as %v, %v", description, err)
	}
	log.wait(t, "environment ")
	if strings.Contains(log.String(), "DATABASE_PASSWORD") || !strings.Contains(log.String(), "MODE=good") {
		t.Errorf("the environment is %s", log)
	}
	p.Stop()
	p.Stop()
	select {
	case <-p.Exited():
	default:
		t.Error("stopped and not gone")
	}
	if err := syscall.Kill(p.Pid(), 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the process is still there: %v", err)
	}
}

// TestBadStarts: each fault is an error within bounds that says what is wrong, and nothing is left.
func TestBadStarts(t *testing.T) {
	outside, err := os.MkdirTemp("", "out")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(outside) })
	// Somebody else's socket, which the plugin names as its own.
	listener, err := net.Listen("unix", filepath.Join(outside, "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	tests := []struct {
		mode string
		says string
	}{
		{"no-handshake", "hello?"},
		{"exits", "I have no time"},
		{"silent", ""},
		{"tcp", "only a unix socket in its own folder is allowed"},
		{"outside", "outside its own folder"},
		{"link", "is not a socket"},
		{"forks", "child"},
	}
	for _, test := range tests {
		t.Run(test.mode, func(t *testing.T) {
			log := newRecorded()
			spec := specOf(t, test.mode, log)
			spec.Env["OUTSIDE"] = outside
			if test.mode == "silent" {
				spec.StartTimeout = 200 * time.Millisecond
			}
			started := time.Now()
			p, err := Start(context.Background(), spec)
			if err == nil {
				p.Stop()
				t.Fatal("it started")
			}
			if !strings.Contains(err.Error(), test.says) {
				t.Errorf("the error is %v", err)
			}
			if took := time.Since(started); took > spec.StartTimeout+5*time.Second {
				t.Errorf("it took %s", took)
			}
			// The child's number in its own namespace says nothing here: what it was given tells it.
			if pid := processWith(t, "OUTSIDE="+outside); pid != "" {
				t.Errorf("process %s of it lives on", pid)
			}
		})
	}
}

// processWith finds a process, other than a dead one, by a word of its environment.
func processWith(t *testing.T, word string) (pid string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		// One that has ended has none to be read.
		if environment, err := os.ReadFile(file); err == nil && slices.Contains(strings.Split(string(environment), "\x00"), word) {
			return filepath.Base(filepath.Dir(file))
		}
	}
	return ""
}

func TestWrongDigest(t *testing.T) {
	spec := specOf(t, "good", newRecorded())
	spec.Digest = "sha256:" + strings.Repeat("0", 64)
	if p, err := Start(context.Background(), spec); !errors.Is(err, ErrDigest) {
		p.Stop()
		t.Errorf("the error is %v", err)
	}
}

func TestStartIsGivenUpWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	started := time.Now()
	if p, err := Start(ctx, specOf(t, "silent", newRecorded())); err == nil {
		p.Stop()
		t.Error("it started")
	}
	if took := time.Since(started); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}

// TestNoise: whatever a plugin writes becomes bounded, printable log lines, and the plugin serves on.
func TestNoise(t *testing.T) {
	log := newRecorded()
	p, err := Start(context.Background(), specOf(t, "noise", log))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	if _, err := pluginv1.NewPluginServiceClient(p.Conn()).Configure(context.Background(), &pluginv1.ConfigureRequest{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"(no message)"`, `"p_k":"v\\x1b[31m"`, `"@level":"error","@message":"panic: not really\\x1b[2J"`, `"truncated":true`,
		"plugin wrote to standard output"} {
		log.wait(t, want)
	}
	for line := range strings.Lines(log.String()) {
		if len(line) > 2*maxLine {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
	if _, err := pluginv1.NewPluginServiceClient(p.Conn()).Describe(context.Background(), &pluginv1.DescribeRequest{}); err != nil {
		t.Errorf("it does not serve: %v", err)
	}
}

// TestStopIsBounded: a plugin that does not end by itself is killed.
func TestStopIsBounded(t *testing.T) {
	p, err := Start(context.Background(), specOf(t, "deaf", newRecorded()))
	if err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	p.Stop()
	if took := time.Since(started); took > stopGrace+5*time.Second {
		t.Errorf("it took %s", took)
	}
}

// TestExitIsAnEvent: a killed process is noticed, with how it ended.
func TestExitIsAnEvent(t *testing.T) {
	p, err := Start(context.Background(), specOf(t, "good", newRecorded()))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	if err := syscall.Kill(p.Pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.Exited():
	case <-time.After(10 * time.Second):
		t.Fatal("its end was not noticed")
	}
	if status := p.ExitStatus(); !strings.Contains(status, "killed") {
		t.Errorf("it ended by %q", status)
	}
}

// FuzzLogLine: any line becomes a log line without control characters.
func FuzzLogLine(f *testing.F) {
	f.Add(`{"@level":"warn","@message":"m","k":[1,2]}`)
	f.Add("plain\x00\xff")
	f.Fuzz(func(t *testing.T, line string) {
		_, text, fields := parseLine(line)
		for _, v := range append(fields, text) {
			s := fmt.Sprint(v)
			if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }) {
				t.Errorf("%q becomes %q", line, s)
			}
		}
		if len(fields) > 2*maxFields {
			t.Errorf("%d fields", len(fields))
		}
	})
}
