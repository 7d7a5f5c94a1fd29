package gate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/spool"
	"github.com/postern-mail/postern/core/store"
)

const (
	runEvery   = time.Second
	usageEvery = 15 * time.Second // it looks at every kept copy
	runBatch   = 64
	runAtOnce  = 8
	claimFor   = 2 * time.Minute // another gateway may take a copy over after that
	wakeMemory = 256 << 10
)

// Run finishes what is due until ctx ends: undecided and deferred copies, postponed ones, held ones past their deadline. It waits for
// the work under way before it returns.
func (g *Gate) Run(ctx context.Context) {
	tick := time.NewTicker(runEvery)
	defer tick.Stop()
	usage := time.NewTicker(usageEvery)
	defer usage.Stop()
	g.refreshUsage(ctx)
	for {
		for g.runBatch(ctx) == runBatch && ctx.Err() == nil {
		}
		select {
		case <-ctx.Done():
			return
		case <-usage.C:
			g.refreshUsage(ctx)
		case <-tick.C:
		case <-g.kick:
		}
	}
}

func (g *Gate) wakeRunner() {
	select {
	case g.kick <- struct{}{}:
	default:
	}
}

// refreshUsage brings the figures for the quotas up to date with the store.
func (g *Gate) refreshUsage(ctx context.Context) {
	usage, err := g.Store.Usage(ctx)
	if err != nil {
		if ctx.Err() == nil {
			g.Log.Error("reading the store's usage failed", "error", err)
		}
		return
	}
	g.usage.Store(&usage)
	g.heldBytes.Store(usage.Bytes[store.CopyHeld] + usage.Bytes[store.CopyUndecided])
	g.undecided.Store(usage.Copies[store.CopyUndecided])
}

// runBatch works off one batch of due copies and returns how many there were.
func (g *Gate) runBatch(ctx context.Context) int {
	now := g.Store.Steady()
	copies, err := g.Store.ClaimCopies(ctx,
		[]store.CopyState{store.CopyUndecided, store.CopyRetry, store.CopyPostponed, store.CopyHeld, store.CopyWatched}, now, now.Add(claimFor), runBatch)
	if err != nil {
		if ctx.Err() == nil {
			g.Log.Error("claiming due messages failed", "error", err)
		}
		return 0
	}
	var running sync.WaitGroup
	places := make(chan struct{}, runAtOnce)
	for i := range copies {
		places <- struct{}{}
		running.Go(func() {
			defer func() { <-places }()
			g.resume(ctx, &copies[i], !copies[i].Deadline.IsZero() && !now.Before(copies[i].Deadline))
		})
	}
	running.Wait()
	return len(copies)
}

// Wake judges a held copy again because something it waited for is known. A copy that is not held any more is left alone.
func (g *Gate) Wake(ctx context.Context, copyID string) {
	c, err := g.Store.Copy(ctx, copyID)
	if err != nil {
		g.Log.Error("waking a held message failed", "copy", copyID, "error", err)
		return
	}
	if c.State == store.CopyHeld || c.State == store.CopyWatched {
		g.resume(ctx, c, false)
	}
}

// resume takes one stored copy further. What fails is logged and stays due: nothing is lost by it.
func (g *Gate) resume(ctx context.Context, c *store.Copy, expired bool) {
	scope := g.Spool.NewScope()
	defer func() {
		if err := scope.Release(); err != nil {
			g.Log.Error("releasing a woken message failed", "copy", c.ID, "error", err)
		}
	}()
	err := g.rejudge(ctx, c, scope, expired)
	switch {
	case err == nil:
	case errors.Is(err, store.ErrConflict):
		g.Log.Debug("message was taken further by another", "copy", c.ID)
	case ctx.Err() != nil:
	default:
		g.Log.Error("taking a message further failed", "copy", c.ID, "state", c.State, "error", err)
	}
}

