package rows

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/postern-mail/postern/core/store"
)

const copyColumns = `c.id, c.message_id, c.recipients, c.state, c.area, c.due_at, c.fate, c.result, c.first_wait, c.deadline, c.attempts,
	c.body_sha256, c.version, c.changed`

// putCopy inserts a copy of version 0 and updates any other by its version.
func (s *Store) putCopy(ctx context.Context, tx Tx, c *store.Copy) error {
	recipients, err := encode(c.Recipients)
	if err != nil {
		return err
	}
	fate, err := encode(&c.Fate)
	if err != nil {
		return err
	}
	changed := c.Changed
	if changed.IsZero() {
		changed = s.clock()
	}
	args := []any{
		c.ID, c.Version, recipients, string(c.State), c.Area, micros(c.DueAt), fate, c.Result, micros(c.FirstWait), micros(c.Deadline),
		int64(c.Attempts), c.BodySHA256, micros(changed),
	}
	if c.Version != 0 {
		return replaceCopy(ctx, tx, c, args)
	}
	// A message that is not there leaves NULL in columns that have none.
	err = conflictUnless(tx.Exec(ctx, `INSERT INTO copies (id, version, recipients, state, area, due_at, fate, result, first_wait, deadline,
			attempts, body_sha256, changed, message_id, received, size)
		VALUES ($1, $2 + 1, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,
			(SELECT received FROM messages WHERE id = $14), (SELECT size FROM messages WHERE id = $14))
		ON CONFLICT (id) DO NOTHING`, append(args, c.MessageID)...))
	if err != nil {
		return err
	}
	return insertTerms(ctx, tx, "copy_terms", c.ID, copyTerms(c))
}

