package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/policy"
	"github.com/postern-mail/postern/core/rewrite"
	"github.com/postern-mail/postern/core/spool"
	"github.com/postern-mail/postern/core/store"
)

// Deliver works off the due obligations of one copy, kind, hop and body in one transaction. The time returned is when to come again;
// zero: nothing is owed any more. Doing it twice does no harm: what is done is not due.
func (d *Delivery) Deliver(ctx context.Context, job store.DeliverJob) (again time.Time, err error) {
	due, next, err := d.due(ctx, job)
	if err != nil || len(due) == 0 {
		return next, err
	}
	generation := d.Acquire()
	defer generation.Release()
	scope := d.Spool.NewScope()
	defer func() { err = errors.Join(err, scope.Release()) }()

	a := &attempt{delivery: d, policy: generation.Policy(), job: job, due: due}
	if err := a.run(ctx, generation, scope); err != nil {
		return time.Time{}, fmt.Errorf("deliver %s: %w", job.CopyID, err)
	}
	// The mail may have left: its outcome is recorded even where the gateway is ending.
	if err := a.recordSurely(ctx); err != nil {
		return time.Time{}, fmt.Errorf("deliver %s: record outcome: %w", job.CopyID, err)
	}
	_, next, err = d.due(context.WithoutCancel(ctx), job)
	return next, err
}

// due are the job's obligations whose time has come; next is that of the earliest other.
func (d *Delivery) due(ctx context.Context, job store.DeliverJob) (due []store.Obligation, next time.Time, err error) {
	all, err := d.Store.Obligations(ctx, job.CopyID)
	if err != nil {
		return nil, next, fmt.Errorf("deliver %s: %w", job.CopyID, err)
	}
	now := d.Store.Steady()
	for _, o := range all {
		if o.State != store.ObligationDue || o.Kind != job.Kind || o.Hop != job.Hop || o.BodySHA256 != job.Body {
			continue
		}
		if !o.NextAt.After(now) {
			due = append(due, o)
		}
		if next.IsZero() || o.NextAt.Before(next) {
			next = o.NextAt
		}
	}
	return due, next, nil
}

// attempt is one try to deliver.
type attempt struct {
	delivery *Delivery
	policy   *policy.Policy
	job      store.DeliverJob
	due      []store.Obligation
	kept     *store.Record
	header   []byte // of the message as it came, for a bounce
	host     string
	replies  []message.Reply // by obligation; Code 0: no answer
}

// run makes the transaction. An error is trouble of our own: nothing was tried, and the job comes again.
func (a *attempt) run(ctx context.Context, generation Generation, scope *spool.Scope) error {
	d := a.delivery
	var err error
	if a.kept, err = d.Store.Record(ctx, a.due[0].MessageID); err != nil {
		if a.job.Kind != store.OweNotify || !errors.Is(err, store.ErrNotFound) {
			return err
		}
		// A notification about refused mail: the mail itself was never ours.
		a.kept = &store.Record{Message: message.Message{ID: a.due[0].MessageID}}
	}
	leaving, err := a.content(ctx, generation, scope)
	if err != nil {
		return err
	}
	relay, found := a.relay()
	if !found {
		a.host = ""
		a.fill((&mail{to: a.recipients()}).same(message.Reply{Code: 550, Enhanced: [3]int{5, 4, 4}, Text: "No relay takes mail for this address"}))
		return nil
	}
	m := &mail{from: a.due[0].Sender, to: a.recipients(), content: leaving}
	if a.job.Kind == store.OweRelay {
		m.eightBit, m.utf8 = a.kept.Message.Envelope.EightBit, a.kept.Message.Envelope.UTF8
	}
	o, host, err := d.relay(ctx, relay, a.policy.Gateway.Hostname, m)
	a.host = host
	switch {
	case o.ended && o.final.Code == 0:
		d.Log.Error("the next hop did not answer the end of data: a duplicate is possible", "copy", a.job.CopyID, "host", host, "error", err)
	case err != nil:
		d.Log.Info("delivery failed for now", "copy", a.job.CopyID, "hop", a.job.Hop, "error", err)
	}
	a.fill(o)
	return nil
}

func (a *attempt) recipients() []string {
	var out []string
	for i := range a.due {
		out = append(out, a.due[i].Recipient)
	}
	return out
}