// rejudge evaluates a stored copy again and commits what follows, in place of the copy.
func (g *Gate) rejudge(ctx context.Context, c *store.Copy, scope *spool.Scope, expired bool) error {
	generation := g.Acquire()
	defer generation.Release()
	record, err := g.Store.Record(ctx, c.MessageID)
	if err != nil {
		return fmt.Errorf("load message: %w", err)
	}
	w := &work{
		generation: generation, policy: generation.Policy(), message: &record.Message, scope: scope, facts: record.Facts,
		waivers: record.Waivers, verdicts: map[message.SampleKey]message.Verdict{},
	}
	for _, known := range c.Fate.Verdicts {
		w.verdicts[known.Key] = known.Verdict
	}
	switch c.State {
	case store.CopyPostponed:
		return g.deliverPostponed(ctx, w, c)
	case store.CopyWatched:
		return g.settleWatched(ctx, w, c, expired)
	}
	if w.facts != nil && (c.State == store.CopyRetry || w.facts.Revision != w.policy.Revision) {
		w.facts = nil // calls failed, or the queries have other numbers now: look again
	}
	if w.facts != nil {
		generation.Inspector().MatchObjects(w.facts) // the lists may know more by now
	}
	if w.facts == nil {
		if w.raw, err = g.loadBody(ctx, record.BodySHA256, scope); err != nil {
			return err
		}
	}
	if err := g.collectVerdicts(ctx, w, c.Fate.Waits, expired); err != nil {
		return err
	}
	if err := g.judge(ctx, w, c.Recipients); err != nil {
		return err
	}
	return g.replace(ctx, w, c)
}

// loadBody brings a kept body into the spool.
func (g *Gate) loadBody(ctx context.Context, digest string, scope *spool.Scope) (message.Body, error) {
	r, err := g.Store.OpenBody(ctx, digest)
	if err != nil {
		return nil, fmt.Errorf("load body: %w", err)
	}
	defer r.Close()
	w := scope.Create(wakeMemory)
	if _, err := io.Copy(w, r); err != nil {
		return nil, fmt.Errorf("load body: %w", err)
	}
	return w.Finish()
}

// collectVerdicts takes over what the sandbox said of the samples the copy waited for: also failures, which a cache does not hold,
// and the end of the wait.
func (g *Gate) collectVerdicts(ctx context.Context, w *work, samples []message.Sample, expired bool) error {
	var keys []message.SampleKey
	for _, sample := range samples {
		if _, known := w.verdicts[sample.Key]; !known {
			keys = append(keys, sample.Key)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	submissions, err := g.Store.Submissions(ctx, keys)
	if err != nil {
		return fmt.Errorf("collect verdicts: %w", err)
	}
	for i := range submissions {
		if submissions[i].Verdict != nil {
			w.verdicts[submissions[i].Key] = *submissions[i].Verdict
		}
	}
	if !expired {
		return nil
	}
	for _, key := range keys {
		if _, known := w.verdicts[key]; !known {
			w.verdicts[key] = message.Verdict{
				State: message.VerdictExpired, Analyzer: w.policy.AnalyzerName(), At: g.Now(),
				Detail: "no verdict within the time allowed for analysis",
			}
		}
	}
	return nil
}

// replace commits the new decision in place of the copy. Where its recipients now fare differently it becomes several.
func (g *Gate) replace(ctx context.Context, w *work, c *store.Copy) error {
	p := g.newPlan(w)
	fates := w.decision.Fates
	for i := range fates {
		base := *c
		if i > 0 {
			base = store.Copy{ID: fmt.Sprintf("%s-%d", c.ID, i+1), MessageID: c.MessageID, FirstWait: c.FirstWait, Deadline: c.Deadline,
				Attempts: c.Attempts}
		}
		if err := p.add(ctx, base, &fates[i]); err != nil {
			return err
		}
	}
	p.change.DropSamples = append(p.change.DropSamples, c.ID)
	if err := g.Store.Commit(ctx, p.change); err != nil {
		return fmt.Errorf("commit decision: %w", err)
	}
	if c.State == store.CopyUndecided {
		g.undecided.Add(-1)
	}
	g.after(p)
	return nil
}

// deliverPostponed sends a copy whose time has come on its way; it was judged when it was postponed.
func (g *Gate) deliverPostponed(ctx context.Context, w *work, c *store.Copy) error {
	p := g.newPlan(w)
	next := *c
	next.State, next.DueAt, next.Changed, next.Result = store.CopyDelivering, time.Time{}, g.Now(), "Normal"
	p.relayTo(&next, &next.Fate, next.Recipients, "")
	p.track(next.ID, next.Recipients, "Queued", "postponed until now")
	p.change.Copies = append(p.change.Copies, next)
	if err := g.Store.Commit(ctx, p.change); err != nil {
		return fmt.Errorf("commit postponed message: %w", err)
	}
	return nil
}
