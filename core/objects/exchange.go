package objects

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/core/store"
)

// Columns are those of an exchange file, as Write writes them.
func Columns() []string {
	return []string{"type", "value", "action", "expires", "note", "exception", "list"}
}

// Read reads an exchange file: CSV under a line that names the columns, of which only value is needed, or one JSON object in a line as
// `postern objects export --json` writes it. Objects without an action get the one given. The error names the line.
func Read(content []byte, action store.ObjectAction, now time.Time) ([]store.Object, error) {
	content = bytes.TrimPrefix(content, []byte("\xef\xbb\xbf"))
	if start := bytes.TrimLeft(content, " \t\r\n"); len(start) > 0 && start[0] == '{' {
		return readLines(start, action, now)
	}
	d := csv.NewReader(bytes.NewReader(content))
	d.Comment, d.TrimLeadingSpace, d.FieldsPerRecord = '#', true, -1
	columns, err := d.Read()
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read objects: %w", err)
	}
	for i := range columns {
		columns[i] = strings.ToLower(strings.TrimSpace(columns[i]))
	}
	if !slices.Contains(columns, "value") {
		return nil, errors.New("read objects: the first line names the columns: value, and of type, action, expires, note, exception those that there are")
	}
	var out []store.Object
	for {
		cells, err := d.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read objects: %w", err)
		}
		line, _ := d.FieldPos(0)
		if len(cells) > len(columns) {
			return nil, fmt.Errorf("read objects: line %d has %d cells under %d columns", line, len(cells), len(columns))
		}
		named := map[string]string{}
		for i, cell := range cells {
			named[columns[i]] = strings.TrimSpace(cell)
		}
		o, err := readRow(named, action, now)
		if err != nil {
			return nil, fmt.Errorf("read objects: line %d: %w", line, err)
		}
		out = append(out, o)
	}
}

func readRow(cells map[string]string, action store.ObjectAction, now time.Time) (store.Object, error) {
	o := store.Object{Type: cells["type"], Value: cells["value"], Action: action, Note: cells["note"]}
	if word := cells["action"]; word != "" {
		if err := o.Action.UnmarshalText([]byte(strings.ToLower(word))); err != nil {
			return o, err
		}
	}
	switch strings.ToLower(cells["exception"]) {
	case "", "no", "false", "0":
	case "yes", "true", "1":
		o.Exception = true
	default:
		return o, fmt.Errorf("exception is %.20q: it is yes or no", cells["exception"])
	}
	if text := cells["expires"]; text != "" {
		var err error
		if o.Expires, err = ParseExpiry(text, now); err != nil {
			return o, err
		}
	}
	return o, Complete(&o)
}

func readLines(content []byte, action store.ObjectAction, now time.Time) ([]store.Object, error) {
	var out []store.Object
	d := json.NewDecoder(bytes.NewReader(content))
	for n := 1; d.More(); n++ {
		o := store.Object{Action: action}
		err := d.Decode(&o)
		if err == nil {
			o.By, o.Added = "", now
			err = Complete(&o)
		}
		if err != nil {
			return nil, fmt.Errorf("read objects: object %d: %w", n, err)
		}
		out = append(out, o)
	}
	return out, nil
}

// Complete finds the type where there is none, and puts value and key into their form.
func Complete(o *store.Object) error {
	if o.Type == "" {
		if o.Type = Guess(o.Value); o.Type == "" {
			return fmt.Errorf("%.100q looks like no digest, URL, domain or address: say its type", o.Value)
		}
	}
	value, key, err := Normalize(o.Type, o.Value)
	if err != nil {
		return fmt.Errorf("%s %.100q: %w", o.Type, o.Value, err)
	}
	if len(o.Note) > longestNote {
		return fmt.Errorf("%s %.100q: a note has at most %d bytes", o.Type, value, longestNote)
	}
	o.Value, o.Key = value, key[:]
	return nil
}

// ParseExpiry reads a day, a time, or a duration from now on.
func ParseExpiry(text string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	if days, found := strings.CutSuffix(text, "d"); found {
		var n int
		if _, err := fmt.Sscanf(days+" ", "%d ", &n); err == nil && n > 0 && n < 36500 {
			return now.AddDate(0, 0, n).UTC().Truncate(time.Second), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return now.Add(d).UTC().Truncate(time.Second), nil
	}
	return time.Time{}, fmt.Errorf("%.50q is no expiry: it is like 2026-12-31, 2026-12-31T23:59:59Z, 30d or 12h", text)
}

// Write writes one object as a row under Columns.
func Write(o *store.Object) []string {
	expires, exception := "", ""
	if !o.Expires.IsZero() {
		expires = o.Expires.Format(time.RFC3339)
	}
	if o.Exception {
		exception = "yes"
	}
	return []string{o.Type, o.Value, o.Action.String(), expires, o.Note, exception, o.List}
}
