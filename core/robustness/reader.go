package robustness

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/postern-mail/postern/core/store"
	"github.com/postern-mail/postern/core/store/postgres"
	"github.com/postern-mail/postern/core/store/sqlite"
)

// OpenStore opens the store that a gateway works with, to read: the URL of a database, or a gateway's state folder.
func OpenStore(ctx context.Context, place string) (store.Store, error) {
	options := store.Options{Clock: time.Now, Log: slog.New(slog.DiscardHandler)}
	if filepath.IsAbs(place) {
		return sqlite.Open(ctx, filepath.Join(place, "postern.db"), options)
	}
	return postgres.Open(ctx, place, options)
}

// underWay are the states that a copy leaves by itself.
func underWay() []store.CopyState {
	return []store.CopyState{store.CopyUndecided, store.CopyHeld, store.CopyRetry, store.CopyPostponed, store.CopyDelivering}
}

// UnderWay lists some of the copies and obligations that are not finished.
func UnderWay(ctx context.Context, s store.Store) ([]string, error) {
	copies, _, _, err := s.Copies(ctx, store.CopyQuery{States: underWay()}, store.Page{Limit: 5})
	if err != nil {
		return nil, err
	}
	owed, _, err := s.DueObligations(ctx, store.Page{Limit: 5})
	var out []string
	for i := range copies {
		out = append(out, fmt.Sprintf("copy %s of %q is %s until %s", copies[i].ID, copies[i].Subject, copies[i].State, copies[i].DueAt))
	}
	for i := range owed {
		out = append(out, fmt.Sprintf("%s of copy %s is due at %s", owed[i].Kind, owed[i].CopyID, owed[i].NextAt))
	}
	return out, err
}

const pageSize = 1000

// Read reads all that the ledger asks for.
func Read(ctx context.Context, s store.Store) (*Stored, error) {
	out := &Stored{}
	ahead := time.Since(s.Steady()) // of our clock, which the deadlines are turned into
	kept := append(underWay(), store.CopyQuarantined, store.CopyArchived, store.CopyUndeliverable)
	for page := (store.Page{Limit: pageSize}); ; {
		rows, next, _, err := s.Copies(ctx, store.CopyQuery{States: kept}, page)
		if err != nil {
			return nil, fmt.Errorf("read the store: %w", err)
		}
		for i := range rows {
			if !rows[i].Deadline.IsZero() {
				rows[i].Deadline = rows[i].Deadline.Add(ahead)
			}
		}
		out.Copies = append(out.Copies, rows...)
		if page.After = next; next == "" {
			break
		}
	}
	for page := (store.Page{Limit: pageSize}); ; {
		rows, next, err := s.Tracks(ctx, store.TextQuery{}, page)
		if err != nil {
			return nil, fmt.Errorf("read the store: %w", err)
		}
		out.Tracks = append(out.Tracks, rows...)
		if page.After = next; next == "" {
			break
		}
	}
	return out, nil
}

// ReadFrom opens the store, reads and closes it.
func ReadFrom(ctx context.Context, place string) (*Stored, error) {
	s, err := OpenStore(ctx, place)
	if err != nil {
		return nil, err
	}
	stored, err := Read(ctx, s)
	return stored, errors.Join(err, s.Close())
}
