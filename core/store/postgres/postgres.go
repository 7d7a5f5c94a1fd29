// Package postgres keeps everything in a PostgreSQL database, which several gateways may share.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"

	"github.com/postern-mail/postern/core/clock"
	"github.com/postern-mail/postern/core/store"
	"github.com/postern-mail/postern/core/store/internal/rows"
)

// ErrNotDurable says that the server answers a commit before it is on disk.
var ErrNotDurable = errors.New("the server does not keep what it commits")

// Store is the store. It keeps to the contract of store.Store.
type Store struct {
	*rows.Store
	pool *pgxpool.Pool
}

// migrating is the advisory lock that lets one gateway at a time change the tables.
const migrating = 0x706f7374 // "post"

// Open connects to the database of the URL (postgres://..., or key=value words) and brings its tables up to date.
func Open(ctx context.Context, url string, o store.Options) (*Store, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err) // the text leaves the password out
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s, err := openRows(ctx, pool, o)
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("open store: %w", err)
	}
	return &Store{Store: s, pool: pool}, nil
}

// Close ends the store after what is under way. Stop comes before it.
func (s *Store) Close() error {
	s.pool.Close()
	return nil
}

type backend struct {
	pool *pgxpool.Pool
	jobs *river.Client[pgx.Tx] // inserts only
}

func openRows(ctx context.Context, pool *pgxpool.Pool, o store.Options) (*rows.Store, error) {
	steady := clock.New(o.Clock, o.Log)
	b, err := openBackend(ctx, pool, steady)
	if err != nil {
		return nil, err
	}
	return rows.New(ctx, b, steady, b.clock, o)
}

func openBackend(ctx context.Context, pool *pgxpool.Pool, steady *clock.Steady) (*backend, error) {
	if err := checkDurable(ctx, pool); err != nil {
		return nil, err
	}
	jobs, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Test: rows.JobTime(steady)})
	if err != nil {
		return nil, err
	}
	b := &backend{pool: pool, jobs: jobs}
	return b, b.migrate(ctx)
}

// clock is the server's, which all gateways share, whatever their own show.
func (b *backend) clock(ctx context.Context) (now time.Time, err error) {
	if err := b.pool.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&now); err != nil {
		return now, fmt.Errorf("ask the database for its time: %w", err)
	}
	return now, nil
}

func checkDurable(ctx context.Context, pool *pgxpool.Pool) error {
	for name, wrong := range map[string]string{"fsync": "off", "synchronous_commit": "off"} {
		var value string
		if err := pool.QueryRow(ctx, "SELECT current_setting($1)", name).Scan(&value); err != nil {
			return fmt.Errorf("check that commits are durable: %w", err)
		}
		if value == wrong {
			return fmt.Errorf("check that commits are durable: %s is %s, set it to on: %w", name, value, ErrNotDurable)
		}
	}
	return nil
}

func (b *backend) migrate(ctx context.Context) (err error) {
	conn, err := b.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", int64(migrating)); err != nil {
		return fmt.Errorf("wait for other gateways' migration: %w", err)
	}
	defer func() {
		_, unlockErr := conn.Exec(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", int64(migrating))
		err = errors.Join(err, unlockErr)
	}()
	if err := rows.Migrate(ctx, b); err != nil {
		return err
	}
	migrator, err := rivermigrate.New(riverpgxv5.New(b.pool), nil)
	if err != nil {
		return fmt.Errorf("migrate jobs: %w", err)
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("migrate jobs: %w", err)
	}
	return nil
}

func (b *backend) Dialect() rows.Dialect {
	return rows.Dialect{
		Blob: "BYTEA", Serial: "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
		JobTime:   func(t time.Time) any { return t },
		JobWorker: "attempted_by[array_upper(attempted_by, 1)]",
		Lock:      " FOR UPDATE", SkipLocked: " FOR UPDATE SKIP LOCKED", KeepRow: " FOR KEY SHARE",
	}
}

func (b *backend) Read() rows.Queryer { return queryer{b.pool} }

// attempts bounds how often a transaction is run again that PostgreSQL ended because of another one.
const attempts = 5

// Write leaves it to PostgreSQL to sync commits under way together.
func (b *backend) Write(ctx context.Context, change func(ctx context.Context, tx rows.Tx) error) error {
	for attempt := 1; ; attempt++ {
		err := pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
			return change(ctx, transaction{queryer{tx}, tx, b.jobs})
		})
		var said *pgconn.PgError
		if attempt < attempts && errors.As(err, &said) && (said.Code == "40001" || said.Code == "40P01") { // serialization, deadlock
			continue
		}
		return err
	}
}

func (b *backend) Large() rows.Large { return large{b.pool} }

func (b *backend) StartJobs(ctx context.Context, config *river.Config) (rows.JobClient, error) {
	client, err := river.NewClient(riverpgxv5.New(b.pool), config)
	if err != nil {
		return nil, err
	}
	return client, client.Start(ctx)
}

type queryer struct {
	from interface {
		Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	}
}

func (q queryer) Query(ctx context.Context, sql string, args ...any) (rows.Rows, error) {
	found, err := q.from.Query(ctx, sql, rows.Clean(args)...)
	if err != nil {
		return nil, err
	}
	return result{found}, nil
}

type result struct{ pgx.Rows }

func (r result) Close() error {
	r.Rows.Close()
	return r.Err()
}

type transaction struct {
	queryer
	tx   pgx.Tx
	jobs *river.Client[pgx.Tx]
}

func (t transaction) Exec(ctx context.Context, sql string, args ...any) (int64, error) {
	done, err := t.tx.Exec(ctx, sql, rows.Clean(args)...)
	return done.RowsAffected(), err
}

func (t transaction) InsertJobs(ctx context.Context, jobs []river.InsertManyParams) ([]*rivertype.JobInsertResult, error) {
	return t.jobs.InsertManyTx(ctx, t.tx, jobs)
}
