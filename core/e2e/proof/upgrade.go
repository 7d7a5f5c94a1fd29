package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/postern-mail/postern/core/e2e/harness"
	"github.com/postern-mail/postern/core/robustness"
)

const (
	// upgradeFrom is the build before suspicious objects and gateways that know of each other: two steps of the tables ago.
	upgradeFrom    = "c5cefa4"
	upgradeClients = 6
	beforeUpgrade  = 8 * time.Second
	afterUpgrade   = 4 * time.Second
	// migrationFolder holds a file for each step of the tables.
	migrationFolder = "core/store/internal/rows/migrations"
)

// upgrade puts this build in place of an older one, FROM (a revision), while mail is held, retried and kept: what the old one took, the new one
// sees through, and the old one does not touch what it would misread.
func upgrade(ctx context.Context, e *env) error {
	from := e.setting("FROM", upgradeFrom)
	source := filepath.Join(e.scratch, "old")
	bin := filepath.Join(source, "bin")
	if err := buildRevision(ctx, from, source, bin); err != nil {
		return fmt.Errorf("build %s: %w", from, err)
	}
	root, err := robustness.Root(ctx)
	if err != nil {
		return err
	}
	before, err := schema(source)
	if err != nil {
		return err
	}
	now, err := schema(root)
	if err != nil {
		return err
	}
	e.printf("from %s, schema %d, to this build, schema %d", from, before, now)
	var short error
	for _, store := range strings.Fields(e.setting("STORES", "sqlite postgres")) {
		for _, way := range []string{"SIGTERM", "kill"} {
			if err := upgradeOn(ctx, e, bin, store, way, before < now); err != nil {
				if !errors.Is(err, errShort) {
					return fmt.Errorf("%s, %s: %w", store, way, err)
				}
				short = errors.Join(short, err)
			}
		}
	}
	return short
}

// buildRevision lays the tree of a revision into a folder and builds what the ledger's policy needs.
func buildRevision(ctx context.Context, revision, source, bin string) error {
	root, err := robustness.Root(ctx)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(bin, 0o700); err != nil {
		return err
	}
	archive := exec.CommandContext(ctx, "git", "-C", root, "archive", "--format=tar", revision)
	var tree, said bytes.Buffer
	archive.Stdout, archive.Stderr = &tree, &said
	if err := archive.Run(); err != nil {
		return fmt.Errorf("read it, which takes the history: %w: %s", err, said.String())
	}
	unpack := exec.CommandContext(ctx, "tar", "-x", "-C", source)
	unpack.Stdin = &tree
	if out, err := unpack.CombinedOutput(); err != nil {
		return fmt.Errorf("unpack it: %w: %s", err, out)
	}
	for program, folder := range map[string]string{
		"postern": "core/cmd/postern", "postern-atse": "plugins/atse", "postern-filename": "plugins/filename", "postern-actions": "plugins/actions",
		"postern-verdicts": "examples/analyzer-go",
	} {
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-o", filepath.Join(bin, program), "./"+folder)
		build.Dir = source
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
	return nil
}

// schema is how many steps the tables of a tree have.
func schema(root string) (int, error) {
	files, err := filepath.Glob(filepath.Join(root, migrationFolder, "*.sql"))
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%s holds no steps in %s", root, migrationFolder)
	}
	return len(files), err
}

