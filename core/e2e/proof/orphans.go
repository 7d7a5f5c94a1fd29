package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/postern-mail/postern/core/e2e/harness"
)

const (
	manyKills   = 20
	fewKills    = 3
	goneWithin  = 5 * time.Second
	killedTasks = pluginsServing + 1 // and the child of the one that has one
)

// orphans kills the gateway while mail flows, and looks for what is left of it.
func orphans(ctx context.Context, e *env) (err error) {
	kills := manyKills
	if e.short {
		kills = fewKills
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	s, err := newHostileSite(ctx, e, judged)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Sink.Close()) }()
	if err := s.behave(judged, "good", "child", "m"); err != nil {
		return err
	}
	var slowest time.Duration
	killed, left := 0, 0
	for n := range kills {
		if err := s.Start(ctx); err != nil {
			return err
		}
		pids, err := s.processes()
		if err != nil {
			return err
		}
		if len(pids) != killedTasks {
			return fmt.Errorf("%d processes below the gateway, want %d", len(pids), killedTasks)
		}
		if _, err := s.sendOne(ctx, fmt.Sprintf("orphans-%d", n), "found"); err != nil {
			return err
		}
		began := time.Now()
		s.Gateway.Kill()
		waiting, stop := context.WithTimeout(ctx, goneWithin)
		err = harness.Eventually(waiting, "all processes are gone", func() (bool, error) {
			return !slices.ContainsFunc(pids, harness.Lives), nil
		})
		stop()
		if err != nil && ctx.Err() != nil {
			return err
		}
		killed += len(pids)
		slowest = max(slowest, time.Since(began))
		for _, pid := range pids {
			if harness.Lives(pid) {
				left++
			}
		}
	}
	e.printf("%d kills, %d processes below the gateway: %d left after %s; the last was gone after %d ms at most", kills, killed, left, goneWithin,
		slowest.Milliseconds())
	if left > 0 {
		return errShort
	}
	return nil
}
