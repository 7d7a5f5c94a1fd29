package servers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-mail/postern/sdk/analyzer"
)

// pool is three servers, two of them equal, with a clock and with checks that can be told to fail.
type pool struct {
	*Pool
	now    time.Time
	away   map[string]bool
	checks map[string]int
}

func newPool() *pool {
	p := &pool{now: time.Unix(1e9, 0), away: map[string]bool{}, checks: map[string]int{}}
	server := func(name string, preference int, enabled bool) Server {
		return Server{Name: name, Preference: preference, Enabled: enabled, Check: func(context.Context) error {
			p.checks[name]++
			if p.away[name] {
				return errors.New("away")
			}
			return nil
		}}
	}
	p.Pool = New(func() time.Time { return p.now }, []Server{
		server("last", 20, true), server("a", 10, true), server("off", 1, false), server("b", 10, true),
	})
	return p
}

func (p *pool) times(n int, exclude ...string) map[string]int {
	got := map[string]int{}
	for range n {
		got[p.Choose(context.Background(), exclude)]++
	}
	return got
}

func TestEqualServersShare(t *testing.T) {
	p := newPool()
	for _, test := range []struct{ exclude, want string }{
		{"", "map[a:5 b:5]"}, {"a", "map[b:10]"}, {"a b", "map[last:10]"}, {"a b last", "map[:10]"},
	} {
		if got := fmt.Sprint(p.times(10, strings.Fields(test.exclude)...)); got != test.want {
			t.Errorf("without %q: %s, want %s", test.exclude, got, test.want)
		}
	}
}

func TestFailedServerRestsIsAskedAndReturns(t *testing.T) {
	p := newPool()
	p.away["a"] = true
	p.Failed("a", 0)
	steps := []struct {
		after  time.Duration
		back   bool
		want   string
		checks int // of a, so far
	}{
		{0, false, "map[b:4]", 0},
		{firstRest - time.Second, false, "map[b:4]", 0},
		{time.Second, false, "map[b:4]", 1},
		{2*firstRest - time.Second, true, "map[b:4]", 1}, // it rests for longer, although it is back
		{time.Second, true, "map[a:2 b:2]", 2},
		{0, true, "map[a:2 b:2]", 2}, // once it served nobody asks
	}
	for i, step := range steps {
		p.now = p.now.Add(step.after)
		p.away["a"] = !step.back
		if got := fmt.Sprint(p.times(4)); got != step.want || p.checks["a"] != step.checks {
			t.Errorf("step %d: %s after %d checks, want %s after %d", i, got, p.checks["a"], step.want, step.checks)
		}
	}
	for range 50 { // side by side
		p.Failed("b", 0)
	}
	p.now = p.now.Add(firstRest)
	if got := fmt.Sprint(p.times(2)); got != "map[a:1 b:1]" {
		t.Errorf("after the first rest: %s", got)
	}
	for range 50 { // again and again
		p.Failed("b", 0)
		p.now = p.now.Add(longestRest)
	}
	if got := fmt.Sprint(p.times(2)); got != "map[a:1 b:1]" {
		t.Errorf("after the longest rest: %s", got)
	}
	p.Failed("a", 5*time.Minute)
	p.now = p.now.Add(5*time.Minute - time.Second)
	if got := fmt.Sprint(p.times(2)); got != "map[b:2]" {
		t.Errorf("within the time that the server asked for: %s", got)
	}
}

// TestOnlyOneAsksAServerThatFailed: the others do not wait for its answer.
func TestOnlyOneAsksAServerThatFailed(t *testing.T) {
	now := time.Unix(1e9, 0)
	var clock sync.Mutex
	asked, answer := make(chan struct{}), make(chan struct{})
	p := New(func() time.Time { clock.Lock(); defer clock.Unlock(); return now }, []Server{
		{Name: "a", Enabled: true, Check: func(context.Context) error { close(asked); <-answer; return nil }},
		{Name: "b", Preference: 1, Enabled: true},
	})
	p.Failed("a", 0)
	clock.Lock()
	now = now.Add(time.Hour)
	clock.Unlock()
	var waiting sync.WaitGroup
	waiting.Go(func() {
		if got := p.Choose(context.Background(), nil); got != "a" {
			t.Errorf("who asked got %q", got)
		}
	})
	<-asked
	if got := p.Choose(context.Background(), nil); got != "b" {
		t.Errorf("who came meanwhile got %q", got)
	}
	close(answer)
	waiting.Wait()
}

