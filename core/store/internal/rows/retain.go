package rows

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postern-mail/postern/core/store"
)

// keptStates are those of copies whose bodies are still needed.
const keptStates = `('undecided', 'held', 'watched', 'retry', 'postponed', 'delivering', 'quarantined', 'archived', 'undeliverable')`

// Usage is how much is kept.
func (s *Store) Usage(ctx context.Context) (store.Usage, error) {
	u := store.Usage{Copies: map[store.CopyState]int64{}, Bytes: map[store.CopyState]int64{}, Oldest: map[store.CopyState]time.Time{}}
	type row struct {
		state               string
		rows, bytes, oldest int64
	}
	found, err := list(ctx, s.backend.Read(), func(rows Rows) (r row, err error) { return r, rows.Scan(&r.state, &r.rows, &r.bytes, &r.oldest) },
		`SELECT state, COUNT(*), CAST(COALESCE(SUM(size), 0) AS BIGINT), MIN(changed) FROM copies WHERE state IN `+keptStates+` GROUP BY state`)
	if err != nil {
		return u, fmt.Errorf("read usage: %w", err)
	}
	for _, r := range found {
		state := store.CopyState(r.state)
		u.Copies[state], u.Bytes[state], u.Oldest[state] = r.rows, r.bytes, fromMicros(r.oldest)
	}
	due, err := one(ctx, s.backend.Read(), func(rows Rows) (r row, err error) { return r, rows.Scan(&r.rows, &r.oldest) },
		`SELECT COUNT(*), COALESCE(MIN(next_at), 0) FROM obligations WHERE state = 'due'`)
	if err != nil {
		return u, fmt.Errorf("read usage: %w", err)
	}
	u.Due, u.OldestDue = due.rows, fromMicros(due.oldest)
	return u, nil
}

// retainBatch bounds one transaction of a removal, so that commits are not kept waiting.
const retainBatch = 500

