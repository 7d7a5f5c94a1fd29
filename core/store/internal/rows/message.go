package rows

import (
	"context"
	"errors"
	"fmt"

	"github.com/postern-mail/postern/core/store"
)

// putRecord inserts a message, or replaces what judgement knows of it.
func putRecord(ctx context.Context, tx Tx, r *store.Record) error {
	m := &r.Message
	columns := make([][]byte, 4)
	for i, v := range []any{m, r.Facts, r.Decision, r.Waivers} {
		var err error
		if columns[i], err = encode(v); err != nil {
			return err
		}
	}
	added, err := tx.Exec(ctx, `INSERT INTO messages (id, received, sender, sender_key, subject, subject_key, header_id, size,
			body_sha256, message, facts, decision, waivers)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT (id) DO NOTHING`,
		m.ID, micros(m.Received), m.Envelope.From, store.Fold(m.Envelope.From), m.Subject, store.Fold(m.Subject), m.HeaderID, m.Size,
		r.BodySHA256, columns[0], columns[1], columns[2], columns[3])
	if err != nil || added == 1 {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE messages SET facts = $2, decision = $3, waivers = $4 WHERE id = $1`,
		m.ID, columns[1], columns[2], columns[3])
	return err
}

// Record looks a message up by its own id, by a copy's, and by Message-ID, in this order; of several mails with one Message-ID it is
// the latest.
func (s *Store) Record(ctx context.Context, id string) (*store.Record, error) {
	const columns = `SELECT message, facts, decision, waivers, body_sha256 FROM messages `
	for _, where := range []string{
		`WHERE id = $1`,
		`WHERE id = (SELECT message_id FROM copies WHERE id = $1)`,
		`WHERE header_id = $1 AND header_id <> '' ORDER BY received DESC LIMIT 1`,
	} {
		record, err := one(ctx, s.backend.Read(), scanRecord, columns+where, id)
		if err == nil {
			return record, nil
		}
		if !errors.Is(err, store.ErrNotFound) {
			return nil, fmt.Errorf("read message %s: %w", id, err)
		}
	}
	return nil, fmt.Errorf("read message %s: %w", id, store.ErrNotFound)
}

func scanRecord(rows Rows) (*store.Record, error) {
	var (
		r       store.Record
		columns [4][]byte
	)
	if err := rows.Scan(&columns[0], &columns[1], &columns[2], &columns[3], &r.BodySHA256); err != nil {
		return nil, err
	}
	for i, into := range []any{&r.Message, &r.Facts, &r.Decision, &r.Waivers} {
		if err := decode(columns[i], into); err != nil {
			return nil, err
		}
	}
	return &r, nil
}
