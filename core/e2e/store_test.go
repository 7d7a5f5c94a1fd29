package e2e

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/postern-mail/postern/core/e2e/harness"
)

// TestStoreThatDoesNotOpen: the gateway ends and says why, in words.
func TestStoreThatDoesNotOpen(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(t *testing.T, site *harness.Site, file string)
		says    string
	}{
		{"no database", func(t *testing.T, _ *harness.Site, file string) {
			if err := os.WriteFile(file, []byte(strings.Repeat("no database\n", 1000)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "file is not a database"},
		{"of a newer program", func(t *testing.T, site *harness.Site, file string) {
			start(t, site)
			if err := site.Gateway.Stop(); err != nil {
				t.Fatal(err)
			}
			site.Gateway = nil
			if err := change(limited(t), file, `INSERT INTO schema_version (version) VALUES (1000)`); err != nil {
				t.Fatal(err)
			}
		}, "the store was written by a newer version of this program"},
		{"PostgreSQL that is not there", func(t *testing.T, site *harness.Site, _ string) {
			if err := site.WriteConfig("store.hcl", []byte(`store "postgres" { url = "postgres://postern@127.0.0.1:1/postern" }`)); err != nil {
				t.Fatal(err)
			}
		}, "connection refused"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			site := newSite(t, "outbox")
			if err := site.WriteConfig("store.hcl", []byte(`store "sqlite" { path = env("POSTERN_STATE") }`)); err != nil {
				t.Fatal(err)
			}
			test.prepare(t, site, filepath.Join(site.Setup.State, "postern.db"))
			for _, arguments := range []string{"serve", "quarantine list"} {
				_, said, code := command(t, site, strings.Fields(arguments)...)
				if code != 1 || !strings.Contains(said, test.says) || strings.Contains(said, "goroutine") {
					t.Errorf("%s ends with %d and says:\n%s", arguments, code, said)
				}
			}
		})
	}
}

// change runs a statement on an SQLite file.
func change(ctx context.Context, file, statement string) error {
	db, err := sql.Open("sqlite", file)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, statement)
	return errors.Join(err, db.Close())
}
