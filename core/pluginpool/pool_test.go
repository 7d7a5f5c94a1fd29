package pluginpool

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
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

// Scan crashes and hangs on demand.
func (nothing) Scan(ctx context.Context, m *scanner.Message) (*scanner.Report, error) {
	switch {
	case os.Getenv("MODE") == "broken":
		return nil, errors.New("I never work")
	case m.Envelope.From == "crash":
		os.Exit(7)
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

// TestPoison: content that was there at two crashes is not given to the plugin again; what was there at one is.
func TestPoison(t *testing.T) {
	p := startPool(t, specOf(t, "good"))
	for n := range 2 {
		if err := scan(p, "bad", "crash"); err == nil || errors.Is(err, ErrPoison) {
			t.Fatalf("crash %d: %v", n, err)
		}
	}
	if err := scan(p, "bad", "crash"); !errors.Is(err, ErrPoison) {
		t.Errorf("the third time: %v", err)
	}
	if err := scan(p, "good", ""); err != nil {
		t.Errorf("other content: %v", err)
	}
	if s := p.Status(); s.Poison != 1 || s.Restarts != 2 {
		t.Errorf("the status is %+v", s)
	}
	p.Restart()
	until(t, "restarted", func() bool { return p.Status().Restarts == 3 && p.Status().Ready == 1 })
	if s := p.Status(); s.Poison != 1 {
		t.Errorf("a wanted restart counts as a crash: %+v", s)
	}
}

// TestUnavailable: a plugin that says so has not crashed.
func TestUnavailable(t *testing.T) {
	p := startPool(t, specOf(t, "good"))
	pid := p.Status().Pids[0]
	for range 3 {
		l, err := p.AcquireFor(context.Background(), func() string { return "content" })
		if err != nil {
			t.Fatal(err)
		}
		l.Done(status.Error(codes.Unavailable, "so is somebody else"))
	}
	if s := p.Status(); s.Poison != 0 || s.Restarts != 0 || s.Ready != 1 || s.Pids[0] != pid {
		t.Errorf("the status is %+v", s)
	}
}

// TestForgetsPoison: what is remembered is bounded.
func TestForgetsPoison(t *testing.T) {
	var p poison
	for n := range 2 * poisonous {
		p.blame(strconv.Itoa(n))
	}
	if len(p.crashes) != poisonous || len(p.order) != poisonous {
		t.Errorf("%d contents are remembered", len(p.crashes))
	}
}

// TestStoppedProcess: a process that lives and does nothing is replaced.
func TestStoppedProcess(t *testing.T) {
	p := startPool(t, specOf(t, "good"))
	pid := p.Status().Pids[0]
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	until(t, "replaced", func() bool { s := p.Status(); return s.Ready == 1 && s.Pids[0] != pid })
	if err := scan(p, "next", ""); err != nil {
		t.Error(err)
	}
}

// TestHangingCalls: an instance whose calls run out of time one after the other is replaced.
func TestHangingCalls(t *testing.T) {
	spec := specOf(t, "good")
	spec.Timeout, spec.Concurrency = 50*time.Millisecond, 100
	p := startPool(t, spec)
	pid := p.Status().Pids[0]
	for range lateCalls {
		if err := scan(p, "slow", "hang"); err == nil {
			t.Fatal("it answered")
		}
	}
	until(t, "replaced", func() bool { s := p.Status(); return s.Ready == 1 && s.Pids[0] != pid })
}

// TestSuspension: an instance that fails again and again is left alone, calls are refused at once, and a reset ends that.
func TestSuspension(t *testing.T) {
	spec := specOf(t, "good")
	spec.Rules.Failures, spec.Timeout = 2, time.Second
	p := startPool(t, spec)
	for n := 0; p.Status().States[0] != Suspended; n++ {
		if n > 100 {
			t.Fatalf("the status is %+v", p.Status())
		}
		if err := scan(p, strconv.Itoa(n), "crash"); err == nil {
			t.Fatal("it did not crash")
		}
	}
	if _, err := p.Acquire(context.Background()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a suspended plugin: %v", err)
	}
	p.Reset()
	until(t, "ready again", func() bool { return p.Status().Ready == 1 })
	if err := scan(p, "next", ""); err != nil {
		t.Error(err)
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
