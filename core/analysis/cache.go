package analysis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postern-mail/postern/core/store"
)

// The settings that all gateways of a store share.
const (
	// settingReset is the time of the last daily reset that was done.
	settingReset = "verdicts_reset"
	// settingRestart changes when somebody wants the analyzer to be restarted.
	settingRestart = "analyzer_restart"
)

// lookEvery is how often the settings are looked at.
const lookEvery = 5 * time.Second

// look resets the cache where that is due and restarts the analyzer where somebody asked for it.
func (d *Desk) look(ctx context.Context) {
	now := d.Now()
	if !d.looked.IsZero() && now.Sub(d.looked) < lookEvery {
		return
	}
	first := d.looked.IsZero()
	d.looked = now
	generation := d.Acquire()
	defer generation.Release()
	if va := generation.Policy().VirtualAnalyzer; va != nil && va.CacheResetAt != "never" {
		if err := d.resetDaily(ctx, now, va.CacheResetAt); err != nil {
			d.failed(ctx, "resetting the cache of verdicts failed; it is tried again", err)
		}
	}
	asked, err := d.Store.Setting(ctx, settingRestart)
	if err != nil {
		d.failed(ctx, "looking whether the analyzer is to be restarted failed", err)
		return
	}
	if !first && asked != d.restarted && generation.Sandbox() != nil {
		d.Log.Info("the analyzer is restarted")
		generation.Sandbox().Restart()
	}
	d.restarted = asked
}

// resetDaily clears the cache once after each time the local clock has shown at, also where no gateway ran then. To clear twice does no
// harm; not to clear would.
func (d *Desk) resetDaily(ctx context.Context, now time.Time, at string) error {
	last, err := lastClock(now, at)
	if err != nil {
		return err
	}
	due := last.UTC().Format(time.RFC3339)
	done, err := d.Store.Setting(ctx, settingReset)
	// A reset that is said to have been in the future was made by a clock that was ahead.
	if future := now.Add(time.Hour).UTC().Format(time.RFC3339); err != nil || done >= due && done <= future {
		return err
	}
	if done != "" { // a store that is new has nothing to forget
		n, err := d.Store.ClearVerdicts(ctx, d.Store.Steady(), "")
		if err != nil {
			return err
		}
		d.Log.Info("the cache of verdicts was reset", "verdicts", n)
	}
	if err := d.Store.SetSetting(ctx, settingReset, done, due); err != nil && !errors.Is(err, store.ErrConflict) {
		return err
	}
	return nil
}

// lastClock is the latest time at which the local clock showed at (HH:MM).
func lastClock(now time.Time, at string) (time.Time, error) {
	clock, err := time.Parse("15:04", at)
	if err != nil {
		return time.Time{}, fmt.Errorf("read time of reset: %w", err)
	}
	local := now.Local()
	last := time.Date(local.Year(), local.Month(), local.Day(), clock.Hour(), clock.Minute(), 0, 0, time.Local)
	if last.After(now) {
		last = time.Date(local.Year(), local.Month(), local.Day()-1, clock.Hour(), clock.Minute(), 0, 0, time.Local)
	}
	return last, nil
}

// Restart clears the cache and asks every gateway of the store to restart its analyzer (product guide, page 12).
func Restart(ctx context.Context, s store.Store, now time.Time) (cleared int64, err error) {
	if cleared, err = s.ClearVerdicts(ctx, s.Steady(), ""); err != nil {
		return 0, err
	}
	before, err := s.Setting(ctx, settingRestart)
	if err != nil {
		return cleared, err
	}
	return cleared, s.SetSetting(ctx, settingRestart, before, now.UTC().Format(time.RFC3339Nano))
}
