package rows

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/store"
)

// insertEvent writes an event; one that is there already is left as it is.
func insertEvent(ctx context.Context, tx Tx, e *store.Event) error {
	content, err := encode(e)
	if err != nil {
		return err
	}
	added, err := tx.Exec(ctx, `INSERT INTO events (id, at, subtype, sender_key, subject_key, event) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (id) DO NOTHING`, e.ID, micros(e.At), store.Fold(e.Subtype), store.Fold(e.Sender), store.Fold(e.Subject), content)
	if err != nil || added == 0 {
		return err
	}
	t := terms{}
	t.add(termRecipient, e.Recipients...)
	t.add(termRule, e.Rule)
	t.add(termID, e.MessageID, e.CopyID, e.HeaderID)
	return insertTerms(ctx, tx, "event_terms", e.ID, t)
}

// AmendEvents replaces events.
func (s *Store) AmendEvents(ctx context.Context, events []store.Event) error {
	err := s.backend.Write(ctx, func(ctx context.Context, tx Tx) error {
		for i := range events {
			if _, err := tx.Exec(ctx, `DELETE FROM events WHERE id = $1`, events[i].ID); err != nil {
				return err
			}
			if err := insertEvent(ctx, tx, &events[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("amend events: %w", err)
	}
	return nil
}

// Events lists policy events, the latest first.
func (s *Store) Events(ctx context.Context, query store.TextQuery, page store.Page) ([]store.Event, string, int64, error) {
	var w where
	w.times("e.at", &query)
	w.patterns("e.subtype", query.Subtype)
	w.patterns("e.sender_key", query.Sender)
	w.patterns("e.subject_key", query.Subject)
	w.terms("e.id", "event_terms", &query)
	list := listing[store.Event]{
		from: "events e", columns: "e.event", time: "e.at", id: "e.id", where: w, scan: scanJSON[store.Event],
		key: func(e *store.Event) (time.Time, string) { return e.At, e.ID },
	}
	rows, next, total, err := list.page(ctx, s.backend.Read(), page)
	if err != nil {
		return nil, "", 0, fmt.Errorf("list events: %w", err)
	}
	for i := range rows {
		rows[i].At = rows[i].At.UTC()
	}
	return rows, next, total, nil
}

// insertTrack writes a row of tracking, once.
func insertTrack(ctx context.Context, tx Tx, track *store.Track) error {
	content, err := encode(track)
	if err != nil {
		return err
	}
	t := *track
	if t.ID == "" {
		sum := sha256.Sum256(content)
		t.ID = hex.EncodeToString(sum[:16])
	}
	t.Objects = nil // terms are enough
	if content, err = encode(&t); err != nil {
		return err
	}
	added, err := tx.Exec(ctx, `INSERT INTO tracks (id, at, sender_key, subject_key, track) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (id) DO NOTHING`, t.ID, micros(t.At), store.Fold(t.Sender), store.Fold(t.Subject), content)
	if err != nil || added == 0 {
		return err
	}
	words := terms{}
	words.add(termRecipient, t.Recipients...)
	words.add(termID, t.MessageID, t.CopyID, t.HeaderID)
	words.addKeys(track.Objects)
	for i := range t.Trace {
		if o := t.Trace[i].Outcome; o == message.OutcomeMatched || o == message.OutcomeException {
			words.add(termRule, t.Trace[i].Rule)
		}
	}
	return insertTerms(ctx, tx, "track_terms", t.ID, words)
}

// AddTracks stores rows in one transaction.
func (s *Store) AddTracks(ctx context.Context, tracks []store.Track) error {
	err := s.backend.Write(ctx, func(ctx context.Context, tx Tx) error {
		for i := range tracks {
			if err := insertTrack(ctx, tx, &tracks[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("add tracks: %w", err)
	}
	return nil
}

// Tracks lists the tracking log, the latest first.
func (s *Store) Tracks(ctx context.Context, query store.TextQuery, page store.Page) ([]store.Track, string, error) {
	var w where
	w.times("k.at", &query)
	w.patterns("k.sender_key", query.Sender)
	w.patterns("k.subject_key", query.Subject)
	w.terms("k.id", "track_terms", &query)
	list := listing[store.Track]{
		from: "tracks k", columns: "k.track", time: "k.at", id: "k.id", where: w, scan: scanJSON[store.Track],
		key: func(t *store.Track) (time.Time, string) { return t.At, t.ID },
	}
	rows, next, err := list.rows(ctx, s.backend.Read(), page)
	if err != nil {
		return nil, "", fmt.Errorf("list tracks: %w", err)
	}
	for i := range rows {
		rows[i].At = rows[i].At.UTC()
	}
	return rows, next, nil
}

func scanJSON[T any](rows Rows) (T, error) {
	var (
		v       T
		content []byte
	)
	if err := rows.Scan(&content); err != nil {
		return v, err
	}
	return v, decode(content, &v)
}
