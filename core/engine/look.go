package engine

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/policy"
)

// reasonUnsupported is the trouble of a sample that the sandbox does not take.
const reasonUnsupported = "unsupported"

// state is what is known of a scan, or of a rule.
type state int

const (
	notMatched state = iota
	matched
	waits      // a sample's verdict is missing
	troubled   // something kept a scanner or the sandbox from answering
	needsFacts // a query was not asked
)

// result is what looking at a scan or a rule gave.
type result struct {
	state    state
	outcome  message.Outcome // why not, for notMatched
	why      string
	findings []message.Finding
	pending  []message.Sample
	troubles []message.Trouble
	threat   string
	verdicts []message.Verdict
	submits  []message.Sample // asynchronous mode: to be analysed while nobody waits
}

// look looks at all scans of a rule and combines them by `match`.
func (j *judge) look(rule *policy.Rule) result {
	results := make([]result, 0, len(rule.Scans))
	for i := range rule.Scans {
		results = append(results, j.scan(rule, &rule.Scans[i]))
	}
	// What decides first. For "any" a match, then what may still become one; for "all" the reverse.
	order := []state{needsFacts, matched, waits, troubled, notMatched}
	if rule.MatchAll {
		order = []state{needsFacts, notMatched, troubled, waits, matched}
	}
	for _, s := range order {
		if combined, found := combine(results, s); found {
			return combined
		}
	}
	return result{state: notMatched, outcome: message.OutcomeNoMatch}
}

// combine joins the results that are in the state.
func combine(results []result, s state) (result, bool) {
	out := result{state: s}
	found := false
	var whys []string
	for i := range results {
		r := &results[i]
		if r.state != s {
			continue
		}
		if !found || out.outcome == message.OutcomeNoMatch {
			out.outcome = r.outcome
		}
		found = true
		out.findings = append(out.findings, r.findings...)
		out.pending = append(out.pending, r.pending...)
		out.troubles = append(out.troubles, r.troubles...)
		out.verdicts = append(out.verdicts, r.verdicts...)
		out.submits = append(out.submits, r.submits...)
		if r.threat != "" {
			out.threat = r.threat
		}
		if r.why != "" {
			whys = append(whys, r.why)
		}
	}
	out.why = strings.Join(whys, "; ")
	return out, found
}

// scan looks at one scan of a rule.
func (j *judge) scan(rule *policy.Rule, scan *policy.Scan) result {
	report, asked := j.in.Facts.Reports[scan.Plugin]
	if !asked || scan.Query != 0 && !report.Answers(scan.Query) {
		if j.needs == nil {
			j.needs = map[string][]int{}
		}
		j.needs[scan.Plugin] = append(j.needs[scan.Plugin], scan.Query)
		return result{state: needsFacts}
	}
	live, waived := j.findings(&report, scan)
	var troubles []message.Trouble
	for _, t := range report.Troubles {
		if t.Exception == message.ExceptionPluginUnavailable && !j.isWaivedTrouble(&t) {
			troubles = append(troubles, t)
		}
	}
	if len(live) == 0 && len(troubles) > 0 {
		return result{state: troubled, troubles: troubles}
	}
	r := j.confirm(rule, scan, live)
	if len(live) == 0 && waived > 0 {
		r.outcome, r.why = message.OutcomeWaived, fmt.Sprintf("%d finding(s) waived by a release", waived)
	}
	if scan.Not {
		r = invert(r, scan)
	}
	return r
}

// invert turns a scan with `not = true` round. What is not known stays so.
func invert(r result, scan *policy.Scan) result {
	switch r.state {
	case matched:
		return result{state: notMatched, outcome: message.OutcomeNoMatch, findings: r.findings,
			why: scan.Plugin + " found what must not be there"}
	case notMatched:
		return result{state: matched, why: scan.Plugin + " found nothing, as the rule asks"}
	}
	return r
}

// findings are those that answer the scan and are not waived for the group.
func (j *judge) findings(report *message.Report, scan *policy.Scan) (live []message.Finding, waived int) {
	for _, f := range report.Findings {
		if f.Query != scan.Query || len(scan.Objects) > 0 && !slices.Contains(scan.Objects, f.Kind) {
			continue
		}
		if j.isWaived(&f) {
			waived++
			continue
		}
		live = append(live, f)
	}
	return live, waived
}

func (j *judge) isWaived(f *message.Finding) bool {
	for i := range j.in.Waivers {
		if j.in.Waivers[i].Waives(f, j.group.recipients[0]) {
			return true
		}
	}
	return false
}

