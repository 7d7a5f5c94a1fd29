package storetest

import (
	"testing"
	"time"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/store"
)

// testClaimsGivenBack: what a gateway has claimed is left alone as long as it lives, and due again when the same gateway starts anew, or
// when it has not been seen for a while; a claim that was carried through is not.
func testClaimsGivenBack(t *testing.T, suite Suite) {
	place := suite.NewPlace(t)
	now := suite.Options.Clock()
	open := func(node string, at time.Time) store.Store {
		t.Helper()
		return openPlace(t, place, suite.gateway(node, func() time.Time { return at }))
	}
	held := []store.CopyState{store.CopyHeld}
	key := message.SampleKey{SHA256: "ab", Kind: "file", Extension: "js"}
	first := open("one", now)
	equal(t, "error", first.Start(t.Context(), store.Workers{}), nil)
	for _, id := range []string{"M1", "M2"} {
		change := kept(id, store.CopyHeld, bodyOf(content(id[1], 10)))
		change.Copies[0].DueAt = now
		mustCommit(t, first, change)
	}
	_, _, err := first.Submit(t.Context(), store.Submission{Key: key, State: "intent", NextAt: now, Created: now})
	equal(t, "error", err, nil)
	equal(t, "claimed", len(must(first.ClaimCopies(t.Context(), held, now, now.Add(time.Hour), 10))(t)), 2)
	claimed := must(first.DueSubmissions(t.Context(), "intent", now, now.Add(time.Hour), 10))(t)
	equal(t, "claimed samples", len(claimed), 1)
	claimed[0].Server = "noted while the claim goes on"
	equal(t, "error", first.UpdateSubmission(t.Context(), claimed[0]), nil)
	carried := must(first.Copy(t.Context(), "M2"))(t)
	carried.DueAt = now.Add(2 * time.Hour)
	mustCommit(t, first, &store.Change{Copies: []store.Copy{*carried}})

	due := func(s store.Store, at time.Time) (copies, samples int) {
		t.Helper()
		return len(must(s.ClaimCopies(t.Context(), held, at, at.Add(time.Hour), 10))(t)),
			len(must(s.DueSubmissions(t.Context(), "intent", at, at.Add(time.Hour), 10))(t))
	}
	other := open("two", now.Add(time.Second))
	equal(t, "error", other.Start(t.Context(), store.Workers{}), nil)
	copies, samples := due(other, now.Add(time.Second))
	equal(t, "taken from a gateway that lives", copies+samples, 0)

	again := open("one", now.Add(2*time.Second))
	equal(t, "error", again.Start(t.Context(), store.Workers{}), nil)
	copies, samples = due(again, now.Add(2*time.Second))
	equal(t, "copies given back at the start", copies, 1)
	equal(t, "samples given back at the start", samples, 1)

	late := open("three", now.Add(30*time.Minute))
	equal(t, "error", late.Start(t.Context(), store.Workers{}), nil)
	copies, samples = due(late, now.Add(30*time.Minute))
	equal(t, "copies of a gateway that is gone", copies, 1)
	equal(t, "samples of a gateway that is gone", samples, 1)
}
