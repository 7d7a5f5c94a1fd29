package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/postern-mail/postern/core/store/internal/rows"
)

const (
	pollJobs = 200 * time.Millisecond
	// largestBatch bounds how many changes share one transaction, and so how long the first of them waits.
	largestBatch = 64
)

var errClosed = errors.New("the store is closed")

// writer makes changes that arrive while another is being synced share the next transaction: the sync is what takes time. Each
// change has a savepoint, so that one that fails takes no other with it.
type writer struct {
	db       *sql.DB
	jobs     *river.Client[*sql.Tx]
	requests chan *request
	quit     chan struct{}
	stopped  sync.WaitGroup
}

type request struct {
	ctx    context.Context
	change func(ctx context.Context, tx rows.Tx) error
	done   chan error
}

func startWriter(db *sql.DB, jobs *river.Client[*sql.Tx]) *writer {
	w := &writer{db: db, jobs: jobs, requests: make(chan *request), quit: make(chan struct{})}
	w.stopped.Go(w.run)
	return w
}

func (w *writer) stop() {
	close(w.quit)
	w.stopped.Wait()
}

// do returns when the change is durable or nothing of it was done. Whoever gives up waiting before its turn has done nothing; a
// change whose turn has come is waited for, as its outcome would be unknown otherwise.
func (w *writer) do(ctx context.Context, change func(ctx context.Context, tx rows.Tx) error) error {
	r := &request{ctx: ctx, change: change, done: make(chan error, 1)}
	select {
	case w.requests <- r:
		return <-r.done
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-w.quit:
		return errClosed
	}
}

func (w *writer) run() {
	for {
		select {
		case first := <-w.requests:
			w.commit(w.collect(first))
		case <-w.quit:
			return
		}
	}
}

func (w *writer) collect(first *request) []*request {
	batch := []*request{first}
	for len(batch) < largestBatch {
		select {
		case r := <-w.requests:
			batch = append(batch, r)
		default:
			return batch
		}
	}
	return batch
}

// commit answers every request of the batch.
func (w *writer) commit(batch []*request) {
	outcomes := make([]error, len(batch))
	err := w.transact(batch, outcomes)
	for i, r := range batch {
		if err != nil {
			r.done <- err
			continue
		}
		r.done <- outcomes[i]
	}
}

// transact fills in the outcome of each change; an error is the whole transaction's. The transaction has a context of its own: SQLite
// answers an interrupted statement by undoing all of it.
func (w *writer) transact(batch []*request, outcomes []error) error {
	ctx := context.Background()
	tx, err := w.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	for i, r := range batch {
		if err := w.apply(ctx, tx, r, &outcomes[i]); err != nil {
			return errors.Join(err, w.abandon(tx))
		}
	}
	if err := tx.Commit(); err != nil {
		return errors.Join(fmt.Errorf("commit transaction: %w", err), w.abandon(tx))
	}
	return nil
}

// apply makes one change within its savepoint. The returned error is the transaction's: without the savepoint nobody knows what of it
// is left.
func (w *writer) apply(ctx context.Context, tx *sql.Tx, r *request, outcome *error) error {
	if *outcome = context.Cause(r.ctx); *outcome != nil {
		return nil
	}
	if _, err := tx.ExecContext(ctx, "SAVEPOINT change"); err != nil {
		return fmt.Errorf("begin change: %w", err)
	}
	*outcome = r.change(context.WithoutCancel(r.ctx), transaction{tx, w.jobs})
	if *outcome != nil {
		if _, err := tx.ExecContext(ctx, "ROLLBACK TO change"); err != nil {
			return errors.Join(*outcome, fmt.Errorf("undo change: %w", err))
		}
	}
	if _, err := tx.ExecContext(ctx, "RELEASE change"); err != nil {
		return fmt.Errorf("end change: %w", err)
	}
	return nil
}

// abandon undoes the transaction, and gives up the connection as well: after a failed commit it may still be in the transaction.
func (w *writer) abandon(tx *sql.Tx) error {
	if err := tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
		return fmt.Errorf("undo transaction: %w", err)
	}
	conn, err := w.db.Conn(context.Background())
	if err != nil {
		return fmt.Errorf("give up connection: %w", err)
	}
	if err := conn.Raw(func(any) error { return driver.ErrBadConn }); !errors.Is(err, driver.ErrBadConn) {
		return fmt.Errorf("give up connection: %w", err)
	}
	if err := conn.Close(); err != nil && !errors.Is(err, sql.ErrConnDone) {
		return fmt.Errorf("give up connection: %w", err)
	}
	return nil
}

type transaction struct {
	tx   *sql.Tx
	jobs *river.Client[*sql.Tx]
}

func (t transaction) Query(ctx context.Context, query string, args ...any) (rows.Rows, error) {
	return result(t.tx.QueryContext(ctx, query, rows.Clean(args)...))
}

func (t transaction) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	r, err := t.tx.ExecContext(ctx, query, rows.Clean(args)...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

func (t transaction) InsertJobs(ctx context.Context, jobs []river.InsertManyParams) ([]*rivertype.JobInsertResult, error) {
	return t.jobs.InsertManyTx(ctx, t.tx, jobs)
}