// Retain removes what was kept long enough. Messages whose copies are all done go with the tracking log that tells of them.
func (s *Store) Retain(ctx context.Context, now time.Time, r store.Retention) (int64, error) {
	var removed int64
	steps := []struct {
		age      time.Duration
		table    string
		key      string
		terms    string
		selector string
	}{
		{r.Quarantine, "copies", "id", "copy_terms", "state = 'quarantined' AND changed < $1"},
		{r.Archive, "copies", "id", "copy_terms", "state = 'archived' AND changed < $1"},
		{r.Undeliverable, "copies", "id", "copy_terms", "state = 'undeliverable' AND changed < $1"},
		{r.Tracking, "copies", "id", "copy_terms", "state = 'done' AND changed < $1"},
		{r.Events, "events", "id", "event_terms", "at < $1"},
		{r.Tracking, "tracks", "id", "track_terms", "at < $1"},
		{r.Tracking, "submissions", "sha256", "", `state = 'done' AND expires < $1 AND created < $1 AND NOT EXISTS
			(SELECT 1 FROM samples w WHERE w.sha256 = submissions.sha256)`},
		{r.Tracking, "obligations", "id", "", "state <> 'due' AND created < $1"},
		{r.Tracking, "messages", "id", "", `received < $1 AND NOT EXISTS (SELECT 1 FROM copies c WHERE c.message_id = messages.id)
			AND NOT EXISTS (SELECT 1 FROM obligations o WHERE o.message_id = messages.id AND o.state = 'due')`},
	}
	for _, step := range steps {
		if step.age <= 0 {
			continue
		}
		n, err := s.removeOld(ctx, step.table, step.key, step.terms, step.selector, micros(now.Add(-step.age)))
		removed += n
		if err != nil {
			return removed, fmt.Errorf("retain: remove old %s: %w", step.table, err)
		}
	}
	err := s.inSteps(ctx, `DELETE FROM objects WHERE (list, key, since) IN (SELECT o.list, o.key, o.since FROM objects o
		WHERE o.expires <> 0 AND o.expires < $1 LIMIT $2)`, micros(now), int64(retainBatch))
	if err != nil {
		return removed, fmt.Errorf("retain: remove expired objects: %w", err)
	}
	n, err := s.removeBodies(ctx)
	removed += n
	if err != nil {
		return removed, fmt.Errorf("retain: remove bodies: %w", err)
	}
	_, err = s.backend.Large().Sweep(ctx, func(ctx context.Context, sha256 string) (bool, error) {
		_, err := one(ctx, s.backend.Read(), value[int64], `SELECT 1 FROM bodies WHERE sha256 = $1`, sha256)
		if errors.Is(err, store.ErrNotFound) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		return removed, fmt.Errorf("retain: sweep bodies: %w", err)
	}
	return removed, nil
}

func (s *Store) removeOld(ctx context.Context, table, key, terms, selector string, before int64) (int64, error) {
	var removed int64
	for {
		n, err := write(ctx, s.backend, func(ctx context.Context, tx Tx) (int64, error) {
			old := `SELECT ` + key + ` FROM ` + table + ` WHERE ` + selector + fmt.Sprintf(` ORDER BY %s LIMIT %d`, key, retainBatch)
			if terms != "" {
				if _, err := tx.Exec(ctx, `DELETE FROM `+terms+` WHERE owner IN (`+old+`)`, before); err != nil {
					return 0, err
				}
			}
			return tx.Exec(ctx, `DELETE FROM `+table+` WHERE `+key+` IN (`+old+`)`, before)
		})
		removed += n
		if err != nil || n < retainBatch {
			return removed, err
		}
	}
}

// unused selects bodies that nothing refers to: no copy that is not done, by itself or by its message, and nothing that is owed.
const unused = `SELECT b.sha256 FROM bodies b WHERE b.sha256 > $1
	AND NOT EXISTS (SELECT 1 FROM messages m JOIN copies c ON c.message_id = m.id WHERE m.body_sha256 = b.sha256 AND c.state IN ` + keptStates + `)
	AND NOT EXISTS (SELECT 1 FROM copies c WHERE c.body_sha256 = b.sha256 AND c.state IN ` + keptStates + `)
	AND NOT EXISTS (SELECT 1 FROM obligations o WHERE o.body_sha256 = b.sha256 AND o.state = 'due')
	AND NOT EXISTS (SELECT 1 FROM messages m JOIN obligations o ON o.message_id = m.id WHERE m.body_sha256 = b.sha256 AND o.state = 'due')
	ORDER BY b.sha256 LIMIT $2`

func (s *Store) removeBodies(ctx context.Context) (int64, error) {
	var removed int64
	after := ""
	for {
		batch, err := list(ctx, s.backend.Read(), value[string], unused, after, int64(retainBatch))
		if err != nil || len(batch) == 0 {
			return removed, err
		}
		after = batch[len(batch)-1]
		n, err := s.removeBatch(ctx, batch)
		removed += n
		if err != nil {
			return removed, err
		}
	}
}

// removeBatch removes rows and then contents of bodies that are still unused, which the transaction looks at again.
func (s *Store) removeBatch(ctx context.Context, batch []string) (int64, error) {
	condemned, finish := s.backend.Large().Condemn(batch)
	gone, err := write(ctx, s.backend, func(ctx context.Context, tx Tx) ([]string, error) {
		var gone []string
		for _, sha256 := range condemned {
			still, err := one(ctx, tx, value[string], `SELECT sha256 FROM bodies WHERE sha256 = $1`+s.backend.Dialect().Lock, sha256)
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil {
				return nil, err
			}
			// The list looks at what is above a key: just below the body it looks at this one first.
			next, err := list(ctx, tx, value[string], unused, still[:len(still)-1], int64(1))
			if err != nil {
				return nil, err
			}
			if len(next) == 0 || next[0] != still {
				continue
			}
			if _, err := tx.Exec(ctx, `DELETE FROM bodies WHERE sha256 = $1`, still); err != nil {
				return nil, err
			}
			gone = append(gone, still)
		}
		return gone, nil
	})
	if err != nil {
		gone = nil
	}
	return int64(len(gone)), errors.Join(err, finish(gone))
}

// Setting reads a named value.
func (s *Store) Setting(ctx context.Context, name string) (string, error) {
	v, err := one(ctx, s.backend.Read(), value[string], `SELECT value FROM settings WHERE name = $1`, name)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read setting %s: %w", name, err)
	}
	return v, nil
}

// SetSetting changes a named value from what it was.
func (s *Store) SetSetting(ctx context.Context, name, before, text string) error {
	err := s.backend.Write(ctx, func(ctx context.Context, tx Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO settings (name, value) VALUES ($1, '') ON CONFLICT (name) DO NOTHING`, name); err != nil {
			return err
		}
		return conflictUnless(tx.Exec(ctx, `UPDATE settings SET value = $3 WHERE name = $1 AND value = $2`, name, before, text))
	})
	if err != nil {
		return fmt.Errorf("write setting %s: %w", name, err)
	}
	return nil
}
