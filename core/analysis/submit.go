package analysis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/store"
)

// submitDue hands samples over, the oldest first, as far as the sandbox has room, and returns how many there were.
func (d *Desk) submitDue(ctx context.Context) int {
	generation := d.Acquire()
	defer generation.Release()
	room := submitBatch
	if va := generation.Policy().VirtualAnalyzer; va != nil {
		pending, err := d.Store.CountSubmissions(ctx, statePending)
		if err != nil {
			d.failed(ctx, "counting samples under analysis failed", err)
			return 0
		}
		room = max(0, min(room, va.MaxSubmissions-int(pending)))
	}
	if room == 0 {
		return 0
	}
	now := d.Store.Steady()
	due, err := d.Store.DueSubmissions(ctx, stateIntent, now, now.Add(claimFor), room)
	if err != nil {
		d.failed(ctx, "looking for samples to submit failed", err)
		return 0
	}
	var handing sync.WaitGroup
	for i := range due {
		handing.Go(func() { d.submit(ctx, generation, &due[i]) })
	}
	handing.Wait()
	return len(due)
}

// submit takes one sample to a server.
func (d *Desk) submit(ctx context.Context, generation Generation, s *store.Submission) {
	waiting, err := d.Store.Waiting(ctx, s.Key)
	va, sandbox := generation.Policy().VirtualAnalyzer, generation.Sandbox()
	switch {
	case err != nil:
		d.failed(ctx, "looking who waits for a sample failed", err, "sha256", s.Key.SHA256)
		return
	case len(waiting) == 0 || sandbox == nil || va == nil:
		// Nobody wants to know any more, or there is nobody to ask: whoever waits is served by the deadline.
		d.finish(ctx, s, nil, va)
		return
	}
	receipt, err := d.hand(ctx, generation, s, waiting)
	switch {
	case errors.Is(err, errNotOurs):
	case err != nil:
		d.Log.Warn("submitting a sample failed; it is tried again", "sha256", s.Key.SHA256, "server", s.Server, "error", err)
		d.later(ctx, s, retryEvery)
	case receipt.Verdict != nil:
		d.finish(ctx, s, receipt.Verdict, va)
	default:
		s.Remote, s.State, s.NextAt = receipt.Remote, statePending, d.Store.Steady().Add(va.QueryDelay)
		if d.update(ctx, s) {
			d.Telemetry.Sample("submitted")
			d.Log.Info("sample submitted", "sha256", s.Key.SHA256, "server", s.Server, "waiting", len(waiting))
		}
	}
}

var (
	// errNotOurs says that another gateway has taken the submission.
	errNotOurs = errors.New("another gateway has it")
	// errNoServer says that no server can be reached.
	errNoServer = errors.New("no server can be reached")
)

// hand finds a server and hands the sample to it. The server's name is committed before anything is sent: after a crash in between that
// server, and no other, is asked whether it has the sample.
func (d *Desk) hand(ctx context.Context, generation Generation, s *store.Submission, waiting []store.Sample) (*Receipt, error) {
	var unreachable []string
	for {
		askFirst := s.Server != ""
		if !askFirst {
			server, err := generation.Sandbox().Choose(ctx, unreachable)
			if err != nil {
				return nil, err
			}
			if server == "" {
				return nil, errNoServer
			}
			s.Server, s.Analyzer = server, generation.Policy().AnalyzerName()
			if !d.update(ctx, s) {
				return nil, errNotOurs
			}
		}
		receipt, err := d.give(ctx, generation, s, waiting, askFirst)
		if err != nil || !receipt.Unreachable {
			return receipt, err
		}
		// The server is sure not to have it.
		unreachable = append(unreachable, s.Server)
		s.Server = ""
	}
}

// give opens the sample, in the first message that waits where it can be found, and submits it.
func (d *Desk) give(ctx context.Context, generation Generation, s *store.Submission, waiting []store.Sample, askFirst bool) (*Receipt, error) {
	var failed error
	for i := range waiting {
		content, err := generation.OpenSample(ctx, &waiting[i])
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		receipt, err := generation.Sandbox().Submit(ctx, &Sample{Sample: waiting[i].Sample, Server: s.Server, AskFirst: askFirst, Content: content})
		if err := errors.Join(err, content.Close()); err != nil {
			return nil, fmt.Errorf("submit sample: %w", err)
		}
		return receipt, nil
	}
	return nil, fmt.Errorf("open sample: %w", failed)
}

// later puts a submission off.
func (d *Desk) later(ctx context.Context, s *store.Submission, by time.Duration) {
	s.NextAt = d.Store.Steady().Add(by)
	d.update(ctx, s)
}

// askDue asks for the samples that are due, each server in one call, and returns how many there were.
func (d *Desk) askDue(ctx context.Context) int {
	now := d.Store.Steady()
	due, err := d.Store.DueSubmissions(ctx, statePending, now, now.Add(claimFor), askBatch)
	if err != nil {
		d.failed(ctx, "looking for samples to ask for failed", err)
		return 0
	}
	if len(due) == 0 {
		return 0
	}
	generation := d.Acquire()
	defer generation.Release()
	byServer := map[string][]store.Submission{}
	for i := range due {
		waiting, err := d.Store.Waiting(ctx, due[i].Key)
		switch {
		case err != nil:
			d.failed(ctx, "looking who waits for a sample failed", err, "sha256", due[i].Key.SHA256)
		case len(waiting) == 0 || generation.Sandbox() == nil:
			d.finish(ctx, &due[i], nil, nil)
		default:
			byServer[due[i].Server] = append(byServer[due[i].Server], due[i])
		}
	}
	var asking sync.WaitGroup
	for server, list := range byServer {
		asking.Go(func() { d.ask(ctx, generation, server, list) })
	}
	asking.Wait()
	return len(due)
}

// ask queries one server for all of its submissions. One that does not answer is asked again a minute later: whoever waits is served by
// the deadline.
func (d *Desk) ask(ctx context.Context, generation Generation, server string, list []store.Submission) {
	results, err := generation.Sandbox().Results(ctx, list)
	if err != nil {
		d.Log.Warn("asking the sandbox failed; it is asked again", "server", server, "samples", len(list), "error", err)
	}
	for i := range list {
		s := &list[i]
		s.Attempts++
		s.Asked = d.Now()
		var verdict *message.Verdict
		if result, answered := results[s.Key.SHA256]; answered {
			verdict = result.Verdict
		}
		if verdict != nil {
			d.finish(ctx, s, verdict, generation.Policy().VirtualAnalyzer)
			continue
		}
		d.later(ctx, s, queryEvery)
	}
}
