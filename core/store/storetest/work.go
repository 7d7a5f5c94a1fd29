package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/store"
)

// patience bounds waits for what the job engine does.
const patience = 30 * time.Second

func testClaim(t *testing.T, suite Suite) {
	s := suite.open(t)
	now := start()
	for i := range 20 {
		c := kept(fmt.Sprintf("M%02d", i), store.CopyHeld, bodyOf(content(byte(i), 10)))
		c.Copies[0].DueAt = now.Add(time.Duration(i-14) * time.Second) // 15 are due
		if i == 0 {
			c.Copies[0].DueAt = time.Time{} // never by itself
		}
		if i == 1 {
			c.Copies[0].State = store.CopyPostponed
		}
		mustCommit(t, s, c)
	}
	var (
		mu      sync.Mutex
		claimed = map[string]int{}
		all     sync.WaitGroup
	)
	for range 4 {
		all.Go(func() {
			for {
				got, err := s.ClaimCopies(t.Context(), []store.CopyState{store.CopyHeld}, now, now.Add(time.Minute), 3)
				if err != nil {
					t.Error(err)
					return
				}
				if len(got) == 0 {
					return
				}
				mu.Lock()
				for _, c := range got {
					claimed[c.ID]++
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	for id, n := range claimed {
		if n != 1 {
			t.Errorf("%s was claimed %d times", id, n)
		}
	}
	// Rows that another claims at this moment are left out, so one more round may be needed.
	for {
		rest, err := s.ClaimCopies(t.Context(), []store.CopyState{store.CopyHeld}, now, now.Add(time.Minute), 100)
		if err != nil {
			t.Fatal(err)
		}
		if len(rest) == 0 {
			break
		}
		for _, c := range rest {
			claimed[c.ID]++
		}
	}
	equal(t, "number of claimed copies", len(claimed), 13)
	again, err := s.ClaimCopies(t.Context(), []store.CopyState{store.CopyHeld}, now.Add(2*time.Minute), now.Add(3*time.Minute), 100)
	equal(t, "error", err, nil)
	equal(t, "number claimed when the claims have run out", len(again), 18)
	c := again[0]
	c.State = store.CopyDone
	mustCommit(t, s, &store.Change{Copies: []store.Copy{c}}) // the claim's version is the current one
}

func testSubmit(t *testing.T, suite Suite) {
	s := suite.open(t)
	key := message.SampleKey{SHA256: "ab", Kind: "file", Extension: "exe"}
	now := suite.Options.Clock()
	var (
		mu      sync.Mutex
		created int
		all     sync.WaitGroup
	)
	for range 12 {
		all.Go(func() {
			_, fresh, err := s.Submit(t.Context(), store.Submission{Key: key, SHA1: "cd", State: "intent", NextAt: now, Created: now})
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if fresh {
				created++
			}
		})
	}
	all.Wait()
	equal(t, "submissions created", created, 1)
	due, err := s.DueSubmissions(t.Context(), "intent", now.Add(time.Second), now.Add(time.Minute), 10)
	if err != nil || len(due) != 1 {
		t.Fatalf("due are %v, %v", due, err)
	}
	if again, err := s.DueSubmissions(t.Context(), "intent", now.Add(time.Second), now.Add(time.Minute), 10); err != nil || len(again) != 0 {
		t.Errorf("claimed ones are due again: %v, %v", again, err)
	}
	done := due[0]
	done.State, done.Remote, done.Server, done.Analyzer = "done", "r-1", "s", "ddan"
	done.Verdict = &message.Verdict{State: message.VerdictDone, Level: message.RiskHigh, At: start()}
	done.Expires = now.Add(time.Hour)
	equal(t, "error", s.UpdateSubmission(t.Context(), done), nil)
	if err := s.UpdateSubmission(t.Context(), done); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a stale version says %v", err)
	}
	cached, fresh, err := s.Submit(t.Context(), store.Submission{Key: key, State: "intent"})
	if err != nil || fresh || cached.Verdict == nil || cached.Verdict.Level != message.RiskHigh {
		t.Errorf("a cached verdict is answered by %+v, created %v, %v", cached, fresh, err)
	}
	cached.Expires = now.Add(-time.Hour)
	equal(t, "error", s.UpdateSubmission(t.Context(), cached), nil)
	renewed, fresh, err := s.Submit(t.Context(), store.Submission{Key: key, State: "intent", NextAt: now, Created: now})
	if err != nil || !fresh || renewed.Verdict != nil || renewed.Remote != "" {
		t.Errorf("a verdict that ran out is answered by %+v, created %v, %v", renewed, fresh, err)
	}
	equal(t, "forgotten while live", must(s.ClearVerdicts(t.Context(), now, ""))(t), 0)
	equal(t, "under way", must(s.CountSubmissions(t.Context(), "intent"))(t), 1)
	renewed.State, renewed.Verdict, renewed.Expires, renewed.Asked = "done", done.Verdict, now.Add(time.Hour), now
	equal(t, "error", s.UpdateSubmission(t.Context(), renewed), nil)
	listed, _, err := s.Verdicts(t.Context(), now, "ab", store.Page{})
	if err != nil || len(listed) != 1 || listed[0].Key != key {
		t.Errorf("the cache holds %+v, %v", listed, err)
	}
	equal(t, "forgotten of another", must(s.ClearVerdicts(t.Context(), now, "ff"))(t), 0)
	equal(t, "forgotten", must(s.ClearVerdicts(t.Context(), now, "ab"))(t), 1)
	equal(t, "forgotten twice", must(s.ClearVerdicts(t.Context(), now, ""))(t), 0)
	left := must(s.Submissions(t.Context(), []message.SampleKey{key}))(t)
	if len(left) != 1 || left[0].Verdict == nil {
		t.Errorf("who waits finds %+v", left)
	}
	if listed, _, err := s.Verdicts(t.Context(), now, "", store.Page{}); err != nil || len(listed) != 0 {
		t.Errorf("the cache holds %+v, %v", listed, err)
	}
}

// testUnserved: a sample is served while its submission is under way, and no copy's wait is lost.
func testUnserved(t *testing.T, suite Suite) {
	s := suite.open(t)
	now := suite.Options.Clock()
	key := message.SampleKey{SHA256: "ab", Kind: "file"}
	wait := func(id string) {
		t.Helper()
		change := kept(id, store.CopyHeld, bodyOf(content(0, 10)))
		change.Samples = []store.Sample{{CopyID: id, MessageID: id, Sample: message.Sample{Key: key}, Since: now}}
		mustCommit(t, s, change)
	}
	unserved := func() int { return len(must(s.Unserved(t.Context(), 10))(t)) }
	wait("M1")
	equal(t, "not submitted", unserved(), 1)
	submission, _, err := s.Submit(t.Context(), store.Submission{Key: key, State: "intent", NextAt: now, Created: now})
	equal(t, "error", err, nil)
	equal(t, "under way", unserved(), 0)
	submission.State, submission.Attempts = "pending", 3
	equal(t, "error", s.UpdateSubmission(t.Context(), submission), nil)
	wait("M2")
	waits := must(s.Waits(t.Context(), "M2"))(t)
	if len(waits) != 1 || waits[0].AskedBefore != 3 || waits[0].Sample.Key != key {
		t.Errorf("the second copy waits for %+v", waits)
	}
	submission = must(s.Submissions(t.Context(), []message.SampleKey{key}))(t)[0]
	submission.State = "done"
	equal(t, "error", s.UpdateSubmission(t.Context(), submission), nil)
	equal(t, "done and not told", unserved(), 2)
	mustCommit(t, s, &store.Change{DropSamples: []string{"M1", "M2"}})
	equal(t, "told", unserved(), 0)
}

// testSettings: of two who change a value one does.
func testSettings(t *testing.T, suite Suite) {
	s := suite.open(t)
	equal(t, "never written", must(s.Setting(t.Context(), "n"))(t), "")
	equal(t, "error", s.SetSetting(t.Context(), "n", "", "1"), nil)
	if err := s.SetSetting(t.Context(), "n", "", "2"); !errors.Is(err, store.ErrConflict) {
		t.Errorf("the second says %v", err)
	}
	equal(t, "error", s.SetSetting(t.Context(), "n", "1", "2"), nil)
	equal(t, "written", must(s.Setting(t.Context(), "n"))(t), "2")
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func owe(copyID, recipient string, at time.Time) store.Obligation {
	return store.Obligation{
		CopyID: copyID, MessageID: copyID, Kind: store.OweRelay, Recipient: recipient, Hop: "mailstore", State: store.ObligationDue, NextAt: at,
		GiveUpAt: at.Add(time.Hour), Created: at,
	}
}

func testJobs(t *testing.T, suite Suite) {
	s := suite.open(t)
	var (
		now   = suite.Options.Clock()
		calls = make(chan store.DeliverJob, 100)
		mu    sync.Mutex
		again = map[string][]time.Time{ // what each job answers, call by call
			"M1": {now.Add(-time.Second), {}}, // comes again at once
			"M2": {now.Add(time.Hour), {}},    // later, unless hurried
		}
		failed bool
	)
	deliver := func(_ context.Context, job store.DeliverJob) (time.Time, error) {
		calls <- job
		mu.Lock()
		defer mu.Unlock()
		if job.CopyID == "M3" && !failed {
			failed = true
			return time.Time{}, errors.New("failed for a reason of our own")
		}
		answers := again[job.CopyID]
		if len(answers) == 0 {
			return time.Time{}, nil
		}
		again[job.CopyID] = answers[1:]
		return answers[0], nil
	}
	// A job that nobody worked off when the gateway ended is found by the next one.
	early := kept("M0", store.CopyDelivering, bodyOf(content(0, 10)))
	early.Obligations = []store.Obligation{owe("M0", "a@x.example", now), owe("M0", "b@x.example", now)}
	mustCommit(t, s, early)
	equal(t, "error", s.Start(t.Context(), store.Workers{Deliver: deliver, Concurrency: 4}), nil)
	wantCall(t, calls, "M0")
	for _, id := range []string{"M1", "M2", "M3"} {
		c := kept(id, store.CopyDelivering, bodyOf(content(0, 10)))
		c.Obligations = []store.Obligation{owe(id, "a@x.example", now)}
		mustCommit(t, s, c)
	}
	wantCalls(t, calls, "M1", "M1", "M2", "M3")
	settle(t, s, "M1")
	// M0 is still owed, but its job ends.
	for missing, until := int64(0), time.Now().Add(patience); missing < 1; {
		missing += must(s.Reconcile(t.Context(), now))(t)
		if time.Now().After(until) {
			t.Fatal("the missing job is not found")
		}
	}
	wantCalls(t, calls, "M0")
	if n := must(s.Flush(t.Context(), now))(t); n != 4 {
		t.Errorf("flush hurried %d, want 4", n)
	}
	for hurried, until := map[string]bool{}, time.Now().Add(patience); len(hurried) < 2; {
		select {
		case call := <-calls:
			hurried[call.CopyID] = true
		case <-time.After(time.Second): // a flush misses a job whose end is just being written
			must(s.Flush(t.Context(), now))(t)
		}
		if time.Now().After(until) {
			t.Fatalf("called are only %v", hurried)
		}
	}
	settle(t, s, "M0")
	due, _, err := s.DueObligations(t.Context(), store.Page{Limit: 1})
	equal(t, "error", err, nil)
	equal(t, "due on the first page", len(due), 1)
	equal(t, "the first due", due[0].CopyID, "M2")
	c := must(s.Copy(t.Context(), "M2"))(t)
	mustCommit(t, s, &store.Change{Copies: []store.Copy{*c}, Obligations: []store.Obligation{owe("M2", "a@x.example", now)}})
	equal(t, "obligations after one was created again", len(must(s.Obligations(t.Context(), "M2"))(t)), 1)
}

// testGone: a job under way is left alone as long as its gateway lives, and given back when the same gateway starts again, or when it has
// not been seen for a while.
func testGone(t *testing.T, suite Suite) {
	place := suite.NewPlace(t)
	now := suite.Options.Clock()
	begun := make(chan string, 10)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	workers := func(name string) store.Workers {
		return store.Workers{Concurrency: 1, Deliver: func(context.Context, store.DeliverJob) (time.Time, error) {
			begun <- name
			<-ctx.Done()
			return time.Time{}, nil
		}}
	}
	open := func(node string, clock func() time.Time) store.Store {
		t.Helper()
		return openPlace(t, place, suite.gateway(node, clock))
	}
	expect := func(want string) {
		t.Helper()
		select {
		case got := <-begun:
			equal(t, "who works on it", got, want)
		case <-time.After(patience):
			t.Fatalf("%s does not get the job", want)
		}
	}
	first := open("one", suite.Options.Clock)
	change := kept("M1", store.CopyDelivering, bodyOf(content(0, 10)))
	change.Obligations = []store.Obligation{owe("M1", "a@x.example", now)}
	mustCommit(t, first, change)
	equal(t, "error", first.Start(t.Context(), workers("one")), nil)
	expect("one")
	other := open("two", suite.Options.Clock)
	equal(t, "error", other.Start(t.Context(), workers("two")), nil)
	equal(t, "jobs missing", must(other.Reconcile(t.Context(), now))(t), 0)
	select {
	case name := <-begun:
		t.Errorf("%s takes a job that is under way", name)
	default:
	}
	again := open("one", suite.Options.Clock)
	equal(t, "error", again.Start(t.Context(), workers("again")), nil)
	select {
	case got := <-begun:
		if got != "again" && got != "two" {
			t.Errorf("%s gets the job", got)
		}
	case <-time.After(patience):
		t.Fatal("nobody gets the job")
	}
	late := open("three", func() time.Time { return time.Now().Add(time.Hour) })
	equal(t, "error", late.Start(t.Context(), workers("late")), nil)
	select {
	case <-begun:
	case <-time.After(patience):
		t.Fatal("the job of a gateway that is gone stays where it is")
	}
	cancel()
}

// settle records everything owed for a copy as done, which is possible once.
func settle(t *testing.T, s store.Store, copyID string) {
	t.Helper()
	for _, o := range must(s.Obligations(t.Context(), copyID))(t) {
		o.State, o.LastReply = store.ObligationDone, "250 2.0.0 taken"
		mustCommit(t, s, &store.Change{Obligations: []store.Obligation{o}})
		if err := s.Commit(t.Context(), &store.Change{Obligations: []store.Obligation{o}}); !errors.Is(err, store.ErrConflict) {
			t.Errorf("a stale obligation says %v", err)
		}
	}
}

func wantCall(t *testing.T, calls <-chan store.DeliverJob, id string) {
	t.Helper()
	wantCalls(t, calls, id)
}

// wantCalls takes calls in any order.
func wantCalls(t *testing.T, calls <-chan store.DeliverJob, ids ...string) {
	t.Helper()
	want := map[string]int{}
	for _, id := range ids {
		want[id]++
	}
	for range ids {
		select {
		case job := <-calls:
			want[job.CopyID]--
			if want[job.CopyID] < 0 {
				t.Fatalf("a call for %s too many", job.CopyID)
			}
		case <-time.After(patience):
			t.Fatalf("calls are missing: %v", want)
		}
	}
}

func testPeriodic(t *testing.T, suite Suite) {
	s := suite.open(t)
	ran := make(chan struct{}, 100)
	err := s.Start(t.Context(), store.Workers{
		Deliver: func(context.Context, store.DeliverJob) (time.Time, error) { return time.Time{}, nil },
		Periodic: []store.Periodic{{Name: "often", Every: 50 * time.Millisecond, Run: func(context.Context) error {
			ran <- struct{}{}
			return errors.New("once more")
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		select {
		case <-ran:
		case <-time.After(patience):
			t.Fatal("periodic work does not run, or not again after a failure")
		}
	}
	if err := s.Start(t.Context(), store.Workers{}); err == nil {
		t.Error("workers can be started twice")
	}
}
