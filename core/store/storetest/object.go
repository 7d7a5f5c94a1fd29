package storetest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/postern-mail/postern/core/store"
)

func keyOf(value string) []byte {
	sum := sha256.Sum256([]byte(value))
	return sum[:16]
}

func domain(value string, action store.ObjectAction) store.Object {
	return store.Object{Key: keyOf(value), Type: "domain", Value: value, Action: action, Added: start()}
}

// shows is what a list shows, as "value action" in the order of keys, which is that of the store.
func shows(t *testing.T, s store.Store, list string) map[string]string {
	t.Helper()
	out := map[string]string{}
	var last []byte
	err := s.EachObject(t.Context(), list, func(o *store.Object) error {
		if string(o.Key) <= string(last) {
			t.Errorf("keys are not in order")
		}
		last = o.Key
		out[o.Value] = o.Action.String()
		if o.Exception {
			out[o.Value] = "exception"
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func mustDo(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func testObjectLists(t *testing.T, suite Suite) {
	s := suite.open(t)
	ctx := t.Context()
	sync := func(token string, put []store.Object, end ...string) (store.ObjectList, error) {
		list, err := s.BeginObjects(ctx, "feed", token)
		mustDo(t, err)
		var keys [][]byte
		for _, value := range end {
			keys = append(keys, keyOf(value))
		}
		return list, s.StageObjects(ctx, "feed", token, put, keys)
	}
	commit := func(token string, list store.ObjectList, changed bool) {
		t.Helper()
		list.Name, list.Synced, list.Tried, list.Cursor = "feed", start(), start(), "here"
		mustDo(t, s.CommitObjects(ctx, token, &list, changed))
		mustDo(t, s.PurgeObjects(ctx, "feed"))
	}
	twice := domain("b.example", store.ObjectQuarantine)
	list, err := sync("1", []store.Object{domain("a.example", store.ObjectLog), domain("b.example", store.ObjectBlock), twice})
	mustDo(t, err)
	equal(t, "the list before its commit", shows(t, s, "feed"), map[string]string{})
	commit("1", list, true)
	first := map[string]string{"a.example": "log", "b.example": "quarantine"}
	equal(t, "the list", shows(t, s, "feed"), first)

	// A synchronisation that is discarded, and one that is left undone, change nothing.
	changes := []store.Object{domain("a.example", store.ObjectBlock), domain("c.example", store.ObjectBlock)}
	_, err = sync("2", changes, "a.example", "b.example")
	mustDo(t, err)
	equal(t, "the list while it is changed", shows(t, s, "feed"), first)
	mustDo(t, s.DiscardObjects(ctx, "feed", "2", "it broke off", start().Add(time.Minute)))
	equal(t, "the list after a failure", shows(t, s, "feed"), first)
	lists, err := s.ObjectLists(ctx)
	want := store.ObjectList{Name: "feed", Generation: 1, Objects: 2, Synced: start(), Tried: start().Add(time.Minute), Error: "it broke off", Cursor: "here"}
	equal(t, "its row", lists, []store.ObjectList{want})
	equal(t, "error", err, nil)
	_, err = sync("3", changes, "a.example", "b.example")
	mustDo(t, err)
	list, err = sync("4", changes, "a.example")
	mustDo(t, err)
	if err := s.StageObjects(ctx, "feed", "3", changes, nil); !errors.Is(err, store.ErrConflict) {
		t.Errorf("who was overtaken goes on: %v", err)
	}
	if err := s.DiscardObjects(ctx, "feed", "3", "", start()); !errors.Is(err, store.ErrConflict) {
		t.Errorf("who was overtaken discards: %v", err)
	}
	commit("4", list, true)
	equal(t, "the list then", shows(t, s, "feed"), map[string]string{"a.example": "block", "b.example": "quarantine", "c.example": "block"})
	mustDo(t, s.AcceptObjects(ctx, "feed", store.Audit{At: start(), By: "admin", Act: "accept", Object: "feed"}))
	if lists, _ = s.ObjectLists(ctx); !lists[0].Accept || lists[0].Generation != 2 {
		t.Errorf("the row is %+v", lists[0])
	}
	if err := s.AcceptObjects(ctx, "other", store.Audit{}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a list that is not there: %v", err)
	}
	list, err = s.BeginObjects(ctx, "feed", "5")
	mustDo(t, err)
	commit("5", list, false)
	if lists, _ = s.ObjectLists(ctx); lists[0].Accept || lists[0].Generation != 2 {
		t.Errorf("nothing changed, and the row is %+v", lists[0])
	}

	// More than goes into one step.
	var many []store.Object
	for i := range 1234 {
		many = append(many, domain(fmt.Sprintf("%d.many.example", i), store.ObjectBlock))
	}
	list, err = sync("6", many)
	mustDo(t, err)
	commit("6", list, true)
	if n := len(shows(t, s, "feed")); n != 1237 {
		t.Errorf("%d objects", n)
	}
	var seen int
	for after := ""; ; {
		rows, next, err := s.ListObjects(ctx, store.ObjectQuery{List: "feed", Value: "*.MANY.example"}, store.Page{After: after, Limit: 500})
		mustDo(t, err)
		seen += len(rows)
		if after = next; next == "" {
			break
		}
	}
	equal(t, "objects in pages", seen, 1234)
	found, err := s.FindObjects(ctx, [][]byte{keyOf("7.many.example"), keyOf("none.example")})
	if err != nil || len(found) != 1 || found[0].Value != "7.many.example" {
		t.Errorf("found %+v, %v", found, err)
	}
	mustDo(t, s.DropObjects(ctx, "feed"))
	equal(t, "a list that was dropped", shows(t, s, "feed"), map[string]string{})
	if lists, _ := s.ObjectLists(ctx); len(lists) != 0 {
		t.Errorf("lists are %+v", lists)
	}
}

func testObjectChange(t *testing.T, suite Suite) {
	s := suite.open(t)
	ctx := t.Context()
	change := func(put []store.Object, end ...string) int64 {
		t.Helper()
		c := &store.ObjectChange{List: "local", Put: put, At: start(), Audit: []store.Audit{{At: start(), By: "admin", Act: "add", Object: "x"}}}
		for _, value := range end {
			c.End = append(c.End, keyOf(value))
		}
		n, err := s.ChangeObjects(ctx, c)
		mustDo(t, err)
		return n
	}
	expiring := domain("old.example", store.ObjectBlock)
	expiring.Expires, expiring.Note, expiring.By = start().Add(time.Hour), "a note", "admin"
	equal(t, "replaced", change([]store.Object{domain("a.example", store.ObjectQuarantine), expiring}), 0)
	equal(t, "replaced", change([]store.Object{domain("a.example", store.ObjectLog)}), 1) // also by what is less strict
	allowed := domain("b.example", store.ObjectNone)
	allowed.Exception = true
	equal(t, "removed", change([]store.Object{allowed}, "a.example", "none.example"), 1)
	equal(t, "the list", shows(t, s, "local"), map[string]string{"b.example": "exception", "old.example": "block"})
	found, err := s.FindObjects(ctx, [][]byte{expiring.Key})
	expiring.List = "local"
	equal(t, "an object", found, []store.Object{expiring})
	equal(t, "error", err, nil)
	lists, err := s.ObjectLists(ctx)
	equal(t, "error", err, nil)
	equal(t, "its row", lists, []store.ObjectList{{Name: "local", Generation: 3, Objects: 2, Synced: start()}})
	mustDo(t, s.PurgeObjects(ctx, "local"))
	_, err = s.Retain(ctx, start().Add(2*time.Hour), store.Retention{})
	mustDo(t, err)
	equal(t, "the list after an hour", shows(t, s, "local"), map[string]string{"b.example": "exception"})
}

func testCarried(t *testing.T, suite Suite) {
	s := suite.open(t)
	for i, state := range []store.CopyState{store.CopyHeld, store.CopyQuarantined} {
		c := kept(fmt.Sprint("M", i), state, bodyOf([]byte{byte(i)}))
		c.Copies[0].Objects = [][]byte{keyOf("one"), keyOf(fmt.Sprint("own", i))}
		mustCommit(t, s, c)
	}
	c, err := s.Copy(t.Context(), "M0")
	mustDo(t, err)
	mustCommit(t, s, &store.Change{Copies: []store.Copy{*c}}) // what it carries is not forgotten by a change
	mustDo(t, s.AddTracks(t.Context(), []store.Track{
		{ID: "T1", At: start(), MessageID: "R1", Kind: "Normal", Objects: [][]byte{keyOf("one")}}, {ID: "T2", At: start(), MessageID: "R2"},
	}))
	for _, test := range []struct {
		key    string
		held   []string
		copies int
		tracks int
	}{{"one", []string{"M0"}, 2, 1}, {"own0", []string{"M0"}, 1, 0}, {"own1", nil, 1, 0}, {"none", nil, 0, 0}} {
		keys := [][]byte{keyOf("other"), keyOf(test.key)}
		held, err := s.CopiesWith(t.Context(), []store.CopyState{store.CopyHeld}, keys)
		equal(t, "held with "+test.key, held, test.held)
		equal(t, "error", err, nil)
		copies, _, _, err := s.Copies(t.Context(), store.CopyQuery{Text: store.TextQuery{Objects: keys}}, store.Page{})
		if err != nil || len(copies) != test.copies {
			t.Errorf("%s is in %d copies, %v", test.key, len(copies), err)
		}
		tracks, _, err := s.Tracks(t.Context(), store.TextQuery{Objects: keys}, store.Page{})
		if err != nil || len(tracks) != test.tracks {
			t.Errorf("%s is in %d tracks, %v", test.key, len(tracks), err)
		}
	}
}
