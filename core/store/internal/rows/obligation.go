package rows

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postern-mail/postern/core/store"
)

const obligationColumns = `id, copy_id, message_id, kind, rule, action, recipient, sender, hop, body_sha256, state, attempts, next_at,
	give_up_at, last_reply, created, version`

// putObligations inserts those without an id and updates the others by version, and gives what is due its jobs.
func (s *Store) putObligations(ctx context.Context, tx Tx, list []store.Obligation) error {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b store.Obligation) int { return int(min(max(a.ID-b.ID, -1), 1)) })
	var fresh []store.Obligation
	for i := range list {
		o := &list[i]
		if o.ID != 0 {
			err := conflictUnless(tx.Exec(ctx, `UPDATE obligations SET state = $3, attempts = $4, next_at = $5, last_reply = $6,
				version = version + 1 WHERE id = $1 AND version = $2`,
				o.ID, o.Version, string(o.State), int64(o.Attempts), micros(o.NextAt), o.LastReply))
			if err != nil {
				return fmt.Errorf("write obligation %d: %w", o.ID, err)
			}
			continue
		}
		added, err := tx.Exec(ctx, `INSERT INTO obligations (copy_id, message_id, kind, rule, action, recipient, sender, hop, body_sha256,
				state, attempts, next_at, give_up_at, last_reply, created, version)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 1) ON CONFLICT DO NOTHING`,
			o.CopyID, o.MessageID, string(o.Kind), o.Rule, o.Action, o.Recipient, o.Sender, o.Hop, o.BodySHA256, string(o.State),
			int64(o.Attempts), micros(o.NextAt), micros(o.GiveUpAt), o.LastReply, micros(o.Created))
		if err != nil {
			return fmt.Errorf("write obligation to %s: %w", o.Recipient, err)
		}
		if added == 1 && o.State == store.ObligationDue {
			fresh = append(fresh, *o)
		}
	}
	_, err := s.insertJobs(ctx, tx, fresh)
	return err
}

func scanObligation(rows Rows) (store.Obligation, error) {
	var (
		o                                   store.Obligation
		kind, state                         string
		attempts, nextAt, giveUpAt, created int64
	)
	err := rows.Scan(&o.ID, &o.CopyID, &o.MessageID, &kind, &o.Rule, &o.Action, &o.Recipient, &o.Sender, &o.Hop, &o.BodySHA256, &state,
		&attempts, &nextAt, &giveUpAt, &o.LastReply, &created, &o.Version)
	o.Kind, o.State, o.Attempts = store.ObligationKind(kind), store.ObligationState(state), int(attempts)
	o.NextAt, o.GiveUpAt, o.Created = fromMicros(nextAt), fromMicros(giveUpAt), fromMicros(created)
	return o, err
}

// Obligations returns all of a copy.
func (s *Store) Obligations(ctx context.Context, copyID string) ([]store.Obligation, error) {
	found, err := list(ctx, s.backend.Read(), scanObligation,
		`SELECT `+obligationColumns+` FROM obligations WHERE copy_id = $1 ORDER BY id`, copyID)
	if err != nil {
		return nil, fmt.Errorf("read obligations of %s: %w", copyID, err)
	}
	return found, nil
}

// DueObligations lists what is owed, oldest first.
func (s *Store) DueObligations(ctx context.Context, page store.Page) ([]store.Obligation, string, error) {
	var w where
	w.add("state = 'due'")
	if page.After != "" {
		created, id, ok := strings.Cut(page.After, ":")
		at, err := strconv.ParseInt(created, 10, 64)
		last, idErr := strconv.ParseInt(id, 10, 64)
		if !ok || err != nil || idErr != nil {
			return nil, "", fmt.Errorf("list obligations: read cursor %q: %w", page.After, store.ErrCursor)
		}
		w.add("(created, id) > (?, ?)", at, last)
	}
	size := limit(page)
	sql := `SELECT ` + obligationColumns + ` FROM obligations` + w.sql() + ` ORDER BY created, id LIMIT ` + w.arg(int64(size+1))
	rows, err := list(ctx, s.backend.Read(), scanObligation, sql, w.args...)
	if err != nil {
		return nil, "", fmt.Errorf("list obligations: %w", err)
	}
	if len(rows) <= size {
		return rows, "", nil
	}
	last := &rows[size-1]
	return rows[:size], fmt.Sprintf("%d:%d", micros(last.Created), last.ID), nil
}

// Flush makes everything owed due now, and the jobs that wait for it.
func (s *Store) Flush(ctx context.Context, now time.Time) (int64, error) {
	flushed, err := write(ctx, s.backend, func(ctx context.Context, tx Tx) (int64, error) {
		if _, err := tx.Exec(ctx, `UPDATE obligations SET next_at = $1 WHERE state = 'due' AND next_at > $1`, micros(now)); err != nil {
			return 0, err
		}
		due, err := one(ctx, tx, value[int64], `SELECT COUNT(*) FROM obligations WHERE state = 'due'`)
		if err != nil || due == 0 {
			return due, err
		}
		_, err = tx.Exec(ctx, `UPDATE river_job SET state = 'available', scheduled_at = $2
			WHERE kind = $1 AND state IN ('scheduled', 'retryable')`, DeliverKind, s.backend.Dialect().JobTime(s.Steady()))
		return due, err
	})
	if err != nil {
		return 0, fmt.Errorf("flush: %w", err)
	}
	return flushed, nil
}

// reconcileBatch bounds one transaction of Reconcile.
const reconcileBatch = 500

// Reconcile inserts missing jobs. River's uniqueness leaves those alone that have one.
func (s *Store) Reconcile(ctx context.Context, now time.Time) (int64, error) {
	var missing int64
	page := store.Page{Limit: reconcileBatch}
	for {
		due, next, err := s.DueObligations(ctx, page)
		if err != nil {
			return missing, fmt.Errorf("reconcile: %w", err)
		}
		if len(due) > 0 {
			n, err := write(ctx, s.backend, func(ctx context.Context, tx Tx) (int64, error) { return s.insertJobs(ctx, tx, due) })
			if err != nil {
				return missing, fmt.Errorf("reconcile: %w", err)
			}
			missing += n
		}
		if next == "" {
			return missing, nil
		}
		page.After = next
	}
}
