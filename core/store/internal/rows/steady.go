package rows

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/riverqueue/river"

	"github.com/postern-mail/postern/core/clock"
	"github.com/postern-mail/postern/core/store"
)

// settingAhead is what steady time is ahead of the reference; "" for nothing.
const settingAhead = "steady_ahead"

// Steady is the time that waits are counted in.
func (s *Store) Steady() time.Time { return s.steady.Now() }

// shared is a clock.Shared in the settings.
type shared struct {
	store     *Store
	reference func(ctx context.Context) (time.Time, error)
}

func (h shared) Reference(ctx context.Context) (now time.Time, ahead time.Duration, err error) {
	text, err := h.store.Setting(ctx, settingAhead)
	if err != nil {
		return now, 0, err
	}
	if text != "" {
		if ahead, err = time.ParseDuration(text); err != nil {
			return now, 0, fmt.Errorf("read setting %s: %w", settingAhead, err)
		}
	}
	now, err = h.reference(ctx)
	return now, ahead, err
}

func (h shared) Change(ctx context.Context, from, to time.Duration) (bool, error) {
	err := h.store.SetSetting(ctx, settingAhead, aheadText(from), aheadText(to))
	if errors.Is(err, store.ErrConflict) {
		return false, nil
	}
	return err == nil, err
}

func aheadText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

// JobTime makes River count in steady time. Its own is the system's, or the database's: after a jump back by a day what it had scheduled
// would wait for a day. Its configuration has one place where time comes in, which it names after its tests. What removes finished jobs, and
// queues that nobody reports, goes by the system's clock nevertheless: the rows are records, or are made again. It does not give back jobs
// that run long, as ours have no time limit; startAlive does.
func JobTime(steady *clock.Steady) river.TestConfig { return river.TestConfig{Time: jobTime{steady}} }

type jobTime struct{ *clock.Steady }

// NowOrNil is the time that queries are given in place of the database's own.
func (t jobTime) NowOrNil() *time.Time {
	now := t.Now()
	return &now
}

// lookEvery is how often steady time is compared with the reference. A jump that is not noted yet does no harm, unless the gateway is
// killed before it is.
const lookEvery = time.Second

// resume goes on where this gateway was, unless others have gone on meanwhile.
func (s *Store) resume(ctx context.Context) error {
	last, err := one(ctx, s.backend.Read(), value[int64], `SELECT seen FROM gateways WHERE node = $1
		AND NOT EXISTS (SELECT 1 FROM gateways o WHERE o.node <> $1 AND o.seen > $2)`, s.node, micros(s.Steady().Add(-deadAfter)))
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.steady.Resume(ctx, fromMicros(last))
}

// watchClock compares until ctx ends. That the database is away is said once.
func (s *Store) watchClock(ctx context.Context, watching *sync.WaitGroup) {
	watching.Go(func() {
		ticks := time.NewTicker(lookEvery)
		defer ticks.Stop()
		failing := false
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticks.C:
			}
			err := s.steady.Look(ctx)
			if err != nil && ctx.Err() == nil && !failing {
				s.log.Error("looking whether the clock has jumped failed; it is tried again", "error", err)
			}
			failing = err != nil
		}
	})
}
