package objects

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/core/store"
)

// The lists that no source fetches.
const (
	// Local is what operators add.
	Local = "local"
	// Learned is what the sandbox found to be of high risk.
	Learned = "virtual-analyzer"
)

// Own reports whether a list is no source's.
func Own(list string) bool { return list == Local || list == Learned }

// Source fetches lists.
type Source interface {
	// Fetch hands everything over that the sources list. Cursors say where the last good fetch of each list ended.
	Fetch(ctx context.Context, cursors map[string]string, to Sink) error
}

// Sink takes what is fetched. It is called by one goroutine. An error ends the fetch.
type Sink interface {
	// Objects takes objects as the source wrote them, each with the name of its list.
	Objects(ctx context.Context, batch []store.Object) error
	// Done ends one list.
	Done(ctx context.Context, state State) error
}

// State is how the fetch of one list ended.
type State struct {
	List     string
	Complete bool // the whole list was sent
	Cursor   string
	Error    string // "": good
}

const (
	// mostObjects is the longest list that is taken.
	mostObjects = 5_000_000
	// A list that grows by more than growth, to more than grown objects, is not believed until an operator accepts it.
	growth = 10
	grown  = 1000
	// stageAtOnce bounds one step of writing, so that mail that is committed meanwhile hardly waits. So many objects as gatherMost are put in
	// the order of their keys before, so that a step writes few pages of the store.
	stageAtOnce = 1000
	gatherMost  = 100_000
	// pendingMost bounds the changed objects that are held back, of which a stricter one may come.
	pendingMost = 50_000
	longestNote = 256
)

// Syncer brings the store's lists up to date with what a source fetches.
type Syncer struct {
	Store store.Objects
	// Keeper has the lists as they are stored.
	Keeper *Keeper
	Now    func() time.Time
	Token  func() string
	Log    hclog.Logger
}

// Sync fetches once. A list that fails, ends in the middle, holds nothing that can be used, or is suddenly empty or ten times as long, stays
// as it was, and its row says why. The error is about the fetch as a whole.
func (s *Syncer) Sync(ctx context.Context, source Source) error {
	if err := s.Keeper.Refresh(ctx); err != nil {
		return fmt.Errorf("synchronise: %w", err)
	}
	rows, err := s.Store.ObjectLists(ctx)
	if err != nil {
		return fmt.Errorf("synchronise: %w", err)
	}
	cursors := map[string]string{}
	for i := range rows {
		if !Own(rows[i].Name) && rows[i].Cursor != "" {
			cursors[rows[i].Name] = rows[i].Cursor
		}
	}
	r := &run{syncer: s, lists: map[string]*listRun{}}
	fetchErr := source.Fetch(ctx, cursors, r)
	err = r.end(ctx, fetchErr, rows)
	return errors.Join(fetchErr, err, s.Keeper.Refresh(ctx))
}

// run is one synchronisation.
type run struct {
	syncer *Syncer
	lists  map[string]*listRun
}

// listRun is one list of it.
type listRun struct {
	*Syncer
	row   store.ObjectList
	token string
	old   *set
	// ranks are those of the best entry that came for each of old's keys; none yet: -1.
	ranks []int8
	// had is how many of old count when the synchronisation begins.
	had       int64
	pending   map[int]store.Object
	withdrawn map[int]bool // places in old
	put       []store.Object
	gone      [][]byte
	kept      int64 // of old
	fresh     int64
	skipped   int64
	why       error // of the last that was skipped
	changed   bool
	ended     bool  // committed or discarded
	failed    error // why the list is not to be believed
}

var errLength = errors.New("the name of a list has 1 to 200 characters")

