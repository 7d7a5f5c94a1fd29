package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/jackc/pgx/v5"

	"github.com/postern-mail/postern/core/e2e/harness"
	"github.com/postern-mail/postern/core/store/postgres/pgtest"
)

// scope stands for a test where a proof starts what tests start.
type scope struct {
	cleanups []func()
	failed   error
}

func (*scope) Helper()             {}
func (s *scope) Error(args ...any) { s.failed = errors.Join(s.failed, errors.New(fmt.Sprint(args...))) }
func (s *scope) Errorf(format string, a ...any) {
	s.failed = errors.Join(s.failed, fmt.Errorf(format, a...))
}
func (s *scope) Fatal(args ...any)              { s.Error(args...); runtime.Goexit() }
func (s *scope) Fatalf(format string, a ...any) { s.Errorf(format, a...); runtime.Goexit() }
func (s *scope) Skip(args ...any)               { s.Fatal(args...) }
func (s *scope) Cleanup(f func())               { s.cleanups = append(s.cleanups, f) }

// do runs a step that may end like a failed test.
func (s *scope) do(step func()) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		step()
	}()
	<-done
	return s.failed
}

func (s *scope) end() error {
	return s.do(func() {
		for i := len(s.cleanups) - 1; i >= 0; i-- {
			s.cleanups[i]()
		}
	})
}

// cluster is gateways that share one PostgreSQL, or a single one with SQLite, with one next hop.
type cluster struct {
	scope    scope
	sites    []*harness.Site
	database string // URL; empty with SQLite
}

// startCluster starts n gateways with the rules; n of 0 is a single one with SQLite.
func startCluster(ctx context.Context, e *env, n int, rules string, environment ...string) (c *cluster, err error) {
	c = &cluster{}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.stop())
		}
	}()
	store := "sqlite.hcl"
	if n > 0 {
		store = "postgres.hcl"
		if err := c.scope.do(func() { c.database = pgtest.Start(&c.scope).Database(&c.scope) }); err != nil {
			return c, fmt.Errorf("start PostgreSQL: %w", err)
		}
		environment = append(environment, "PROOF_STORE="+c.database)
	}
	for i := range max(1, n) {
		own := *e
		own.scratch = filepath.Join(e.scratch, fmt.Sprint("gateway", i, "-", n))
		if err := os.Mkdir(own.scratch, 0o700); err != nil {
			return c, err
		}
		s, err := newSiteOn(ctx, &own, store, rules)
		if err != nil {
			return c, err
		}
		c.sites = append(c.sites, s)
		s.Setup.Env = append(s.Setup.Env, environment...)
		s.Hop(c.sites[0].Sink.Addr())
		if err := s.Start(ctx); err != nil {
			return c, err
		}
	}
	return c, nil
}

// settle ends what the database still writes of earlier work, so that it is not measured with what comes next.
func (c *cluster) settle(ctx context.Context) error {
	if c.database == "" {
		return nil
	}
	conn, err := pgx.Connect(ctx, c.database)
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	_, err = conn.Exec(ctx, "CHECKPOINT")
	return errors.Join(err, conn.Close(ctx))
}

func (c *cluster) stop() error {
	var err error
	for _, s := range c.sites {
		err = errors.Join(err, s.Stop())
	}
	return errors.Join(err, c.scope.end())
}