// fill takes each obligation's reply over: its own where it was refused, else that to the message.
func (a *attempt) fill(o *outcome) {
	for i := range a.due {
		reply := o.recipients[i]
		if reply.Accepted() {
			reply = o.final
		}
		a.replies = append(a.replies, reply)
	}
}

// content is what is sent: a mail of our own as it was composed, or the copy with its edits.
func (a *attempt) content(ctx context.Context, generation Generation, scope *spool.Scope) (content, error) {
	if a.job.Body != "" {
		body, err := a.delivery.Load(ctx, a.job.Body, scope)
		if err != nil {
			return nil, err
		}
		if a.job.Kind != store.OweRelay {
			return rewrite.Make(body, &message.Tree{}, rewrite.Options{}, &rewrite.Edits{})
		}
	}
	raw, err := a.delivery.Load(ctx, a.kept.BodySHA256, scope)
	if err != nil {
		return nil, err
	}
	if a.header, err = rewrite.Header(raw); err != nil {
		return nil, err
	}
	c, err := a.delivery.Store.Copy(ctx, a.job.CopyID)
	if err != nil {
		return nil, err
	}
	tree := &message.Tree{}
	if a.kept.Facts != nil {
		tree = &a.kept.Facts.Tree
	}
	return a.delivery.copyOf(ctx, &Handover{Generation: generation, Message: &a.kept.Message, Tree: tree, Raw: raw, Fate: &c.Fate})
}

// relay is the hop by its name, or a host of a hand-off.
func (a *attempt) relay() (*policy.Relay, bool) {
	for i := range a.policy.Relays {
		if a.policy.Relays[i].Name == a.job.Hop {
			return &a.policy.Relays[i], true
		}
	}
	if strings.Contains(a.job.Hop, ":") {
		return &policy.Relay{Name: a.job.Hop, Hosts: []string{a.job.Hop}, TLS: "opportunistic"}, true
	}
	// A relay that the policy has no more: whoever takes the address now.
	return a.policy.RelayFor(a.due[0].Recipient)
}

// schedule is the default of retries, for a host of a hand-off.
func schedule(relay *policy.Relay, found bool) []time.Duration {
	if found && len(relay.Retry) > 0 {
		return relay.Retry
	}
	return []time.Duration{15 * time.Minute, 30 * time.Minute, time.Hour}
}

// The record of an outcome is tried again while the store is away, as with a full disk: what left and is not recorded leaves again.
const (
	recordEvery = time.Second
	recordTries = 600
)

// recordSurely records, again and again while that fails, until the gateway has to end.
func (a *attempt) recordSurely(ctx context.Context) error {
	for try := 1; ; try++ {
		err := a.record(context.WithoutCancel(ctx))
		if err == nil || try == recordTries || ctx.Err() != nil {
			return err
		}
		if try == 1 {
			a.delivery.Log.Error("the outcome of a delivery could not be recorded; it is tried again", "copy", a.job.CopyID, "error", err)
		}
		again := time.NewTimer(recordEvery)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
		}
	}
}

// most is how often a record is tried while another delivery of the same copy is recorded.
const most = 10

// record commits what came of the attempt: obligations, tracking, a bounce, and the copy's end where nothing of it is due any more.
func (a *attempt) record(ctx context.Context) error {
	var err error
	for range most {
		var change *store.Change
		if change, err = a.change(ctx); err != nil {
			return err
		}
		if err = a.delivery.Store.Commit(ctx, change); err != nil && !errors.Is(err, store.ErrConflict) {
			return err
		}
		recorded := err == nil
		if !recorded {
			var failed error
			if recorded, failed = a.recorded(ctx); failed != nil {
				return failed
			}
		}
		if recorded {
			a.tell(change.Tracks)
			return nil
		}
	}
	return err
}

// tell counts and logs what was recorded.
func (a *attempt) tell(tracks []store.Track) {
	for i := range tracks {
		t := &tracks[i]
		a.delivery.Telemetry.Delivered(string(a.job.Kind), t.Kind, len(t.Recipients))
		a.delivery.Log.Info("delivery attempted", "message", t.MessageID, "copy", a.job.CopyID, "owed", a.job.Kind, "kind", t.Kind, "recipients",
			len(t.Recipients), "detail", t.Detail)
	}
}

// recorded reports whether the obligations have moved on since they were read: an earlier commit was made although its answer was lost, or
// whoever was given the job as well was first.
func (a *attempt) recorded(ctx context.Context) (bool, error) {
	all, err := a.delivery.Store.Obligations(ctx, a.job.CopyID)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(a.due, func(due store.Obligation) bool {
		i := slices.IndexFunc(all, func(o store.Obligation) bool { return o.ID == due.ID })
		return i < 0 || all[i].Version != due.Version
	}), nil
}

