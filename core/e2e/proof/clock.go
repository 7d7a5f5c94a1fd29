package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-mail/postern/core/robustness"
	"github.com/postern-mail/postern/core/store"
)

const (
	// holdLimit is how long ledger.hcl holds mail with one retry.
	holdLimit = 61 * time.Second
	holdGrace = time.Minute
	// holdEarly is what a wait may be shorter by, counted from the answer: it begins before the commit.
	holdEarly = 2 * time.Second
	// arriveWithin is how long mail may take that the next hop refuses once, or that the sandbox has a verdict for.
	arriveWithin   = 30 * time.Second
	betweenJumps   = 9 * time.Second
	jumpClients    = 5
	settleHeldTime = 150 * time.Second
)

// unanswered is mail that the sandbox never says anything of.
func unanswered() robustness.Kind {
	return robustness.Kind{Name: "unanswered", Extension: "js", To: []robustness.To{{Domain: "example.org", Fate: robustness.Kept}}}
}

func jumpList() []time.Duration {
	return []time.Duration{
		time.Hour, -time.Hour, 5 * time.Second, -5 * time.Second, 24 * time.Hour, -24 * time.Hour, -24 * time.Hour, 24 * time.Hour,
	}
}

// clockJumps lets the clock of a gateway jump under load. Its own is the system's; a database has one of the server, which jumps too in the
// third round.
func clockJumps(ctx context.Context, e *env) error {
	bin := filepath.Join(e.scratch, "bin")
	added, edits := robustness.JumpBuild()
	control := e.setting("CONTROL", "") != ""
	if control {
		edits = append(edits, robustness.JumpControl()...)
	}
	if err := robustness.Build(ctx, e.bin, bin, added, edits); err != nil {
		return err
	}
	var short error
	for _, place := range strings.Fields(e.setting("STORES", "sqlite postgres server")) {
		err := jumpOn(ctx, e, bin, place)
		if err != nil && !errors.Is(err, errShort) {
			return fmt.Errorf("%s: %w", place, err)
		}
		short = errors.Join(short, err)
	}
	if !control {
		return short
	}
	if short == nil {
		e.printf("NOT CAUGHT: waits that go by the clock")
		return errShort
	}
	e.printf("caught: waits that go by the clock")
	return nil
}

// jumper makes clocks jump.
type jumper struct {
	system *robustness.SystemClock
	server *pgx.Conn // whose clock jumps too; nil: none
}

func (j *jumper) jump(ctx context.Context, by time.Duration) error {
	if err := j.system.Jump(by); err != nil || j.server == nil {
		return err
	}
	_, err := j.server.Exec(ctx, "UPDATE jumped SET by = by + make_interval(secs => $1)", by.Seconds())
	return err
}

// newJumpGround is a ground with clocks: "sqlite", "postgres" or "server", which is PostgreSQL with a clock that jumps. There the gateway
// finds a function of the name of the server's own first.
func newJumpGround(ctx context.Context, e *env, bin, place string) (g *ground, j *jumper, err error) {
	j = &jumper{}
	if j.system, err = robustness.NewSystemClock(filepath.Join(e.scratch, "clock-"+place)); err != nil {
		return nil, nil, err
	}
	kind := place
	if place == "server" {
		kind = "postgres"
	}
	g, err = newGround(ctx, e, bin, kind, j.system.Environment(), "PROOF_RETRIES=1")
	if err != nil || place != "server" {
		return g, j, err
	}
	if j.server, err = pgx.Connect(ctx, g.place); err != nil {
		return g, j, err
	}
	_, err = j.server.Exec(ctx, `CREATE TABLE jumped (by interval); INSERT INTO jumped VALUES ('0');
		CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
		'SELECT pg_catalog.clock_timestamp() + (SELECT by FROM public.jumped)'`)
	g.site.Setup.Env = append(g.site.Setup.Env, "PROOF_STORE="+g.place+"&search_path=public%2Cpg_catalog")
	return g, j, err
}

func (j *jumper) end(ctx context.Context) error {
	err := j.system.Close()
	if j.server != nil {
		err = errors.Join(err, j.server.Close(ctx))
	}
	return err
}

