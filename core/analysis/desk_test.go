package analysis

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/store"
)

// unsureStore answers its first update with an error: made where it was made, refused where another gateway was first.
type unsureStore struct {
	store.Store
	kept  store.Submission
	other bool // another gateway is first
	asked bool
}

func (s *unsureStore) UpdateSubmission(_ context.Context, update store.Submission) error {
	if s.asked {
		return store.ErrConflict
	}
	s.asked = true
	if s.other {
		update.Server = "another"
	}
	s.kept = update
	s.kept.Version++
	return errors.New("the connection broke")
}

func (s *unsureStore) Submissions(context.Context, []message.SampleKey) ([]store.Submission, error) {
	return []store.Submission{s.kept}, nil
}

// TestUpdateWhoseCommitIsNotAnswered: what was recorded is gone on with, and what another gateway recorded is left to it.
func TestUpdateWhoseCommitIsNotAnswered(t *testing.T) {
	for _, other := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			d := &Desk{Store: &unsureStore{other: other}, Now: time.Now, Log: hclog.NewNullLogger()}
			s := &store.Submission{State: stateIntent, Server: "server", Version: 1}
			if done := d.update(t.Context(), s); done == other {
				t.Errorf("another was first: %v; recorded: %v", other, done)
			}
			if want := map[bool]int64{false: 2, true: 1}[other]; s.Version != want {
				t.Errorf("the version is %d, want %d", s.Version, want)
			}
		})
	}
}
