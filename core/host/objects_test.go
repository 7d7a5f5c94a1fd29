package host

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/core/store"
	"github.com/postern-mail/postern/core/store/sqlite"
)

// TestClaim: of two gateways one synchronises in each interval, for as long as it takes, and the other takes over when it is gone.
func TestClaim(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	shared, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "db"), store.Options{Clock: clock, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := shared.Close(); err != nil {
			t.Error(err)
		}
	})
	work := func() *objectWork {
		return newObjectWork(&Host{options: Options{Now: clock}, store: shared, log: hclog.NewNullLogger()})
	}
	a, b := work(), work()
	const every = 5 * time.Minute
	claim := func(w *objectWork, asked, want bool) {
		t.Helper()
		if got, err := w.claim(t.Context(), every, asked); err != nil || got != want {
			t.Errorf("at %s it is %v, %v; want %v", now.Format(time.TimeOnly), got, err, want)
		}
	}
	renew := func(want bool) {
		t.Helper()
		if got, err := a.renew(t.Context()); err != nil || got != want {
			t.Errorf("at %s renewed is %v, %v; want %v", now.Format(time.TimeOnly), got, err, want)
		}
	}
	claim(a, false, true) // there was none before
	claim(b, false, false)
	for range 10 { // it takes long
		now = now.Add(every / 2)
		renew(true)
		claim(b, false, false)
	}
	now = now.Add(every - time.Second) // a is gone
	claim(b, false, false)
	now = now.Add(time.Second)
	claim(b, false, true)
	claim(a, false, false)
	claim(a, true, true) // a start, or another configuration
	if err := shared.SetSetting(t.Context(), SettingObjectSync, now.Format(time.RFC3339Nano), ""); err != nil {
		t.Fatal(err)
	}
	renew(false)
	claim(b, false, true)
	now = now.Add(-time.Hour) // the other gateway's clock is far ahead
	claim(a, false, true)
}