func (r *run) list(ctx context.Context, name string) (*listRun, error) {
	if l := r.lists[name]; l != nil {
		return l, nil
	}
	if name == "" || len(name) > 200 {
		return nil, errLength
	}
	if Own(name) {
		return nil, fmt.Errorf("the list %q is this program's own: name the source otherwise", name)
	}
	s := r.syncer
	l := &listRun{Syncer: s, token: s.Token(), pending: map[int]store.Object{}, withdrawn: map[int]bool{}}
	var err error
	if l.row, err = s.Store.BeginObjects(ctx, name, l.token); err != nil {
		return nil, err
	}
	if l.old = s.Keeper.Lists().named(name); l.old == nil || l.old.generation != l.row.Generation {
		// Another gateway has changed it since, or there was none.
		if l.old, err = s.Keeper.load(ctx, &l.row); err != nil {
			return nil, err
		}
	}
	l.had = l.old.live(s.Now())
	l.ranks = make([]int8, len(l.old.keys))
	for i := range l.ranks {
		l.ranks[i] = -1
	}
	r.lists[name] = l
	return l, nil
}

// Objects takes a batch.
func (r *run) Objects(ctx context.Context, batch []store.Object) error {
	for i := range batch {
		l, err := r.list(ctx, batch[i].List)
		if err != nil {
			return err
		}
		if err := l.take(ctx, batch[i]); err != nil {
			return err
		}
	}
	return nil
}

// take sorts one object in: known and unchanged, changed, or new.
func (l *listRun) take(ctx context.Context, o store.Object) error {
	if l.failed != nil || l.ended {
		return nil
	}
	value, key, err := Normalize(o.Type, o.Value)
	if err == nil && (o.Action < store.ObjectNone || o.Action > store.ObjectQuarantine) {
		err = errors.New("it has no scan action")
	}
	if err != nil {
		l.skipped++
		l.why = fmt.Errorf("%s %.100q: %w", o.Type, o.Value, err)
		return nil
	}
	o.Value, o.Key, o.Added, o.By = value, key[:], l.Now(), ""
	if len(o.Note) > longestNote {
		o.Note = strings.ToValidUTF8(o.Note[:longestNote], "")
	}
	i, known := l.old.find(key)
	if !o.Expires.IsZero() && !o.Expires.After(l.Now()) { // withdrawn
		if known {
			l.withdrawn[i] = true
		}
		return nil
	}
	entry := entryOf(&o)
	switch {
	case !known:
		l.fresh++
		l.put = append(l.put, o)
		l.changed = true
	case entry.rank() <= l.ranks[i]: // one as strict has come already
	default:
		if l.ranks[i] < 0 {
			l.kept++
		}
		l.ranks[i] = entry.rank()
		if entry == l.old.entries[i] {
			delete(l.pending, i)
		} else {
			l.pending[i] = o
		}
	}
	if n := l.kept + l.fresh; n > mostObjects {
		l.failed = fmt.Errorf("it has more than %d objects", mostObjects)
	} else if l.had > 0 && n > grown && n > growth*l.had && !l.row.Accept {
		l.failed = fmt.Errorf("it grew from %d objects to more than %d at once; the last good one is kept until `postern objects accept` lets it",
			l.had, max(grown, growth*l.had))
	}
	return l.flush(ctx, false)
}

// flush writes what has gathered, all of it at the end.
func (l *listRun) flush(ctx context.Context, all bool) error {
	if all || len(l.pending) >= pendingMost {
		for i, o := range l.pending {
			l.gone = append(l.gone, l.old.keys[i][:])
			l.put = append(l.put, o)
			l.changed = true
		}
		clear(l.pending)
	}
	if !all && len(l.put)+len(l.gone) < gatherMost {
		return nil
	}
	slices.SortStableFunc(l.put, func(a, b store.Object) int { return bytes.Compare(a.Key, b.Key) })
	slices.SortFunc(l.gone, bytes.Compare)
	for len(l.put)+len(l.gone) > 0 {
		n, m := min(len(l.put), stageAtOnce), min(len(l.gone), stageAtOnce)
		if err := l.Store.StageObjects(ctx, l.row.Name, l.token, l.put[:n], l.gone[:m]); err != nil {
			return err
		}
		l.put, l.gone = l.put[n:], l.gone[m:]
	}
	l.put, l.gone = nil, nil
	return nil
}

