package engine

import (
	"fmt"
	"strings"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/policy"
)

// fate is a message.Fate before alike ones are merged.
type fate = message.Fate

// judge is one walk through the rules for one group of recipients.
type judge struct {
	in      Input
	group   group
	fate    fate
	trace   []message.TraceStep
	needs   map[string][]int
	raised  map[string]bool // exceptions that have acted already, by kind and plugin
	waiting bool            // a rule waits: later ones are only looked at for their samples
}

// run walks the stages in the order of docs/flow.md, "Judgement".
func (j *judge) run() fate {
	j.fate = fate{Recipients: j.group.recipients, State: message.FateDecided}
	j.raised = map[string]bool{}
	if malformed := j.troubles(message.ExceptionMalformed); len(malformed) > 0 {
		j.except(message.ExceptionMalformed, malformed, j.in.Policy.Exceptions[message.ExceptionMalformed].Actions)
		return j.fate // no rule runs
	}
	rules := j.in.Policy.Rules
	next := 0
	for ; next < len(rules) && rules[next].Virus; next++ {
		if j.rule(next) {
			return j.fate
		}
	}
	for _, exception := range []message.Exception{
		message.ExceptionSecuritySettings, message.ExceptionEncryption, message.ExceptionPluginUnavailable,
	} {
		troubles := j.troubles(exception)
		if len(troubles) > 0 && j.except(exception, troubles, j.in.Policy.Exceptions[exception].Actions) {
			return j.fate
		}
	}
	for ; next < len(rules); next++ {
		if j.rule(next) {
			return j.fate
		}
	}
	return j.fate
}

// rule looks at one rule and reports whether judgement ends with it.
func (j *judge) rule(i int) (final bool) {
	rule := &j.in.Policy.Rules[i]
	if outcome := j.group.outcomes[i]; outcome != "" {
		j.step(rule, outcome, j.group.whys[i], nil)
		return false
	}
	r := j.look(rule)
	if !j.waiting {
		j.submit(rule, r.submits)
	}
	switch r.state {
	case needsFacts:
		return false // what is needed has been noted; another evaluation follows
	case waits:
		j.step(rule, message.OutcomeWaits, sampleNames(r.pending), r.findings)
		j.wait(rule, r.pending)
		return false
	case troubled:
		return j.instead(rule, r)
	case matched:
		return j.match(rule, r)
	}
	j.step(rule, r.outcome, r.why, r.findings)
	if len(r.submits) > 0 {
		// Asynchronous mode lets pass what an analyze filter matched, and logs that it was submitted.
		j.add(message.Match{Rule: rule.Name, Number: rule.Number, Kind: kindOf(rule), Findings: r.findings, ThreatType: message.ThreatSubmitted})
	}
	return false
}

func kindOf(rule *policy.Rule) string {
	if rule.Virus {
		return "virus"
	}
	return "other"
}

// submit notes samples that the sandbox is to see although nobody waits for it.
func (j *judge) submit(rule *policy.Rule, samples []message.Sample) {
	for _, sample := range samples {
		sample.Rule = rule.Name
		j.fate.Submits = append(j.fate.Submits, sample)
	}
}

// wait notes the samples the rule waits for. Rules after it are still looked at, because all samples are submitted at once, but
// none of them may act before this one has spoken.
func (j *judge) wait(rule *policy.Rule, pending []message.Sample) {
	if !j.waiting {
		j.waiting = true
		j.fate.State = message.FateWaiting
		j.fate.WaitRule = rule.Name
	}
	for _, sample := range pending {
		known := false
		for _, have := range j.fate.Waits {
			known = known || have.Key == sample.Key
		}
		if !known {
			j.fate.Waits = append(j.fate.Waits, sample)
		}
	}
}

// match carries a matching rule out, unless an earlier one still waits.
func (j *judge) match(rule *policy.Rule, r result) (final bool) {
	actions := actionsFor(rule, r.findings)
	if j.waiting {
		// Judgement would end here if no earlier rule qualifies: samples of later rules are not needed.
		j.step(rule, message.OutcomeMatched, "after a rule that waits: "+r.why, r.findings)
		return policy.Final(actions) != nil
	}
	j.step(rule, message.OutcomeMatched, r.why, r.findings)
	return j.add(message.Match{
		Rule: rule.Name, Number: rule.Number, Kind: kindOf(rule), Findings: r.findings, Actions: actions, ThreatType: r.threat,
		Verdicts: r.verdicts,
	})
}

