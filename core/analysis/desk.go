// Package analysis is the sandbox desk: samples that messages wait for go in, verdicts come out, and who waited is woken. A sample is
// submitted once, whoever waits for it; the results of all are asked for in batches. What it does is driven by rows of the store, so
// that a restart goes on where it was.
package analysis

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/observe"
	"github.com/postern-mail/postern/core/policy"
	"github.com/postern-mail/postern/core/store"
)

// Sandbox is the analyzer plugin of a generation.
type Sandbox interface {
	// Choose names the server for a sample, none of those excluded; "" where none can be reached.
	Choose(ctx context.Context, exclude []string) (server string, err error)
	// Submit hands one sample over. An error says that it is not known whether the sandbox has it.
	Submit(ctx context.Context, sample *Sample) (*Receipt, error)
	// Results asks one server for many at once and returns what is known, by SHA-256.
	Results(ctx context.Context, submissions []store.Submission) (map[string]Result, error)
	// Restart ends the analyzer's processes, which are then started anew.
	Restart()
}

// Sample is what is handed over.
type Sample struct {
	message.Sample
	Server   string
	AskFirst bool // the server may have it from an earlier attempt
	Content  io.Reader
}

// Receipt says what became of a submission. A nil Verdict means that it is under way, unless the server was unreachable.
type Receipt struct {
	Remote      string
	Verdict     *message.Verdict
	Unreachable bool
}

// Result is the state of a submission; a nil Verdict: not known yet.
type Result struct{ Verdict *message.Verdict }

// Generation is one policy with its sandbox; Sandbox is nil where there is none.
type Generation interface {
	Policy() *policy.Policy
	Sandbox() Sandbox
	// OpenSample finds the content of a sample in the message that waits for it.
	OpenSample(ctx context.Context, sample *store.Sample) (io.ReadCloser, error)
	Release()
}

// Desk does the work. Its methods are called by one goroutine each.
type Desk struct {
	Store   store.Store
	Acquire func() Generation
	// Wake judges a held copy again.
	Wake func(ctx context.Context, copyID string)
	// Learned is told of every verdict with a level that has been recorded; nil: nobody.
	Learned func(ctx context.Context, s *store.Submission)
	Now     func() time.Time
	Log     hclog.Logger
	// Telemetry may be nil.
	Telemetry *observe.Telemetry

	kick chan struct{}

	mu       sync.Mutex
	requests []store.Sample // noted by Request, to be worked off

	swept     time.Time
	looked    time.Time
	restarted string // the setting as it was last seen
}

const (
	tick = time.Second
	// claimFor is how long another gateway leaves a claimed submission alone. Handing a large sample over must fit in.
	claimFor = 3 * time.Minute
	// submitBatch bounds the samples that are handed over side by side, askBatch those that are asked for in one call.
	submitBatch = 16
	askBatch    = 500
	wakeAtOnce  = 16
	// queryEvery is the time between two queries of one sample (product guide, page 6).
	queryEvery = time.Minute
	// retryEvery is the time between two attempts to hand a sample over.
	retryEvery = 15 * time.Second
	// sweepEvery is how often waits are looked through that nobody serves, after a crash in between.
	sweepEvery = time.Minute
	sweepBatch = 500
	// mostRequests bounds what Request notes in memory; the sweep finds the rest.
	mostRequests = 10_000
)

// The states of a store.Submission.
const (
	stateIntent  = "intent"  // noted; where Server is set it may have got there already
	statePending = "pending" // the sandbox has it
	stateDone    = "done"
)

// Init makes the desk ready; call it once before anything else.
func (d *Desk) Init() { d.kick = make(chan struct{}, 1) }

// Request notes the samples that copies began to wait for. It does no I/O: whoever takes mail in is never kept waiting by it.
func (d *Desk) Request(samples []store.Sample) {
	d.mu.Lock()
	if room := mostRequests - len(d.requests); room > 0 {
		d.requests = append(d.requests, samples[:min(room, len(samples))]...)
	}
	d.mu.Unlock()
	select {
	case d.kick <- struct{}{}:
	default:
	}
}

// Run submits and asks until ctx ends. Handing samples over does not keep results from being asked for.
func (d *Desk) Run(ctx context.Context) {
	var asking sync.WaitGroup
	asking.Go(func() {
		ticks := time.NewTicker(tick)
		defer ticks.Stop()
		for {
			d.Ask(ctx)
			select {
			case <-ctx.Done():
				return
			case <-ticks.C:
			}
		}
	})
	defer asking.Wait()
	ticks := time.NewTicker(tick)
	defer ticks.Stop()
	for {
		d.Submit(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		case <-d.kick:
		}
	}
}

