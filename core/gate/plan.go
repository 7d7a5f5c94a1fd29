package gate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/core/compose"
	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/policy"
	"github.com/postern-mail/postern/core/spool"
	"github.com/postern-mail/postern/core/store"
)

// plan gathers, in one store.Change, everything that is owed for a decision.
type plan struct {
	gate   *Gate
	work   *work
	now    time.Time // for records
	steady time.Time // for waits
	change *store.Change
	bodies map[string]bool
}

func (g *Gate) newPlan(w *work) *plan {
	return &plan{gate: g, work: w, now: g.Now(), steady: g.Store.Steady(), change: &store.Change{}, bodies: map[string]bool{}}
}

// keepBody sees to it that the message and its bytes are kept.
func (p *plan) keepBody() {
	w := p.work
	if p.change.Record == nil {
		p.change.Record = &store.Record{
			Message: *w.message, BodySHA256: w.message.SHA256, Facts: w.facts, Decision: &w.decision, Waivers: w.waivers,
		}
	}
	if w.raw != nil {
		p.body(w.message.SHA256, w.raw)
	}
}

func (p *plan) body(digest string, body message.Body) {
	if !p.bodies[digest] {
		p.bodies[digest] = true
		p.change.Bodies = append(p.change.Bodies, storedBody(digest, body))
	}
}

// add plans one copy's fate. base names the copy, and carries its version and clocks where it is stored already.
func (p *plan) add(ctx context.Context, base store.Copy, fate *message.Fate) error {
	p.keepBody()
	if fate.Final != nil && fate.Final.Effect == message.EffectReject {
		fate = withFinal(fate, p.work.policy.Gateway.LateReject)
	}
	if fate.Final != nil && fate.Final.Effect == message.EffectDefer && base.Attempts+1 >= deferAttempts {
		fate = withFinal(fate, message.Action{
			Name: "quarantine", Effect: message.EffectQuarantine, Label: "Deferred too often; Quarantined", Area: "default",
		})
		if err := p.noticeOfDeferral(fate); err != nil {
			return err
		}
	}
	c := base
	c.Recipients, c.Fate, c.Changed, c.DueAt = fate.Recipients, *fate, p.now, time.Time{}
	c.Fate.Verdicts, c.Fate.Noticed = p.work.knownVerdicts(), base.Fate.Noticed
	c.Objects = p.work.carried()
	if fate.State == message.FateWaiting {
		return p.hold(&c, fate)
	}
	watched := p.watch(fate, c.ID, base.Version)
	if err := p.others(ctx, fate, c.ID); err != nil {
		return err
	}
	if err := p.final(&c, fate); err != nil {
		return err
	}
	p.events(fate, c.ID, watched)
	p.change.Copies = append(p.change.Copies, c)
	return nil
}

// withFinal is the fate with another final action in the place of the one it has, also where it is logged: what is recorded is what is
// done.
func withFinal(fate *message.Fate, final message.Action) *message.Fate {
	out := *fate
	out.Final = &final
	out.Matches = slices.Clone(fate.Matches)
	if len(out.Matches) == 0 {
		return &out
	}
	last := &out.Matches[len(out.Matches)-1]
	last.Final, last.Actions = &final, slices.Clone(last.Actions)
	for i := range last.Actions {
		if last.Actions[i].Effect.Final() {
			last.Actions[i] = final
		}
	}
	return &out
}

// final sets the copy's state, and its obligations where it leaves.
func (p *plan) final(c *store.Copy, fate *message.Fate) error {
	action := fate.Final
	if action == nil {
		action = &message.Action{Effect: message.EffectDeliverNow}
	}
	switch action.Effect {
	case message.EffectDelete:
		c.State, c.Result = store.CopyDone, "Delete"
	case message.EffectQuarantine:
		c.State, c.Area, c.Result = store.CopyQuarantined, action.Area, "Quarantine"
	case message.EffectPostpone:
		at, err := nextClock(p.now, action.At)
		if err != nil {
			return err
		}
		c.State, c.DueAt, c.Result = store.CopyPostponed, p.steady.Add(at.Sub(p.now)), "Postponed"
	case message.EffectDefer:
		c.Attempts++
		c.State, c.Result = store.CopyRetry, "Deferred"
		c.DueAt = p.steady.Add(min(deferFirst<<(c.Attempts-1), deferMost))
	case message.EffectChangeRecipient:
		c.State, c.Result = store.CopyDelivering, "RcptChanged"
		p.relayTo(c, fate, action.To, "")
	case message.EffectHandOff:
		c.State, c.Result = store.CopyDelivering, "Handoff"
		p.relayTo(c, fate, fate.Recipients, action.Host)
	default:
		c.State, c.Result = store.CopyDelivering, "Normal"
		p.relayTo(c, fate, fate.Recipients, "")
	}
	p.track(c.ID, c.Recipients, trackKind(c), reasonText(fate))
	return nil
}