func replaceCopy(ctx context.Context, tx Tx, c *store.Copy, args []any) error {
	err := conflictUnless(tx.Exec(ctx, `UPDATE copies SET version = version + 1, recipients = $3, state = $4, area = $5, due_at = $6,
			fate = $7, result = $8, first_wait = $9, deadline = $10, attempts = $11, body_sha256 = $12, changed = $13,
			claimed_by = CASE WHEN due_at = $6 THEN claimed_by ELSE '' END
		WHERE id = $1 AND version = $2`, args...))
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM copy_terms WHERE owner = $1 AND field <> $2`, c.ID, termObject); err != nil {
		return err
	}
	return insertTerms(ctx, tx, "copy_terms", c.ID, copyTerms(c))
}

func copyTerms(c *store.Copy) terms {
	t := terms{}
	t.add(termRecipient, c.Recipients...)
	t.add(termID, c.ID, c.MessageID)
	for i := range c.Fate.Matches {
		t.add(termRule, c.Fate.Matches[i].Rule)
	}
	t.add(termRule, c.Fate.WaitRule)
	t.addKeys(c.Objects)
	return t
}

// Copy returns one copy.
func (s *Store) Copy(ctx context.Context, id string) (*store.Copy, error) {
	c, err := one(ctx, s.backend.Read(), scanCopy, `SELECT `+copyColumns+` FROM copies c WHERE c.id = $1`, id)
	if err != nil {
		return nil, fmt.Errorf("read copy %s: %w", id, err)
	}
	return &c, nil
}

func scanCopy(rows Rows) (store.Copy, error) {
	var c store.Copy
	return c, scanCopyAnd(rows, &c)
}

// scanCopyAnd scans copyColumns, and what the query selects after them.
func scanCopyAnd(rows Rows, c *store.Copy, more ...any) error {
	var (
		recipients, fate                   []byte
		state                              string
		due, firstWait, deadline, attempts int64
		changed                            int64
	)
	err := rows.Scan(append([]any{
		&c.ID, &c.MessageID, &recipients, &state, &c.Area, &due, &fate, &c.Result, &firstWait, &deadline, &attempts, &c.BodySHA256,
		&c.Version, &changed,
	}, more...)...)
	if err != nil {
		return err
	}
	c.State, c.Attempts = store.CopyState(state), int(attempts)
	c.DueAt, c.FirstWait, c.Deadline, c.Changed = fromMicros(due), fromMicros(firstWait), fromMicros(deadline), fromMicros(changed)
	if err := decode(recipients, &c.Recipients); err != nil {
		return err
	}
	return decode(fate, &c.Fate)
}

// Copies lists copies, those of the latest messages first.
func (s *Store) Copies(ctx context.Context, query store.CopyQuery, page store.Page) ([]store.CopyRow, string, int64, error) {
	var w where
	if len(query.States) > 0 {
		w.add("c.state IN (?)", states(query.States))
	}
	if query.Area != "" {
		w.add("c.area = ?", query.Area)
	}
	if query.MessageID != "" {
		w.add("c.message_id = ?", query.MessageID)
	}
	if !query.DueBefore.IsZero() {
		w.add("c.due_at > 0 AND c.due_at < ?", micros(query.DueBefore))
	}
	w.times("c.received", &query.Text)
	w.patterns("m.sender_key", query.Text.Sender)
	w.patterns("m.subject_key", query.Text.Subject)
	w.terms("c.id", "copy_terms", &query.Text)
	list := listing[store.CopyRow]{
		from: "copies c JOIN messages m ON m.id = c.message_id", columns: copyColumns + `, m.received, m.sender, m.subject, m.header_id, m.size`,
		time: "c.received", id: "c.id", where: w, scan: scanCopyRow,
		key: func(r *store.CopyRow) (time.Time, string) { return r.Received, r.ID },
	}
	rows, next, total, err := list.page(ctx, s.backend.Read(), page)
	if err != nil {
		return nil, "", 0, fmt.Errorf("list copies: %w", err)
	}
	return rows, next, total, nil
}

func scanCopyRow(rows Rows) (store.CopyRow, error) {
	var (
		r        store.CopyRow
		received int64
	)
	if err := scanCopyAnd(rows, &r.Copy, &received, &r.Sender, &r.Subject, &r.HeaderID, &r.Size); err != nil {
		return r, err
	}
	r.Received = fromMicros(received)
	return r, nil
}

func states(of []store.CopyState) []any {
	out := make([]any, len(of))
	for i, state := range of {
		out[i] = string(state)
	}
	return out
}

// ClaimCopies takes due copies away from all other gateways until the given time.
func (s *Store) ClaimCopies(ctx context.Context, of []store.CopyState, now, until time.Time, limit int) ([]store.Copy, error) {
	var w where
	w.add("c.state IN (?)", states(of))
	w.add("c.due_at > 0 AND c.due_at <= ?", micros(now))
	sql := `SELECT ` + copyColumns + ` FROM copies c` + w.sql() + ` ORDER BY c.due_at, c.id LIMIT ` + w.arg(int64(limit)) +
		s.backend.Dialect().SkipLocked
	// Mostly nothing is due: that is found without a write transaction.
	if due, err := list(ctx, s.backend.Read(), scanCopy, `SELECT `+copyColumns+` FROM copies c`+w.sql()+` LIMIT 1`,
		w.args[:len(w.args)-1]...); err != nil || len(due) == 0 {
		if err != nil {
			return nil, fmt.Errorf("look for due copies: %w", err)
		}
		return nil, nil
	}
	claimed, err := write(ctx, s.backend, func(ctx context.Context, tx Tx) ([]store.Copy, error) {
		claimed, err := list(ctx, tx, scanCopy, sql, slices.Clone(w.args)...)
		if err != nil {
			return nil, err
		}
		for i := range claimed {
			c := &claimed[i]
			if _, err := tx.Exec(ctx, `UPDATE copies SET due_at = $2, claimed_by = $3, version = version + 1 WHERE id = $1`,
				c.ID, micros(until), s.node); err != nil {
				return nil, err
			}
			c.DueAt, c.Version = fromMicros(micros(until)), c.Version+1
		}
		return claimed, nil
	})
	if err != nil {
		return nil, fmt.Errorf("claim due copies: %w", err)
	}
	return claimed, nil
}
