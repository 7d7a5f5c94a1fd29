package pluginpool

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/postern-mail/postern/core/pluginprocess"
	"github.com/postern-mail/postern/sdk/scanner"
	"github.com/postern-mail/postern/sdk/serve"

	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// TestMain runs this program as a plugin where MODE says so, and the tests otherwise.
func TestMain(m *testing.M) {
	pluginprocess.RunStage()
	mode := os.Getenv("MODE")
	if mode == "" {
		goleak.VerifyTestMain(m)
		return
	}
	if gate := os.Getenv("GATE"); gate != "" {
		if _, err := os.Stat(gate); err != nil {
			os.Exit(1) // it does not start as long as the file is away
		}
	}
	serve.Main(serve.Plugin{
		Name: "test", Version: "1.0.0", Summary: "A plugin for tests.", Scanner: nothing{}, Inputs: scanner.Inputs{Envelope: true},
		Configure: func(context.Context, *serve.Configuration) (*serve.Configured, error) {
			problem := serve.Problem{Path: []string{"config"}, Summary: "it is " + mode, Warning: mode == "warned"}
			configured := &serve.Configured{Signatures: "7"}
			if mode == "bad" || mode == "warned" {
				configured.Problems = append(configured.Problems, problem)
			}
			return configured, nil
		},
	})
}

type nothing struct{}

// eaten is what the plugin took and keeps.
var eaten []byte

// Scan crashes and hangs on demand.
func (nothing) Scan(ctx context.Context, m *scanner.Message) (*scanner.Report, error) {
	switch {
	case os.Getenv("MODE") == "broken":
		return nil, errors.New("I never work")
	case m.Envelope.From == "crash":
		os.Exit(7)
	case m.Envelope.From == "eat":
		eaten = bytes.Repeat([]byte("x"), 64<<20)
	case m.Envelope.From == "hang":
		<-ctx.Done()
		select {}
	}
	return &scanner.Report{}, nil
}

// scan makes a call about content of that name, whose sender says what the plugin is to do.
func scan(p *Pool, name, sender string) error {
	l, err := p.AcquireFor(context.Background(), func() string { return name })
	if err != nil {
		return err
	}
	stream, err := pluginv1.NewScannerServiceClient(l.Conn()).Scan(l.Context)
	if err == nil {
		err = stream.Send(&pluginv1.ScanRequest{Frame: &pluginv1.ScanRequest_Opening{Opening: &pluginv1.ScanOpening{
			Call: name, Envelope: &pluginv1.Envelope{From: sender},
		}}})
	}
	if err == nil {
		_, err = stream.CloseAndRecv()
	}
	l.Done(err)
	return err
}

// until repeats until the answer is yes.
func until(t *testing.T, what string, yes func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !yes(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not %s", what)
		}
	}
}

func specOf(t *testing.T, mode string) Spec {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "pp") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return Spec{
		Process: pluginprocess.Spec{
			Name: "test", Executable: executable, Env: map[string]string{"MODE": mode}, StartTimeout: 10 * time.Second, RunDir: dir, Stage: "/proc/self/exe",
			Log: hclog.NewNullLogger(),
		},
		Concurrency: 2, Timeout: 10 * time.Second, Beat: 100 * time.Millisecond,
		Rules: Rules{
			MinBackoff: 10 * time.Millisecond, MaxBackoff: 50 * time.Millisecond, Stable: time.Minute, Failures: 1000, Window: time.Minute,
			Suspension: time.Hour,
		},
	}
}

