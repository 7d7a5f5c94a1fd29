package clock

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// place is what several clocks share, and a world whose time passes only when it is told to.
type place struct {
	elapsed time.Duration
	jumped  time.Duration // by which the reference is off
	ahead   time.Duration
	changes int
	fails   error
	slow    time.Duration // how long the reference takes to answer
	meet    func()        // happens before a change is made
}

func start() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// system is a clock without jumps, as one's monotonic reading is.
func (p *place) system() time.Time { return start().Add(-time.Minute + p.elapsed) }

func (p *place) Reference(context.Context) (time.Time, time.Duration, error) {
	ahead := p.ahead
	p.elapsed += p.slow / 2
	now := start().Add(p.elapsed + p.jumped)
	p.elapsed += p.slow / 2
	return now, ahead, p.fails
}

func (p *place) Change(_ context.Context, from, to time.Duration) (bool, error) {
	if p.meet != nil {
		meet := p.meet
		p.meet = nil
		meet()
	}
	if p.fails != nil || from != p.ahead {
		return false, p.fails
	}
	p.ahead = to
	p.changes++
	return true, nil
}

func (p *place) begin(t *testing.T) (*Steady, *strings.Builder) {
	t.Helper()
	var log strings.Builder
	s := New(p.system, slog.New(slog.NewTextHandler(&log, nil)))
	if err := s.Begin(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	return s, &log
}

func (p *place) look(t *testing.T, clocks ...*Steady) {
	t.Helper()
	for _, s := range clocks {
		if err := s.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func (p *place) expect(t *testing.T, what string, clocks ...*Steady) {
	t.Helper()
	for i, s := range clocks {
		if got := s.Now().Sub(start()); (got - p.elapsed).Abs() > time.Millisecond {
			t.Errorf("%s: clock %d shows %s after %s", what, i, got, p.elapsed)
		}
	}
}

// TestJumps: steady time goes on evenly through any jumps, whenever they are seen, and who begins later takes it over.
func TestJumps(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour, 24 * time.Hour, -24 * time.Hour, 5 * time.Second, -5 * time.Second} {
		p := &place{}
		s, log := p.begin(t)
		p.elapsed += time.Second
		p.jumped += jump
		p.expect(t, "a jump that is not seen yet", s)
		p.look(t, s)
		p.elapsed += time.Second
		p.expect(t, "a jump", s)
		if !strings.Contains(log.String(), "by="+jump.String()) {
			t.Errorf("the log does not name %s: %s", jump, log)
		}
		p.jumped -= 3 * jump
		p.jumped += time.Minute // two jumps between two looks
		p.look(t, s)
		p.expect(t, "two jumps", s)
		later, _ := p.begin(t)
		p.expect(t, "one that begins later", later)
		if p.changes != 2 {
			t.Errorf("%d changes for two looks", p.changes)
		}
	}
}

// TestFollows: a small difference is followed, also a slow one that becomes large, and nothing is written or logged for it.
func TestFollows(t *testing.T) {
	p := &place{}
	s, log := p.begin(t)
	for range 100 {
		p.elapsed += time.Second
		p.jumped += 100 * time.Millisecond
		p.look(t, s)
	}
	if got := s.Now(); !got.Equal(start().Add(p.elapsed + p.jumped)) {
		t.Errorf("it is %s, not followed", got)
	}
	if p.changes != 0 || log.Len() != 0 {
		t.Errorf("%d changes, log %q", p.changes, log)
	}
	p.slow = 10 * time.Second // the answer is some time within these
	p.look(t, s)
	if p.changes != 0 {
		t.Error("a slow answer is taken for a jump")
	}
}

// TestFailure: a jump that could not be noted is noted by a later look, whatever happened in between.
func TestFailure(t *testing.T) {
	p := &place{}
	s, _ := p.begin(t)
	p.jumped = time.Hour
	p.fails = errors.New("away")
	for range 3 {
		p.elapsed += time.Second
		if err := s.Look(t.Context()); !errors.Is(err, p.fails) {
			t.Errorf("it says %v", err)
		}
		p.expect(t, "while the store is away", s)
	}
	p.jumped = -time.Hour
	p.fails = nil
	p.look(t, s)
	p.expect(t, "afterwards", s)
	if p.ahead != time.Hour {
		t.Errorf("it is %s ahead", p.ahead)
	}
}

// TestShared: of several clocks one corrects a jump, and none of them sees it.
func TestShared(t *testing.T) {
	p := &place{}
	a, aLog := p.begin(t)
	b, bLog := p.begin(t)
	p.jumped = -24 * time.Hour
	p.meet = func() { p.look(t, b) } // both have seen it, b is first
	p.look(t, a, a, b)
	p.expect(t, "a jump that both see", a, b)
	if p.changes != 1 || aLog.Len() > 0 || bLog.Len() == 0 {
		t.Errorf("%d changes; a says %q, b says %q", p.changes, aLog, bLog)
	}
	p.jumped += time.Hour
	p.look(t, a)
	p.jumped += time.Hour // before b has seen the first
	p.look(t, b, a, b)
	p.expect(t, "a second jump in between", a, b)
	if bLog.String() != "" && strings.Contains(bLog.String(), "another gateway") {
		t.Errorf("b takes over what was no more than late: %s", bLog)
	}
}

// TestBeganWrong: one that began between a jump and its correction takes the time of the others over instead of fighting for its own.
func TestBeganWrong(t *testing.T) {
	p := &place{}
	a, _ := p.begin(t)
	p.jumped = time.Hour
	b, log := p.begin(t)
	p.look(t, a, b, a, b, a, b)
	p.expect(t, "afterwards", a, b)
	if p.changes != 1 || !strings.Contains(log.String(), "another gateway") {
		t.Errorf("%d changes, log %q", p.changes, log)
	}
}

// TestResume: time does not go back while nobody looks.
func TestResume(t *testing.T) {
	p := &place{}
	s, _ := p.begin(t)
	last := s.Now()
	p.jumped = -24 * time.Hour
	again, log := p.begin(t)
	if err := again.Resume(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	p.expect(t, "after a start", again)
	p.look(t, again)
	p.expect(t, "after a look", again)
	if !strings.Contains(log.String(), "24h0m0s") {
		t.Errorf("log %q", log)
	}
	if err := again.Resume(t.Context(), last.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	p.expect(t, "where there is nothing to make up for", again)
}
