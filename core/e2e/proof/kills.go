package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/core/robustness"
)

const (
	killClients = 8
	// longestLife is how long a gateway lives at most before it is killed.
	longestLife = 900 * time.Millisecond
	// drainAfterKills is how long what is under way at the last kill may take: samples are asked for each minute.
	drainAfterKills = 5 * time.Minute
	restartLimit    = 2 * time.Second
	// slowStarts is how many times as long as the first start, without load, a restart may take in the tests, whose machine is busy.
	slowStarts = 10
)

// kills kills the gateway at random times under mixed load. KILLS says how often on each store, SEED when and what.
func kills(ctx context.Context, e *env) error {
	count, err := e.number("KILLS", 1000)
	if err != nil {
		return err
	}
	seed, err := e.number("SEED", 1)
	if err != nil {
		return err
	}
	short := error(nil)
	for _, store := range strings.Fields(e.setting("STORES", "sqlite postgres")) {
		err := killsOn(ctx, e, store, int(count), uint64(seed))
		if err != nil && !errors.Is(err, errShort) {
			return err
		}
		short = errors.Join(short, err)
	}
	return short
}

func killsOn(ctx context.Context, e *env, store string, count int, seed uint64) (err error) {
	g, err := newGround(ctx, e, e.bin, store)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.end()) }()
	began := time.Now()
	if err := g.start(ctx); err != nil {
		return err
	}
	first := time.Since(began)
	load := g.load("k", seed, robustness.Kinds())
	load.Pause = 20 * time.Millisecond
	load.Start(ctx, killClients)
	random := rand.New(rand.NewPCG(seed, 0))
	var restarts []time.Duration
	for n := range count {
		if err := sleep(ctx, time.Duration(random.Int64N(int64(longestLife)))); err != nil {
			return err
		}
		g.kill()
		began := time.Now()
		if err := g.start(ctx); err != nil {
			return fmt.Errorf("start after kill %d: %w", n+1, err)
		}
		restarts = append(restarts, time.Since(began))
	}
	if err := load.Stop(); err != nil {
		return err
	}
	began = time.Now()
	if err := g.settled(ctx, drainAfterKills); err != nil {
		return err
	}
	drained := time.Since(began)
	r, err := g.check(ctx)
	if err != nil {
		return err
	}
	slices.Sort(restarts)
	p95 := restarts[(len(restarts)-1)*95/100]
	e.printf("%s: %d kills (seed %d), %d letters in flight at them; first ready after %s, again after %s (median), %s (p95), %s (most); drained in %s",
		store, r.Kills, seed, r.InFlight, first.Round(time.Millisecond), restarts[len(restarts)/2].Round(time.Millisecond), p95.Round(time.Millisecond),
		restarts[len(restarts)-1].Round(time.Millisecond), drained.Round(time.Second))
	err = e.report(store, r)
	e.printf("    duplicates by kind of letter: %v", r.Doubled)
	// A kill finds letters that clients wait for, and deliveries from the outbox.
	if r.Duplicates > r.InFlight+r.Delivering {
		e.printf("    more duplicates than letters and deliveries were in flight: %d and %d", r.InFlight, r.Delivering)
		err = errors.Join(err, errShort)
	}
	limit := restartLimit
	if e.short {
		limit = max(limit, slowStarts*first)
	}
	if p95 >= limit {
		e.printf("    ready again after more than %s", limit)
		err = errors.Join(err, errShort)
	}
	return err
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
