package objects

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/core/store"
	"github.com/postern-mail/postern/core/store/sqlite"
)

// desk is a store with a syncer whose clock the test sets.
type desk struct {
	t      *testing.T
	now    time.Time
	store  *sqlite.Store
	keeper *Keeper
	syncer *Syncer
	added  []string // lists of which something was added
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t: t, now: start()}
	clock := func() time.Time { return d.now }
	var err error
	d.store, err = sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "db"), store.Options{Clock: clock, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.store.Close(); err != nil {
			t.Error(err)
		}
	})
	d.keeper = &Keeper{Store: d.store, Log: hclog.NewNullLogger(), Added: func(_ context.Context, list string, _ int64, keys [][]byte) {
		d.added = append(d.added, fmt.Sprint(list, " ", len(keys)))
	}}
	serial := 0
	d.syncer = &Syncer{Store: d.store, Keeper: d.keeper, Now: clock, Token: func() string { serial++; return fmt.Sprint(serial) }, Log: hclog.NewNullLogger()}
	return d
}

// script is a source that sends what it is told, lines as object reads them and the list's end: "done LIST", "done LIST partial",
// "fail LIST WHY", or "break", which ends the whole fetch.
type script struct {
	t     *testing.T
	lines []string
}

var errBroken = errors.New("the plugin is gone")

