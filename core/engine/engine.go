// Package engine judges: facts, policy, verdicts and waivers go in, a Decision per recipient comes out. It is a pure function (promise
// 2): no I/O, no clock, no randomness, so that explain, replay and a held message's second judgement all follow from it.
package engine

import (
	"time"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/policy"
)

// Input is all that a judgement depends on.
type Input struct {
	Message    *message.Message
	Recipients []string // those still to be judged
	Facts      *message.Facts
	Policy     *policy.Policy
	// Verdicts are the sandbox's answers known so far, also expired waits. A sample without one is still to be analysed.
	Verdicts map[message.SampleKey]message.Verdict
	Waivers  []message.Waiver
	Now      time.Time
}

// Evaluate judges the message for every recipient. Recipients that fare alike share a fate, so that the fewest copies leave.
// Where facts are missing it names the queries to ask, and decides nothing.
func Evaluate(in Input) message.Decision {
	d := message.Decision{Revision: in.Policy.Revision, At: in.Now}
	var judged []fate
	for _, group := range groups(in) {
		j := judge{in: in, group: group}
		f := j.run()
		d.Trace = append(d.Trace, j.trace...)
		d.NeedFacts = addNeeds(d.NeedFacts, j.needs)
		judged = append(judged, f)
	}
	if len(d.NeedFacts) > 0 {
		return d
	}
	d.Fates = merge(judged)
	return d
}

// group is recipients for whom the same rules apply and the same findings are waived.
type group struct {
	recipients []string
	outcomes   []message.Outcome // per rule: "" where it applies, else why not
	whys       []string
}

// groups puts together the recipients that need only one judgement, in the order of the first of each.
func groups(in Input) []group {
	var out []group
	index := map[string]int{}
	for _, recipient := range in.Recipients {
		g := group{outcomes: make([]message.Outcome, len(in.Policy.Rules)), whys: make([]string, len(in.Policy.Rules))}
		key := make([]byte, 0, len(in.Policy.Rules)+len(in.Waivers))
		for i := range in.Policy.Rules {
			rule := &in.Policy.Rules[i]
			applies, why := true, ""
			switch {
			case !rule.Enabled:
				g.outcomes[i] = message.OutcomeDisabled
				applies = false
			default:
				if applies, why = rule.AppliesTo(in.Policy, in.Message.Envelope.From, recipient); !applies {
					g.outcomes[i] = message.OutcomeRoute
				}
			}
			g.whys[i] = why
			key = append(key, boolByte(applies))
		}
		for i := range in.Waivers {
			key = append(key, boolByte(covers(&in.Waivers[i], recipient)))
		}
		at, known := index[string(key)]
		if !known {
			at = len(out)
			index[string(key)] = at
			out = append(out, g)
		}
		out[at].recipients = append(out[at].recipients, recipient)
	}
	return out
}

func covers(w *message.Waiver, recipient string) bool {
	if len(w.Recipients) == 0 {
		return true
	}
	for _, r := range w.Recipients {
		if r == recipient {
			return true
		}
	}
	return false
}

func boolByte(b bool) byte {
	if b {
		return '1'
	}
	return '0'
}

func addNeeds(all map[string][]int, needs map[string][]int) map[string][]int {
	for plugin, queries := range needs {
		if all == nil {
			all = map[string][]int{}
		}
		for _, q := range queries {
			if !containsInt(all[plugin], q) {
				all[plugin] = append(all[plugin], q)
			}
		}
	}
	return all
}

func containsInt(list []int, x int) bool {
	for _, y := range list {
		if x == y {
			return true
		}
	}
	return false
}
