package policy

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/postern-mail/postern/core/message"
)

// lint warns of rules that are correct by themselves but cannot do what they seem to.
func (l *loader) lint() {
	l.lintMaxWait()
	for i, d := range l.drafts {
		l.lintActions(&d.rule, d.rule.Actions)
		for _, when := range d.rule.When {
			l.lintActions(&d.rule, when.Actions)
		}
		l.lintExcept(d)
		if !d.rule.Enabled {
			continue
		}
		l.lintAnalyze(d)
		if why := d.rule.neverApplies(l.policy); why != "" {
			l.warn(d.rule.Range, "Unreachable rule", fmt.Sprintf("No mail is ever for rule %q: %s.", d.rule.Name, why))
			continue
		}
		for _, earlier := range l.drafts[:i] {
			if l.shadows(earlier, d) {
				l.warn(d.rule.Range, "Unreachable rule", fmt.Sprintf(
					"Rule %q (%s:%d) is judged earlier, matches whatever this rule matches, and its action %q is final.",
					earlier.rule.Name, earlier.rule.Range.Filename, earlier.rule.Range.Start.Line, Final(earlier.rule.Actions).Name))
				break
			}
		}
	}
}

func (l *loader) lintMaxWait() {
	va := l.policy.VirtualAnalyzer
	if l.maxWait == nil || va.Deadline() >= va.MaxWait {
		return
	}
	l.warn(*l.maxWait, "max_wait is never reached", fmt.Sprintf(
		"The last of max_retries = %d queries is %.0fs after the submission, and the wait ends with it. Raise max_retries to wait for max_wait = %.0fs.",
		va.MaxRetries, va.Deadline().Seconds(), va.MaxWait.Seconds()))
}

func (l *loader) lintActions(r *Rule, actions []message.Action) {
	finals := 0
	for i := range actions {
		if actions[i].Effect.Final() {
			finals++
		}
	}
	if finals > 1 {
		l.warn(r.Range, "Competing actions", fmt.Sprintf(
			"Rule %q has %d final actions; only %q is carried out. The order is delete, deliver now, quarantine, change recipient, then the others.",
			r.Name, finals, Final(actions).Name))
	}
}

func (l *loader) lintExcept(d *draft) {
	for i, pair := range d.rule.Except {
		for j, other := range d.rule.Except {
			// Of two equal pairs the later one is superfluous.
			if i != j && other.covers(pair) && (i > j || !pair.covers(other)) {
				l.warn(d.pairs[i], "Overlapping exceptions", fmt.Sprintf("The pair from %s to %s excepts this mail already.", other.From, other.To))
				break
			}
		}
	}
}

// lintAnalyze warns of `analyze` without a sandbox, and where one rule analyzes what two scanners match: the guide wants a rule for
// true file types and another for names.
func (l *loader) lintAnalyze(d *draft) {
	first := ""
	for i, scan := range d.rule.Scans {
		if !scan.Analyze {
			continue
		}
		if !l.policy.Submits() {
			l.warn(d.scans[i].analyze, "Nothing is analyzed",
				"This scan never matches: samples are not submitted, because `virtual_analyzer` is missing, names no analyzer, or has submit = false.")
		}
		switch first {
		case "":
			first = scan.Plugin
		case scan.Plugin:
		default:
			l.warn(d.scans[i].analyze, "Rule analyzes by type and by name", fmt.Sprintf(
				"It gives the sandbox what %q matches and what %q matches. Write two rules, so that the log says which it was.", first, scan.Plugin))
		}
	}
}

// shadows reports whether the later rule can never match, because the earlier one does at once whenever it would, and ends the
// judgement. It says no where it cannot be sure.
func (l *loader) shadows(earlier, later *draft) bool {
	e := &earlier.rule
	if !e.Enabled || len(e.When) > 0 || Final(e.Actions) == nil || e.MatchAll && len(e.Scans) > 1 || !e.covers(&later.rule) ||
		l.strictness(e) < l.strictness(&later.rule) {
		return false
	}
	covered := 0
	for i := range later.rule.Scans {
		if slices.ContainsFunc(indexes(e.Scans), func(j int) bool { return coversScan(earlier, j, later, i) }) {
			covered++
		}
	}
	if later.rule.MatchAll {
		return covered > 0
	}
	return covered == len(later.rule.Scans)
}

func indexes[T any](list []T) []int {
	out := make([]int, len(list))
	for i := range out {
		out[i] = i
	}
	return out
}

// coversScan reports whether scan j of the earlier rule matches whatever scan i of the later one matches.
func coversScan(earlier *draft, j int, later *draft, i int) bool {
	a, b := earlier.rule.Scans[j], later.rule.Scans[i]
	if a.Analyze || a.Plugin != b.Plugin || a.Not != b.Not || !bytes.Equal(earlier.scans[j].config, later.scans[i].config) {
		return false
	}
	wide, narrow := a.Objects, b.Objects
	if a.Not {
		wide, narrow = narrow, wide // what is absent from more is absent from less
	}
	for _, kind := range narrow {
		if !slices.Contains(wide, kind) {
			return false
		}
	}
	return true
}

// strictness orders what a rule takes from the sandbox: the strictest acts on any risk.
func (l *loader) strictness(r *Rule) int {
	level := r.SecurityLevel
	if level == "" && l.policy.VirtualAnalyzer != nil {
		level = l.policy.VirtualAnalyzer.SecurityLevel
	}
	switch level {
	case SecurityHigh:
		return 2
	case SecurityMedium:
		return 1
	}
	return 0
}
