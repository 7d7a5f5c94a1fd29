package engine

import (
	"testing"
	"time"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/policy"
)

// TestSocialEngineeringActsByThreshold holds the contract with scanners of social engineering (DESIGN.md, "Possible and sure"): with
// submission on, what either threshold found is double-checked; without it, only what is sure acts.
func TestSocialEngineeringActsByThreshold(t *testing.T) {
	off := &policy.VirtualAnalyzer{Analyzer: "sandbox"}
	on := &policy.VirtualAnalyzer{Analyzer: "sandbox", Submit: true, SecurityLevel: policy.SecurityLow, MaxWait: time.Hour, MaxRetries: 20}
	async := *on
	async.Async = true
	high, none := message.RiskHigh, message.RiskNone
	tests := []struct {
		name      string
		certainty message.Certainty
		analyzer  *policy.VirtualAnalyzer
		verdict   *message.RiskLevel
		state     message.FateState
		matches   int
		threat    string
	}{
		{"sure, no sandbox", message.Sure, nil, nil, message.FateDecided, 1, ""},
		{"possible, no sandbox", message.Possible, nil, nil, message.FateDecided, 0, ""},
		{"sure, submission off", message.Sure, off, nil, message.FateDecided, 1, ""},
		{"possible, submission off", message.Possible, off, nil, message.FateDecided, 0, ""},
		{"sure, submission on", message.Sure, on, nil, message.FateWaiting, 0, ""},
		{"possible, submission on", message.Possible, on, nil, message.FateWaiting, 0, ""},
		{"sure, high risk", message.Sure, on, &high, message.FateDecided, 1, message.ThreatAnalyzed},
		{"possible, high risk", message.Possible, on, &high, message.FateDecided, 1, message.ThreatAnalyzed},
		{"sure, no risk", message.Sure, on, &none, message.FateDecided, 0, ""},
		{"possible, no risk", message.Possible, on, &none, message.FateDecided, 0, ""},
		{"possible, asynchronous", message.Possible, &async, nil, message.FateDecided, 1, message.ThreatSubmitted},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := &message.Message{SHA256: "aa", Size: 5}
			key := message.SampleKey{SHA256: "aa", Kind: "message", Extension: "eml"}
			verdicts := map[message.SampleKey]message.Verdict{}
			if test.verdict != nil {
				verdicts[key] = message.Verdict{State: message.VerdictDone, Level: *test.verdict, Analyzer: "sandbox"}
			}
			decision := Evaluate(Input{
				Message: m, Recipients: []string{"tom@example.org"}, Verdicts: verdicts, Now: time.Unix(0, 0),
				Facts: &message.Facts{Reports: map[string]message.Report{"snap": {Plugin: "snap", Queries: []int{1}, Findings: []message.Finding{
					{Plugin: "snap", Query: 1, Kind: "social", Certainty: test.certainty, Name: "Social engineering attack", Part: -1},
				}}}},
				Policy: &policy.Policy{
					VirtualAnalyzer: test.analyzer,
					Rules: []policy.Rule{{
						Name: "Default spam rule", Enabled: true, Route: policy.RouteAll, Scans: []policy.Scan{{Plugin: "snap", Query: 1}},
						Actions: []message.Action{{Name: "quarantine", Effect: message.EffectQuarantine}},
					}},
				},
			})
			if len(decision.Fates) != 1 {
				t.Fatalf("fates %+v", decision.Fates)
			}
			fate := decision.Fates[0]
			if fate.State != test.state || len(fate.Matches) != test.matches {
				t.Errorf("state %v with %d matches, want %v with %d", fate.State, len(fate.Matches), test.state, test.matches)
			}
			if test.state == message.FateWaiting && (len(fate.Waits) != 1 || fate.Waits[0].Key != key) {
				t.Errorf("waits for %+v, want the whole message", fate.Waits)
			}
			if test.matches == 1 && len(fate.Matches) == 1 && fate.Matches[0].ThreatType != test.threat {
				t.Errorf("threat %q, want %q", fate.Matches[0].ThreatType, test.threat)
			}
		})
	}
}
