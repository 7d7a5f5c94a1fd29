package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/store"
)

func testRetain(t *testing.T, suite Suite) {
	s := suite.open(t)
	now := start()
	day := 24 * time.Hour
	keep := func(id string, state store.CopyState, changed time.Time, size int) store.Body {
		body := bodyOf(content(id[1], size))
		c := kept(id, state, body)
		c.Record.Message.Received = changed
		c.Copies[0].Changed = changed
		c.Events = []store.Event{{ID: "E" + id, At: changed}}
		c.Tracks = []store.Track{{ID: "T" + id, At: changed}}
		mustCommit(t, s, c)
		return body
	}
	old := keep("M1", store.CopyQuarantined, now.Add(-40*day), 200<<10)
	young := keep("M2", store.CopyQuarantined, now.Add(-10*day), 200<<10)
	held := keep("M3", store.CopyHeld, now.Add(-40*day), 100)
	done := keep("M4", store.CopyDone, now.Add(-1*day), 100)
	owed := keep("M5", store.CopyDone, now.Add(-40*day), 100)
	mustCommit(t, s, &store.Change{Obligations: []store.Obligation{owe("M5", "a@x.example", now)}})

	_, err := s.Retain(t.Context(), now, store.Retention{Quarantine: 30 * day, Events: 30 * day, Tracking: 30 * day})
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]store.Body{"old quarantine": old, "done": done} {
		if _, err := s.OpenBody(t.Context(), body.SHA256); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: the body is still there (%v)", name, err)
		}
	}
	wantBody(t, s, young, content('2', 200<<10))
	wantBody(t, s, held, content('3', 100))
	wantBody(t, s, owed, content('5', 100))
	for id, there := range map[string]bool{"M1": false, "M2": true, "M3": true, "M4": true, "M5": false} {
		if _, err := s.Copy(t.Context(), id); (err == nil) != there {
			t.Errorf("copy %s: %v", id, err)
		}
	}
	for id, there := range map[string]bool{"M1": false, "M2": true, "M3": true, "M5": true} {
		if _, err := s.Record(t.Context(), id); (err == nil) != there {
			t.Errorf("message %s: %v", id, err)
		}
	}
	_, _, events, err := s.Events(t.Context(), store.TextQuery{}, store.Page{})
	equal(t, "error", err, nil)
	equal(t, "events left", events, 2)
	tracks, _, err := s.Tracks(t.Context(), store.TextQuery{}, store.Page{})
	equal(t, "error", err, nil)
	equal(t, "tracking rows left", len(tracks), 2)
}

// testRetainRace commits mail with one body again and again while it is removed again and again.
func testRetainRace(t *testing.T, suite Suite) {
	s := suite.open(t)
	large := content(7, 150<<10)
	body := bodyOf(large)
	var all sync.WaitGroup
	for w := range 2 {
		all.Go(func() {
			for i := range 15 {
				id := fmt.Sprintf("M%d-%d", w, i)
				c := kept(id, store.CopyQuarantined, body)
				if err := s.Commit(t.Context(), c); err != nil {
					t.Error(err)
					return
				}
				r, err := s.OpenBody(t.Context(), body.SHA256)
				if err != nil {
					t.Errorf("the body of a kept copy is gone: %v", err)
					return
				}
				if err := r.Close(); err != nil {
					t.Error(err)
				}
				copied, err := s.Copy(t.Context(), id)
				if err != nil {
					t.Error(err)
					return
				}
				copied.State = store.CopyDone
				if err := s.Commit(t.Context(), &store.Change{Copies: []store.Copy{*copied}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Go(func() {
		for range 15 {
			if _, err := s.Retain(t.Context(), start(), store.Retention{}); err != nil {
				t.Error(err)
			}
		}
	})
	all.Wait()
}

func testUsage(t *testing.T, suite Suite) {
	s := suite.open(t)
	body := bodyOf(content(1, 1000))
	for i, state := range []store.CopyState{store.CopyHeld, store.CopyHeld, store.CopyQuarantined, store.CopyDone} {
		mustCommit(t, s, kept(fmt.Sprintf("M%d", i), state, body))
	}
	o := owe("M0", "a@x.example", start())
	mustCommit(t, s, &store.Change{Obligations: []store.Obligation{o}, Audit: []store.Audit{{At: start(), By: "admin", Act: "release", Object: "M0"}}})
	usage := must(s.Usage(t.Context()))(t)
	for _, state := range []store.CopyState{store.CopyHeld, store.CopyQuarantined} {
		if c := must(s.Copy(t.Context(), map[store.CopyState]string{store.CopyHeld: "M0", store.CopyQuarantined: "M2"}[state]))(t); !usage.Oldest[state].Equal(c.Changed) {
			t.Errorf("the oldest that is %s is of %v, want %v", state, usage.Oldest[state], c.Changed)
		}
	}
	usage.Oldest = nil
	equal(t, "usage", usage, store.Usage{
		Copies: map[store.CopyState]int64{store.CopyHeld: 2, store.CopyQuarantined: 1},
		Bytes:  map[store.CopyState]int64{store.CopyHeld: 2000, store.CopyQuarantined: 1000}, Due: 1, OldestDue: start(),
	})

	// What judgement knows is replaced, also what a release waives.
	record := must(s.Record(t.Context(), "M0"))(t)
	record.Waivers = []message.Waiver{{Plugin: "atse", Kind: "virus", Name: "X", By: "admin"}}
	mustCommit(t, s, &store.Change{Record: record, DropSamples: []string{"M0"}})
	equal(t, "waivers", must(s.Record(t.Context(), "M0"))(t).Waivers, record.Waivers)
}