func startPool(t *testing.T, spec Spec) *Pool {
	t.Helper()
	p, err := New(context.Background(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return p
}

func describe(t *testing.T, l *Lease) {
	t.Helper()
	if _, err := pluginv1.NewPluginServiceClient(l.Conn()).Describe(l.Context, &pluginv1.DescribeRequest{}); err != nil {
		t.Errorf("the instance does not serve: %v", err)
	}
}

func acquire(t *testing.T, p *Pool) *Lease {
	t.Helper()
	l, err := p.Acquire(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestStartRefuses(t *testing.T) {
	other := &pluginv1.DescribeResponse{Name: "other"}
	for name, change := range map[string]func(*Spec){
		"it is bad":                  func(s *Spec) { s.Process.Env["MODE"] = "bad" },
		"describes itself otherwise": func(s *Spec) { s.Description = other },
		"self-check":                 func(s *Spec) { s.Process.Env["MODE"] = "broken" },
		"the pinned one":             func(s *Spec) { s.Process.Digest = "sha256:" + strings.Repeat("0", 64) },
	} {
		spec := specOf(t, "good")
		spec.Instances = 2
		change(&spec)
		p, err := New(context.Background(), spec)
		if err == nil {
			p.Stop()
			t.Errorf("%s: it started", name)
		} else if !strings.Contains(err.Error(), name) {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
}

func TestWarningsAndSignatures(t *testing.T) {
	p := startPool(t, specOf(t, "warned"))
	if len(p.Warnings()) != 1 || p.Warnings()[0].GetSummary() != "it is warned" || p.Signatures() != "7" {
		t.Errorf("warnings %v, signatures %q", p.Warnings(), p.Signatures())
	}
}

// TestLeases: calls go to the instance with the fewest, no more than allowed at once, and wait for a place as long as a call may take.
func TestLeases(t *testing.T) {
	spec := specOf(t, "good")
	spec.Instances, spec.Timeout = 2, 300*time.Millisecond
	p := startPool(t, spec)
	used := map[string]int{}
	var leases []*Lease
	for range 4 {
		l := acquire(t, p)
		describe(t, l)
		used[l.Inbox()]++
		leases = append(leases, l)
	}
	for inbox, n := range used {
		if n != 2 {
			t.Errorf("%s has %d calls", inbox, n)
		}
	}
	if _, err := p.Acquire(context.Background()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a fifth call: %v", err)
	}
	var waiting sync.WaitGroup
	waiting.Go(func() {
		l, err := p.Acquire(context.Background())
		if err != nil {
			t.Errorf("waiting for a place: %v", err)
			return
		}
		l.Release()
	})
	leases[0].Release()
	waiting.Wait()
	for _, l := range leases[1:] {
		l.Release()
	}
}

// TestRestart: the next call after a death waits for the new instance; where none can be started calls are refused at once, and served
// again as soon as one can.
func TestRestart(t *testing.T) {
	gate := t.TempDir() + "/gate"
	open := func() {
		t.Helper()
		if err := os.WriteFile(gate, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	open()
	spec := specOf(t, "good")
	spec.Process.Env["GATE"], spec.Process.Reach.Read = gate, []string{filepath.Dir(gate)}
	p := startPool(t, spec)
	kill := func() {
		t.Helper()
		if err := syscall.Kill(p.Status().Pids[0], syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	l := acquire(t, p)
	exited := l.instance.process.Exited()
	kill()
	<-exited
	l.Release()
	l = acquire(t, p)
	describe(t, l)
	l.Release()
	if s := p.Status(); s.Restarts != 1 || s.Ready != 1 {
		t.Errorf("the status is %+v", s)
	}

	if err := os.Remove(gate); err != nil {
		t.Fatal(err)
	}
	l = acquire(t, p)
	exited = l.instance.process.Exited()
	kill()
	<-exited
	l.Release()
	for {
		l, err := p.Acquire(context.Background())
		if errors.Is(err, ErrUnavailable) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		l.Release()
	}
	open()
	for {
		l, err := p.Acquire(context.Background())
		if err == nil {
			describe(t, l)
			l.Release()
			break
		}
		if !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
	}
}

// TestDescriptionIsKept: a process that is started again has to describe itself as before.
func TestDescriptionIsKept(t *testing.T) {
	spec := specOf(t, "good")
	p := startPool(t, spec)
	l := acquire(t, p)
	description, err := pluginv1.NewPluginServiceClient(l.Conn()).Describe(l.Context, &pluginv1.DescribeRequest{})
	l.Release()
	if err != nil {
		t.Fatal(err)
	}
	spec.Description = proto.CloneOf(description)
	startPool(t, spec)
}