func jumpOn(ctx context.Context, e *env, bin, place string) (err error) {
	g, j, err := newJumpGround(ctx, e, bin, place)
	if g != nil {
		defer func() { err = errors.Join(err, g.end()) }()
	}
	if j != nil {
		defer func() { err = errors.Join(err, j.end(context.WithoutCancel(ctx))) }()
	}
	if err != nil {
		return err
	}
	if err := g.start(ctx); err != nil {
		return err
	}
	ended, err := watchEnds(ctx, g.place)
	if err != nil {
		return err
	}
	load, held := g.load("c", 1, robustness.Kinds()), g.load("u", 1, []robustness.Kind{unanswered()})
	load.Pause, held.Pause = 100*time.Millisecond, time.Second
	load.Start(ctx, jumpClients)
	held.Start(ctx, 1)
	var log strings.Builder
	for _, by := range jumpList() {
		if err := sleep(ctx, betweenJumps); err != nil {
			return errors.Join(err, ended.stop())
		}
		if err := j.jump(ctx, by); err != nil {
			return errors.Join(err, ended.stop())
		}
		if by != -24*time.Hour {
			continue
		}
		// The next process has to know of what this one has seen.
		if err := sleep(ctx, 3*time.Second); err != nil {
			return errors.Join(err, ended.stop())
		}
		g.kill()
		log.WriteString(g.site.Gateway.Log())
		if err := g.start(ctx); err != nil {
			return errors.Join(err, ended.stop())
		}
	}
	err = errors.Join(sleep(ctx, betweenJumps), load.Stop(), held.Stop())
	settled := g.settled(ctx, settleHeldTime)
	if err := errors.Join(err, ended.stop()); err != nil {
		return err
	}
	if errors.Is(settled, context.DeadlineExceeded) && ctx.Err() == nil {
		e.printf("%s: not settled %s after the last jump: %.600s ...", place, settleHeldTime, settled)
		return errShort
	}
	if settled != nil {
		return settled
	}
	log.WriteString(g.site.Gateway.Log())
	r, err := g.check(ctx)
	if err != nil {
		return err
	}
	return errors.Join(e.report(place, r), e.judgeWaits(g, ended.at), e.judgeLog(place, log.String()))
}

// judgeWaits compares how long mail was held, and on its way, by our own clock.
func (e *env) judgeWaits(g *ground, ended map[string]time.Time) (err error) {
	var shortest, longest time.Duration
	taken := g.ledger.Taken(unanswered().Name)
	for id, at := range taken {
		end, known := ended[id]
		if !known {
			e.printf("    the end of %s was not seen", id)
			err = errShort
			continue
		}
		held := end.Sub(at)
		if shortest == 0 || held < shortest {
			shortest = held
		}
		longest = max(longest, held)
	}
	e.printf("    %d held without a verdict, limit %s: the shortest %.1f s, the longest %.1f s", len(taken), holdLimit, shortest.Seconds(), longest.Seconds())
	if len(taken) == 0 || shortest < holdLimit-holdEarly || longest > holdLimit+holdGrace {
		err = errShort
	}
	took := g.ledger.Longest(g.hop.Arrivals())
	for _, kind := range slices.Sorted(maps.Keys(took)) {
		e.printf("    %-10s arrived at most %.1f s after its 250", kind, took[kind].Seconds())
		if took[kind] > arriveWithin {
			err = errShort
		}
	}
	return err
}

// judgeLog looks for each jump in the log, and for no other.
func (e *env) judgeLog(place, log string) error {
	var said []time.Duration
	for line := range strings.Lines(log) {
		var entry struct {
			Message string `json:"@message"`
			By      string `json:"by"`
		}
		if json.Unmarshal([]byte(line), &entry) != nil || !strings.HasPrefix(entry.Message, "the clock ") {
			continue
		}
		by, err := time.ParseDuration(entry.By)
		if err != nil {
			return err
		}
		said = append(said, by.Round(time.Second))
	}
	want := jumpList()
	if place == "postgres" {
		want = nil // the database's clock counts, which stays as it is
	}
	e.printf("    jumps in the log: %v", said)
	if !slices.Equal(said, want) {
		return errShort
	}
	return nil
}

// ends notes when copies end that had no verdict in time, by a clock that does not jump.
type ends struct {
	at       map[string]time.Time // by subject, which is the letter's id
	cancel   context.CancelFunc
	watching sync.WaitGroup
	failed   error
}

func watchEnds(ctx context.Context, place string) (*ends, error) {
	s, err := robustness.OpenStore(ctx, place)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &ends{at: map[string]time.Time{}, cancel: cancel}
	w.watching.Go(func() {
		ticks := time.NewTicker(200 * time.Millisecond)
		defer ticks.Stop()
		for w.failed == nil {
			select {
			case <-ticks.C:
				w.failed = w.look(ctx, s)
			case <-ctx.Done():
				w.failed = errors.Join(w.look(context.WithoutCancel(ctx), s), s.Close())
				return
			}
		}
		w.failed = errors.Join(w.failed, s.Close())
	})
	return w, nil
}

func (w *ends) look(ctx context.Context, s store.Store) error {
	rows, _, _, err := s.Copies(ctx, store.CopyQuery{States: []store.CopyState{store.CopyQuarantined}, Area: robustness.UnanalysedArea},
		store.Page{Limit: 10_000})
	if err != nil {
		if ctx.Err() != nil {
			return nil // it is looked once more at the end
		}
		return err
	}
	for i := range rows {
		if _, known := w.at[rows[i].Subject]; !known {
			w.at[rows[i].Subject] = time.Now()
		}
	}
	return nil
}

// stop looks a last time.
func (w *ends) stop() error {
	w.cancel()
	w.watching.Wait()
	return w.failed
}
