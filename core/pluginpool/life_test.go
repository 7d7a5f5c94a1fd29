package pluginpool

import (
	"context"
	"errors"
	"strconv"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

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

// TestTooMuchMemory: a process that has more than it may is replaced.
func TestTooMuchMemory(t *testing.T) {
	spec := specOf(t, "good")
	spec.Process.Memory = 48 << 20
	p := startPool(t, spec)
	pid := p.Status().Pids[0]
	if err := scan(p, "large", "eat"); err != nil {
		t.Logf("it was ended before it answered: %v", err)
	}
	until(t, "replaced", func() bool { s := p.Status(); return s.Ready == 1 && s.Pids[0] != pid })
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