// upgradeOn upgrades once, under load that goes on: the clients wait before the door meanwhile. newer says that the old build must refuse the
// store afterwards.
func upgradeOn(ctx context.Context, e *env, old, store, way string, newer bool) (err error) {
	g, err := newGround(ctx, e, old, store)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.end()) }()
	if err := g.withoutMonitor(); err != nil {
		return err
	}
	// What is tagged goes by the outbox, and stays in it until the upgrade is done.
	var upgraded atomic.Bool
	g.hop.Answer = func(point, argument string) robustness.Act {
		if point == "RCPT" && strings.Contains(argument, "@tagged.") && !upgraded.Load() {
			return robustness.Act{Reply: "451 4.3.0 later"}
		}
		return g.answer(point, argument)
	}
	if err := g.start(ctx); err != nil {
		return err
	}
	// The sandbox has no verdict until the upgrade is done.
	withheld := g.verdicts + ".withheld"
	load := g.load("u", 1, robustness.Kinds())
	load.Verdicts, load.Pause = withheld, 20*time.Millisecond
	load.Start(ctx, upgradeClients)
	if err := sleep(ctx, beforeUpgrade); err != nil {
		return err
	}
	began := time.Now()
	if way == "kill" {
		g.kill()
	} else {
		g.door.Set("")
		if err := g.site.Gateway.Stop(); err != nil {
			return err
		}
	}
	waiting, owed, err := g.leftBehind(ctx)
	if err != nil {
		return err
	}
	g.site.Setup.Bin = e.bin
	if err := g.site.Setup.Pin(ctx); err != nil {
		return err
	}
	if err := g.start(ctx); err != nil {
		return err
	}
	served := time.Since(began)
	if err := sleep(ctx, afterUpgrade); err != nil {
		return err
	}
	upgraded.Store(true)
	if err := errors.Join(load.Stop(), appendFile(g.verdicts, withheld)); err != nil {
		return err
	}
	if err := g.settled(ctx, drainAfterKills); err != nil {
		return err
	}
	r, err := g.check(ctx)
	if err != nil {
		return err
	}
	e.printf("%s, %s: %d copies and %d obligations were waiting; serving again after %s", store, way, waiting, owed, served.Round(10*time.Millisecond))
	err = e.report(store+", "+way, r)
	if waiting == 0 || owed == 0 || way != "kill" && r.Duplicates > 0 {
		err = errors.Join(err, errShort)
	}
	if newer {
		err = errors.Join(err, g.oldRefuses(ctx, e, old))
	}
	return err
}

// withoutMonitor takes the block away that builds before it do not know.
func (g *ground) withoutMonitor() error {
	path := filepath.Join(g.site.Setup.Config, "postern.hcl")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return g.site.WriteConfig("postern.hcl", bytes.Replace(text, []byte("monitor { listen = \"127.0.0.1:0\" }\n"), nil, 1))
}

// leftBehind counts what waits in the store of a gateway that does not run. It is asked by the old program, since reading with the new one would
// migrate.
func (g *ground) leftBehind(ctx context.Context) (waiting, owed int, err error) {
	held, err := g.site.Waiting(ctx)
	if err != nil {
		return 0, 0, err
	}
	out, err := g.site.Setup.Run(ctx, "queue", "list", "--json", "--limit", "100000", "--log-level", "warn")
	return len(held), strings.Count(out, "\n"), err
}

// oldRefuses starts the old program on the migrated store, which it would misread.
func (g *ground) oldRefuses(ctx context.Context, e *env, old string) error {
	g.site.Setup.Bin = old
	// Its lock file would have been kept with it.
	if err := errors.Join(os.Remove(filepath.Join(g.site.Setup.Config, "plugins.lock.hcl")), g.site.Setup.Pin(ctx)); err != nil {
		return err
	}
	gateway, err := harness.Start(ctx, g.site.Setup)
	if err == nil {
		e.printf("    the old program runs on the migrated store")
		return errors.Join(errShort, gateway.Stop())
	}
	reason := "without a reason"
	if strings.Contains(err.Error(), "newer version of this program") {
		reason = "and says why"
	}
	e.printf("    the old program refuses the migrated store %s", reason)
	return nil
}

func appendFile(to, from string) error {
	text, err := os.Open(from)
	if err != nil {
		return err
	}
	into, err := os.OpenFile(to, os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return errors.Join(err, text.Close())
	}
	_, err = io.Copy(into, text)
	return errors.Join(err, text.Close(), into.Close())
}
