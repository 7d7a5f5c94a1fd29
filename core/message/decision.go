package message

import (
	"encoding/json"
	"time"
)

// Effect is what the core does for an action of a rule.
type Effect string

// The effects. Final ones end the judgement of a recipient; the others let it go on.
const (
	EffectDelete          Effect = "delete"
	EffectQuarantine      Effect = "quarantine"
	EffectReject          Effect = "reject"
	EffectChangeRecipient Effect = "change_recipient"
	EffectHandOff         Effect = "hand_off"
	EffectDeliverNow      Effect = "deliver_now"
	EffectPostpone        Effect = "postpone"
	EffectDefer           Effect = "defer" // exceptions only: 451, later retried
	EffectPass            Effect = "pass"
	EffectEdit            Effect = "edit"
	EffectNotify          Effect = "notify"
	EffectArchive         Effect = "archive"
	EffectBCC             Effect = "bcc"
)

// Final reports whether the effect ends the judgement.
func (e Effect) Final() bool {
	switch e {
	case EffectDelete, EffectQuarantine, EffectReject, EffectChangeRecipient, EffectHandOff, EffectDeliverNow,
		EffectPostpone, EffectDefer:
		return true
	}
	return false
}

// Action is one `action` block of the policy, checked. Which of the parameters are set depends on the effect.
type Action struct {
	Name   string          `json:"name"`
	Plugin string          `json:"plugin"`
	Effect Effect          `json:"effect"`
	Label  string          `json:"label"`            // as the log shows it: "Subject tagged"
	Config json.RawMessage `json:"config,omitempty"` // the whole block, for the plugin

	Area         string   `json:"area,omitempty"`         // quarantine, archive
	To           []string `json:"to,omitempty"`           // change_recipient, bcc
	Host         string   `json:"host,omitempty"`         // hand_off, host:port
	At           string   `json:"at,omitempty"`           // postpone, HH:MM local time
	Notification string   `json:"notification,omitempty"` // notify, the notification's name
	Text         string   `json:"text,omitempty"`         // reject, the SMTP text
}

// Match is one rule or exception that matched for some recipients.
type Match struct {
	// Rule is the rule's name, or the exception's where Exception is set.
	Rule      string    `json:"rule"`
	Number    int       `json:"number,omitempty"` // as `postern policy show` prints it
	Exception Exception `json:"exception,omitempty"`
	// Recipients are those of the fate for whom it matched: copies that leave alike are one, whatever was logged on the way.
	Recipients []string `json:"recipients"`
	// Kind is virus or other for rules.
	Kind     string    `json:"kind,omitempty"`
	Findings []Finding `json:"findings,omitempty"`
	Troubles []Trouble `json:"troubles,omitempty"`
	Actions  []Action  `json:"actions"`
	// Final is the one final action that the rule carries out, nil where it has none.
	Final *Action `json:"final,omitempty"`
	// ThreatType is "Analyzed advanced threat" or "Probable advanced threat" where a sandbox was or would have been asked.
	ThreatType string `json:"threat_type,omitempty"`
	// Verdicts are the sandbox's answers that made the rule match.
	Verdicts []Verdict `json:"verdicts,omitempty"`
}

// FateState says whether a recipient's judgement is over.
type FateState string

// The states of a fate.
const (
	FateDecided FateState = "decided"
	FateWaiting FateState = "waiting"
)

// Fate is the same outcome for one or more recipients: one copy of the message.
type Fate struct {
	Recipients []string  `json:"recipients"`
	State      FateState `json:"state"`
	// Final is what happens to the copy; nil means that it is delivered to its recipients.
	Final *Action `json:"final,omitempty"`
	// Matches are all rules and exceptions that matched, in order. The last one holds Final where it is set.
	Matches []Match `json:"matches,omitempty"`
	// Waits are the samples still to be analysed for these recipients, where State is waiting.
	Waits []Sample `json:"waits,omitempty"`
	// WaitRule is the first rule that waits.
	WaitRule string `json:"wait_rule,omitempty"`
	// Submits are samples that nobody waits for: asynchronous mode has acted, or let pass, and learns of the verdict afterwards. The
	// rules are among the matches, with the threat type ThreatSubmitted.
	Submits []Sample `json:"submits,omitempty"`
	// Verdicts are what the sandbox has said so far of samples that this copy waited for. They stay with it when the cache is reset.
	Verdicts []SampleVerdict `json:"verdicts,omitempty"`
	// Noticed says that its recipients have been told that it is held.
	Noticed bool `json:"noticed,omitempty"`
}

// The words of the Advanced Threat Type column (product guide, pages 10 and 25).
const (
	ThreatAnalyzed  = "Analyzed advanced threat" // the sandbox's level reached the security level
	ThreatProbable  = "Probable advanced threat" // acted on without a level
	ThreatSubmitted = "Submitted"                // asynchronous mode, until one of the others is known
	ThreatNoRisk    = "Analyzed: no risk"        // asynchronous mode: below the security level
)

// Edits are the actions of the matches that change the copy, in rule order, each with its rule.
func (f *Fate) Edits() []RuleAction { return f.actions(EffectEdit) }

// Others are the actions that go along with the copy: notify, archive, bcc.
func (f *Fate) Others() []RuleAction {
	return f.actions(EffectNotify, EffectArchive, EffectBCC)
}

func (f *Fate) actions(effects ...Effect) []RuleAction {
	var out []RuleAction
	for i := range f.Matches {
		for j := range f.Matches[i].Actions {
			for _, e := range effects {
				if f.Matches[i].Actions[j].Effect == e {
					out = append(out, RuleAction{Match: &f.Matches[i], Action: &f.Matches[i].Actions[j]})
				}
			}
		}
	}
	return out
}

// RuleAction is an action with the match that made it due.
type RuleAction struct {
	Match  *Match
	Action *Action
}

// Decision is what Evaluate says of a whole message.
type Decision struct {
	Fates []Fate      `json:"fates"`
	Trace []TraceStep `json:"trace"`
	// NeedFacts are queries, by plugin, without whose answers nothing can be said. Fates is then empty.
	NeedFacts map[string][]int `json:"need_facts,omitempty"`
	Revision  string           `json:"revision"` // policy revision
	At        time.Time        `json:"at"`
}

// Uniform reports whether all recipients share one fate that is decided.
func (d *Decision) Uniform() bool {
	return len(d.Fates) == 1 && d.Fates[0].State == FateDecided
}

// Outcome is what became of a rule for some recipients.
type Outcome string

// The outcomes of a rule.
const (
	OutcomeDisabled   Outcome = "disabled"
	OutcomeRoute      Outcome = "route does not apply"
	OutcomeExcepted   Outcome = "excepted"
	OutcomeNoMatch    Outcome = "no match"
	OutcomeWaived     Outcome = "waived"
	OutcomeBelowLevel Outcome = "below security level"
	OutcomeMatched    Outcome = "matched"
	OutcomeWaits      Outcome = "waits"
	OutcomeException  Outcome = "exception"
)

// TraceStep is one rule looked at, for recipients that fared alike.
type TraceStep struct {
	Number     int       `json:"number"`
	Rule       string    `json:"rule"`
	Recipients []string  `json:"recipients"`
	Outcome    Outcome   `json:"outcome"`
	Why        string    `json:"why,omitempty"`
	Findings   []Finding `json:"findings,omitempty"`
}
