// Package storetest holds every store to the contract of package store.
package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/store"
)

// Place is an empty place for a store; Open may be called again after Close, and finds what was kept.
type Place struct {
	Open func(t *testing.T, options store.Options) store.Store
}

// Suite makes places.
type Suite struct {
	NewPlace func(t *testing.T) Place
	Options  store.Options
}

// Run runs every test.
func (s Suite) Run(t *testing.T) {
	for name, test := range map[string]func(*testing.T, Suite){
		"what is committed is there after a restart":          testRoundTrip,
		"a change is made whole or not at all":                testAtomic,
		"changes that share a commit fail alone":              testShared,
		"areas are listed in pages and searched":              testCopies,
		"events and tracking are searched as operators write": testSearch,
		"a copy is claimed once":                              testClaim,
		"a sample has one live submission":                    testSubmit,
		"no wait is forgotten":                                testUnserved,
		"a setting is changed by one":                         testSettings,
		"due obligations get their job":                       testJobs,
		"a gateway's jobs are given back when it is gone":     testGone,
		"a gateway's claims are given back when it is gone":   testClaimsGivenBack,
		"what waits does not see the clock jump":              testSteady,
		"periodic work runs":                                  testPeriodic,
		"what is old enough goes, what is needed stays":       testRetain,
		"a body in use survives its removal":                  testRetainRace,
		"usage and settings":                                  testUsage,
		"a list shows what was committed, and no less":        testObjectLists,
		"a list is changed by hand":                           testObjectChange,
		"mail is found by what it carries":                    testCarried,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}

func (s Suite) open(t *testing.T) store.Store {
	t.Helper()
	return openPlace(t, s.NewPlace(t), s.Options)
}

func openPlace(t *testing.T, p Place, o store.Options) store.Store {
	t.Helper()
	opened := p.Open(t, o)
	t.Cleanup(func() {
		if err := errors.Join(opened.Stop(context.Background()), opened.Close()); err != nil {
			t.Error(err)
		}
	})
	return opened
}

// start is the time of the tests' first row; microseconds are kept.
func start() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC) }

func mustCommit(t *testing.T, s store.Store, c *store.Change) {
	t.Helper()
	if err := s.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

func bodyOf(content []byte) store.Body {
	sum := sha256.Sum256(content)
	return store.Body{
		SHA256: hex.EncodeToString(sum[:]), Size: int64(len(content)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil },
	}
}

// content is size bytes that differ by seed.
func content(seed byte, size int) []byte {
	out := make([]byte, size)
	for i := range out {
		out[i] = seed + byte(i*7>>3)
	}
	return out
}

// kept is a change that keeps one message as one copy.
func kept(id string, state store.CopyState, body store.Body) *store.Change {
	return &store.Change{
		Record: &store.Record{
			Message: message.Message{
				ID: id, QueueID: "0A1B2C", Received: start(), Size: body.Size, HeaderID: "<" + id + "@example.org>", Subject: "Subject of " + id,
				Envelope: message.Envelope{From: id + "@Sender.example", To: []string{"bob@example.org", "carol@example.org"}},
			},
			BodySHA256: body.SHA256,
		},
		Bodies: []store.Body{body},
		Copies: []store.Copy{{ID: id, MessageID: id, Recipients: []string{"bob@example.org", "carol@example.org"}, State: state}},
	}
}

func wantBody(t *testing.T, s store.Store, body store.Body, want []byte) {
	t.Helper()
	r, err := s.OpenBody(t.Context(), body.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("a body of %d bytes came back as %d others", len(want), len(got))
	}
}

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s is\n%+v, want\n%+v", what, got, want)
	}
}