func TestExchange(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/large":
			_, _ = io.WriteString(w, strings.Repeat("x", 101))
		case "/fits":
			_, _ = io.WriteString(w, strings.Repeat("x", 100))
		case "/102":
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 102 Processing\r\n\r\n")
			_ = conn.Close()
		case "/102-200":
			w.WriteHeader(http.StatusProcessing)
			_, _ = io.WriteString(w, "done")
		case "/short":
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "12345")
		case "/redirect":
			http.Redirect(w, r, "/fits", http.StatusFound)
		case "/drop":
			panic(http.ErrAbortHandler)
		}
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that the client breaks off
	server.StartTLS()
	defer server.Close()
	pin := sha256.Sum256(server.Certificate().Raw)
	good := Identity{Fingerprint: hex.EncodeToString(pin[:])}
	other := errors.New("any other error")
	for _, test := range []struct {
		path     string
		identity Identity
		status   int
		want     error
	}{
		{"/fits", good, 200, nil},
		{"/large", good, 0, ErrTooLarge},
		{"/102", good, 0, ErrInProgress},
		{"/102-200", good, 200, nil},
		{"/short", good, 0, io.ErrUnexpectedEOF},
		{"/redirect", good, 302, nil},
		{"/drop", good, 0, other},
		{"/fits", Identity{}, 0, ErrNotSent},
		{"/fits", Identity{Fingerprint: strings.Repeat("0", 64)}, 0, ErrNotSent},
		{"/fits", Identity{Insecure: true}, 200, nil},
	} {
		client, err := NewClient(test.identity)
		if err != nil {
			t.Fatal(err)
		}
		request, err := http.NewRequest(http.MethodGet, server.URL+test.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(t.Context(), request, 100)
		switch {
		case test.want == nil && (err != nil || answer.Status != test.status):
			t.Errorf("%s: %+v, %v", test.path, answer, err)
		case test.want == other && (err == nil || errors.Is(err, ErrNotSent) || errors.Is(err, ErrInProgress)):
			t.Errorf("%s: %v", test.path, err)
		case test.want != nil && test.want != other && !errors.Is(err, test.want):
			t.Errorf("%s with %+v: %v, want %v", test.path, test.identity, err, test.want)
		}
	}
}

// slow is an analyzer that takes all the time it is given.
type slow struct{}

func (slow) Choose(ctx context.Context, _ []string) (string, error) {
	<-ctx.Done()
	return "late", nil
}

func (slow) Submit(ctx context.Context, _ *analyzer.Sample) (*analyzer.Receipt, error) {
	<-ctx.Done()
	return nil, nil
}

func (slow) Results(ctx context.Context, _ []analyzer.Submission) ([]analyzer.Result, error) {
	<-ctx.Done()
	return nil, nil
}

// TestCallsEndInTime: also one with little time has some left to tell its outcome.
func TestCallsEndInTime(t *testing.T) {
	for name, call := range map[string]func(context.Context, analyzer.Analyzer) error{
		"choose":  func(ctx context.Context, a analyzer.Analyzer) error { _, err := a.Choose(ctx, nil); return err },
		"submit":  func(ctx context.Context, a analyzer.Analyzer) error { _, err := a.Submit(ctx, nil); return err },
		"results": func(ctx context.Context, a analyzer.Analyzer) error { _, err := a.Results(ctx, nil); return err },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
		started := time.Now()
		err := call(ctx, InTime(slow{}))
		if took := time.Since(started); err != nil || ctx.Err() != nil || took < 200*time.Millisecond {
			t.Errorf("%s: %v, %v after %v", name, err, ctx.Err(), took)
		}
		cancel()
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for _, test := range []struct {
		after, date string
		want        time.Duration
	}{
		{"", "", 0}, {"30", "", 30 * time.Second}, {"-1", "", 0}, {"soon", "", 0}, {"4000000000", "", longestWait}, {"99999999999", "", 0},
		{at(time.Minute), "", time.Minute}, {at(-time.Minute), "", 0}, {at(24 * time.Hour), "", longestWait},
		{at(time.Hour + time.Minute), at(time.Hour), time.Minute}, // the server's clock is an hour ahead
	} {
		header := http.Header{}
		header.Set("Retry-After", test.after)
		header.Set("Date", test.date)
		if got := RetryAfter(header, now); got != test.want {
			t.Errorf("%q at %q: %v, want %v", test.after, test.date, got, test.want)
		}
	}
}