func (s script) Fetch(ctx context.Context, _ map[string]string, to Sink) error {
	for _, line := range s.lines {
		words := strings.Fields(line)
		var err error
		switch words[0] {
		case "done":
			err = to.Done(ctx, State{List: words[1], Complete: len(words) == 2, Cursor: "c"})
		case "fail":
			err = to.Done(ctx, State{List: words[1], Error: strings.Join(words[2:], " ")})
		case "break":
			return errBroken
		case "bad":
			err = to.Objects(ctx, []store.Object{{List: words[1], Type: "domain", Value: "com", Action: store.ObjectBlock}})
		default:
			err = to.Objects(ctx, []store.Object{object(s.t, line)})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *desk) sync(lines ...string) error {
	d.t.Helper()
	return d.syncer.Sync(d.t.Context(), script{d.t, lines})
}

// shows is what a list has, as "value action", in memory checked against the store.
func (d *desk) shows(list string) []string {
	d.t.Helper()
	var out []string
	err := d.store.EachObject(d.t.Context(), list, func(o *store.Object) error {
		text := o.Value + " " + o.Action.String()
		if o.Exception {
			text = o.Value + " except"
		}
		out = append(out, text)
		s := d.keeper.Lists().named(list)
		if s == nil {
			return fmt.Errorf("%s is not in memory", list)
		}
		if i, found := s.find(Key(o.Key)); !found || s.entries[i] != entryOf(o) {
			return fmt.Errorf("%s is not so in memory", text)
		}
		return nil
	})
	if err != nil {
		d.t.Error(err)
	}
	if s := d.keeper.Lists().named(list); s != nil && len(s.keys) != len(out) {
		d.t.Errorf("%s has %d objects in memory, %d in the store", list, len(s.keys), len(out))
	}
	slices.Sort(out)
	return out
}

func (d *desk) row(list string) store.ObjectList {
	d.t.Helper()
	rows, err := d.store.ObjectLists(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	for i := range rows {
		if rows[i].Name == list {
			return rows[i]
		}
	}
	return store.ObjectList{}
}

func (d *desk) want(list string, generation int64, why string, objects ...string) {
	d.t.Helper()
	if got := d.shows(list); !slices.Equal(got, objects) {
		d.t.Errorf("%s shows %q, want %q", list, got, objects)
	}
	row := d.row(list)
	if row.Generation != generation || row.Objects != int64(len(objects)) || (why == "") != (row.Error == "") || !strings.Contains(row.Error, why) {
		d.t.Errorf("the row is %+v, want generation %d, %d objects and %q", row, generation, len(objects), why)
	}
}

func TestSync(t *testing.T) {
	d := newDesk(t)
	first := []string{"a domain a.example block", "a domain b.example log", "a domain c.example except", "done a"}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(d.sync(first...))
	good := []string{"a.example block", "b.example log", "c.example except"}
	d.want("a", 1, "", good...)
	if d.row("a").Cursor != "c" || !d.row("a").Synced.Equal(start()) {
		t.Errorf("the row is %+v", d.row("a"))
	}

	// The same once more changes nothing but the time.
	d.now = d.now.Add(time.Minute)
	check(d.sync(first...))
	d.want("a", 1, "", good...)
	if !d.row("a").Synced.Equal(d.now) {
		t.Errorf("the row is %+v", d.row("a"))
	}

	// Whatever goes wrong, the last good list is shown, in the store and in memory.
	for _, trouble := range []struct {
		why   string
		lines []string
		err   error
	}{
		{"it answers 500", []string{"fail a it answers 500"}, nil},
		{"it broke off", []string{"a domain new.example block", "fail a it broke off"}, nil},
		{"ended before the list did", []string{"a domain new.example block"}, nil},
		{"it came empty", []string{"done a"}, nil},
		{"none of its 2 entries", []string{"bad a", "bad a", "done a"}, nil},
		{"the plugin is gone", []string{"a domain new.example block", "break"}, errBroken},
		{"the plugin is gone", []string{"break"}, errBroken},
		{"reported no list", nil, nil},
	} {
		if err := d.sync(trouble.lines...); !errors.Is(err, trouble.err) {
			t.Errorf("%s: %v", trouble.why, err)
		}
		d.want("a", 1, trouble.why, good...)
	}
	check(d.sync(first...))
	d.want("a", 1, "", good...)

	// Changes: stricter, less strict, gone, new, twice; one that cannot be used is counted.
	check(d.sync("a domain a.example log", "a domain a.example quarantine", "a domain a.example none", "a domain b.example log", "bad a",
		"a domain d.example block", "a domain d.example quarantine", "done a"))
	d.want("a", 2, "", "a.example quarantine", "b.example log", "d.example quarantine")
	if d.row("a").Skipped != 1 {
		t.Errorf("the row is %+v", d.row("a"))
	}

	// What is new only: nothing goes but what was withdrawn.
	check(d.sync("a domain e.example block", "a domain b.example block -5", "done a partial"))
	d.want("a", 3, "", "a.example quarantine", "d.example quarantine", "e.example block")
	check(d.sync("done a partial"))
	d.want("a", 3, "", "a.example quarantine", "d.example quarantine", "e.example block")

	// An operator lets it be emptied, once.
	check(d.store.AcceptObjects(t.Context(), "a", store.Audit{}))
	check(d.sync("done a"))
	d.want("a", 4, "")
	check(d.sync(first...))
	check(d.sync("done a"))
	d.want("a", 5, "it came empty", good...)

	// A list that the policy does not fetch any more goes; the operators' own stays.
	o := object(t, "local domain own.example block")
	if _, err := d.store.ChangeObjects(t.Context(), &store.ObjectChange{List: Local, Put: []store.Object{o}, At: d.now}); err != nil {
		t.Fatal(err)
	}
	check(d.sync("b domain b.example block", "done b"))
	d.want("a", 0, "")
	d.want("b", 1, "", "b.example block")
	d.want(Local, 1, "", "own.example block")
	if err := d.sync("local domain x.example block", "done local"); err == nil {
		t.Error("a source wrote to the operators' list")
	}
	d.want(Local, 1, "", "own.example block")
}

func TestSyncGrowth(t *testing.T) {
	d := newDesk(t)
	lines := func(n int) (out []string) {
		for i := range n {
			out = append(out, fmt.Sprintf("a domain d%d.example block", i))
		}
		return append(out, "done a")
	}
	for _, step := range []struct {
		n, shown int
		accept   bool
	}{
		{10, 10, false}, {150, 150, false}, // short lists grow as they like
		{1501, 150, false}, {1500, 1500, false}, {10, 10, false}, {1001, 10, false}, {1001, 1001, true},
	} {
		if step.accept {
			if err := d.store.AcceptObjects(t.Context(), "a", store.Audit{}); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.sync(lines(step.n)...); err != nil {
			t.Fatal(err)
		}
		if n := len(d.shows("a")); n != step.shown || (d.row("a").Error == "") != (step.n == step.shown) {
			t.Errorf("of %d objects %d are shown: %q", step.n, n, d.row("a").Error)
		}
	}
}

// TestAdded: what is new, or stricter, is told once.
func TestAdded(t *testing.T) {
	d := newDesk(t)
	if err := d.keeper.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		lines []string
		want  string
	}{
		{[]string{"a domain a.example log", "a domain b.example except", "done a"}, "[a 1]"},
		{[]string{"a domain a.example log", "a domain b.example except", "done a"}, "[]"},
		{[]string{"a domain a.example block", "a domain b.example block", "a domain c.example block", "done a"}, "[a 3]"},
		{[]string{"a domain a.example log", "done a"}, "[]"},
	} {
		d.added = nil
		if err := d.sync(step.lines...); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(d.added); got != step.want {
			t.Errorf("%q: %s, want %s", step.lines, got, step.want)
		}
	}
}
