package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/postern-mail/postern/core/store"
	"github.com/postern-mail/postern/core/store/internal/rows"
)

// chunk is how much of a body one row holds: what a reader or writer has in memory.
const chunk = 256 << 10

// large keeps content in rows of a chunk each, which go with their body's row.
type large struct{ pool *pgxpool.Pool }

// Place does nothing: all is in the transaction.
func (large) Place(context.Context, *store.Body) (func(), error) { return func() {}, nil }

func (large) Insert(ctx context.Context, tx rows.Tx, body *store.Body) (err error) {
	r, err := body.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	var (
		buffer = make([]byte, chunk)
		left   = body.Size
	)
	for number := int64(0); left > 0; number++ {
		n := min(left, chunk)
		if _, err := io.ReadFull(r, buffer[:n]); err != nil {
			return fmt.Errorf("read content, %d bytes before its end: %w", left, err)
		}
		if _, err := tx.Exec(ctx, `INSERT INTO body_chunks (sha256, number, content) VALUES ($1, $2, $3)`, body.SHA256, number, buffer[:n]); err != nil {
			return err
		}
		left -= n
	}
	if n, err := r.Read(buffer[:1]); n > 0 || !errors.Is(err, io.EOF) {
		return fmt.Errorf("content is longer than its size %d (%w)", body.Size, err)
	}
	return nil
}

func (l large) Open(ctx context.Context, sha256 string, size int64) (io.ReadCloser, error) {
	r := &chunks{ctx: ctx, pool: l.pool, sha256: sha256, left: size}
	return r, r.next()
}

// Condemn leaves it to the rows' locks who is first.
func (large) Condemn(sha256 []string) ([]string, func([]string) error) {
	return sha256, func([]string) error { return nil }
}

// Sweep has nothing to do: what no row tells of does not exist.
func (large) Sweep(context.Context, func(context.Context, string) (bool, error)) (int64, error) {
	return 0, nil
}

// chunks reads one row at a time, so that a slow reader holds no connection.
type chunks struct {
	ctx    context.Context
	pool   *pgxpool.Pool
	sha256 string
	number int64
	rest   []byte
	left   int64 // in rows not read yet
}

func (c *chunks) next() error {
	err := c.pool.QueryRow(c.ctx, `SELECT content FROM body_chunks WHERE sha256 = $1 AND number = $2`, c.sha256, c.number).Scan(&c.rest)
	if errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("read body %s, chunk %d: %w", c.sha256, c.number, store.ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("read body %s, chunk %d: %w", c.sha256, c.number, err)
	}
	c.number++
	c.left -= int64(len(c.rest))
	return nil
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		if c.left <= 0 {
			return 0, io.EOF
		}
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (*chunks) Close() error { return nil }