// trackKind is the word of the tracking log; a copy that is still on its way is Queued.
func trackKind(c *store.Copy) string {
	if c.State == store.CopyDelivering {
		return "Queued"
	}
	return c.Result
}

// relayTo owes the copy to the recipients, by way of their relay or of a fixed host.
func (p *plan) relayTo(c *store.Copy, fate *message.Fate, recipients []string, host string) {
	rule := ""
	if n := len(fate.Matches); n > 0 && fate.Final != nil {
		rule = fate.Matches[n-1].Rule
	}
	for _, r := range recipients {
		p.owe(store.Obligation{
			CopyID: c.ID, Kind: store.OweRelay, Rule: rule, Action: string(message.EffectDeliverNow), Recipient: r,
			Sender: p.work.message.Envelope.From, Hop: p.hopOf(r, host),
		})
	}
}

// hopOf names the next hop of an address: a fixed host, or its relay. An address that no relay is for is owed to no hop, which
// delivery bounces.
func (p *plan) hopOf(address, host string) string {
	if host != "" {
		return host
	}
	if relay, found := p.work.policy.RelayFor(address); found {
		return relay.Name
	}
	return ""
}

func (p *plan) owe(o store.Obligation) {
	o.MessageID, o.State, o.NextAt, o.Created = p.work.message.ID, store.ObligationDue, p.steady, p.now
	o.GiveUpAt = p.steady.Add(giveUp(p.work.policy, o.Hop))
	p.change.Obligations = append(p.change.Obligations, o)
}

// giveUp is how long a relay is tried; a host of a hand-off has the default.
func giveUp(p *policy.Policy, hop string) time.Duration {
	for i := range p.Relays {
		if p.Relays[i].Name == hop {
			return p.Relays[i].GiveUp
		}
	}
	return 24 * time.Hour
}

// Deferral of a copy that an exception put off: judged again after these times, the last repeats, then quarantined with a notice.
const (
	deferFirst    = time.Minute
	deferMost     = 15 * time.Minute
	deferAttempts = 12
)

// noticeOfDeferral tells that a copy which was put off again and again is quarantined now (docs/flow.md, "Judgement"), as the exception about
// the analyzer would tell it.
func (p *plan) noticeOfDeferral(fate *message.Fate) error {
	last := &fate.Matches[len(fate.Matches)-1]
	for _, a := range p.work.policy.Exceptions[message.ExceptionVirtualAnalyzer].Actions {
		if a.Effect == message.EffectNotify {
			return p.notify(last, &a)
		}
	}
	return nil
}

// others plans what goes along with the copy: notifications, archive, BCC.
func (p *plan) others(ctx context.Context, fate *message.Fate, copyID string) error {
	for _, ra := range fate.Others() {
		switch ra.Action.Effect {
		case message.EffectNotify:
			if err := p.notify(ra.Match, ra.Action); err != nil {
				return err
			}
		case message.EffectArchive:
			if err := p.archive(ctx, ra, copyID); err != nil {
				return err
			}
		case message.EffectBCC:
			for _, to := range ra.Action.To {
				p.owe(store.Obligation{
					CopyID: copyID, Kind: store.OweRelay, Rule: ra.Match.Rule, Action: string(message.EffectBCC), Recipient: to,
					Sender: p.work.message.Envelope.From, Hop: p.hopOf(to, ""),
				})
			}
		}
	}
	return nil
}

// archive keeps a copy of the mail as it came in an archive area: one for each rule, also where the copy is judged again.
func (p *plan) archive(ctx context.Context, ra message.RuleAction, copyID string) error {
	id := fmt.Sprintf("%s-A%d", copyID, ra.Match.Number)
	for i := range p.change.Copies {
		if p.change.Copies[i].ID == id {
			return nil
		}
	}
	_, err := p.gate.Store.Copy(ctx, id)
	if err == nil {
		return nil
	}
	if !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("archive copy: %w", err)
	}
	p.change.Copies = append(p.change.Copies, store.Copy{
		ID: id, MessageID: p.work.message.ID, Recipients: ra.Match.Recipients, State: store.CopyArchived, Area: ra.Action.Area,
		Result: "Archived", Changed: p.now, Fate: message.Fate{Recipients: ra.Match.Recipients, State: message.FateDecided},
	})
	return nil
}

