// Package clock keeps the time that waits are counted in. A system's clock jumps: NTP steps it, an operator sets it, a machine was paused.
// A wait that is kept as a time of that clock would then end early, or late, by as much. Steady time does not jump: it goes on by the
// monotonic clock, and what it is ahead of the clock that it began with is kept beside the waits. Nothing that waits is changed by a jump,
// so nothing can be forgotten, moved twice, or written with the old time just after.
package clock

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Limit is the smallest difference that counts as a jump. Smaller ones are followed: clocks of two machines do not run alike.
const Limit = time.Second

// Shared is what all that keep waits in one place share.
type Shared interface {
	// Reference reads what steady time is ahead of the reference, a clock that may jump, and after that the reference. In this order a jump
	// that another has corrected meanwhile is at worst taken for one that is not corrected, and Change is refused.
	Reference(ctx context.Context) (now time.Time, ahead time.Duration, err error)
	// Change replaces what it is ahead. It changes nothing and returns false where that is not from any more.
	Change(ctx context.Context, from, to time.Duration) (changed bool, err error)
}

// Steady is the time that waits are counted in. Now may be called by anybody, the other methods by one goroutine.
type Steady struct {
	system func() time.Time // its monotonic reading is what counts
	log    *slog.Logger
	shared Shared
	ahead  time.Duration // as it was last known
	doubt  bool          // another has changed it, to what does not fit

	mu    sync.RWMutex
	now   time.Time // steady time
	began time.Time // of the system's clock, when it was now
}

// New is a clock that shows the system's time until it begins.
func New(system func() time.Time, log *slog.Logger) *Steady {
	began := system()
	return &Steady{system: system, log: log, now: began.Round(0).UTC(), began: began}
}

// Begin takes the time from what is shared.
func (s *Steady) Begin(ctx context.Context, shared Shared) error {
	reference, ahead, err := shared.Reference(ctx)
	if err != nil {
		return fmt.Errorf("read the time: %w", err)
	}
	s.shared, s.ahead = shared, ahead
	s.mu.Lock()
	defer s.mu.Unlock()
	s.began = s.system()
	s.now = reference.Add(ahead).Round(0).UTC()
	return nil
}

// Now is steady time.
func (s *Steady) Now() time.Time {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.now.Add(s.system().Sub(s.began))
}

// shift puts it right by a little, or where it was wrong from the beginning.
func (s *Steady) shift(by time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(by)
}

// Look compares steady time with what is shared. Where the reference has jumped, what steady time is ahead of it is changed by as much, by
// one of those that share it; until that is done everybody goes on as before, so that it does not matter when it is, nor how many jumps
// there were since. Should all end before, the jump is one that happened while nobody looked.
//
// What another has changed and does not fit either is waited out for one look, in which that other one sees a jump of the last second, and
// then taken over: this one began between a jump and its correction.
func (s *Steady) Look(ctx context.Context) error {
	earliest := s.Now()
	reference, ahead, err := s.shared.Reference(ctx)
	if err != nil {
		return fmt.Errorf("compare the time: %w", err)
	}
	latest := s.Now()
	off := outside(reference.Add(ahead), earliest, latest)
	known := ahead == s.ahead
	switch {
	case off.Abs() < Limit:
		s.shift(off)
		s.ahead, s.doubt = ahead, false
	case known:
		return s.correct(ctx, off)
	case !s.doubt:
		s.doubt = true
	default:
		s.shift(off)
		s.ahead, s.doubt = ahead, false
		s.log.Warn("the time that waits are counted in was taken over from another gateway", "by", off.Round(time.Millisecond).String())
	}
	return nil
}

// outside is by how much a time is before or after all that it may be.
func outside(t, earliest, latest time.Time) time.Duration {
	switch {
	case t.Before(earliest):
		return t.Sub(earliest)
	case t.After(latest):
		return t.Sub(latest)
	}
	return 0
}

func (s *Steady) correct(ctx context.Context, off time.Duration) error {
	s.doubt = false
	changed, err := s.shared.Change(ctx, s.ahead, s.ahead-off)
	if err != nil {
		return fmt.Errorf("note that the clock has jumped by %s: %w", off.Round(time.Millisecond), err)
	}
	if changed {
		s.ahead -= off
		s.log.Warn("the clock has jumped; what waits goes on as before", "by", off.Round(time.Millisecond).String())
	}
	return nil // where another was first the next look finds what it made of it
}

// Resume goes on from the last time that was shown before, where the reference was put back while nobody looked. How long that was nobody
// knows: waits are longer by that time, instead of by what the clock was put back.
func (s *Steady) Resume(ctx context.Context, last time.Time) error {
	behind := last.Sub(s.Now())
	if behind < Limit {
		return nil
	}
	changed, err := s.shared.Change(ctx, s.ahead, s.ahead+behind)
	if err != nil || !changed {
		return err
	}
	s.ahead += behind
	s.shift(behind)
	s.log.Warn("the clock was put back while the gateway did not run; what waits goes on where it was", "by", behind.Round(time.Millisecond).String())
	return nil
}
