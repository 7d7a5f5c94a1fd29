package journal

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/core/store"
)

type sink struct {
	mu    sync.Mutex
	rows  map[string]int
	fails int
}

func (s *sink) add(_ context.Context, tracks []store.Track) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails > 0 {
		s.fails--
		return errors.New("the store is away")
	}
	for _, track := range tracks {
		s.rows[track.ID]++
	}
	return nil
}

func TestEveryRowIsMovedOnce(t *testing.T) {
	j, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var (
		to      = &sink{rows: map[string]int{}}
		writing sync.WaitGroup
	)
	for w := range 4 {
		writing.Go(func() {
			for i := range 1000 {
				if err := j.Append(store.Track{ID: strconv.Itoa(w*1000 + i), Subject: "line\nbreak"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 50 {
		if err := j.Drain(t.Context(), to.add, hclog.NewNullLogger()); err != nil {
			t.Error(err)
		}
	}
	writing.Wait()
	if err := j.Drain(t.Context(), to.add, hclog.NewNullLogger()); err != nil {
		t.Error(err)
	}
	if len(to.rows) != 4000 {
		t.Errorf("%d of 4000 rows arrived", len(to.rows))
	}
	for id, n := range to.rows {
		if n != 1 {
			t.Errorf("row %s arrived %d times", id, n)
		}
	}
}

func TestRowsOutliveFailuresAndRestarts(t *testing.T) {
	dir := t.TempDir()
	j, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	to := &sink{rows: map[string]int{}, fails: 1}
	if err := j.Append(store.Track{ID: "1"}); err != nil {
		t.Fatal(err)
	}
	if err := j.Drain(t.Context(), to.add, hclog.NewNullLogger()); err == nil {
		t.Error("a store that is away is no error")
	}
	if err := j.Append(store.Track{ID: "2"}); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := j.Append(store.Track{ID: "3"}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a closed journal says %v", err)
	}
	// A crash leaves half a line.
	segments, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(segments) != 2 {
		t.Fatalf("segments are %v, %v", segments, err)
	}
	f, err := os.OpenFile(segments[1], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString(`{"ID":"ha`)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if j, err = Open(dir); err != nil {
		t.Fatal(err)
	}
	if err := j.Append(store.Track{ID: "4"}); err != nil {
		t.Fatal(err)
	}
	if err := j.Drain(t.Context(), to.add, hclog.NewNullLogger()); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"1", "2", "4"} {
		if to.rows[id] != 1 {
			t.Errorf("row %s arrived %d times", id, to.rows[id])
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 0 {
		t.Errorf("left are %v", left)
	}
}

func TestRowsWaitWhileTheFolderCannotBeWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	j, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	for i := range mostUnwritten + 1 {
		if err := j.Append(store.Track{ID: strconv.Itoa(i)}); (err != nil) != (i == mostUnwritten) {
			t.Fatalf("row %d: %v", i, err)
		}
	}
	to := &sink{rows: map[string]int{}, fails: 1}
	if err := j.Drain(t.Context(), to.add, hclog.NewNullLogger()); err == nil {
		t.Error("a store that is away is no error")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := j.Append(store.Track{ID: "after"}); err != nil {
		t.Fatal(err)
	}
	if err := j.Drain(t.Context(), to.add, hclog.NewNullLogger()); err != nil {
		t.Fatal(err)
	}
	if len(to.rows) != mostUnwritten+1 || to.rows["after"] != 1 || to.rows["0"] != 1 {
		t.Errorf("%d rows arrived", len(to.rows))
	}
}
