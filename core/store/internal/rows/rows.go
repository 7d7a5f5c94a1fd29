// Package rows is what both stores have in common: the tables, every query, and the jobs. Values of package store go in and come
// out; a Backend below it runs the SQL, which is written once in the dialect that SQLite and PostgreSQL share.
package rows

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/postern-mail/postern/core/clock"
	"github.com/postern-mail/postern/core/store"
)

// Backend is one database.
type Backend interface {
	// Read answers queries outside of any transaction.
	Read() Queryer
	// Write runs the function in one transaction that is durable when it returns nil. On any error nothing of it is. It may run the
	// function again after a deadlock.
	Write(ctx context.Context, change func(ctx context.Context, tx Tx) error) error
	// Dialect is the little SQL in which the databases differ.
	Dialect() Dialect
	// Large is where bodies above InlineBody are kept.
	Large() Large
	// StartJobs makes a job client of its own for the configuration and starts it.
	StartJobs(ctx context.Context, config *river.Config) (JobClient, error)
}

// JobClient is a running job engine.
type JobClient interface {
	Stop(ctx context.Context) error
	StopAndCancel(ctx context.Context) error
}

// Queryer answers queries.
type Queryer interface {
	Query(ctx context.Context, sql string, args ...any) (Rows, error)
}

// Tx is a transaction under way.
type Tx interface {
	Queryer
	// Exec returns the number of rows changed.
	Exec(ctx context.Context, sql string, args ...any) (int64, error)
	InsertJobs(ctx context.Context, jobs []river.InsertManyParams) ([]*rivertype.JobInsertResult, error)
}

// Rows is the answer to a query.
type Rows interface {
	Next() bool
	Scan(into ...any) error
	Err() error
	Close() error
}

// Dialect is SQL by database.
type Dialect struct {
	Blob   string // type of bytes
	Serial string // type of a numbered primary key
	// Clustered ends the definition of a table whose rows are kept in the order of its key.
	Clustered string
	// Lock and SkipLocked end a SELECT of rows that the transaction is about to change: after a wait, or leaving out those that
	// another transaction holds.
	Lock, SkipLocked string
	// KeepRow ends a SELECT of a row that must not be removed before the transaction ends.
	KeepRow string
	// JobTime is a time in the type of the job table.
	JobTime func(t time.Time) any
	// JobWorker is who took a job of the job table last.
	JobWorker string
}

// Store implements store.Store over a Backend.
type Store struct {
	backend Backend
	clock   func() time.Time // of the system, for what is recorded
	steady  *clock.Steady    // for what waits
	log     *slog.Logger
	node    string
	jobs    jobs
}

// New returns the store over an opened and migrated backend. The clock is the one that the backend's jobs have, and begins here; reference
// is what it is held to where the options do not say.
func New(ctx context.Context, backend Backend, steady *clock.Steady, reference func(context.Context) (time.Time, error), o store.Options) (*Store, error) {
	s := &Store{backend: backend, clock: o.Clock, steady: steady, log: o.Log, node: o.Node}
	if o.Reference != nil {
		reference = o.Reference
	}
	return s, steady.Begin(ctx, shared{s, reference})
}

// write runs the function in a transaction and returns its result, which is the last run's where it had to run again.
func write[T any](ctx context.Context, b Backend, change func(ctx context.Context, tx Tx) (T, error)) (T, error) {
	var out T
	err := b.Write(ctx, func(ctx context.Context, tx Tx) error {
		var err error
		out, err = change(ctx, tx)
		return err
	})
	if err != nil {
		var none T
		return none, err
	}
	return out, nil
}

// list collects all rows of a query.
func list[T any](ctx context.Context, q Queryer, scan func(Rows) (T, error), sql string, args ...any) (out []T, err error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := rows.Close(); err == nil {
			err = closeErr
		}
	}()
	for rows.Next() {
		row, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, row)
	}
	return out, rows.Err()
}

// one is the first row of a query, or store.ErrNotFound.
func one[T any](ctx context.Context, q Queryer, scan func(Rows) (T, error), sql string, args ...any) (T, error) {
	var none T
	found, err := list(ctx, q, scan, sql, args...)
	if err != nil {
		return none, err
	}
	if len(found) == 0 {
		return none, store.ErrNotFound
	}
	return found[0], nil
}

// value scans a row of one column.
func value[T any](rows Rows) (T, error) {
	var v T
	err := rows.Scan(&v)
	return v, err
}

// conflictUnless turns an update that met no row into store.ErrConflict.
func conflictUnless(affected int64, err error) error {
	if err == nil && affected == 0 {
		return store.ErrConflict
	}
	return err
}

// Clean makes texts among the arguments storable: PostgreSQL takes neither invalid UTF-8 nor NUL, and mail holds both.
func Clean(args []any) []any {
	for i, arg := range args {
		if text, ok := arg.(string); ok {
			args[i] = cleanText(text)
		}
	}
	return args
}

func cleanText(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "")
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// encode is a column of JSON. Bytes, not text: it is never searched, and PostgreSQL refuses a NUL escaped in its JSON types.
func encode(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	return b, nil
}

func decode(b []byte, into any) error {
	if len(b) == 0 {
		return nil
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("decode %T: %w", into, err)
	}
	return nil
}

// limit is the size of a page.
func limit(page store.Page) int {
	if page.Limit <= 0 {
		return 100
	}
	return page.Limit
}
