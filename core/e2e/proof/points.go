package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"time"

	"github.com/postern-mail/postern/core/e2e/harness"
	"github.com/postern-mail/postern/core/robustness"
)

const (
	pointClients = 6
	// pointPatience is how long a point may take to be reached.
	pointPatience = 30 * time.Second
)

// points ends a gateway at each of the named places, again and again. ROUNDS says how often at each, POINT names a single one.
func points(ctx context.Context, e *env) error {
	rounds, err := e.number("ROUNDS", 20)
	if err != nil {
		return err
	}
	seed, err := e.number("SEED", 1)
	if err != nil {
		return err
	}
	bin := filepath.Join(e.scratch, "bin")
	added, edits := robustness.PointBuild()
	if err := robustness.Build(ctx, e.bin, bin, added, edits); err != nil {
		return err
	}
	total, violations := 0, 0
	only := e.setting("POINT", "")
	for n, p := range robustness.Points() {
		if only != "" && only != p.Name {
			continue
		}
		ended := endAt
		if strings.HasPrefix(p.Name, "release-") {
			ended = endRelease
		}
		r, err := ended(ctx, e, bin, p.Name, int(rounds), rand.New(rand.NewPCG(uint64(seed), uint64(n))))
		if err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
		found := r.Violations()
		e.printf("%-24s %3d ends, %4d letters, %2d duplicates, %d violations", p.Name, r.Kills, r.Letters, r.Duplicates, len(found))
		for _, v := range found[:min(len(found), 5)] {
			e.printf("    %s", v)
		}
		total += r.Kills
		violations += len(found)
	}
	e.printf("%d ends at %d points (seed %d): %d violations", total, len(robustness.Points()), seed, violations)
	if violations > 0 || total == 0 {
		return errShort
	}
	return nil
}

// endAt lets gateways end at the point under load of every kind.
func endAt(ctx context.Context, e *env, bin, point string, rounds int, random *rand.Rand) (r *robustness.Report, err error) {
	g, err := newGround(ctx, e, bin, "sqlite")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.end()) }()
	load := g.load("p", random.Uint64(), robustness.Kinds())
	load.Pause = 10 * time.Millisecond
	load.Start(ctx, pointClients)
	environment := g.site.Setup.Env
	for range rounds {
		often := 3
		if point == "intake-reply-sent" {
			often = 100
		}
		g.site.Setup.Env = append(environment[:len(environment):len(environment)], fmt.Sprintf("%s=%s:%d", robustness.PointVariable, point, 1+random.IntN(often)))
		if err := g.untilItEnds(ctx); err != nil {
			return nil, err
		}
	}
	g.site.Setup.Env = environment
	if err := g.start(ctx); err != nil {
		return nil, err
	}
	if err := load.Stop(); err != nil {
		return nil, err
	}
	if err := g.settled(ctx, drainAfterKills); err != nil {
		return nil, err
	}
	return g.check(ctx)
}

// untilItEnds runs a gateway that ends by itself, which it may do before it is ready.
func (g *ground) untilItEnds(ctx context.Context) error {
	starting, cancel := context.WithTimeout(ctx, pointPatience)
	defer cancel()
	if err := g.start(starting); err != nil {
		if starting.Err() != nil || !strings.Contains(err.Error(), "signal: killed") {
			return err
		}
		g.ledger.Killed()
		return nil
	}
	select {
	case <-g.site.Gateway.Exited():
	case <-starting.Done():
		return fmt.Errorf("the point was not reached: %w", starting.Err())
	}
	g.door.Set("")
	g.ledger.Killed()
	g.site.Gateway = nil
	return nil
}

// endRelease lets the command that releases kept mail end at the point, and releases again.
func endRelease(ctx context.Context, e *env, bin, point string, rounds int, _ *rand.Rand) (r *robustness.Report, err error) {
	g, err := newGround(ctx, e, bin, "sqlite")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.end()) }()
	if err := g.start(ctx); err != nil {
		return nil, err
	}
	kind := robustness.Kind{Name: "released", Extension: "kept", To: []robustness.To{{Domain: "example.org", Fate: robustness.Either}}}
	client, err := g.site.Dial()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	ending := g.site.Setup
	ending.Env = append(ending.Env[:len(ending.Env):len(ending.Env)], robustness.PointVariable+"="+point+":1")
	for n := range rounds {
		letter := robustness.NewLetter(fmt.Sprintf("r%d", n), kind)
		if err := g.send(client, letter); err != nil {
			return nil, err
		}
		kept, err := g.site.Copies(ctx, "quarantine")
		if err != nil {
			return nil, err
		}
		if len(kept) != 1 {
			return nil, fmt.Errorf("%d copies are in quarantine, not one", len(kept))
		}
		g.ledger.Killed()
		if _, err := ending.Run(ctx, "quarantine", "release", kept[0].ID); err == nil || !strings.Contains(err.Error(), "signal: killed") {
			return nil, fmt.Errorf("the release did not end at the point: %w", err)
		}
		said, err := g.site.Setup.Run(ctx, "quarantine", "release", kept[0].ID)
		if err != nil {
			return nil, err
		}
		// Where the first was committed there is nothing to release any more.
		if committed := point == "release-committed"; committed != strings.Contains(said, "no longer in quarantine") {
			return nil, fmt.Errorf("the second release says %q", said)
		}
		err = harness.Eventually(ctx, "the released copy has left", func() (bool, error) {
			return len(g.hop.Arrivals()) == n+1, nil
		})
		if err != nil {
			return nil, err
		}
	}
	if err := g.settled(ctx, drainAfterKills); err != nil {
		return nil, err
	}
	return g.check(ctx)
}

// send sends one letter and writes its answer down.
func (g *ground) send(client *harness.Client, letter *robustness.Letter) error {
	g.ledger.Sending(letter)
	reply, err := client.Send(letter.From, letter.To, letter.Data)
	if err != nil {
		g.ledger.Broken(letter)
		return err
	}
	g.ledger.Answered(letter, reply)
	return nil
}
