// Package analysis is the sandbox desk: samples that messages wait for go in, verdicts come out, and who waited is woken. A sample is
// submitted once, whoever waits for it; the results of all are asked for in batches. What it does is driven by rows of the store, so
// that a restart goes on where it was.
package analysis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/policy"
	"github.com/postern-mail/postern/core/store"
)

// Sandbox is the analyzer plugin of a generation.
type Sandbox interface {
	// Submit hands one sample over. An error says that it is not known whether the sandbox has it.
	Submit(ctx context.Context, sample *Sample) (*Receipt, error)
	// Results asks for many at once and returns what is known, by SHA-256.
	Results(ctx context.Context, submissions []store.Submission) (map[string]Result, error)
}

// Sample is what is handed over.
type Sample struct {
	message.Sample
	AskFirst string // the server that may have it from an earlier attempt
	Content  io.Reader
}

// Receipt says what became of a submission. A zero Verdict means that it is under way.
type Receipt struct {
	Server, Remote string
	Verdict        *message.Verdict
	Unreachable    bool
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

// Desk does the work.
type Desk struct {
	Store   store.Store
	Acquire func() Generation
	// Wake judges a held copy again.
	Wake func(ctx context.Context, copyID string)
	Now  func() time.Time
	Log  hclog.Logger

	kick chan struct{}
}

const (
	tick = time.Second
	// claimFor is how long another gateway leaves a claimed submission alone. Handing a large sample over must fit in.
	claimFor = 3 * time.Minute
	batch    = 64
	// queryEvery is the time between two queries of one sample (guide page 6).
	queryEvery = time.Minute
	// sweepEvery is how often held copies are looked through for samples that nobody submitted, after a crash in between.
	sweepEvery = time.Minute
)

// The states of a store.Submission.
const (
	stateIntent  = "intent"
	statePending = "pending"
	stateDone    = "done"
)

// Init makes the desk ready; call it once before anything else.
func (d *Desk) Init() { d.kick = make(chan struct{}, 1) }

// Request notes the samples that copies began to wait for. It only writes rows; Run does the rest.
func (d *Desk) Request(ctx context.Context, samples []store.Sample) {
	for i := range samples {
		s := &samples[i]
		now := d.Now()
		_, _, err := d.Store.Submit(ctx, store.Submission{
			Key: s.Sample.Key, SHA1: s.Sample.SHA1, State: stateIntent, NextAt: now, Created: now,
		})
		if err != nil && ctx.Err() == nil {
			// The sweep finds it again.
			d.Log.Error("noting a sample failed", "message", s.MessageID, "sha256", s.Sample.Key.SHA256, "error", err)
		}
	}
	select {
	case d.kick <- struct{}{}:
	default:
	}
}

// Run submits and asks until ctx ends.
func (d *Desk) Run(ctx context.Context) {
	ticks := time.NewTicker(tick)
	defer ticks.Stop()
	var swept time.Time
	for {
		if now := d.Now(); now.Sub(swept) >= sweepEvery {
			swept = now
			d.sweep(ctx)
		}
		for d.work(ctx) == batch && ctx.Err() == nil {
		}
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		case <-d.kick:
		}
	}
}

// sweep requests every sample that a held copy waits for; those that are submitted already stay as they are.
func (d *Desk) sweep(ctx context.Context) {
	query := store.CopyQuery{States: []store.CopyState{store.CopyHeld}}
	for page := (store.Page{Limit: batch}); ; {
		rows, next, _, err := d.Store.Copies(ctx, query, page)
		if err != nil {
			if ctx.Err() == nil {
				d.Log.Error("looking through held messages failed", "error", err)
			}
			return
		}
		for i := range rows {
			var samples []store.Sample
			for _, s := range rows[i].Fate.Waits {
				samples = append(samples, store.Sample{CopyID: rows[i].ID, MessageID: rows[i].MessageID, Sample: s})
			}
			d.Request(ctx, samples)
		}
		if next == "" {
			return
		}
		page.After = next
	}
}

