package rows

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/postern-mail/postern/core/store"
)

// shown is the condition of objects that their list, l, shows.
const shown = `o.since <= l.generation AND (o.until = 0 OR o.until > l.generation)`

const listColumns = `name, generation, objects, skipped, synced, tried, error, place, accept`

func scanList(rows Rows) (l store.ObjectList, err error) {
	var synced, tried, accept int64
	err = rows.Scan(&l.Name, &l.Generation, &l.Objects, &l.Skipped, &synced, &tried, &l.Error, &l.Cursor, &accept)
	l.Synced, l.Tried, l.Accept = fromMicros(synced), fromMicros(tried), accept != 0
	return l, err
}

// ObjectLists returns every list, by name.
func (s *Store) ObjectLists(ctx context.Context) ([]store.ObjectList, error) {
	lists, err := list(ctx, s.backend.Read(), scanList, `SELECT `+listColumns+` FROM object_lists ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("read lists of objects: %w", err)
	}
	return lists, nil
}

const objectColumns = `o.key, o.list, o.type, o.value, o.action, o.exception, o.expires, o.note, o.added, o.actor`

func scanObject(rows Rows) (o store.Object, err error) {
	var action, exception, expires, added int64
	err = rows.Scan(&o.Key, &o.List, &o.Type, &o.Value, &action, &exception, &expires, &o.Note, &added, &o.By)
	o.Action, o.Exception, o.Expires, o.Added = store.ObjectAction(action), exception != 0, fromMicros(expires), fromMicros(added)
	return o, err
}

// EachObject streams a list.
func (s *Store) EachObject(ctx context.Context, name string, yield func(*store.Object) error) (err error) {
	rows, err := s.backend.Read().Query(ctx, `SELECT `+objectColumns+` FROM objects o JOIN object_lists l ON l.name = o.list
		WHERE o.list = $1 AND `+shown+` ORDER BY o.key`, name)
	if err != nil {
		return fmt.Errorf("read objects of %s: %w", name, err)
	}
	defer func() {
		if err = errors.Join(err, rows.Close()); err != nil {
			err = fmt.Errorf("read objects of %s: %w", name, err)
		}
	}()
	for rows.Next() {
		o, err := scanObject(rows)
		if err != nil {
			return err
		}
		if err := yield(&o); err != nil {
			return err
		}
	}
	return rows.Err()
}

// keysAtOnce bounds the keys of one query.
const keysAtOnce = 500

// FindObjects looks keys up in every list.
func (s *Store) FindObjects(ctx context.Context, keys [][]byte) ([]store.Object, error) {
	lists, err := s.ObjectLists(ctx)
	if err != nil {
		return nil, err
	}
	var out []store.Object
	for i := range lists {
		for rest := keys; len(rest) > 0; {
			n := min(len(rest), keysAtOnce)
			var w where
			w.add("o.list = ? AND "+shown, lists[i].Name)
			w.add("o.key IN (?)", anyOfKeys(rest[:n]))
			found, err := list(ctx, s.backend.Read(), scanObject,
				`SELECT `+objectColumns+` FROM objects o JOIN object_lists l ON l.name = o.list`+w.sql(), w.args...)
			if err != nil {
				return nil, fmt.Errorf("look objects up: %w", err)
			}
			out, rest = append(out, found...), rest[n:]
		}
	}
	return out, nil
}

func anyOfKeys(keys [][]byte) []any {
	out := make([]any, len(keys))
	for i, key := range keys {
		out[i] = key
	}
	return out
}

// ListObjects lists what the lists show.
func (s *Store) ListObjects(ctx context.Context, query store.ObjectQuery, page store.Page) ([]store.Object, string, error) {
	var w where
	w.conditions = append(w.conditions, shown)
	if query.List != "" {
		w.add("o.list = ?", query.List)
	}
	if query.Type != "" {
		w.add("o.type = ?", query.Type)
	}
	w.patterns("o.value", query.Value)
	if page.After != "" {
		name, key, ok := strings.Cut(page.After, ":")
		var raw []byte
		if _, err := fmt.Sscanf(key, "%x", &raw); !ok || err != nil {
			return nil, "", fmt.Errorf("list objects: read cursor %q: %w", page.After, store.ErrCursor)
		}
		w.add("(o.list, o.key) > (?, ?)", name, raw)
	}
	size := limit(page)
	rows, err := list(ctx, s.backend.Read(), scanObject, `SELECT `+objectColumns+` FROM objects o JOIN object_lists l ON l.name = o.list`+
		w.sql()+` ORDER BY o.list, o.key LIMIT `+w.arg(int64(size+1)), w.args...)
	if err != nil {
		return nil, "", fmt.Errorf("list objects: %w", err)
	}
	if len(rows) <= size {
		return rows, "", nil
	}
	last := &rows[size-1]
	return rows[:size], fmt.Sprintf("%s:%x", last.List, last.Key), nil
}

// openList makes the list's row where there is none, and returns it; nobody else changes it until the transaction ends.
func (s *Store) openList(ctx context.Context, tx Tx, name string) (store.ObjectList, error) {
	_, err := tx.Exec(ctx, `INSERT INTO object_lists (`+listColumns+`, staging) VALUES ($1, 0, 0, 0, 0, 0, '', '', 0, '')
		ON CONFLICT (name) DO NOTHING`, name)
	if err != nil {
		return store.ObjectList{}, err
	}
	return one(ctx, tx, scanList, `SELECT `+listColumns+` FROM object_lists WHERE name = $1`+s.backend.Dialect().Lock, name)
}

// ChangeObjects changes a list at once.
func (s *Store) ChangeObjects(ctx context.Context, change *store.ObjectChange) (int64, error) {
	ended, err := write(ctx, s.backend, func(ctx context.Context, tx Tx) (int64, error) {
		l, err := s.openList(ctx, tx, change.List)
		if err != nil {
			return 0, err
		}
		gone := append([][]byte(nil), change.End...)
		for i := range change.Put {
			gone = append(gone, change.Put[i].Key)
		}
		ended, err := endObjects(ctx, tx, change.List, l.Generation+1, gone)
		if err != nil {
			return 0, err
		}
		if err := putObjects(ctx, tx, change.List, l.Generation+1, change.Put); err != nil {
			return 0, err
		}
		if _, err := tx.Exec(ctx, `UPDATE object_lists SET generation = $2, synced = $3, objects =
			(SELECT COUNT(*) FROM objects WHERE list = $1 AND until = 0) WHERE name = $1`, change.List, l.Generation+1, micros(change.At)); err != nil {
			return 0, err
		}
		return ended, insertAudits(ctx, tx, change.Audit)
	})
	if err != nil {
		return 0, fmt.Errorf("change objects of %s: %w", change.List, err)
	}
	return ended, nil
}

// endObjects lets objects end with the generation before.
func endObjects(ctx context.Context, tx Tx, name string, generation int64, keys [][]byte) (ended int64, err error) {
	for len(keys) > 0 {
		n := min(len(keys), keysAtOnce)
		var w where
		until := w.arg(generation)
		w.add("list = ? AND until = 0 AND since < ? AND key IN (?)", name, generation, anyOfKeys(keys[:n]))
		done, err := tx.Exec(ctx, `UPDATE objects SET until = `+until+w.sql(), w.args...)
		if err != nil {
			return 0, err
		}
		ended, keys = ended+done, keys[n:]
	}
	return ended, nil
}

// putAtOnce bounds the rows of one statement.
const putAtOnce = 100

// putObjects writes objects that begin with the generation. Of two with one key an exception counts before all, then the stricter action.
func putObjects(ctx context.Context, tx Tx, name string, generation int64, objects []store.Object) error {
	for len(objects) > 0 {
		n := min(len(objects), putAtOnce)
		var rows []string
		args := make([]any, 0, n*12)
		for i := range objects[:n] {
			o := &objects[i]
			first := len(args)
			args = append(args, name, o.Key, generation, int64(0), o.Type, o.Value, int64(o.Action), number(o.Exception), micros(o.Expires), o.Note,
				micros(o.Added), o.By)
			places := make([]string, 12)
			for j := range places {
				places[j] = fmt.Sprintf("$%d", first+j+1)
			}
			rows = append(rows, "("+strings.Join(places, ", ")+")")
			// PostgreSQL does not update one row twice in a statement.
			if i+1 < n && sameKey(objects[:i+1], objects[i+1].Key) {
				n = i + 1
				break
			}
		}
		_, err := tx.Exec(ctx, `INSERT INTO objects (list, key, since, until, type, value, action, exception, expires, note, added, actor)
			VALUES `+strings.Join(rows, ", ")+` ON CONFLICT (list, key, since) DO UPDATE SET until = 0, action = excluded.action,
				exception = excluded.exception, expires = excluded.expires, note = excluded.note
			WHERE excluded.exception > objects.exception OR excluded.exception = objects.exception AND excluded.action > objects.action`, args...)
		if err != nil {
			return err
		}
		objects = objects[n:]
	}
	return nil
}

func sameKey(objects []store.Object, key []byte) bool {
	for i := range objects {
		if string(objects[i].Key) == string(key) {
			return true
		}
	}
	return false
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// CopiesWith looks for copies by what their messages carry.
func (s *Store) CopiesWith(ctx context.Context, in []store.CopyState, keys [][]byte) ([]string, error) {
	var out []string
	for len(keys) > 0 {
		n := min(len(keys), keysAtOnce)
		var w where
		w.add("c.state IN (?)", states(in))
		w.add("t.field = ? AND t.value IN (?)", termObject, hexKeys(keys[:n]))
		found, err := list(ctx, s.backend.Read(), value[string], `SELECT DISTINCT c.id FROM copy_terms t JOIN copies c ON c.id = t.owner`+w.sql(), w.args...)
		if err != nil {
			return nil, fmt.Errorf("look for mail with objects: %w", err)
		}
		out, keys = append(out, found...), keys[n:]
	}
	return out, nil
}

// PurgeObjects removes what is not shown any more, in small steps.
func (s *Store) PurgeObjects(ctx context.Context, name string) error {
	err := s.inSteps(ctx, `DELETE FROM objects WHERE (list, key, since) IN (SELECT o.list, o.key, o.since FROM objects o
		JOIN object_lists l ON l.name = o.list WHERE o.list = $1 AND o.until <> 0 AND o.until <= l.generation LIMIT $2)`, name, int64(retainBatch))
	if err != nil {
		return fmt.Errorf("purge objects of %s: %w", name, err)
	}
	return nil
}

// inSteps runs a statement until it changes nothing more, each time in a transaction of its own.
func (s *Store) inSteps(ctx context.Context, sql string, args ...any) error {
	for {
		n, err := write(ctx, s.backend, func(ctx context.Context, tx Tx) (int64, error) { return tx.Exec(ctx, sql, args...) })
		if err != nil || n == 0 {
			return err
		}
	}
}
