package sqlite_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/postern-mail/postern/core/store"
	"github.com/postern-mail/postern/core/store/internal/rows"
	"github.com/postern-mail/postern/core/store/sqlite"
	"github.com/postern-mail/postern/core/store/storetest"
)

func options() store.Options {
	return store.Options{Clock: time.Now, Log: slog.New(slog.DiscardHandler), Node: "node"}
}

func TestContract(t *testing.T) {
	storetest.Suite{
		Options: options(),
		NewPlace: func(t *testing.T) storetest.Place {
			path := filepath.Join(t.TempDir(), "a folder", "postern.db")
			return storetest.Place{Open: func(t *testing.T, o store.Options) store.Store {
				t.Helper()
				s, err := sqlite.Open(context.Background(), path, o)
				if err != nil {
					t.Fatal(err)
				}
				return s
			}}
		},
	}.Run(t)
}

func TestNothingRunsAfterClose(t *testing.T) {
	defer goleak.VerifyNone(t)
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "postern.db"), options())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context(), store.Workers{}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Stop(context.Background()), s.Close()); err != nil {
		t.Fatal(err)
	}
	if err := s.SetSetting(t.Context(), "x", "", "y"); err == nil {
		t.Error("a closed store takes changes")
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "postern.db")
	s, err := sqlite.Open(t.Context(), path, options())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	execute(t, path, "INSERT INTO schema_version (version) VALUES (99)")
	if _, err := sqlite.Open(t.Context(), path, options()); !errors.Is(err, rows.ErrNewerSchema) {
		t.Errorf("a store of a newer version says %v", err)
	}
}

func TestFileThatIsNoStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "postern.db")
	if err := os.WriteFile(path, []byte("this is no database, and long enough to be seen as none at all........................................................"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), path, options()); err == nil {
		t.Error("a file that is no database is opened")
	}
}
