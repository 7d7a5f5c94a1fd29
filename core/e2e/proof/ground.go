package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/postern-mail/postern/core/e2e/harness"
	"github.com/postern-mail/postern/core/robustness"
	"github.com/postern-mail/postern/core/store/postgres/pgtest"
)

// ground is a gateway whose mail is written down in a ledger.
type ground struct {
	site     *harness.Site
	hop      *robustness.Hop
	ledger   *robustness.Ledger
	door     *robustness.Door
	verdicts string // file
	place    string // of the store, as robustness.OpenStore takes it

	scope  scope
	server *pgtest.Server // nil with SQLite

	mu   sync.Mutex
	soft map[string]bool // recipients that the hop has refused for now once
}

// offers are the extensions of the hop: without CHUNKING the gateway sends by DATA, where dots matter.
func offers() []string { return []string{"PIPELINING"} }

// newGround prepares a gateway on the store ("sqlite" or "postgres") and a hop; bin is the folder of the programs. The gateway is not
// started.
func newGround(ctx context.Context, e *env, bin, store string, environment ...string) (g *ground, err error) {
	scratch, err := os.MkdirTemp(e.scratch, "ground")
	if err != nil {
		return nil, err
	}
	g = &ground{ledger: robustness.NewLedger(), door: robustness.NewDoor(), verdicts: filepath.Join(scratch, "verdicts.txt"), soft: map[string]bool{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.end())
		}
	}()
	if err := os.WriteFile(g.verdicts, nil, 0o600); err != nil {
		return g, err
	}
	files := map[string][]byte{}
	for from, to := range map[string]string{"ledger.hcl": "postern.hcl", store + ".hcl": "store.hcl"} {
		if files[to], err = configs.ReadFile("config/" + from); err != nil {
			return g, err
		}
	}
	if g.hop, err = robustness.StartHop(offers(), g.answer); err != nil {
		return g, err
	}
	if g.site, err = harness.NewSite(ctx, bin, scratch, files); err != nil {
		return g, err
	}
	g.site.Hop(g.hop.Addr())
	g.place = g.site.Setup.State
	if store == "postgres" {
		if err := g.scope.do(func() { g.server = pgtest.StartTCP(&g.scope); g.place = g.server.Database(&g.scope) }); err != nil {
			return g, fmt.Errorf("start PostgreSQL: %w", err)
		}
		environment = append(environment, "PROOF_STORE="+g.place)
	}
	g.site.Setup.Env = append(append(g.site.Setup.Env, environment...), "PROOF_VERDICTS="+g.verdicts)
	return g, nil
}

// answer refuses a recipient of the soft domain once.
func (g *ground) answer(point, argument string) robustness.Act {
	if point != "RCPT" || !strings.Contains(argument, "@"+robustness.SoftDomain) {
		return robustness.Act{}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.soft[argument] {
		return robustness.Act{}
	}
	g.soft[argument] = true
	return robustness.Act{Reply: "450 4.2.1 come back"}
}

// start starts the gateway and opens the door.
func (g *ground) start(ctx context.Context) error {
	if err := g.site.Start(ctx); err != nil {
		return err
	}
	g.door.Set(g.site.Gateway.Address("in"))
	return nil
}

// kill ends the gateway as a crash would.
func (g *ground) kill() {
	g.door.Set("")
	g.ledger.Killing()
	g.site.Gateway.Kill()
	g.ledger.Killed()
}

// load is what sends letters of the kinds through the door.
func (g *ground) load(prefix string, seed uint64, kinds []robustness.Kind) *robustness.Load {
	return &robustness.Load{Ledger: g.ledger, Door: g.door, Kinds: kinds, Verdicts: g.verdicts, Prefix: prefix, Seed: seed}
}

// settled waits until nothing is under way any more.
func (g *ground) settled(ctx context.Context, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	s, err := robustness.OpenStore(ctx, g.place)
	if err != nil {
		return err
	}
	var left []string
	err = harness.Eventually(ctx, "nothing is under way any more", func() (bool, error) {
		left, err = robustness.UnderWay(ctx, s)
		return len(left) == 0, err
	})
	if err != nil {
		err = fmt.Errorf("%w: left are %v; the gateway said:\n%s", err, left, troubles(g.site.Gateway.Log()))
	}
	return errors.Join(err, s.Close())
}

// check stops the gateway, so that its journal is in the store, and compares.
func (g *ground) check(ctx context.Context) (*robustness.Report, error) {
	g.door.Set("")
	if err := g.site.Gateway.Stop(); err != nil {
		return nil, err
	}
	g.site.Gateway = nil
	stored, err := robustness.ReadFrom(ctx, g.place)
	if err != nil {
		return nil, err
	}
	return g.ledger.Check(g.hop.Arrivals(), stored, time.Now()), nil
}

// report prints what the ledger found; violations fall short.
func (e *env) report(what string, r *robustness.Report) error {
	e.printf("%s: %s", what, r)
	violations := r.Violations()
	for i, v := range violations {
		if i == 20 {
			e.printf("    and %d more", len(violations)-i)
			break
		}
		e.printf("    %s", v)
	}
	if len(violations) > 0 || r.Taken == 0 {
		return errShort
	}
	return nil
}

// end stops everything.
func (g *ground) end() error {
	var err error
	if g.site != nil {
		err = g.site.Stop()
	}
	if g.hop != nil {
		g.hop.Down()
	}
	return errors.Join(err, g.scope.end())
}

// troubles are the last lines of the log that are no mere information.
func troubles(log string) string {
	const most = 12
	var out []string
	for line := range strings.Lines(log) {
		if !strings.Contains(line, `"@level":"info"`) {
			out = append(out, line)
		}
	}
	return strings.Join(out[max(0, len(out)-most):], "")
}