// Done ends one list: what came is shown, or nothing of it.
func (r *run) Done(ctx context.Context, state State) error {
	l, err := r.list(ctx, state.List)
	if err != nil {
		return err
	}
	switch {
	case l.ended:
		return nil
	case state.Error != "":
		return l.discard(ctx, state.Error)
	case l.failed != nil:
		return l.discard(ctx, l.failed.Error())
	}
	if state.Complete && l.kept+l.fresh == 0 {
		switch {
		case l.skipped > 0:
			return l.discard(ctx, fmt.Sprintf("none of its %d entries can be used: %v", l.skipped, l.why))
		case l.had > 0 && !l.row.Accept:
			return l.discard(ctx, fmt.Sprintf("it came empty; the last good one is kept until `postern objects accept` lets it, or its %s expire", plural(int(l.had))))
		}
	}
	for i, rank := range l.ranks {
		if rank < 0 && (state.Complete || l.withdrawn[i]) {
			l.gone = append(l.gone, l.old.keys[i][:])
			l.changed = true
		}
	}
	return l.commit(ctx, state)
}

func (l *listRun) commit(ctx context.Context, state State) error {
	if err := l.flush(ctx, true); err != nil {
		return err
	}
	l.ended = true
	row := l.row
	row.Synced, row.Tried, row.Cursor, row.Skipped = l.Now(), l.Now(), state.Cursor, l.skipped
	if err := l.Store.CommitObjects(ctx, l.token, &row, l.changed); err != nil {
		return err
	}
	if l.row.Error != "" {
		l.Log.Info("list is synchronised again", "list", row.Name)
	}
	if l.skipped > 0 {
		l.Log.Warn("entries of a list cannot be used", "list", row.Name, "entries", l.skipped, "last", l.why)
	}
	if !l.changed {
		return nil
	}
	l.Log.Info("list synchronised", "list", row.Name, "objects", row.Objects, "new", l.fresh)
	return l.Store.PurgeObjects(ctx, row.Name)
}

// discard leaves the list as it was.
func (l *listRun) discard(ctx context.Context, why string) error {
	l.ended = true
	l.Log.Warn("list not synchronised: the last good one serves", "list", l.row.Name, "objects", l.row.Objects, "reason", why)
	err := l.Store.DiscardObjects(ctx, l.row.Name, l.token, why, l.Now())
	if errors.Is(err, store.ErrConflict) {
		return nil // another gateway synchronises it now
	}
	return err
}

// end discards what was not ended, and drops the lists that no source has any more.
func (r *run) end(ctx context.Context, fetchErr error, rows []store.ObjectList) error {
	// What was begun is taken back also where ctx has ended, in bounded time.
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	var failed error
	for _, l := range r.lists {
		if l.ended {
			continue
		}
		why := "its source ended before the list did"
		if fetchErr != nil {
			why = fetchErr.Error()
		}
		failed = errors.Join(failed, l.discard(ending, why))
	}
	for i := range rows {
		name := rows[i].Name
		if Own(name) || r.lists[name] != nil {
			continue
		}
		if fetchErr != nil || len(r.lists) == 0 {
			failed = errors.Join(failed, r.syncer.note(ending, name, fetchErr))
			continue
		}
		r.syncer.Log.Warn("list is not fetched by the policy any more and is removed", "list", name, "objects", rows[i].Objects)
		failed = errors.Join(failed, r.syncer.Store.DropObjects(ctx, name))
	}
	return failed
}

// note records that a list could not be fetched at all.
func (s *Syncer) note(ctx context.Context, name string, why error) error {
	token, text := s.Token(), "the source reported no list"
	if why != nil {
		text = why.Error()
	}
	if _, err := s.Store.BeginObjects(ctx, name, token); err != nil {
		return err
	}
	s.Log.Warn("list not synchronised: the last good one serves", "list", name, "reason", text)
	return s.Store.DiscardObjects(ctx, name, token, text, s.Now())
}