// work takes what is due one step further and returns how many there were.
func (d *Desk) work(ctx context.Context) int {
	now := d.Now()
	due, err := d.Store.DueSubmissions(ctx, now, now.Add(claimFor), batch)
	if err != nil {
		if ctx.Err() == nil {
			d.Log.Error("looking for due samples failed", "error", err)
		}
		return 0
	}
	if len(due) == 0 {
		return 0
	}
	generation := d.Acquire()
	defer generation.Release()
	pending := map[string][]store.Submission{} // by server
	for i := range due {
		waiting, err := d.Store.Waiting(ctx, due[i].Key)
		switch {
		case err != nil:
			d.Log.Error("looking who waits for a sample failed", "sha256", due[i].Key.SHA256, "error", err)
		case len(waiting) == 0 || generation.Sandbox() == nil:
			// Nobody wants to know any more, or there is nobody to ask: whoever waits is served by the deadline.
			d.finish(ctx, &due[i], nil, generation)
		case due[i].State == stateIntent:
			d.submit(ctx, generation, &due[i], waiting)
		default:
			pending[due[i].Server] = append(pending[due[i].Server], due[i])
		}
	}
	for server, list := range pending {
		d.ask(ctx, generation, server, list)
	}
	return len(due)
}

// submit hands one sample over. Where the content cannot be found in one message that waits it is looked for in the next.
func (d *Desk) submit(ctx context.Context, generation Generation, s *store.Submission, waiting []store.Sample) {
	receipt, err := d.hand(ctx, generation, s, waiting)
	if err != nil || receipt.Unreachable {
		d.Log.Warn("submitting a sample failed; it is tried again", "sha256", s.Key.SHA256, "error", err)
		d.postpone(ctx, s)
		return
	}
	s.Server, s.Remote, s.Analyzer = receipt.Server, receipt.Remote, generation.Policy().AnalyzerName()
	if receipt.Verdict != nil {
		d.finish(ctx, s, receipt.Verdict, generation)
		return
	}
	s.State, s.NextAt = statePending, d.Now().Add(generation.Policy().VirtualAnalyzer.QueryDelay)
	d.update(ctx, s)
	d.Log.Info("sample submitted", "sha256", s.Key.SHA256, "server", s.Server, "waiting", len(waiting))
}

func (d *Desk) hand(ctx context.Context, generation Generation, s *store.Submission, waiting []store.Sample) (*Receipt, error) {
	var failed error
	for i := range waiting {
		content, err := generation.OpenSample(ctx, &waiting[i])
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		receipt, err := generation.Sandbox().Submit(ctx, &Sample{Sample: waiting[i].Sample, AskFirst: s.Server, Content: content})
		if err := errors.Join(err, content.Close()); err != nil {
			return nil, fmt.Errorf("submit sample: %w", err)
		}
		return receipt, nil
	}
	return nil, fmt.Errorf("open sample: %w", failed)
}

// ask queries one server for all of its submissions.
func (d *Desk) ask(ctx context.Context, generation Generation, server string, list []store.Submission) {
	results, err := generation.Sandbox().Results(ctx, list)
	if err != nil {
		d.Log.Warn("asking the sandbox failed; it is asked again", "server", server, "samples", len(list), "error", err)
	}
	for i := range list {
		if result, known := results[list[i].Key.SHA256]; known && result.Verdict != nil {
			d.finish(ctx, &list[i], result.Verdict, generation)
			continue
		}
		d.postpone(ctx, &list[i])
	}
}

func (d *Desk) postpone(ctx context.Context, s *store.Submission) {
	s.Attempts++
	s.Asked, s.NextAt = d.Now(), d.Now().Add(queryEvery)
	d.update(ctx, s)
}

// finish ends a submission and wakes who waits. Only a verdict with a level is cached.
func (d *Desk) finish(ctx context.Context, s *store.Submission, verdict *message.Verdict, generation Generation) {
	s.State, s.Verdict, s.Asked, s.Expires = stateDone, verdict, d.Now(), time.Time{}
	if verdict != nil && verdict.State == message.VerdictDone && generation.Policy().VirtualAnalyzer != nil {
		s.Expires = d.Now().Add(generation.Policy().VirtualAnalyzer.CacheExpiry)
	}
	if !d.update(ctx, s) || verdict == nil {
		return
	}
	d.Log.Info("sample analysed", "sha256", s.Key.SHA256, "server", s.Server, "state", verdict.State, "risk", verdict.Level)
	waiting, err := d.Store.Waiting(ctx, s.Key)
	if err != nil {
		d.Log.Error("looking who waits for a sample failed; they are served by their deadline", "sha256", s.Key.SHA256, "error", err)
		return
	}
	for i := range waiting {
		d.Wake(ctx, waiting[i].CopyID)
	}
}

func (d *Desk) update(ctx context.Context, s *store.Submission) bool {
	err := d.Store.UpdateSubmission(ctx, *s)
	switch {
	case err == nil:
		return true
	case errors.Is(err, store.ErrConflict), ctx.Err() != nil:
	default:
		d.Log.Error("recording a sample's state failed", "sha256", s.Key.SHA256, "error", err)
	}
	return false
}