// Submit looks after the cache, serves the waits that are new or were forgotten, and hands samples over that are due.
func (d *Desk) Submit(ctx context.Context) {
	d.look(ctx)
	d.mu.Lock()
	noted := d.requests
	d.requests = nil
	d.mu.Unlock()
	d.serve(ctx, noted)
	if now := d.Now(); now.Sub(d.swept) >= sweepEvery {
		d.swept = now
		d.sweep(ctx)
	}
	for d.submitDue(ctx) == submitBatch && ctx.Err() == nil {
	}
}

// Ask asks for the results that are due.
func (d *Desk) Ask(ctx context.Context) {
	for d.askDue(ctx) == askBatch && ctx.Err() == nil {
	}
}

// sweep serves waits that nobody works on.
func (d *Desk) sweep(ctx context.Context) {
	samples, err := d.Store.Unserved(ctx, sweepBatch)
	if err != nil {
		d.failed(ctx, "looking for samples that nobody works on failed", err)
		return
	}
	d.serve(ctx, samples)
}

// serve sees to it that samples are under way, and wakes copies whose verdicts are known already.
func (d *Desk) serve(ctx context.Context, samples []store.Sample) {
	var wake []string
	for i := range samples {
		s := &samples[i]
		now := d.Store.Steady()
		current, created, err := d.Store.Submit(ctx, store.Submission{
			Key: s.Sample.Key, SHA1: s.Sample.SHA1, State: stateIntent, NextAt: now, Created: now,
		})
		switch {
		case err != nil: // the sweep finds it again
			d.failed(ctx, "noting a sample failed", err, "message", s.MessageID, "sha256", s.Sample.Key.SHA256)
		case !created && current.State == stateDone:
			wake = append(wake, s.CopyID)
		}
	}
	d.wake(ctx, wake)
}

// wake judges copies again, several side by side.
func (d *Desk) wake(ctx context.Context, copies []string) {
	var waking sync.WaitGroup
	places := make(chan struct{}, wakeAtOnce)
	for _, id := range copies {
		if ctx.Err() != nil {
			break
		}
		places <- struct{}{}
		waking.Go(func() {
			defer func() { <-places }()
			d.Wake(ctx, id)
		})
	}
	waking.Wait()
}

// finish ends a submission and wakes who waits. Only a verdict with a level is cached.
func (d *Desk) finish(ctx context.Context, s *store.Submission, verdict *message.Verdict, va *policy.VirtualAnalyzer) {
	s.State, s.Verdict, s.Asked, s.Expires = stateDone, verdict, d.Now(), time.Time{}
	if verdict != nil && verdict.State == message.VerdictDone && va != nil {
		s.Expires = d.Store.Steady().Add(va.CacheExpiry)
	}
	if !d.update(ctx, s) || verdict == nil {
		return
	}
	d.Telemetry.Sample(string(verdict.State))
	if d.Learned != nil && verdict.State == message.VerdictDone {
		d.Learned(ctx, s)
	}
	d.Log.Info("sample analysed", "sha256", s.Key.SHA256, "server", s.Server, "state", verdict.State, "risk", verdict.Level)
	waiting, err := d.Store.Waiting(ctx, s.Key)
	if err != nil {
		d.failed(ctx, "looking who waits for a sample failed; the sweep wakes them", err, "sha256", s.Key.SHA256)
		return
	}
	var copies []string
	for i := range waiting {
		copies = append(copies, waiting[i].CopyID)
	}
	d.wake(ctx, copies)
}

// What could not be recorded is tried again while the store is away; afterwards the claim runs out, and the sample is taken up again.
const (
	recordEvery = time.Second
	recordTries = 120
)

// update records a state; false where another gateway was first, or the store failed all the while.
func (d *Desk) update(ctx context.Context, s *store.Submission) bool {
	for try := 1; ; try++ {
		err := d.Store.UpdateSubmission(ctx, *s)
		switch {
		case err == nil:
			s.Version++
			return true
		case errors.Is(err, store.ErrConflict):
			if try == 1 || !d.recorded(ctx, s) {
				return false
			}
			s.Version++
			return true
		case try == 1 || try == recordTries:
			d.failed(ctx, "recording a sample's state failed", err, "sha256", s.Key.SHA256)
		}
		if try == recordTries {
			return false
		}
		again := time.NewTimer(recordEvery)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return false
		}
	}
}

// recorded reports whether the state that the store has is the one that was to be recorded: a commit was made although its answer was lost.
func (d *Desk) recorded(ctx context.Context, s *store.Submission) bool {
	found, err := d.Store.Submissions(ctx, []message.SampleKey{s.Key})
	if err != nil || len(found) != 1 {
		return false
	}
	is := &found[0]
	return is.Version == s.Version+1 && is.State == s.State && is.Server == s.Server && is.Remote == s.Remote
}

// failed logs trouble with the store, unless it is the end of the work.
func (d *Desk) failed(ctx context.Context, text string, err error, with ...any) {
	if ctx.Err() == nil {
		d.Log.Error(text, append(with, "error", err)...)
	}
}
