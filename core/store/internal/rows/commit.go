package rows

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/postern-mail/postern/core/store"
)

// Commit applies the change in one transaction. Large bodies are in place and synced before it begins.
func (s *Store) Commit(ctx context.Context, change *store.Change) error {
	bodies, err := s.prepare(ctx, change.Bodies)
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	defer bodies.release()
	if err := s.backend.Write(ctx, func(ctx context.Context, tx Tx) error { return s.apply(ctx, tx, change, bodies) }); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// apply writes rows in one fixed order, copies and obligations sorted, so that two transactions never wait for each other in a ring.
func (s *Store) apply(ctx context.Context, tx Tx, change *store.Change, bodies *prepared) error {
	if err := bodies.insert(ctx, tx); err != nil {
		return err
	}
	if err := s.requireBodies(ctx, tx, change, bodies); err != nil {
		return err
	}
	if change.Record != nil {
		if err := putRecord(ctx, tx, change.Record); err != nil {
			return fmt.Errorf("write message %s: %w", change.Record.Message.ID, err)
		}
	}
	copies := slices.Clone(change.Copies)
	slices.SortFunc(copies, func(a, b store.Copy) int { return cmp.Compare(a.ID, b.ID) })
	for i := range copies {
		if err := s.putCopy(ctx, tx, &copies[i]); err != nil {
			return fmt.Errorf("write copy %s: %w", copies[i].ID, err)
		}
	}
	if err := putSamples(ctx, tx, change.DropSamples, change.Samples); err != nil {
		return err
	}
	if err := s.putObligations(ctx, tx, change.Obligations); err != nil {
		return err
	}
	for i := range change.Events {
		if err := insertEvent(ctx, tx, &change.Events[i]); err != nil {
			return fmt.Errorf("write event %s: %w", change.Events[i].ID, err)
		}
	}
	for i := range change.Tracks {
		if err := insertTrack(ctx, tx, &change.Tracks[i]); err != nil {
			return fmt.Errorf("write track of %s: %w", change.Tracks[i].CopyID, err)
		}
	}
	return insertAudits(ctx, tx, change.Audit)
}

func insertAudits(ctx context.Context, tx Tx, audits []store.Audit) error {
	for _, a := range audits {
		_, err := tx.Exec(ctx, `INSERT INTO audits (at, actor, act, object, detail) VALUES ($1, $2, $3, $4, $5)`,
			micros(a.At), a.By, a.Act, a.Object, a.Detail)
		if err != nil {
			return fmt.Errorf("write audit of %s: %w", a.Object, err)
		}
	}
	return nil
}

// requireBodies refuses a change that refers to content which is neither in it nor kept: the mail would be lost although its rows
// are there.
func (s *Store) requireBodies(ctx context.Context, tx Tx, change *store.Change, bodies *prepared) error {
	require := func(sha256 string) error {
		if sha256 == "" || bodies.has(sha256) {
			return nil
		}
		_, err := one(ctx, tx, value[int64], `SELECT 1 FROM bodies WHERE sha256 = $1`+s.backend.Dialect().KeepRow, sha256)
		if err != nil {
			return fmt.Errorf("refer to body %s: %w", sha256, err)
		}
		return nil
	}
	if change.Record != nil {
		if err := require(change.Record.BodySHA256); err != nil {
			return err
		}
	}
	for i := range change.Copies {
		if change.Copies[i].State == store.CopyDone {
			continue
		}
		if err := require(change.Copies[i].BodySHA256); err != nil {
			return err
		}
	}
	for i := range change.Obligations {
		if change.Obligations[i].State != store.ObligationDue {
			continue
		}
		if err := require(change.Obligations[i].BodySHA256); err != nil {
			return err
		}
	}
	return nil
}
