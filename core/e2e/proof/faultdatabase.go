package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-mail/postern/core/e2e/harness"
)

// databaseAway ends PostgreSQL.
func databaseAway(_ context.Context, g *ground) (ending, error) {
	back, returned := make(chan struct{}), make(chan error, 1)
	gone := make(chan struct{})
	go func() {
		returned <- g.scope.do(func() {
			g.server.Away(&g.scope, func() {
				close(gone)
				<-back
			})
		})
	}()
	<-gone
	return func() (string, error) { close(back); return "", <-returned }, nil
}

// databaseHangs stops every process of PostgreSQL where it is.
func databaseHangs(_ context.Context, g *ground) (ending, error) {
	if err := g.server.Signal(syscall.SIGSTOP); err != nil {
		return nil, err
	}
	return func() (string, error) { return "", g.server.Signal(syscall.SIGCONT) }, nil
}

// idleWithin is how soon after all is settled no worker is busy any more.
const idleWithin = 30 * time.Second

// idle waits until no worker of the outbox is busy: one that is kept by what it cannot record serves nobody else.
func (g *ground) idle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, idleWithin)
	defer cancel()
	conn, err := pgx.Connect(ctx, g.place)
	if err != nil {
		return err
	}
	err = harness.Eventually(ctx, "no worker of the outbox is busy", func() (bool, error) {
		var busy int
		err := conn.QueryRow(ctx, "SELECT count(*) FROM river_job WHERE kind = 'deliver' AND state = 'running'").Scan(&busy)
		return busy == 0, err
	})
	return errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
}

// lockCopies keeps every other session from the table of copies.
func lockCopies(ctx context.Context, g *ground) (ending, error) {
	conn, err := pgx.Connect(ctx, g.place)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Exec(ctx, "BEGIN; LOCK TABLE copies IN ACCESS EXCLUSIVE MODE"); err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	return func() (string, error) { return "", conn.Close(context.WithoutCancel(ctx)) }, nil
}

// hogPause is the time between two attempts of a hog to get another connection.
const hogPause = 5 * time.Millisecond

// hogConnections takes every connection that PostgreSQL has, ends those of the gateway, and takes them as well, until it is over.
func hogConnections(ctx context.Context, g *ground) (ending, error) {
	hogging, stop := context.WithCancel(ctx)
	var (
		hog   sync.WaitGroup
		conns []*pgx.Conn
		err   error
		full  = make(chan struct{})
	)
	hog.Go(func() {
		announce := sync.OnceFunc(func() { close(full) })
		defer announce()
		for hogging.Err() == nil {
			conn, refused := pgx.Connect(hogging, g.place)
			if refused == nil {
				conns = append(conns, conn)
				continue
			}
			if len(conns) == 0 {
				err = refused
				return
			}
			var ended int
			if err = conns[0].QueryRow(ctx, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database()
				AND NOT pid = ANY($1)`, backends(conns)).Scan(&ended); err != nil {
				return
			}
			if ended == 0 {
				announce()
			}
			_ = sleep(hogging, hogPause)
		}
	})
	end := func() (string, error) {
		stop()
		hog.Wait()
		said := fmt.Sprintf("%d connections were taken", len(conns))
		for _, conn := range conns {
			err = errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
		}
		return said, err
	}
	select {
	case <-full:
		return end, nil
	case <-ctx.Done():
		_, err := end()
		return nil, errors.Join(ctx.Err(), err)
	}
}

func backends(conns []*pgx.Conn) (pids []int32) {
	for _, conn := range conns {
		pids = append(pids, int32(conn.PgConn().PID()))
	}
	return pids
}
