package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"fmt"
	"sync"
	"time"
)

// entry is one object of the list.
type entry struct {
	kind, value, action, expires, note string

	serial  int
	changed time.Time
	gone    bool // was listed before
}

// list is what all servers serve. It remembers when an entry came and went, which those need that are asked for what is new.
type list struct {
	now func() time.Time

	mu      sync.Mutex
	entries []*entry
	version int
	last    time.Time
}

// stamp is a time after all before.
func (l *list) stamp() time.Time {
	now := l.now().UTC().Truncate(time.Second)
	if !now.After(l.last) {
		now = l.last.Add(time.Second)
	}
	l.last = now
	return now
}

// replace makes the lines the list.
func (l *list) replace(text []byte) error {
	d := csv.NewReader(bytes.NewReader(text))
	d.FieldsPerRecord, d.Comment = -1, '#'
	rows, err := d.ReadAll()
	if err != nil {
		return fmt.Errorf("read list: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.stamp()
	l.version++
	old := map[entry]*entry{}
	for _, e := range l.entries {
		if !e.gone {
			old[entry{kind: e.kind, value: e.value, action: e.action, expires: e.expires, note: e.note}] = e
		}
	}
	for _, cells := range rows {
		cells = append(cells, make([]string, 5)...)
		plain := entry{kind: cells[0], value: cells[1], action: cells[2], expires: cells[3], note: cells[4]}
		if plain.kind == "type" {
			continue
		}
		if old[plain] != nil {
			delete(old, plain)
			continue
		}
		fresh := plain
		fresh.changed, fresh.serial = at, len(l.entries)
		l.entries = append(l.entries, &fresh)
	}
	for _, e := range old {
		e.gone, e.changed = true, at
	}
	return nil
}

// generate adds made-up digests.
func (l *list) generate(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.stamp()
	l.version++
	for range n {
		l.entries = append(l.entries, &entry{
			kind: "sha256", value: fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "made up %d", len(l.entries)))), action: "block", changed: at, serial: len(l.entries),
		})
	}
}

// listed is what is on the list now.
func (l *list) listed() (out []*entry, version int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		if !e.gone {
			out = append(out, e)
		}
	}
	return out, l.version
}

// since is everything, also what is gone, that changed at the time or after it.
func (l *list) since(t time.Time) (out []*entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		if !e.changed.Before(t) {
			out = append(out, e)
		}
	}
	return out
}