// confirm decides what findings are worth: a sure one matches at once, what is suspected or to be analysed is worth what the
// sandbox says of it.
func (j *judge) confirm(rule *policy.Rule, scan *policy.Scan, live []message.Finding) result {
	var sure, dropped []message.Finding
	analysed := result{}
	for _, f := range live {
		switch j.course(scan, &f) {
		case actAtOnce:
			sure = append(sure, f)
		case actAsProbable:
			sure = append(sure, f)
			analysed.threat = message.ThreatProbable
		case actAndSubmit:
			sure = append(sure, f)
			analysed.threat = message.ThreatSubmitted
			analysed.submits = append(analysed.submits, j.sample(&f))
		case passOver:
			dropped = append(dropped, f)
		case passAndSubmit:
			dropped = append(dropped, f)
			analysed.submits = append(analysed.submits, j.sample(&f))
		case askSandbox:
			j.consult(rule, &f, &analysed)
		}
	}
	if len(sure) > 0 {
		return result{state: matched, findings: append(sure, analysed.findings...), why: evidence(sure), threat: analysed.threat,
			verdicts: analysed.verdicts, submits: analysed.submits}
	}
	if len(analysed.findings) > 0 && (len(analysed.pending) == 0 || policy.Final(rule.Actions) != nil) {
		analysed.state = matched
		analysed.why = evidence(analysed.findings)
		return analysed
	}
	switch {
	case len(analysed.pending) > 0:
		analysed.state = waits
		return analysed
	case len(analysed.troubles) > 0:
		analysed.state = troubled
		return analysed
	case len(analysed.verdicts) > 0:
		return result{outcome: message.OutcomeBelowLevel, why: levels(analysed.verdicts), findings: live}
	case len(analysed.submits) > 0:
		return result{outcome: message.OutcomeNoMatch, why: "passes at once, and is submitted to the sandbox", findings: dropped,
			submits: analysed.submits}
	case len(dropped) > 0:
		return result{outcome: message.OutcomeNoMatch, why: "suspected, but nothing is submitted to a sandbox", findings: dropped}
	}
	return result{outcome: message.OutcomeNoMatch}
}

// course is what is done with a finding before it counts.
type course int

const (
	actAtOnce course = iota
	actAsProbable
	actAndSubmit
	askSandbox
	passOver
	passAndSubmit
)

// course says what a finding needs (docs/flow.md, "Judgement"). A social engineering detection is always double-checked where
// that is possible, and acts without it only where it is sure, which is the scanner's conservative threshold.
func (j *judge) course(scan *policy.Scan, f *message.Finding) course {
	suspected := f.Certainty == message.Possible || f.Kind == "social"
	if !suspected && !scan.Analyze {
		return actAtOnce
	}
	va := j.in.Policy.VirtualAnalyzer
	if va == nil || !va.Submit || va.Analyzer == "" {
		switch {
		case scan.Analyze && !suspected:
			return passOver
		case f.Certainty == message.Sure:
			return actAtOnce
		case f.Kind == "social":
			return passOver
		}
		return actAsProbable
	}
	if va.Async {
		if _, known := j.in.Verdicts[j.sample(f).Key]; !known {
			if scan.Analyze {
				return passAndSubmit
			}
			return actAndSubmit
		}
	}
	return askSandbox
}

// consult adds to r what the sandbox says of the finding's sample.
func (j *judge) consult(rule *policy.Rule, f *message.Finding, r *result) {
	sample := j.sample(f)
	sample.Rule = rule.Name
	verdict, known := j.in.Verdicts[sample.Key]
	if !known {
		r.pending = append(r.pending, sample)
		return
	}
	if verdict.State != message.VerdictDone {
		trouble := message.Trouble{
			Exception: message.ExceptionVirtualAnalyzer, Reason: string(verdict.State), Part: f.Part,
			Detail: strings.TrimSpace(sample.Display + " " + verdict.Detail), Plugin: verdict.Analyzer,
		}
		if !j.isWaivedTrouble(&trouble) {
			r.troubles = append(r.troubles, trouble)
		}
		return
	}
	r.verdicts = append(r.verdicts, verdict)
	level := rule.SecurityLevel
	if level == "" {
		level = j.in.Policy.VirtualAnalyzer.SecurityLevel
	}
	if level.Reached(verdict.Level) {
		r.findings = append(r.findings, *f)
		r.threat = message.ThreatAnalyzed
	}
}

// sample is what the sandbox is given for a finding: the part it was found in, or the mail as it came.
func (j *judge) sample(f *message.Finding) message.Sample {
	if f.Part < 0 || f.Part >= len(j.in.Facts.Tree.Parts) {
		return message.Sample{
			Key:     message.SampleKey{SHA256: j.in.Message.SHA256, Kind: "message", Extension: "eml"},
			SHA1:    j.in.Message.SHA1,
			Part:    -1,
			Display: "the message",
			Size:    j.in.Message.Size,
		}
	}
	part := &j.in.Facts.Tree.Parts[f.Part]
	extension := strings.ToLower(strings.TrimPrefix(path.Ext(part.Name()), "."))
	return message.Sample{
		Key:  message.SampleKey{SHA256: part.SHA256, Kind: "file", Extension: extension},
		SHA1: part.SHA1, Part: part.ID, Display: part.Display, Size: part.Size,
	}
}

func evidence(findings []message.Finding) string {
	texts := make([]string, 0, len(findings))
	for i := range findings {
		f := &findings[i]
		text := f.Plugin + ": " + f.Name
		if f.Evidence != "" {
			text += " (" + f.Evidence + ")"
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, "; ")
}

func levels(verdicts []message.Verdict) string {
	texts := make([]string, 0, len(verdicts))
	for i := range verdicts {
		texts = append(texts, verdicts[i].Analyzer+" says "+verdicts[i].Level.String())
	}
	return strings.Join(texts, "; ")
}
