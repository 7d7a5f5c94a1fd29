package gate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/policy"
	"github.com/postern-mail/postern/core/store"
)

// hold makes the copy wait for its samples. The deadline counts from its first wait and may only move earlier.
func (p *plan) hold(c *store.Copy, fate *message.Fate) error {
	va := p.work.policy.VirtualAnalyzer
	if c.FirstWait.IsZero() {
		c.FirstWait = p.steady
		p.track(c.ID, c.Recipients, "Held", fate.WaitRule)
	}
	deadline := c.FirstWait.Add(va.Deadline())
	if c.Deadline.IsZero() || deadline.Before(c.Deadline) {
		c.Deadline = deadline
	}
	c.State, c.DueAt = store.CopyHeld, c.Deadline
	if va.NoticeAfter > 0 && !c.Fate.Noticed {
		if at := c.FirstWait.Add(va.NoticeAfter); p.steady.Before(at) {
			c.DueAt = earlier(at, c.Deadline)
		} else if err := p.noticeOfHold(c); err != nil {
			return err
		}
	}
	for _, sample := range fate.Waits {
		p.change.Samples = append(p.change.Samples, store.Sample{CopyID: c.ID, MessageID: c.MessageID, Sample: sample, Since: p.now})
	}
	p.change.Copies = append(p.change.Copies, *c)
	return nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func (p *plan) holds() bool {
	return slices.ContainsFunc(p.change.Copies, func(c store.Copy) bool { return c.State == store.CopyHeld })
}

// noticeOfHold tells the copy's own recipients, once, that a message for them is being analysed. Those elsewhere are told nothing.
func (p *plan) noticeOfHold(c *store.Copy) error {
	c.Fate.Noticed = true
	n, found := p.work.policy.Notifications[p.work.policy.VirtualAnalyzer.Notice]
	if !found {
		return nil
	}
	n.To = slices.DeleteFunc(slices.Clone(c.Recipients), func(r string) bool { return !p.work.policy.Internal(r) })
	return p.send(&n, &message.Match{Rule: c.Fate.WaitRule, Recipients: c.Recipients}, c.ID)
}

// watch keeps a copy for the sandbox alone where asynchronous mode has acted, or let pass, without waiting: the events that say
// "Submitted" are completed when the verdicts are known. It returns the watched copy's id, "" where there is none.
func (p *plan) watch(fate *message.Fate, copyID string, version int64) string {
	if len(fate.Submits) == 0 {
		return ""
	}
	watched := message.Fate{Recipients: fate.Recipients, State: message.FateDecided, Submits: fate.Submits}
	for i := range fate.Matches {
		if fate.Matches[i].ThreatType == message.ThreatSubmitted {
			watched.Matches = append(watched.Matches, fate.Matches[i])
		}
	}
	deadline := p.steady.Add(p.work.policy.VirtualAnalyzer.Deadline())
	c := store.Copy{
		ID: fmt.Sprintf("%s%s%d", copyID, watchedSuffix, version), MessageID: p.work.message.ID, Recipients: fate.Recipients, State: store.CopyWatched, Fate: watched, Result: "Submitted",
		FirstWait: p.steady, Deadline: deadline, DueAt: deadline, Changed: p.now,
	}
	for _, sample := range fate.Submits {
		p.change.Samples = append(p.change.Samples, store.Sample{CopyID: c.ID, MessageID: c.MessageID, Sample: sample, Since: p.now})
	}
	p.change.Copies = append(p.change.Copies, c)
	return c.ID
}

// watchedSuffix and the version of the copy that was acted on are behind that copy's id in the id of the watched one.
const watchedSuffix = "-V"

// settleWatched completes the events of a watched copy when all its verdicts are known, or its time is over.
func (g *Gate) settleWatched(ctx context.Context, w *work, c *store.Copy, expired bool) error {
	if err := g.collectVerdicts(ctx, w, c.Fate.Submits, expired); err != nil {
		return err
	}
	for i := range c.Fate.Submits {
		if _, known := w.verdicts[c.Fate.Submits[i].Key]; !known {
			return nil
		}
	}
	p := g.newPlan(w)
	var events []store.Event
	for i := range c.Fate.Matches {
		m := &c.Fate.Matches[i]
		high := p.complete(m, c.Fate.Submits)
		e := p.event(m, submittedID(c.ID, m), actedCopy(c))
		e.At = c.Changed
		events = append(events, e)
		if high {
			if err := p.alert(m, c.ID); err != nil {
				return err
			}
		}
	}
	if err := g.Store.AmendEvents(ctx, events); err != nil {
		return fmt.Errorf("complete events: %w", err)
	}
	next := *c
	next.State, next.DueAt, next.Changed, next.Fate.Verdicts = store.CopyDone, time.Time{}, p.now, w.knownVerdicts()
	p.change.Copies, p.change.DropSamples = append(p.change.Copies, next), []string{c.ID}
	if err := g.Store.Commit(ctx, p.change); err != nil {
		return fmt.Errorf("commit verdicts: %w", err)
	}
	return nil
}

// actedCopy is the id of the copy that the events of a watched one are about.
func actedCopy(c *store.Copy) string { return c.ID[:strings.LastIndex(c.ID, watchedSuffix)] }

// complete gives the match its final threat type by the verdicts of its rule's samples, and reports whether one of them is of high risk.
func (p *plan) complete(m *message.Match, submits []message.Sample) (high bool) {
	level := p.work.policy.VirtualAnalyzer.SecurityLevel
	if i := slices.IndexFunc(p.work.policy.Rules, func(r policy.Rule) bool { return r.Name == m.Rule }); i >= 0 && p.work.policy.Rules[i].SecurityLevel != "" {
		level = p.work.policy.Rules[i].SecurityLevel
	}
	m.ThreatType = message.ThreatNoRisk
	for i := range submits {
		if submits[i].Rule != m.Rule {
			continue
		}
		v := p.work.verdicts[submits[i].Key]
		m.Verdicts = append(m.Verdicts, v)
		switch {
		case v.State == message.VerdictDone && level.Reached(v.Level):
			m.ThreatType = message.ThreatAnalyzed
			high = high || v.Level == message.RiskHigh
		case v.State != message.VerdictDone && m.ThreatType != message.ThreatAnalyzed:
			m.ThreatType = message.ThreatProbable
		}
	}
	return high
}

// alert tells the administrator of a high risk that came to be known after the message had passed.
func (p *plan) alert(m *message.Match, copyID string) error {
	n := policy.Notification{
		Name: "Late high risk", To: []string{p.work.policy.Gateway.AdminAddress}, Subject: "High risk found after delivery: %SUBJECT%",
		Body: "The sandbox reports a high risk for a message that was not held for it.\n\nFrom %SENDER% to %RCPTS%, subject %SUBJECT%\n" +
			"Files: %FILENAME%\nRule: %RULENAME%, action %TACTION%\nInternal ID: %MAILID%\n",
	}
	p.gate.Log.Warn("high risk found after the message had passed", "message", p.work.message.ID, "rule", m.Rule)
	return p.send(&n, m, copyID)
}

// knownVerdicts are the work's verdicts in a fixed order.
func (w *work) knownVerdicts() []message.SampleVerdict {
	var out []message.SampleVerdict
	for key, verdict := range w.verdicts {
		out = append(out, message.SampleVerdict{Key: key, Verdict: verdict})
	}
	slices.SortFunc(out, func(a, b message.SampleVerdict) int { return compareKeys(a.Key, b.Key) })
	return out
}
