package storetest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-mail/postern/core/store"
)

// gateway are the options of one with a clock of its own, also where the database would have one for all.
func (s Suite) gateway(node string, clock func() time.Time) store.Options {
	o := s.Options
	o.Node, o.Clock = node, clock
	o.Reference = func(context.Context) (time.Time, error) { return clock(), nil }
	return o
}

// testSteady: what waits does not see that the clock jumps, neither in this process nor in the next; nor do jobs and periodic work, whose
// engine would go by the clock. The clock is wrong at first, so that steady time is another than the one that the database knows.
func testSteady(t *testing.T, suite Suite) {
	for name, wrong := range map[string]time.Duration{"back": 1000 * time.Hour, "ahead": -1000 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testJump(t, suite, wrong)
		})
	}
}

func testJump(t *testing.T, suite Suite, wrong time.Duration) {
	var jumped atomic.Int64
	jumped.Store(int64(wrong))
	place := suite.NewPlace(t)
	o := suite.gateway("one", time.Now)
	o.Reference = func(context.Context) (time.Time, error) { return time.Now().Add(time.Duration(jumped.Load())), nil }
	s := place.Open(t, o)
	end := sync.OnceValue(func() error { return errors.Join(s.Stop(context.Background()), s.Close()) })
	t.Cleanup(func() {
		if err := end(); err != nil {
			t.Error(err)
		}
	})
	expect := func(what string, s store.Store, want time.Duration) {
		t.Helper()
		if off := s.Steady().Sub(time.Now().Add(want)); off.Abs() > patience {
			t.Errorf("%s: steady time is off by %s", what, off)
		}
	}
	delivered, ran := make(chan string, 10), make(chan struct{}, 100)
	err := s.Start(t.Context(), store.Workers{
		Concurrency: 4,
		Deliver: func(_ context.Context, job store.DeliverJob) (time.Time, error) {
			delivered <- job.CopyID
			return time.Time{}, nil
		},
		Periodic: []store.Periodic{{Name: "work", Every: time.Second, Run: func(context.Context) error {
			ran <- struct{}{}
			return nil
		}}},
	})
	equal(t, "error", err, nil)
	change := kept("M0", store.CopyHeld, bodyOf(content(0, 10)))
	change.Copies[0].DueAt = s.Steady().Add(time.Hour)
	mustCommit(t, s, change)

	jumped.Store(0)
	command := o
	command.Node = ""
	noted := func() bool { return openPlace(t, place, command).Steady().Sub(time.Now().Add(wrong)).Abs() < patience }
	for ticks, until := time.NewTicker(100*time.Millisecond), time.Now().Add(patience); !noted(); <-ticks.C {
		if time.Now().After(until) {
			t.Fatal("a jump is not noted")
		}
	}
	expect("after the jump", s, wrong)
	now := s.Steady()
	held := []store.CopyState{store.CopyHeld}
	equal(t, "held copies that are due", len(must(s.ClaimCopies(t.Context(), held, now, now.Add(time.Minute), 10))(t)), 0)
	for id, at := range map[string]time.Time{"M1": now, "M2": now.Add(time.Second)} {
		change := kept(id, store.CopyDelivering, bodyOf(content(id[1], 10)))
		change.Obligations = []store.Obligation{owe(id, "a@x.example", at)}
		mustCommit(t, s, change)
	}
	for range 2 {
		select {
		case <-delivered:
		case <-time.After(patience):
			t.Fatal("a delivery that is due is not made")
		}
	}
	for len(ran) > 0 {
		<-ran
	}
	for range 3 { // the first two may have been inserted before the jump
		select {
		case <-ran:
		case <-time.After(patience):
			t.Fatal("periodic work does not run any more")
		}
	}

	// While no gateway runs the clock is put back by more: time goes on where it was.
	equal(t, "error", end(), nil)
	jumped.Add(int64(-48 * time.Hour))
	again := openPlace(t, place, o)
	expect("before the start", again, wrong-48*time.Hour)
	equal(t, "error", again.Start(t.Context(), store.Workers{}), nil)
	expect("after the start", again, wrong)
}