// instead lets the exception take its rule's place (docs/flow.md, "Judgement").
func (j *judge) instead(rule *policy.Rule, r result) (final bool) {
	j.step(rule, message.OutcomeException, troubleText(r.troubles), r.findings)
	exception := r.troubles[0].Exception
	p := j.in.Policy.Exceptions[exception]
	actions := p.Actions
	if exception == message.ExceptionVirtualAnalyzer && p.Unsupported != nil && allUnsupported(r.troubles) {
		actions = p.Unsupported
	}
	return j.except(exception, r.troubles, actions)
}

func allUnsupported(troubles []message.Trouble) bool {
	for i := range troubles {
		if troubles[i].Reason != reasonUnsupported {
			return false
		}
	}
	return true
}

// except carries an exception out, once for each kind and cause, and reports whether judgement ends with it.
func (j *judge) except(exception message.Exception, troubles []message.Trouble, actions []message.Action) (final bool) {
	key := string(exception) + "/" + troubles[0].Plugin
	if exception != message.ExceptionPluginUnavailable {
		key = string(exception) + "/" + troubleText(troubles)
	}
	if j.raised[key] {
		return false
	}
	j.raised[key] = true
	if j.waiting {
		return policy.Final(actions) != nil
	}
	m := message.Match{Rule: string(exception), Exception: exception, Troubles: troubles, Actions: actions}
	if exception == message.ExceptionVirtualAnalyzer {
		m.ThreatType = message.ThreatProbable
	}
	return j.add(m)
}

// add appends a match to the fate and reports whether it is final.
func (j *judge) add(m message.Match) (final bool) {
	m.Recipients = j.group.recipients
	m.Final = policy.Final(m.Actions)
	m.Actions = carriedOut(m.Actions, m.Final)
	j.fate.Matches = append(j.fate.Matches, m)
	if m.Final == nil {
		return false
	}
	j.fate.Final = m.Final
	return true
}

// carriedOut leaves out the final actions that lost against the one that is carried out: what is logged is what is done.
func carriedOut(actions []message.Action, final *message.Action) []message.Action {
	var out []message.Action
	for i := range actions {
		if !actions[i].Effect.Final() || &actions[i] == final {
			out = append(out, actions[i])
		}
	}
	return out
}

// troubles are all obstacles of one kind, from taking the message apart and from the reports. A scanner that did not answer is left to
// the rules that asked it, whose place the exception takes; an unpacker that did not answer has kept members from all of them.
func (j *judge) troubles(exception message.Exception) []message.Trouble {
	var out []message.Trouble
	for _, t := range j.in.Facts.Tree.Troubles {
		if t.Exception == exception && !j.isWaivedTrouble(&t) {
			out = append(out, t)
		}
	}
	if exception == message.ExceptionPluginUnavailable {
		return out
	}
	for i := range j.in.Policy.Plugins {
		report := j.in.Facts.Reports[j.in.Policy.Plugins[i].Name]
		for _, t := range report.Troubles {
			if t.Exception == exception && !j.isWaivedTrouble(&t) {
				out = append(out, t)
			}
		}
	}
	return out
}

func (j *judge) isWaivedTrouble(t *message.Trouble) bool {
	f := t.AsFinding()
	return j.isWaived(&f)
}

func (j *judge) step(rule *policy.Rule, outcome message.Outcome, why string, findings []message.Finding) {
	j.trace = append(j.trace, message.TraceStep{
		Number: rule.Number, Rule: rule.Name, Recipients: j.group.recipients, Outcome: outcome, Why: why, Findings: findings,
	})
}

// actionsFor are the rule's actions, or those of the `when` that fits the strictest object among the findings.
func actionsFor(rule *policy.Rule, findings []message.Finding) []message.Action {
	if len(rule.When) == 0 {
		return rule.Actions
	}
	strictness := [...]string{"quarantine", "block", "log", "none"}
	for _, level := range strictness {
		for i := range findings {
			if findings[i].ObjectAction != level {
				continue
			}
			for _, when := range rule.When {
				for _, a := range when.ObjectAction {
					if a == level {
						return when.Actions
					}
				}
			}
		}
	}
	return rule.Actions
}

func sampleNames(samples []message.Sample) string {
	names := make([]string, 0, len(samples))
	for i := range samples {
		names = append(names, samples[i].Display)
	}
	return "waits for the analysis of " + strings.Join(names, "; ")
}

func troubleText(troubles []message.Trouble) string {
	texts := make([]string, 0, len(troubles))
	for i := range troubles {
		t := &troubles[i]
		text := t.Reason
		if t.Plugin != "" {
			text = t.Plugin + ": " + text
		}
		if t.Detail != "" {
			text += fmt.Sprintf(" (%s)", t.Detail)
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, "; ")
}
