package gate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/core/content"
	"github.com/postern-mail/postern/core/engine"
	"github.com/postern-mail/postern/core/inspect"
	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/objects"
	"github.com/postern-mail/postern/core/policy"
	"github.com/postern-mail/postern/core/spool"
)

// work is one message on its way through the gate.
type work struct {
	generation Generation
	policy     *policy.Policy
	message    *message.Message
	raw        message.Body
	scope      *spool.Scope
	facts      *message.Facts
	decision   message.Decision
	waivers    []message.Waiver
	verdicts   map[message.SampleKey]message.Verdict
	committed  bool // it is kept, and was answered for with that
}

// Preview judges a message as it would be judged on arrival, without a store: no verdict is known, nothing is kept or sent.
func Preview(ctx context.Context, generation Generation, a *Arrival, now time.Time) (*message.Message, *message.Facts, *message.Decision, error) {
	w := &work{
		generation: generation, policy: generation.Policy(), raw: a.Data, scope: a.Scope, message: newMessage(generation.Policy(), a),
	}
	recipients := w.message.Envelope.To
	if err := w.inspect(ctx, recipients); err != nil {
		return nil, nil, nil, err
	}
	if err := w.hash(); err != nil {
		return nil, nil, nil, err
	}
	if err := w.evaluate(recipients, now); err != nil {
		return nil, nil, nil, err
	}
	return w.message, w.facts, &w.decision, nil
}

// inspect finds the facts, where they are not known yet.
func (w *work) inspect(ctx context.Context, recipients []string) error {
	if w.facts != nil {
		return nil
	}
	facts, err := w.generation.Inspector().Inspect(ctx, w.message, w.raw, w.scope, w.live(recipients))
	if err != nil {
		return err
	}
	w.facts = facts
	describe(w.message, &facts.Tree, w.policy.Gateway.Hostname)
	return nil
}

func (w *work) evaluate(recipients []string, now time.Time) error {
	w.decision = engine.Evaluate(engine.Input{
		Message: w.message, Recipients: recipients, Facts: w.facts, Policy: w.policy, Verdicts: w.verdicts, Waivers: w.waivers, Now: now,
	})
	if len(w.decision.NeedFacts) > 0 {
		return fmt.Errorf("judge message: queries were not asked: %v", w.decision.NeedFacts)
	}
	return nil
}

// live are the queries of the enabled rules that apply to some recipient.
func (w *work) live(recipients []string) inspect.Live {
	live := inspect.Live{}
	for i := range w.policy.Rules {
		rule := &w.policy.Rules[i]
		if !rule.Enabled || !appliesToAny(w.policy, rule, w.message.Envelope.From, recipients) {
			continue
		}
		for _, scan := range rule.Scans {
			if scan.Query != 0 && !slices.Contains(live[scan.Plugin], scan.Query) {
				live[scan.Plugin] = append(live[scan.Plugin], scan.Query)
			}
		}
	}
	return live
}

func appliesToAny(p *policy.Policy, rule *policy.Rule, sender string, recipients []string) bool {
	for _, r := range recipients {
		if applies, _ := rule.AppliesTo(p, sender, r); applies {
			return true
		}
	}
	return false
}

// carried are the objects that the message is found by later, where the policy has lists.
func (w *work) carried() [][]byte {
	if w.facts == nil || w.policy.Objects == nil {
		return nil
	}
	return objects.Carried(&w.facts.Tree)
}

// hash computes the digests of the message as it came, once.
func (w *work) hash() error {
	if w.message.SHA256 != "" {
		return nil
	}
	sha1sum, sha256sum, err := content.Digests(w.raw)
	if err != nil {
		return fmt.Errorf("hash message: %w", err)
	}
	w.message.SHA1, w.message.SHA256 = sha1sum, sha256sum
	return nil
}

// describe takes subject, author and Message-ID over from the header. Mail without a Message-ID gets one in front of it.
func describe(m *message.Message, tree *message.Tree, hostname string) {
	for _, f := range tree.Header {
		switch {
		case strings.EqualFold(f.Name, "Subject") && m.Subject == "":
			m.Subject = content.DecodeText(f.Value)
		case strings.EqualFold(f.Name, "From") && m.HeaderFrom == "":
			m.HeaderFrom = content.DecodeText(f.Value)
		case strings.EqualFold(f.Name, "Message-ID") && m.HeaderID == "":
			m.HeaderID = strings.Trim(content.DecodeText(f.Value), "<> \t")
		}
	}
	if m.HeaderID == "" {
		m.HeaderID = fmt.Sprintf("%s.%s@%s", m.Received.UTC().Format("20060102150405"), m.QueueID, hostname)
		m.Trace += "Message-ID: <" + m.HeaderID + ">\r\n"
	}
}