func testRoundTrip(t *testing.T, suite Suite) {
	var (
		place = suite.NewPlace(t)
		small = []byte("Subject: x\r\n\r\nwith NUL \x00 and \xff\r\n")
		large = content(3, 700<<10)
		path  = filepath.Join(t.TempDir(), "large")
	)
	if err := os.WriteFile(path, large, 0o400); err != nil {
		t.Fatal(err)
	}
	linked := bodyOf(large)
	linked.Path = path
	empty := bodyOf(nil)
	unlinked := content(9, 300<<10)
	change := kept("M1", store.CopyHeld, linked)
	change.Bodies = append(change.Bodies, bodyOf(small), empty, bodyOf(unlinked))
	change.Record.Message.Subject = "bytes \x00 \xff and é"
	change.Record.Facts = &message.Facts{Revision: "r1", Reports: map[string]message.Report{"atse": {Plugin: "atse", Queries: []int{1}}}}
	change.Record.Decision = &message.Decision{Revision: "r1", Fates: []message.Fate{{State: message.FateWaiting, WaitRule: "Rule"}}}
	c := &change.Copies[0]
	c.DueAt, c.FirstWait, c.Deadline, c.Attempts = start().Add(time.Minute), start(), start().Add(time.Hour), 2
	c.Fate = change.Record.Decision.Fates[0]
	key := message.SampleKey{SHA256: linked.SHA256, Kind: "file", Extension: "pdf"}
	change.Samples = []store.Sample{{CopyID: "M1", MessageID: "M1", Since: start(), Sample: message.Sample{Key: key, Display: "a.pdf"}}}
	change.Obligations = []store.Obligation{{
		CopyID: "M1", MessageID: "M1", Kind: store.OweNotify, Rule: "Rule", Action: "notify", Recipient: "admin@example.org", Hop: "mailstore",
		BodySHA256: bodyOf(small).SHA256, State: store.ObligationDue, NextAt: start(), GiveUpAt: start().Add(time.Hour), Created: start(),
	}}
	change.Events = []store.Event{{ID: "E1", At: start(), Subtype: "content-violation", Rule: "Rule", Recipients: []string{"bob@example.org"}}}
	change.Tracks = []store.Track{{ID: "T1", At: start(), MessageID: "M1", Kind: "Held", Recipients: []string{"bob@example.org"}}}

	first := place.Open(t, suite.Options)
	mustCommit(t, first, change)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	s := openPlace(t, place, suite.Options)

	for _, id := range []string{"M1", "<M1@example.org>"} {
		record, err := s.Record(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "envelope", record.Message.Envelope, change.Record.Message.Envelope)
		equal(t, "time", record.Message.Received, start())
		equal(t, "facts", record.Facts, change.Record.Facts)
		equal(t, "decision", record.Decision.Fates, change.Record.Decision.Fates)
	}
	got, err := s.Copy(t.Context(), "M1")
	if err != nil {
		t.Fatal(err)
	}
	want := change.Copies[0]
	want.Version, want.Changed = got.Version, got.Changed
	equal(t, "copy", *got, want)
	wantBody(t, s, linked, large)
	wantBody(t, s, bodyOf(small), small)
	wantBody(t, s, empty, []byte{})
	wantBody(t, s, bodyOf(unlinked), unlinked)
	owed, err := s.Obligations(t.Context(), "M1")
	if err != nil || len(owed) != 1 {
		t.Fatalf("obligations are %v, %v; want one", owed, err)
	}
	wantOwed := change.Obligations[0]
	wantOwed.ID, wantOwed.Version = owed[0].ID, owed[0].Version
	equal(t, "obligation", owed[0], wantOwed)
	waiting, err := s.Waiting(t.Context(), key)
	equal(t, "waits", waiting, change.Samples)
	equal(t, "error", err, nil)
	events, _, total, err := s.Events(t.Context(), store.TextQuery{}, store.Page{})
	equal(t, "events", events, change.Events)
	equal(t, "their number", total, 1)
	equal(t, "error", err, nil)
	tracks, _, err := s.Tracks(t.Context(), store.TextQuery{}, store.Page{})
	equal(t, "tracking", tracks, change.Tracks)
	equal(t, "error", err, nil)
	if _, err := s.Copy(t.Context(), "nothing"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a copy that is not there is %v", err)
	}
	if _, err := s.OpenBody(t.Context(), bodyOf([]byte("other")).SHA256); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a body that is not there is %v", err)
	}
}
