// Package sqlite keeps everything in one SQLite file, and bodies too large for a row in a folder beside it. It is the store of a
// gateway that runs alone; administrative commands may have it open at the same time.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	_ "modernc.org/sqlite" // the driver

	"github.com/postern-mail/postern/core/clock"
	"github.com/postern-mail/postern/core/store"
	"github.com/postern-mail/postern/core/store/internal/rows"
)

// Store is the store. It keeps to the contract of store.Store.
type Store struct {
	*rows.Store
	backend *backend
}

// readers is how many queries may run side by side.
const readers = 4

// Open opens the file, made with its folder where there is none, and brings it up to date.
func Open(ctx context.Context, path string, o store.Options) (*Store, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	steady := clock.New(o.Clock, o.Log)
	b, err := openBackend(ctx, path, steady)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	if err := b.migrate(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open store %s: %w", path, err), b.close())
	}
	system := func(context.Context) (time.Time, error) { return o.Clock(), nil }
	s, err := rows.New(ctx, b, steady, system, o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open store %s: %w", path, err), b.close())
	}
	return &Store{Store: s, backend: b}, nil
}

// Close ends the store after what is being committed. Stop comes before it.
func (s *Store) Close() error {
	if err := s.backend.close(); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// backend is one file: a single connection writes, as SQLite has one writer anyway, others read.
type backend struct {
	write, read *sql.DB
	jobs        *river.Client[*sql.Tx] // inserts only
	writer      *writer
	bodies      *bodies
}

func openBackend(ctx context.Context, path string, steady *clock.Steady) (*backend, error) {
	write, err := openPool(path, "immediate", 1)
	if err != nil {
		return nil, err
	}
	if err := write.PingContext(ctx); err != nil { // makes the file
		return nil, errors.Join(err, write.Close())
	}
	read, err := openPool(path, "deferred", readers, "query_only(1)")
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	jobs, err := river.NewClient(riversqlite.New(write), &river.Config{Test: rows.JobTime(steady)})
	if err != nil {
		return nil, errors.Join(err, write.Close(), read.Close())
	}
	large, err := openBodies(filepath.Join(filepath.Dir(path), "bodies"))
	if err != nil {
		return nil, errors.Join(err, write.Close(), read.Close())
	}
	return &backend{write: write, read: read, jobs: jobs, writer: startWriter(write, jobs), bodies: large}, nil
}

// openPool opens connections that sync every commit, and wait for another process's.
func openPool(path, lock string, size int, pragmas ...string) (*sql.DB, error) {
	values := url.Values{"_txlock": {lock}, "_pragma": append([]string{
		"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "temp_store(MEMORY)",
	}, pragmas...)}
	pool, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: values.Encode()}).String())
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(size)
	pool.SetMaxIdleConns(size)
	return pool, nil
}

func (b *backend) migrate(ctx context.Context) error {
	if err := rows.Migrate(ctx, b); err != nil {
		return err
	}
	migrator, err := rivermigrate.New(riversqlite.New(b.write), nil)
	if err != nil {
		return fmt.Errorf("migrate jobs: %w", err)
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("migrate jobs: %w", err)
	}
	return nil
}

func (b *backend) close() error {
	b.writer.stop()
	return errors.Join(b.read.Close(), b.write.Close())
}

func (b *backend) Dialect() rows.Dialect {
	return rows.Dialect{
		Blob: "BLOB", Serial: "INTEGER PRIMARY KEY AUTOINCREMENT", Clustered: " WITHOUT ROWID",
		JobTime:   func(t time.Time) any { return t.UTC().Format("2006-01-02 15:04:05.000") }, // as River's driver writes it
		JobWorker: "json_extract(attempted_by, '$[#-1]')",
	}
}

func (b *backend) Read() rows.Queryer { return pool{b.read} }

func (b *backend) Write(ctx context.Context, change func(ctx context.Context, tx rows.Tx) error) error {
	return b.writer.do(ctx, change)
}

func (b *backend) Large() rows.Large { return b.bodies }

// StartJobs polls: SQLite cannot tell of a new row.
func (b *backend) StartJobs(ctx context.Context, config *river.Config) (rows.JobClient, error) {
	config.PollOnly = true
	config.FetchPollInterval = pollJobs
	config.FetchCooldown = pollJobs / 4
	client, err := river.NewClient(riversqlite.New(b.write), config)
	if err != nil {
		return nil, err
	}
	return client, client.Start(ctx)
}

type pool struct{ db *sql.DB }

func (p pool) Query(ctx context.Context, query string, args ...any) (rows.Rows, error) {
	return result(p.db.QueryContext(ctx, query, rows.Clean(args)...))
}

// result keeps a nil pointer from becoming rows that are not nil.
func result(r *sql.Rows, err error) (rows.Rows, error) {
	if err != nil {
		return nil, err
	}
	return r, nil
}
