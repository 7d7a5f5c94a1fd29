package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/postern-mail/postern/core/store"
)

func testAtomic(t *testing.T, suite Suite) {
	s := suite.open(t)
	mustCommit(t, s, kept("M1", store.CopyHeld, bodyOf(content(1, 100))))
	old, err := s.Copy(t.Context(), "M1")
	if err != nil {
		t.Fatal(err)
	}
	fresh := *old
	fresh.State = store.CopyPostponed
	mustCommit(t, s, &store.Change{Copies: []store.Copy{fresh}})

	for name, broken := range map[string]struct {
		change *store.Change
		want   error
	}{
		"stale version": {&store.Change{Copies: []store.Copy{*old}}, store.ErrConflict},
		"copy inserted twice": {
			&store.Change{Copies: []store.Copy{{ID: "M1", MessageID: "M1", State: store.CopyHeld}}}, store.ErrConflict,
		},
		"body that is not kept": {
			&store.Change{Record: &store.Record{BodySHA256: bodyOf([]byte("no")).SHA256}}, store.ErrNotFound,
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := broken.change
			id := "M-" + name
			other := kept(id, store.CopyHeld, bodyOf([]byte(id)))
			c.Copies = append([]store.Copy{other.Copies[0]}, c.Copies...)
			if c.Record == nil {
				c.Record = other.Record
			} else {
				c.Record.Message = other.Record.Message
			}
			c.Bodies = other.Bodies
			c.Events = []store.Event{{ID: "E-" + name, At: start()}}
			if err := s.Commit(t.Context(), c); !errors.Is(err, broken.want) {
				t.Fatalf("the commit says %v, want %v", err, broken.want)
			}
			if _, err := s.Copy(t.Context(), id); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("a copy of the failed change is there (%v)", err)
			}
			if _, err := s.Record(t.Context(), id); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("the message of the failed change is there (%v)", err)
			}
			events, _, _, err := s.Events(t.Context(), store.TextQuery{}, store.Page{})
			if err != nil || len(events) != 0 {
				t.Errorf("events of the failed change are there: %v, %v", events, err)
			}
		})
	}
	now, err := s.Copy(t.Context(), "M1")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "state", now.State, store.CopyPostponed)
}

// testShared has many write at once, every third with a mistake.
func testShared(t *testing.T, suite Suite) {
	s := suite.open(t)
	var writing sync.WaitGroup
	for i := range 60 {
		writing.Go(func() {
			c := kept(fmt.Sprintf("M%d", i), store.CopyQuarantined, bodyOf(content(byte(i), 1000+i)))
			if i%3 == 0 {
				c.Copies[0].Version = 7
			}
			err := s.Commit(t.Context(), c)
			if wrong := i%3 == 0; wrong != errors.Is(err, store.ErrConflict) || !wrong && err != nil {
				t.Errorf("commit %d says %v", i, err)
			}
		})
	}
	writing.Wait()
	_, _, total, err := s.Copies(t.Context(), store.CopyQuery{}, store.Page{})
	equal(t, "error", err, nil)
	equal(t, "number of copies", total, 40)
	for i := range 60 {
		_, err := s.Record(t.Context(), fmt.Sprintf("M%d", i))
		if (i%3 == 0) != errors.Is(err, store.ErrNotFound) {
			t.Errorf("message %d: %v", i, err)
		}
	}
}
