package rows

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/postern-mail/postern/core/store"
)

// InlineBody is the largest body that is kept in its row.
const InlineBody = 64 << 10

// Large keeps bodies that are too large for a row. All methods but Open may be told of content it has already.
type Large interface {
	// Place makes the content durable before the transaction that refers to it begins, where it is kept outside of the database. The
	// content is not removed before release is called.
	Place(ctx context.Context, body *store.Body) (release func(), err error)
	// Insert writes the content in the transaction, where it is kept in the database. The body's row is new.
	Insert(ctx context.Context, tx Tx, body *store.Body) error
	Open(ctx context.Context, sha256 string, size int64) (io.ReadCloser, error)
	// Condemn begins a removal. Those left out of the answer are in use by commits under way; to the others a commit waits until
	// finish is called with those whose rows are gone.
	Condemn(sha256 []string) (condemned []string, finish func(gone []string) error)
	// Sweep removes content that no row tells of, left by a crash between Place and the transaction.
	Sweep(ctx context.Context, known func(ctx context.Context, sha256 string) (bool, error)) (int64, error)
}

// prepared are the bodies of a change, ready to be written.
type prepared struct {
	store    *Store
	bodies   []store.Body
	inline   [][]byte // nil where the body is large
	releases []func()
}

func (s *Store) prepare(ctx context.Context, bodies []store.Body) (*prepared, error) {
	p := &prepared{store: s, bodies: bodies, inline: make([][]byte, len(bodies))}
	for i := range bodies {
		if err := p.add(ctx, i); err != nil {
			p.release()
			return nil, fmt.Errorf("keep body %s: %w", bodies[i].SHA256, err)
		}
	}
	return p, nil
}

func (p *prepared) add(ctx context.Context, i int) error {
	body := &p.bodies[i]
	if body.Size > InlineBody {
		release, err := p.store.backend.Large().Place(ctx, body)
		if err != nil {
			return err
		}
		p.releases = append(p.releases, release)
		return nil
	}
	r, err := body.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	content := make([]byte, body.Size)
	if _, err := io.ReadFull(r, content); err != nil {
		return err
	}
	if n, err := r.Read(make([]byte, 1)); n > 0 || err != io.EOF {
		return fmt.Errorf("content is longer than its size %d (%w)", body.Size, err)
	}
	p.inline[i] = content
	return nil
}

func (p *prepared) release() {
	for _, release := range p.releases {
		release()
	}
}

func (p *prepared) has(sha256 string) bool {
	for i := range p.bodies {
		if p.bodies[i].SHA256 == sha256 {
			return true
		}
	}
	return false
}

func (p *prepared) insert(ctx context.Context, tx Tx) error {
	for i := range p.bodies {
		if err := p.insertOne(ctx, tx, i); err != nil {
			return fmt.Errorf("keep body %s: %w", p.bodies[i].SHA256, err)
		}
	}
	return nil
}

// insertOne writes the row, or keeps the one that is there from being removed. Retain may remove it between the two.
func (p *prepared) insertOne(ctx context.Context, tx Tx, i int) error {
	body, b := &p.bodies[i], p.store.backend
	for {
		added, err := tx.Exec(ctx, `INSERT INTO bodies (sha256, size, content) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
			body.SHA256, body.Size, p.inline[i])
		if err != nil {
			return err
		}
		if added == 1 {
			if p.inline[i] != nil {
				return nil
			}
			return b.Large().Insert(ctx, tx, body)
		}
		_, err = one(ctx, tx, value[int64], `SELECT 1 FROM bodies WHERE sha256 = $1`+b.Dialect().KeepRow, body.SHA256)
		if !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
}

// OpenBody opens kept content for reading.
func (s *Store) OpenBody(ctx context.Context, sha256 string) (io.ReadCloser, error) {
	type row struct {
		size    int64
		content []byte
	}
	found, err := one(ctx, s.backend.Read(), func(rows Rows) (r row, err error) {
		return r, rows.Scan(&r.size, &r.content)
	}, `SELECT size, content FROM bodies WHERE sha256 = $1`, sha256)
	if err != nil {
		return nil, fmt.Errorf("open body %s: %w", sha256, err)
	}
	if found.size <= InlineBody {
		return io.NopCloser(bytes.NewReader(found.content)), nil
	}
	r, err := s.backend.Large().Open(ctx, sha256, found.size)
	if err != nil {
		return nil, fmt.Errorf("open body %s: %w", sha256, err)
	}
	return r, nil
}
