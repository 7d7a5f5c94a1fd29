package gate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/store"
)

// ErrNotReleasable says that a copy is in no area that mail is released from. A second release of the same copy ends so too.
var ErrNotReleasable = errors.New("not in an area that mail is released from")

// Release gives a kept copy back to judgement. From quarantine it waives what kept it there, for its recipients only, so that all
// other rules still judge; one that waits for the sandbox is judged as if its samples were of no risk; a postponed or deferred one is due
// at once. A running gateway takes it from there.
func Release(ctx context.Context, s store.Store, now time.Time, copyID, by string) error {
	c, err := s.Copy(ctx, copyID)
	if err != nil {
		return fmt.Errorf("release %s: %w", copyID, err)
	}
	change := &store.Change{Audit: []store.Audit{{At: now, By: by, Act: "release", Object: copyID, Detail: string(c.State)}}}
	switch c.State {
	case store.CopyQuarantined, store.CopyUndeliverable:
		record, err := s.Record(ctx, c.MessageID)
		if err != nil {
			return fmt.Errorf("release %s: %w", copyID, err)
		}
		record.Waivers = append(record.Waivers, waiversOf(c, by, now)...)
		change.Record = record
		c.State, c.Area, c.DueAt = store.CopyUndecided, "", s.Steady()
	case store.CopyPostponed, store.CopyRetry:
		c.DueAt = s.Steady()
	case store.CopyHeld:
		// Released from analysis, no more: the other rules still judge, and the cache learns nothing.
		for _, sample := range c.Fate.Waits {
			c.Fate.Verdicts = append(c.Fate.Verdicts, message.SampleVerdict{Key: sample.Key, Verdict: message.Verdict{
				State: message.VerdictDone, Level: message.RiskNone, Analyzer: "release by " + by, Detail: "released from analysis", At: now,
			}})
		}
		c.DueAt = s.Steady()
	default:
		return fmt.Errorf("release %s: it is %s: %w", copyID, c.State, ErrNotReleasable)
	}
	c.Changed = now
	change.Copies = []store.Copy{*c}
	if err := s.Commit(ctx, change); err != nil {
		return fmt.Errorf("release %s: %w", copyID, err)
	}
	return nil
}

// waiversOf names what made the copy's final match: its findings, and the obstacles of an exception.
func waiversOf(c *store.Copy, by string, now time.Time) []message.Waiver {
	if len(c.Fate.Matches) == 0 {
		return nil
	}
	last := &c.Fate.Matches[len(c.Fate.Matches)-1]
	findings := append([]message.Finding(nil), last.Findings...)
	for i := range last.Troubles {
		findings = append(findings, last.Troubles[i].AsFinding())
	}
	var out []message.Waiver
	for i := range findings {
		f := &findings[i]
		out = append(out, message.Waiver{
			Plugin: f.Plugin, Kind: f.Kind, Name: f.Name, Certainty: f.Certainty, Recipients: c.Recipients, By: by, At: now,
		})
	}
	return out
}

// Delete ends a kept copy without delivering it.
func Delete(ctx context.Context, s store.Store, now time.Time, copyID, by string) error {
	c, err := s.Copy(ctx, copyID)
	if err != nil {
		return fmt.Errorf("delete %s: %w", copyID, err)
	}
	switch c.State {
	case store.CopyDone, store.CopyDelivering, store.CopyUndecided:
		return fmt.Errorf("delete %s: it is %s: %w", copyID, c.State, ErrNotReleasable)
	}
	change := &store.Change{Audit: []store.Audit{{At: now, By: by, Act: "delete", Object: copyID, Detail: string(c.State)}}}
	c.State, c.Area, c.Result, c.DueAt, c.Changed = store.CopyDone, "", "Delete", time.Time{}, now
	change.Copies, change.DropSamples = []store.Copy{*c}, []string{c.ID}
	record, err := s.Record(ctx, c.MessageID)
	if err != nil {
		return fmt.Errorf("delete %s: %w", copyID, err)
	}
	change.Tracks = []store.Track{newTrack(now, &record.Message, c.ID, c.Recipients, "Delete", "deleted by "+by)}
	if err := s.Commit(ctx, change); err != nil {
		return fmt.Errorf("delete %s: %w", copyID, err)
	}
	return nil
}
