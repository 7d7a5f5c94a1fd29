package rows

import (
	"context"
	"fmt"
	"time"

	"github.com/postern-mail/postern/core/store"
)

// BeginObjects takes the list over for one synchronisation. What an earlier one left staged is taken back.
func (s *Store) BeginObjects(ctx context.Context, name, token string) (store.ObjectList, error) {
	type begun struct {
		list store.ObjectList
		left bool
	}
	b, err := write(ctx, s.backend, func(ctx context.Context, tx Tx) (begun, error) {
		l, err := s.openList(ctx, tx, name)
		if err != nil {
			return begun{}, err
		}
		staging, err := one(ctx, tx, value[string], `SELECT staging FROM object_lists WHERE name = $1`, name)
		if err != nil {
			return begun{}, err
		}
		_, err = tx.Exec(ctx, `UPDATE object_lists SET staging = $2 WHERE name = $1`, name, token)
		return begun{l, staging != ""}, err
	})
	if err == nil && b.left {
		err = s.unstage(ctx, name)
	}
	if err != nil {
		return store.ObjectList{}, fmt.Errorf("begin synchronisation of %s: %w", name, err)
	}
	return b.list, nil
}

// unstage takes back what begins or ends after the list's generation.
func (s *Store) unstage(ctx context.Context, name string) error {
	const rest = ` WHERE (list, key, since) IN (SELECT o.list, o.key, o.since FROM objects o JOIN object_lists l ON l.name = o.list
		WHERE o.list = $1 AND `
	if err := s.inSteps(ctx, `DELETE FROM objects`+rest+`o.since > l.generation LIMIT $2)`, name, int64(retainBatch)); err != nil {
		return err
	}
	return s.inSteps(ctx, `UPDATE objects SET until = 0`+rest+`o.until <> 0 AND o.until > l.generation LIMIT $2)`, name, int64(retainBatch))
}

// staged is the list of a synchronisation under way, or store.ErrConflict where another has taken it over.
func (s *Store) staged(ctx context.Context, tx Tx, name, token string) (generation int64, err error) {
	type row struct {
		generation int64
		staging    string
	}
	r, err := one(ctx, tx, func(rows Rows) (r row, err error) { return r, rows.Scan(&r.generation, &r.staging) },
		`SELECT generation, staging FROM object_lists WHERE name = $1`+s.backend.Dialect().Lock, name)
	if err == nil && r.staging != token {
		err = store.ErrConflict
	}
	return r.generation, err
}

// StageObjects writes a piece of what the list is to be.
func (s *Store) StageObjects(ctx context.Context, name, token string, put []store.Object, end [][]byte) error {
	err := s.backend.Write(ctx, func(ctx context.Context, tx Tx) error {
		generation, err := s.staged(ctx, tx, name, token)
		if err != nil {
			return err
		}
		if _, err := endObjects(ctx, tx, name, generation+1, end); err != nil {
			return err
		}
		return putObjects(ctx, tx, name, generation+1, put)
	})
	if err != nil {
		return fmt.Errorf("stage objects of %s: %w", name, err)
	}
	return nil
}

// CommitObjects shows what was staged. It is counted before, outside of the transaction: nobody else stages meanwhile, or the token says so.
func (s *Store) CommitObjects(ctx context.Context, token string, l *store.ObjectList, changed bool) error {
	if changed {
		n, err := one(ctx, s.backend.Read(), value[int64], `SELECT COUNT(*) FROM objects o JOIN object_lists l ON l.name = o.list
			WHERE o.list = $1 AND o.since <= l.generation + 1 AND (o.until = 0 OR o.until > l.generation + 1)`, l.Name)
		if err != nil {
			return fmt.Errorf("count objects of %s: %w", l.Name, err)
		}
		l.Objects = n
	}
	err := s.backend.Write(ctx, func(ctx context.Context, tx Tx) error {
		generation, err := s.staged(ctx, tx, l.Name, token)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE object_lists SET generation = $2, staging = '', objects = $3, skipped = $4, synced = $5, tried = $6, error = '',
			place = $7, accept = 0 WHERE name = $1`, l.Name, generation+number(changed), l.Objects, l.Skipped, micros(l.Synced), micros(l.Tried), l.Cursor)
		return err
	})
	if err != nil {
		return fmt.Errorf("commit objects of %s: %w", l.Name, err)
	}
	return nil
}

// DiscardObjects takes back what was staged.
func (s *Store) DiscardObjects(ctx context.Context, name, token, reason string, now time.Time) error {
	err := s.backend.Write(ctx, func(ctx context.Context, tx Tx) error {
		if _, err := s.staged(ctx, tx, name, token); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE object_lists SET tried = $2, error = $3 WHERE name = $1`, name, micros(now), reason)
		return err
	})
	if err == nil {
		err = s.unstage(ctx, name)
	}
	if err == nil {
		err = s.backend.Write(ctx, func(ctx context.Context, tx Tx) error {
			_, err := tx.Exec(ctx, `UPDATE object_lists SET staging = '' WHERE name = $1 AND staging = $2`, name, token)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("discard objects of %s: %w", name, err)
	}
	return nil
}

// AcceptObjects lets the next synchronisation be believed.
func (s *Store) AcceptObjects(ctx context.Context, name string, audit store.Audit) error {
	err := s.backend.Write(ctx, func(ctx context.Context, tx Tx) error {
		n, err := tx.Exec(ctx, `UPDATE object_lists SET accept = 1 WHERE name = $1`, name)
		if err == nil && n == 0 {
			err = store.ErrNotFound
		}
		if err != nil {
			return err
		}
		return insertAudits(ctx, tx, []store.Audit{audit})
	})
	if err != nil {
		return fmt.Errorf("accept list %s: %w", name, err)
	}
	return nil
}

// DropObjects removes a list. It shows nothing from the first step on.
func (s *Store) DropObjects(ctx context.Context, name string) error {
	err := s.backend.Write(ctx, func(ctx context.Context, tx Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM object_lists WHERE name = $1`, name)
		return err
	})
	if err == nil {
		err = s.inSteps(ctx, `DELETE FROM objects WHERE (list, key, since) IN (SELECT o.list, o.key, o.since FROM objects o WHERE o.list = $1
			AND NOT EXISTS (SELECT 1 FROM object_lists l WHERE l.name = o.list) LIMIT $2)`, name, int64(retainBatch))
	}
	if err != nil {
		return fmt.Errorf("drop list %s: %w", name, err)
	}
	return nil
}
