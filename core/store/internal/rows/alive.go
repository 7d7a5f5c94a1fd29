package rows

import (
	"context"
	"fmt"
	"maps"
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

// forgottenAfter is when a job that nobody here works on any more is taken for one whose end River could not write down. It tries that three
// times, of ten seconds each at most.
const forgottenAfter = time.Minute

// startAlive gives back at once what an earlier run of this gateway has left, and goes on until stopped.
func (s *Store) startAlive(ctx context.Context) (*alive, error) {
	if err := s.resume(ctx); err != nil {
		return nil, fmt.Errorf("go on where the clock was: %w", err)
	}
	if err := s.seen(ctx, s.node); err != nil {
		return nil, fmt.Errorf("tell that this gateway is alive: %w", err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	a := &alive{stop: stop}
	s.watchClock(ctx, &a.running)
	a.running.Go(func() {
		idle := map[int64]time.Time{} // jobs that are not worked on, since when
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
			if err := s.giveBackForgotten(ctx, idle); err != nil && ctx.Err() == nil {
				s.log.Error("looking for jobs that were forgotten failed", "error", err)
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
	now := s.Steady()
	released, err := write(ctx, s.backend, func(ctx context.Context, tx Tx) (int64, error) {
		_, err := tx.Exec(ctx, `INSERT INTO gateways (node, seen) VALUES ($1, $2) ON CONFLICT (node) DO UPDATE SET seen = excluded.seen`,
			s.node, micros(now))
		if err != nil {
			return 0, err
		}
		left := micros(now.Add(-deadAfter))
		worker := s.backend.Dialect().JobWorker
		jobs, err := tx.Exec(ctx, `UPDATE river_job SET state = 'available', scheduled_at = $3
			WHERE state = 'running' AND `+isGone(worker), gone, left, s.backend.Dialect().JobTime(now))
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

// giveBackForgotten gives back the jobs that count as under way here and are not. River forgets one whose end it could not write down, as
// while the database was away, and would give it back after an hour.
func (s *Store) giveBackForgotten(ctx context.Context, idle map[int64]time.Time) error {
	claimed, err := list(ctx, s.backend.Read(), value[int64], `SELECT id FROM river_job WHERE state = 'running' AND `+s.backend.Dialect().JobWorker+` = $1`,
		s.node)
	if err != nil {
		return err
	}
	now, before := s.Steady(), maps.Clone(idle)
	clear(idle)
	for _, id := range claimed {
		if s.jobs.works(id) {
			continue
		}
		since, known := before[id]
		if !known {
			since = now
		}
		idle[id] = since
		if now.Sub(since) < forgottenAfter {
			continue
		}
		released, err := write(ctx, s.backend, func(ctx context.Context, tx Tx) (int64, error) {
			return tx.Exec(ctx, `UPDATE river_job SET state = 'available', scheduled_at = $2 WHERE id = $1 AND state = 'running'`,
				id, s.backend.Dialect().JobTime(now))
		})
		if err != nil {
			return err
		}
		delete(idle, id)
		s.log.Warn("a job whose end could not be written down was given back", "job", id, "count", released)
	}
	return nil
}
