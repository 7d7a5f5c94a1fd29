package gate

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/postern-mail/postern/core/delivery"
	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/policy"
	"github.com/postern-mail/postern/core/store"
)

// settle carries a first decision out while the client waits: by relaying in the session where one hop takes one copy for all, by a
// refusal where it is everybody's, and by a commit otherwise.
func (g *Gate) settle(ctx context.Context, w *work) (message.Reply, error) {
	if !w.decision.Uniform() {
		return g.commit(ctx, w)
	}
	fate := &w.decision.Fates[0]
	if fate.Final != nil {
		switch fate.Final.Effect {
		case message.EffectReject:
			return g.refuse(ctx, w, fate)
		case message.EffectDefer:
			g.journal(w, fate.Recipients, "Deferred", reasonText(fate))
			return message.TryLater(w.message.ID), nil
		case message.EffectDeliverNow:
		default:
			return g.commit(ctx, w)
		}
	}
	hop := commonHop(w.policy, fate.Recipients)
	if hop == nil || len(fate.Others()) > 0 || len(fate.Submits) > 0 {
		return g.commit(ctx, w)
	}
	return g.cutThrough(ctx, w, fate, hop)
}

// refuse answers 5xx. What the rule owes besides (a notification, an event) is committed first; the mail itself stays the sender's.
func (g *Gate) refuse(ctx context.Context, w *work, fate *message.Fate) (message.Reply, error) {
	if len(fate.Submits) > 0 {
		if err := w.hash(); err != nil {
			return message.Reply{}, err
		}
	}
	p := g.newPlan(w)
	if err := p.refused(fate); err != nil {
		return message.Reply{}, err
	}
	if err := g.Store.Commit(ctx, p.change); err != nil {
		return message.Reply{}, fmt.Errorf("commit refusal: %w", err)
	}
	g.after(p)
	text := fate.Final.Text
	if text == "" {
		text = "Message refused by policy"
	}
	return message.Reply{Code: 550, Enhanced: [3]int{5, 7, 1}, Text: text + " (" + w.message.ID + ")"}, nil
}

// commonHop is the relay that all recipients share, or nil.
func commonHop(p *policy.Policy, recipients []string) *policy.Relay {
	var hop *policy.Relay
	for _, r := range recipients {
		next, found := p.RelayFor(r)
		if !found || hop != nil && next != hop {
			return nil
		}
		hop = next
	}
	return hop
}

// cutThrough relays while the client waits and answers with the next hop's own reply (docs/flow.md).
func (g *Gate) cutThrough(ctx context.Context, w *work, fate *message.Fate, hop *policy.Relay) (message.Reply, error) {
	relaying, end := g.Telemetry.Stage(ctx, "relay")
	handed, err := g.Relayer.RelayNow(relaying, &delivery.Handover{
		Generation: w.generation, Message: w.message, Tree: &w.facts.Tree, Raw: w.raw, Fate: fate, Hop: hop,
	})
	end(err)
	if err != nil {
		g.Log.Info("relaying in session failed; the message is committed", "message", w.message.ID, "hop", hop.Name, "error", err)
		return g.commit(ctx, w)
	}
	if handed.Final.Code == 0 {
		g.Log.Error("the next hop did not answer the final dot: a duplicate is possible", "message", w.message.ID, "host", handed.Host)
		g.journal(w, fate.Recipients, "Deferred", handed.Host+": no reply to the final dot")
		return message.TryLater(w.message.ID), nil
	}
	detail := handed.Host + ": " + handed.Final.String()
	if !handed.Final.Accepted() {
		g.journal(w, fate.Recipients, "Rejected", detail)
		return handed.Final, nil
	}
	g.journal(w, fate.Recipients, "Normal", detail)
	if len(fate.Matches) > 0 {
		p := g.newPlan(w)
		p.events(fate, w.message.ID, "")
		if err := g.Store.Commit(ctx, &store.Change{Events: p.change.Events}); err != nil {
			// The mail is delivered; to answer anything but 250 would double it.
			g.Log.Error("the event of a relayed message was not written", "message", w.message.ID, "error", err)
		}
	}
	reply := handed.Final
	reply.Text = "OK: " + w.message.QueueID + " relayed, " + handed.Host + " said: " + reply.Text
	return reply, nil
}

// commit keeps the message with a state for each copy and answers 250.
func (g *Gate) commit(ctx context.Context, w *work) (reply message.Reply, err error) {
	ctx, end := g.Telemetry.Stage(ctx, "commit")
	defer func() { end(err) }()
	if err := w.hash(); err != nil {
		return message.Reply{}, err
	}
	p := g.newPlan(w)
	for i := range w.decision.Fates {
		id := w.message.ID
		if len(w.decision.Fates) > 1 {
			id = fmt.Sprintf("%s-%d", w.message.ID, i+1)
		}
		if err := p.add(ctx, store.Copy{ID: id, MessageID: w.message.ID}, &w.decision.Fates[i]); err != nil {
			return message.Reply{}, err
		}
	}
	if len(w.decision.Fates) > 1 {
		p.track(w.message.ID, w.message.Envelope.To, "Split", fmt.Sprintf("into %d copies", len(w.decision.Fates)))
	}
	if p.holds() {
		if err := g.checkHeldQuota(w); err != nil {
			return message.Reply{}, err
		}
	}
	if err := g.Store.Commit(ctx, p.change); err != nil {
		return message.Reply{}, fmt.Errorf("commit message: %w", err)
	}
	w.committed = true
	g.after(p)
	return accepted(w.message), nil
}

// after tells who has to know of a commit.
func (g *Gate) after(p *plan) {
	for i := range p.change.Copies {
		g.Telemetry.Copy(string(p.change.Copies[i].State))
	}
	if len(p.change.Samples) > 0 && g.Analysis != nil {
		g.Analysis(p.change.Samples)
	}
}

// checkHeldQuota refuses to hold more than retention.held_bytes. The figure is refreshed by Run and counted up between.
func (g *Gate) checkHeldQuota(w *work) error {
	limit := w.policy.Retention.HeldBytes
	if limit > 0 && g.heldBytes.Add(w.message.Size) > limit {
		g.heldBytes.Add(-w.message.Size)
		return fmt.Errorf("hold message: %w", store.ErrFull)
	}
	return nil
}

// journal writes the one trace row of mail that is not kept. A failure is logged and no more: the mail's fate does not hang on it.
func (g *Gate) journal(w *work, recipients []string, kind, detail string) {
	t := newTrack(g.Now(), w.message, w.message.ID, recipients, kind, detail)
	t.Trace, t.Objects = w.decision.Trace, w.carried()
	if err := g.Journal.Append(t); err != nil {
		g.Log.Error("tracking row was not written", "message", w.message.ID, "error", err)
	}
	g.Log.Info("message settled", "message", w.message.ID, "kind", kind, "recipients", len(recipients), "detail", detail)
}

func newTrack(at time.Time, m *message.Message, copyID string, recipients []string, kind, detail string) store.Track {
	t := store.Track{
		At: at, MessageID: m.ID, CopyID: copyID, HeaderID: m.HeaderID, Sender: m.Envelope.From,
		Recipients: slices.Clone(recipients), Subject: m.Subject, Size: m.Size, Kind: kind, Detail: detail,
	}
	if m.Session.Client.IsValid() {
		t.Client = m.Session.Client.Addr().Unmap().String()
	}
	return t
}
