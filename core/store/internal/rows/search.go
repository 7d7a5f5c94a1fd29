package rows

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/postern-mail/postern/core/store"
)

// Fields of the tables *_terms.
const (
	termRecipient = "recipient"
	termRule      = "rule"
	termID        = "id"
	termObject    = "object" // a key in hexadecimal
)

// longestTerm bounds what is indexed: PostgreSQL refuses an index entry above a third of a page. No address or id that is searched for
// is as long; what is cut is still found by its beginning.
const longestTerm = 500

// terms are the texts that one row is found by, where it has several.
type terms map[[2]string]struct{}

func (t terms) add(field string, values ...string) {
	for _, v := range values {
		if v != "" {
			t[[2]string{field, term(v)}] = struct{}{}
		}
	}
}

func (t terms) addKeys(keys [][]byte) {
	for _, key := range keys {
		t.add(termObject, hex.EncodeToString(key))
	}
}

func term(text string) string {
	text = store.Fold(cleanText(text))
	if len(text) > longestTerm {
		text = strings.ToValidUTF8(text[:longestTerm], "")
	}
	return text
}

func insertTerms(ctx context.Context, tx Tx, table, owner string, t terms) error {
	if len(t) == 0 {
		return nil
	}
	args := []any{owner}
	var values []string
	for pair := range t {
		args = append(args, pair[0], pair[1])
		values = append(values, fmt.Sprintf("($1, $%d, $%d)", len(args)-1, len(args)))
		if len(values) == 200 { // SQLite takes 32766 arguments, and plans are cached by length
			if err := insertValues(ctx, tx, table, values, args); err != nil {
				return err
			}
			values, args = nil, args[:1:1]
		}
	}
	if len(values) == 0 {
		return nil
	}
	return insertValues(ctx, tx, table, values, args)
}

func insertValues(ctx context.Context, tx Tx, table string, values []string, args []any) error {
	_, err := tx.Exec(ctx, `INSERT INTO `+table+` (owner, field, value) VALUES `+strings.Join(values, ", ")+` ON CONFLICT DO NOTHING`,
		args...)
	return err
}

// where gathers conditions and their arguments.
type where struct {
	conditions []string
	args       []any
}

// add takes a condition in which each "?" stands for the next argument, or for a list of them.
func (w *where) add(condition string, args ...any) {
	var b strings.Builder
	for _, piece := range strings.SplitAfter(condition, "?") {
		if !strings.HasSuffix(piece, "?") {
			b.WriteString(piece)
			continue
		}
		b.WriteString(strings.TrimSuffix(piece, "?"))
		several, isList := args[0].([]any)
		if !isList {
			several = args[:1]
		}
		for i, arg := range several {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(w.arg(arg))
		}
		args = args[1:]
	}
	w.conditions = append(w.conditions, b.String())
}

// arg adds an argument and returns its placeholder.
func (w *where) arg(arg any) string {
	w.args = append(w.args, arg)
	return "$" + strconv.Itoa(len(w.args))
}

func (w *where) sql() string {
	if len(w.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.conditions, " AND ")
}

func (w *where) times(column string, q *store.TextQuery) {
	if !q.From.IsZero() {
		w.add(column+" >= ?", micros(q.From))
	}
	if !q.To.IsZero() {
		w.add(column+" < ?", micros(q.To))
	}
}

func (w *where) patterns(column, text string) {
	if condition := w.anyOf(column, store.ParsePatterns(text), func(s string) string { return s }); condition != "" {
		w.conditions = append(w.conditions, condition)
	}
}

// anyOf is the condition that a column of folded text matches one of the patterns, or "" where all match.
func (w *where) anyOf(column string, patterns store.Patterns, cut func(string) string) string {
	if len(patterns) == 0 {
		return ""
	}
	var any []string
	for _, p := range patterns {
		if exact, ok := p.Exact(); ok {
			any = append(any, column+" = "+w.arg(cut(exact)))
			continue
		}
		any = append(any, column+" LIKE "+w.arg(p.Like())+` ESCAPE '\'`)
	}
	return "(" + strings.Join(any, " OR ") + ")"
}

// terms adds the conditions on texts of which a row has several: one of them has to match.
func (w *where) terms(id, table string, q *store.TextQuery) {
	for _, field := range []struct{ name, text string }{
		{termRecipient, q.Recipient}, {termRule, q.Rule}, {termID, q.MessageID},
	} {
		patterns := store.ParsePatterns(field.text)
		if len(patterns) == 0 {
			continue
		}
		name := w.arg(field.name)
		condition := w.anyOf("t.value", patterns, term)
		w.conditions = append(w.conditions, id+" IN (SELECT t.owner FROM "+table+" t WHERE t.field = "+name+" AND "+condition+")")
	}
	w.carries(id, table, q.Objects)
}

// carries adds the condition that a row's message carries one of the objects.
func (w *where) carries(id, table string, keys [][]byte) {
	if len(keys) > 0 {
		w.add(id+" IN (SELECT t.owner FROM "+table+" t WHERE t.field = ? AND t.value IN (?))", termObject, hexKeys(keys))
	}
}

func hexKeys(keys [][]byte) []any {
	out := make([]any, len(keys))
	for i, key := range keys {
		out[i] = hex.EncodeToString(key)
	}
	return out
}

// listing is a table read in pages by key, newest first.
type listing[T any] struct {
	from, columns string
	time, id      string // the key's columns
	where         where
	scan          func(Rows) (T, error)
	key           func(*T) (time.Time, string)
}

func (l *listing[T]) page(ctx context.Context, q Queryer, page store.Page) (rows []T, next string, total int64, err error) {
	total, err = one(ctx, q, value[int64], `SELECT COUNT(*) FROM `+l.from+l.where.sql(), l.where.args...)
	if err != nil {
		return nil, "", 0, err
	}
	rows, next, err = l.rows(ctx, q, page)
	return rows, next, total, err
}

func (l *listing[T]) rows(ctx context.Context, q Queryer, page store.Page) (rows []T, next string, err error) {
	w := l.where
	if page.After != "" {
		at, id, ok := strings.Cut(page.After, ":")
		us, err := strconv.ParseInt(at, 10, 64)
		if !ok || err != nil {
			return nil, "", fmt.Errorf("read cursor %q: %w", page.After, store.ErrCursor)
		}
		w.add("("+l.time+", "+l.id+") < (?, ?)", us, id)
	}
	size := limit(page)
	sql := `SELECT ` + l.columns + ` FROM ` + l.from + w.sql() + ` ORDER BY ` + l.time + ` DESC, ` + l.id + ` DESC LIMIT ` +
		w.arg(int64(size+1))
	rows, err = list(ctx, q, l.scan, sql, w.args...)
	if err != nil || len(rows) <= size {
		return rows, "", err
	}
	at, id := l.key(&rows[size-1])
	return rows[:size], fmt.Sprintf("%d:%s", micros(at), id), nil
}
