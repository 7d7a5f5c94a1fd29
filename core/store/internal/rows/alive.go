package rows

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// River leaves a job "running" whose process was killed, for an hour by default, because it cannot know, and a claim of copies or samples
// runs out after minutes. Gateways tell that they are alive, so that what those had that are not is given back soon.
const (
	aliveEvery = 5 * time.Second
	// deadAfter is when a gateway that was not seen counts as gone. It is longer than any pause of a process that goes on.
	deadAfter = time.Minute
)

// alive tells that this gateway is, and gives back what the dead have left.
type alive struct {
	stop    context.CancelFunc
	running sync.WaitGroup
}

// startAlive gives back at once what an earlier run of this gateway has left, and goes on until stopped.
func (s *Store) startAlive(ctx context.Context) (*alive, error) {
	if err := s.seen(ctx, s.node); err != nil {
		return nil, fmt.Errorf("tell that this gateway is alive: %w", err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	a := &alive{stop: stop}
	a.running.Go(func() {
		ticks := time.NewTicker(aliveEvery)
		defer ticks.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticks.C:
			}
			if err := s.seen(ctx, ""); err != nil && ctx.Err() == nil {
				s.log.Error("telling that this gateway is alive failed", "error", err)
			}
		}
	})
	return a, nil
}

func (a *alive) end() {
	a.stop()
	a.running.Wait()
}

// seen notes this gateway's time and gives back the jobs and claims of gateways that are gone, and of the one named.
func (s *Store) seen(ctx context.Context, gone string) error {
	now := s.clock()
	released, err := write(ctx, s.backend, func(ctx context.Context, tx Tx) (int64, error) {
		_, err := tx.Exec(ctx, `INSERT INTO gateways (node, seen) VALUES ($1, $2) ON CONFLICT (node) DO UPDATE SET seen = excluded.seen`,
			s.node, micros(now))
		if err != nil {
			return 0, err
		}
		left := micros(now.Add(-deadAfter))
		worker := s.backend.Dialect().JobWorker
		jobs, err := tx.Exec(ctx, `UPDATE river_job SET state = 'available', scheduled_at = `+s.backend.Dialect().JobNow+`
			WHERE state = 'running' AND `+isGone(worker), gone, left)
		if err != nil {
			return 0, err
		}
		copies, err := tx.Exec(ctx, `UPDATE copies SET due_at = $3, claimed_by = '', version = version + 1
			WHERE claimed_by <> '' AND due_at > $3 AND `+isGone("claimed_by"), gone, left, micros(now))
		if err != nil {
			return 0, err
		}
		samples, err := tx.Exec(ctx, `UPDATE submissions SET next_at = $3, claimed_by = '', version = version + 1
			WHERE claimed_by <> '' AND state <> 'done' AND next_at > $3 AND `+isGone("claimed_by"), gone, left, micros(now))
		return jobs + copies + samples, err
	})
	if err == nil && released > 0 {
		s.log.Warn("what a gateway that is gone had begun was given back", "count", released)
	}
	return err
}

// isGone is the condition that a row's worker is the gateway $1, or one that was not seen since $2.
func isGone(worker string) string {
	return `(` + worker + ` = $1 OR NOT EXISTS (SELECT 1 FROM gateways g WHERE g.node = ` + worker + ` AND g.seen > $2))`
}