// notify owes the notification that an action names: one for the message and rule, whatever copies there are.
func (p *plan) notify(match *message.Match, action *message.Action) error {
	n, found := p.work.policy.Notifications[action.Notification]
	if !found {
		return nil
	}
	return p.send(&n, match, p.work.message.ID)
}

// send owes a notification to each of its recipients. Mail that is itself a notification gets none, and beyond the cap of a minute they
// are only counted.
func (p *plan) send(n *policy.Notification, match *message.Match, about string) error {
	if isNotification(p.work) {
		return nil
	}
	suppressed, allowed := p.gate.notices.take(n.Name, p.now, p.work.policy.Gateway.NotificationsPerMinute)
	if !allowed {
		return nil
	}
	if suppressed > 0 {
		n.Body += fmt.Sprintf("\n\n%d more notifications of this kind were left out in the minute before.\n", suppressed)
	}
	tree := &message.Tree{}
	if p.work.facts != nil {
		tree = &p.work.facts.Tree
	}
	content, err := p.gate.Composer.Notification(n, p.work.policy.Gateway.Hostname, &compose.Incident{
		Message: p.work.message, Tree: tree, Match: match, At: p.now,
	})
	if err != nil {
		return fmt.Errorf("compose notification %q: %w", n.Name, err)
	}
	sum := sha256.Sum256(content)
	digest := hex.EncodeToString(sum[:])
	p.body(digest, spool.FromBytes(content))
	for _, to := range n.To {
		p.owe(store.Obligation{
			CopyID: about, Kind: store.OweNotify, Rule: match.Rule, Action: n.Name, Recipient: to, Hop: p.hopOf(to, ""), BodySHA256: digest,
		})
	}
	return nil
}

// isNotification reports whether the mail is one that a program sent about mail (RFC 3834 section 2): none is sent about it.
func isNotification(w *work) bool {
	if w.facts == nil {
		return false
	}
	for _, f := range w.facts.Tree.Header {
		if strings.EqualFold(f.Name, "Auto-Submitted") && !strings.EqualFold(strings.TrimSpace(f.Value), "no") {
			return w.message.Envelope.From == ""
		}
	}
	return false
}

// refused plans what a 5xx owes: events and notifications, but no copy, or one for the sandbox alone.
func (p *plan) refused(fate *message.Fate) error {
	for _, ra := range fate.Others() {
		if ra.Action.Effect == message.EffectNotify {
			if err := p.notify(ra.Match, ra.Action); err != nil {
				return err
			}
		}
	}
	watched := ""
	if len(fate.Submits) > 0 {
		p.keepBody()
		watched = p.watch(fate, p.work.message.ID, 0)
	}
	p.events(fate, p.work.message.ID, watched)
	p.track(p.work.message.ID, fate.Recipients, "Rejected", reasonText(fate))
	return nil
}

func (p *plan) track(copyID string, recipients []string, kind, detail string) {
	t := newTrack(p.now, p.work.message, copyID, recipients, kind, detail)
	p.change.Tracks = append(p.change.Tracks, t)
	p.gate.Log.Info("message settled", "message", p.work.message.ID, "copy", copyID, "kind", kind, "recipients", len(recipients),
		"detail", detail)
}

// reasonText says which rule or exception made the fate.
func reasonText(fate *message.Fate) string {
	var names []string
	for i := range fate.Matches {
		m := &fate.Matches[i]
		text := m.Rule
		if m.Exception != "" && len(m.Troubles) > 0 {
			text += ": " + m.Troubles[0].Reason
		}
		names = append(names, text)
	}
	return strings.Join(names, "; ")
}

// nextClock is the next time the local clock shows at (HH:MM).
func nextClock(now time.Time, at string) (time.Time, error) {
	clock, err := time.Parse("15:04", at)
	if err != nil {
		return time.Time{}, fmt.Errorf("read time of postpone: %w", err)
	}
	local := now.Local()
	next := time.Date(local.Year(), local.Month(), local.Day(), clock.Hour(), clock.Minute(), 0, 0, time.Local)
	if !next.After(now) {
		next = time.Date(local.Year(), local.Month(), local.Day()+1, clock.Hour(), clock.Minute(), 0, 0, time.Local)
	}
	return next, nil
}