func (a *attempt) change(ctx context.Context) (*store.Change, error) {
	now, steady := a.delivery.Now(), a.delivery.Store.Steady()
	change := &store.Change{}
	relay, found := a.relay()
	var delivered, deferred []string
	var failed []int
	for i, o := range a.due {
		reply := a.replies[i]
		o.Attempts++
		o.LastReply = reply.String()
		if reply.Code == 0 {
			o.LastReply = "no answer"
		}
		switch {
		case reply.Accepted():
			o.State = store.ObligationDone
			delivered = append(delivered, o.Recipient)
		case reply.Permanent() || !steady.Before(o.GiveUpAt):
			o.State = store.ObligationFailed
			failed = append(failed, i)
		default:
			times := schedule(relay, found)
			o.NextAt = steady.Add(times[min(o.Attempts-1, len(times)-1)])
			deferred = append(deferred, o.Recipient)
		}
		change.Obligations = append(change.Obligations, o)
	}
	a.tracks(change, now, delivered, deferred, failed)
	if a.job.Kind != store.OweRelay {
		return change, nil
	}
	if len(failed) > 0 && a.mayBounce() {
		a.bounce(change, now, steady, failed)
	}
	return change, a.end(ctx, change, now)
}

// tracks adds a row for each way the recipients fared.
func (a *attempt) tracks(change *store.Change, now time.Time, delivered, deferred []string, failed []int) {
	m := &a.kept.Message
	add := func(recipients []string, kind, detail string) {
		if len(recipients) == 0 {
			return
		}
		t := store.Track{
			At: now, MessageID: m.ID, CopyID: a.job.CopyID, HeaderID: m.HeaderID, Sender: m.Envelope.From, Recipients: recipients,
			Subject: m.Subject, Size: m.Size, Kind: kind, Detail: detail,
		}
		if m.Session.Client.IsValid() {
			t.Client = m.Session.Client.Addr().Unmap().String()
		}
		change.Tracks = append(change.Tracks, t)
	}
	prefix := ""
	if a.job.Kind != store.OweRelay {
		prefix = string(a.job.Kind) + " "
	}
	add(delivered, "Normal", prefix+a.said(a.replyOf(delivered)))
	add(deferred, "Deferred", prefix+a.said(a.replyOf(deferred)))
	var lost []string
	for _, i := range failed {
		lost = append(lost, a.due[i].Recipient)
	}
	add(lost, "BouncedBack", prefix+a.said(a.replyOf(lost)))
}

func (a *attempt) replyOf(recipients []string) message.Reply {
	for i := range a.due {
		if len(recipients) > 0 && a.due[i].Recipient == recipients[0] {
			return a.replies[i]
		}
	}
	return message.Reply{}
}

func (a *attempt) said(reply message.Reply) string {
	switch {
	case reply.Code == 0:
		return "no answer from " + a.job.Hop
	case a.host == "":
		return reply.String()
	}
	return a.host + ": " + reply.String()
}

// end finishes the copy where no relaying of it is due any more.
func (a *attempt) end(ctx context.Context, change *store.Change, now time.Time) error {
	all, err := a.delivery.Store.Obligations(ctx, a.job.CopyID)
	if err != nil {
		return err
	}
	var lost []string
	for _, o := range all {
		if i := slices.IndexFunc(change.Obligations, func(c store.Obligation) bool { return c.ID == o.ID }); i >= 0 {
			o = change.Obligations[i]
		}
		if o.Kind != store.OweRelay {
			continue
		}
		switch o.State {
		case store.ObligationDue:
			return nil
		case store.ObligationFailed:
			lost = append(lost, o.Recipient)
		}
	}
	c, err := a.delivery.Store.Copy(ctx, a.job.CopyID)
	if err != nil {
		return err
	}
	if c.State != store.CopyDelivering {
		return nil
	}
	c.State, c.Changed = store.CopyDone, now
	if len(lost) > 0 {
		c.Result = "BouncedBack"
		if !a.mayBounce() {
			c.State, c.Area, c.Recipients, c.Result = store.CopyUndeliverable, "undeliverable", lost, "Undeliverable"
		}
	}
	change.Copies = append(change.Copies, *c)
	return nil
}
