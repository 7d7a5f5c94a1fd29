package sqlite_test

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/store"
	"github.com/postern-mail/postern/core/store/sqlite"
)

// TestForgottenJob: a job whose end River could not write down, and so counts as under way, runs again after a while.
func TestForgottenJob(t *testing.T) {
	path := filepath.Join(t.TempDir(), "postern.db")
	var ahead atomic.Int64
	o := options()
	o.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	s, err := sqlite.Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	calls := make(chan struct{}, 10)
	err = s.Start(t.Context(), store.Workers{Concurrency: 1, Deliver: func(context.Context, store.DeliverJob) (time.Time, error) {
		calls <- struct{}{}
		return time.Time{}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	now := time.Now()
	err = s.Commit(t.Context(), &store.Change{
		Record: &store.Record{Message: message.Message{ID: "M"}},
		Copies: []store.Copy{{ID: "M", MessageID: "M", State: store.CopyDelivering, Recipients: []string{"a@x.example"}}},
		Obligations: []store.Obligation{{
			CopyID: "M", MessageID: "M", Kind: store.OweRelay, Recipient: "a@x.example", State: store.ObligationDue, NextAt: now, GiveUpAt: now, Created: now,
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	<-calls
	// River writes the end of several jobs together, a moment later.
	ended := func() int {
		return count(t, path, "SELECT COUNT(*) FROM river_job WHERE kind = 'deliver' AND state = 'completed'")
	}
	for ticks := time.NewTicker(20 * time.Millisecond); ended() == 0; {
		<-ticks.C
	}
	execute(t, path, "UPDATE river_job SET state = 'running', finalized_at = NULL WHERE kind = 'deliver'")
	forward := time.NewTicker(time.Second)
	defer forward.Stop()
	for {
		select {
		case <-calls:
			return
		case <-forward.C:
			ahead.Add(int64(20 * time.Second))
		case <-t.Context().Done():
			t.Fatal("the job is forgotten")
		}
	}
}
