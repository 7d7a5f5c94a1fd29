package rows

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

//go:embed migrations/*.sql
var migrations embed.FS

// ErrNewerSchema says that a newer program has migrated the store: this one would misread it.
var ErrNewerSchema = errors.New("the store was written by a newer version of this program")

// Migrate brings the tables up to date, each step in a transaction of its own. The caller keeps others from migrating meanwhile.
func Migrate(ctx context.Context, b Backend) error {
	files, err := fs.Glob(migrations, "migrations/*.sql") // in the order of their numbers
	if err != nil {
		return fmt.Errorf("migrate store: %w", err)
	}
	version, err := schemaVersion(ctx, b)
	if err != nil {
		return fmt.Errorf("migrate store: %w", err)
	}
	if version > int64(len(files)) {
		return fmt.Errorf("open store with schema %d, this program knows up to %d: %w", version, len(files), ErrNewerSchema)
	}
	replace := strings.NewReplacer("{blob}", b.Dialect().Blob, "{serial}", b.Dialect().Serial, "{clustered}", b.Dialect().Clustered)
	for i := version; i < int64(len(files)); i++ {
		text, err := migrations.ReadFile(files[i])
		if err != nil {
			return fmt.Errorf("migrate store: %w", err)
		}
		err = b.Write(ctx, func(ctx context.Context, tx Tx) error {
			if _, err := tx.Exec(ctx, replace.Replace(string(text))); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, `INSERT INTO schema_version (version) VALUES ($1)`, i+1)
			return err
		})
		if err != nil {
			return fmt.Errorf("migrate store to schema %d: %w", i+1, err)
		}
	}
	return nil
}

func schemaVersion(ctx context.Context, b Backend) (int64, error) {
	return write(ctx, b, func(ctx context.Context, tx Tx) (int64, error) {
		if _, err := tx.Exec(ctx, `CREATE TABLE IF NOT EXISTS schema_version (version BIGINT PRIMARY KEY)`); err != nil {
			return 0, err
		}
		return one(ctx, tx, value[int64], `SELECT COALESCE(MAX(version), 0) FROM schema_version`)
	})
}
