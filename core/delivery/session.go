package delivery

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/policy"
	"github.com/postern-mail/postern/core/rewrite"
)

// inSession bounds how long a next hop may take before its end of data, while the client waits.
const inSession = 60 * time.Second

// RelayNow sends to all recipients or to none. An error says that nothing was handed over and the mail is still ours: no host could be
// spoken to, or was too slow before the end of data, or the recipients fared differently.
func (d *Delivery) RelayNow(ctx context.Context, h *Handover) (*Handed, error) {
	ctx, cancel := context.WithTimeout(ctx, inSession)
	defer cancel()
	leaving, err := d.copyOf(ctx, h)
	if err != nil {
		return nil, err
	}
	m := &mail{
		from: h.Message.Envelope.From, to: h.Fate.Recipients, content: leaving, eightBit: h.Message.Envelope.EightBit,
		utf8: h.Message.Envelope.UTF8, all: true,
	}
	o, host, err := d.relay(ctx, h.Hop, h.Generation.Policy().Gateway.Hostname, m)
	switch {
	case o.ended && o.final.Code == 0:
		d.Log.Warn("no reply to the end of data", "message", h.Message.ID, "host", host, "error", err)
		return &Handed{Host: host}, nil
	case err != nil && o.final.Code == 0:
		return nil, err
	case o.final.Code != 0:
		return &Handed{Final: o.final, Host: host}, nil
	}
	first := o.recipients[0]
	for _, reply := range o.recipients {
		if reply.Code/100 != first.Code/100 {
			return nil, fmt.Errorf("relay to %s: the recipients fared differently", host)
		}
	}
	return &Handed{Final: first, Host: host}, nil
}

// copyOf is the message as it leaves for a fate.
func (d *Delivery) copyOf(ctx context.Context, h *Handover) (*rewrite.Copy, error) {
	edits, err := perform(ctx, h)
	if err != nil {
		return nil, err
	}
	return rewrite.Make(h.Raw, h.Tree, optionsOf(h.Generation.Policy(), h.Message), edits)
}

func optionsOf(p *policy.Policy, m *message.Message) rewrite.Options {
	return rewrite.Options{Trace: m.Trace, Forged: p.Gateway.ForgedHeaders, Hostname: p.Gateway.Hostname}
}

// perform asks for the changes of all editing actions, in rule order. Each action sees the header as those before it left it.
func perform(ctx context.Context, h *Handover) (*rewrite.Edits, error) {
	all := &rewrite.Edits{Remove: map[int]string{}}
	header := slices.Clone(h.Tree.Header)
	for _, action := range h.Fate.Edits() {
		edits, err := h.Generation.Performer().Perform(ctx, &Request{Message: h.Message, Tree: h.Tree, Header: header, Action: action})
		if err != nil {
			return nil, fmt.Errorf("perform %s of rule %q: %w", action.Action.Name, action.Match.Rule, err)
		}
		for _, field := range edits.Headers {
			header = setField(header, field)
		}
		all.Headers = append(all.Headers, edits.Headers...)
		all.Insert = append(all.Insert, edits.Insert...)
		for part, notice := range edits.Remove {
			all.Remove[part] = notice
		}
	}
	return all, nil
}

func setField(header []message.HeaderField, field message.HeaderField) []message.HeaderField {
	header = slices.DeleteFunc(header, func(f message.HeaderField) bool { return strings.EqualFold(f.Name, field.Name) })
	return append(header, field)
}
