package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/postern-mail/postern/core/robustness"
)

// controls builds the gateway with each planted bug and runs the proof that has to catch it.
func controls(ctx context.Context, e *env) error {
	missed := 0
	for _, bug := range robustness.Bugs() {
		caught, said, err := control(ctx, e, &bug)
		if err != nil {
			return fmt.Errorf("%s: %w", bug.Name, err)
		}
		outcome := "caught"
		if !caught {
			outcome = "NOT CAUGHT"
			missed++
		}
		e.printf("%-16s %s: %s by %s", bug.Name, bug.What, outcome, bug.Proof)
		if !caught {
			e.printf("%s", said)
		}
	}
	if missed > 0 {
		return errShort
	}
	return nil
}

// control runs one: it is caught where the figures fall short, and not where the proof fails for another reason.
func control(ctx context.Context, e *env, bug *robustness.Bug) (caught bool, said string, err error) {
	var out bytes.Buffer
	own := &env{out: &out, given: e.given, bin: filepath.Join(e.scratch, "bin-"+bug.Name), scratch: filepath.Join(e.scratch, bug.Name)}
	if err := os.Mkdir(own.scratch, 0o700); err != nil {
		return false, "", err
	}
	if err := robustness.Build(ctx, e.bin, own.bin, nil, bug.Edits); err != nil {
		return false, "", err
	}
	run := map[string]func(context.Context, *env) error{
		"commit-before-250": commitBefore250, "plugin-killed": pluginKilled, "end-of-data": endOfData,
		"client-cuts": func(ctx context.Context, e *env) error { return cutEvery(ctx, e, 101) },
	}[bug.Proof]
	err = run(ctx, own)
	if err != nil && !errors.Is(err, errShort) {
		return false, out.String(), fmt.Errorf("%w; it said: %s", err, out.String())
	}
	return err != nil, out.String(), nil
}

const (
	mixedClients = 8
	mixedTime    = 4 * time.Second
)

// mixedLoad sends letters of every kind with no fault at all: then not one is doubled either.
func mixedLoad(ctx context.Context, e *env) (err error) {
	g, err := newGround(ctx, e, e.bin, "sqlite")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.end()) }()
	if err := g.start(ctx); err != nil {
		return err
	}
	load := g.load("m", 1, robustness.Kinds())
	load.Start(ctx, mixedClients)
	if err := sleep(ctx, mixedTime); err != nil {
		return err
	}
	if err := errors.Join(load.Stop(), g.settled(ctx, settleTime)); err != nil {
		return err
	}
	r, err := g.check(ctx)
	if err != nil {
		return err
	}
	if r.Duplicates > 0 {
		e.printf("    duplicates without a fault: %v", r.Doubled)
		err = errShort
	}
	return errors.Join(err, e.report("no fault", r))
}

// drained sends the gateway SIGTERM under load again and again: it finishes what it has begun, and no client sees more than a 421.
func drained(ctx context.Context, e *env) (err error) {
	rounds, err := e.number("ROUNDS", 20)
	if err != nil {
		return err
	}
	g, err := newGround(ctx, e, e.bin, "sqlite")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.end()) }()
	load := g.load("d", 1, robustness.Kinds())
	load.Pause = 5 * time.Millisecond
	load.Start(ctx, mixedClients)
	var longest time.Duration
	for range rounds {
		if err := g.start(ctx); err != nil {
			return err
		}
		if err := sleep(ctx, 300*time.Millisecond); err != nil {
			return err
		}
		began := time.Now()
		if err := g.site.Gateway.Stop(); err != nil {
			return err
		}
		g.door.Set("")
		longest = max(longest, time.Since(began))
	}
	if err := errors.Join(g.start(ctx), load.Stop(), g.settled(ctx, settleTime)); err != nil {
		return err
	}
	broken := g.ledger.BrokenAttempts()
	r, err := g.check(ctx)
	if err != nil {
		return err
	}
	e.printf("%d drains under load, the longest took %s: %d messages broken off, %d duplicates", rounds, longest.Round(time.Millisecond), broken, r.Duplicates)
	if broken > 0 || r.Duplicates > 0 {
		err = errShort
	}
	return errors.Join(err, e.report("drained", r))
}
