package delivery

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/policy"
	"github.com/postern-mail/postern/core/store"
)

// unsureStore makes its first commit and says that it failed, as where the connection breaks before the answer. An obligation is changed by
// its version only.
type unsureStore struct {
	Store
	obligation store.Obligation
	copy       store.Copy
	commits    int
}

func (s *unsureStore) Steady() time.Time { return time.Now() }

func (s *unsureStore) Obligations(context.Context, string) ([]store.Obligation, error) {
	return []store.Obligation{s.obligation}, nil
}

func (s *unsureStore) Copy(context.Context, string) (*store.Copy, error) {
	c := s.copy
	return &c, nil
}

func (s *unsureStore) Commit(_ context.Context, change *store.Change) error {
	s.commits++
	if change.Obligations[0].Version != s.obligation.Version {
		return store.ErrConflict
	}
	s.obligation = change.Obligations[0]
	s.obligation.Version++
	for _, c := range change.Copies {
		s.copy = c
	}
	return errors.New("the connection broke")
}

// TestOutcomeWhoseCommitIsNotAnswered: it is found recorded at the next try, and no worker is kept.
func TestOutcomeWhoseCommitIsNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &unsureStore{
			obligation: store.Obligation{
				ID: 1, CopyID: "c", Kind: store.OweRelay, Hop: "hop", Recipient: "bob@example.org", State: store.ObligationDue, Version: 1,
			},
			copy: store.Copy{ID: "c", State: store.CopyDelivering, Version: 1},
		}
		a := &attempt{
			delivery: &Delivery{Store: s, Now: time.Now, Log: hclog.NewNullLogger()}, policy: &policy.Policy{},
			job: store.DeliverJob{CopyID: "c", Kind: store.OweRelay, Hop: "hop"}, due: []store.Obligation{s.obligation},
			kept: &store.Record{}, replies: []message.Reply{{Code: 250}},
		}
		began := time.Now()
		if err := a.recordSurely(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 2*recordEvery || s.commits != 2 {
			t.Errorf("it took %s and %d commits", took, s.commits)
		}
		if s.obligation.State != store.ObligationDone || s.copy.State != store.CopyDone {
			t.Errorf("the obligation is %s, the copy %s", s.obligation.State, s.copy.State)
		}
	})
}
