package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/sdk/analyzer"
)

// TestVerdicts: what the appliance says of a sample, and what the core is told. Whatever is odd is never "no risk".
func TestVerdicts(t *testing.T) {
	const never, asked = analyzer.NoLevel, true
	tests := []struct {
		name    string // of the file, and the pattern of its line
		verdict string
		state   analyzer.State
		risk    analyzer.Risk
		threat  string
		fails   bool // the whole question does
	}{
		{name: "none", verdict: "none", state: analyzer.Done, risk: analyzer.NoRisk},
		{name: "low", verdict: "low name=LOW", state: analyzer.Done, risk: analyzer.Low, threat: "LOW"},
		{name: "medium", verdict: "medium name=MEDIUM", state: analyzer.Done, risk: analyzer.Medium, threat: "MEDIUM"},
		{name: "high", verdict: "high name=HIGH event=Dropped", state: analyzer.Done, risk: analyzer.High, threat: "HIGH"},
		{name: "unsupported", verdict: "unsupported", state: analyzer.Unsupported},
		{name: "negative", verdict: "-2", state: analyzer.Failed},
		{name: "too-high", verdict: "4", state: analyzer.Failed},
		{name: "no-level", verdict: "none fault=no_level", state: analyzer.Failed},
		{name: "error", verdict: "error", state: analyzer.Failed},
		{name: "timeout", verdict: "timeout", state: analyzer.Failed},
		{name: "never", verdict: "high fault=never", state: analyzer.Pending},
		{name: "garbage", verdict: "none fault=garbage", fails: asked},
		{name: "truncated", verdict: "none fault=truncated", fails: asked},
		{name: "huge", verdict: "none fault=huge", fails: asked},
		{name: "entities", verdict: "none fault=doctype", fails: asked},
		{name: "another-hash", verdict: "high fault=wrong_hash", state: analyzer.Pending},
		{name: "unnamed", verdict: "none fault=unnamed", state: analyzer.Done, risk: analyzer.NoRisk},
		{name: "unnamed-other", verdict: "none fault=unnamed,wrong_hash", state: analyzer.Pending, risk: never},
		{name: "none-102", verdict: "none fault=final_102", state: analyzer.Pending},
		{name: "high-102", verdict: "high fault=final_102", state: analyzer.Done, risk: analyzer.High},
		{name: "none-then-high", verdict: "none then=high", state: analyzer.Done, risk: analyzer.High},
		{name: "high-then-none", verdict: "high then=none", state: analyzer.Done, risk: analyzer.High},
		{name: "none-then-negative", verdict: "none then=-3", state: analyzer.Failed},
		{name: "medium-then-odd", verdict: "medium then=9", state: analyzer.Done, risk: analyzer.Medium},
	}
	var lines strings.Builder
	for _, test := range tests {
		fmt.Fprintln(&lines, test.name, test.verdict)
	}
	s := newSimulator(t, lines.String())
	r := newRig(t, s.block())
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			sample := sampleOf(test.name, "content of "+test.name)
			if state, detail := r.submit(sample, false); state != analyzer.Pending {
				t.Fatalf("state %d: %s", state, detail)
			}
			got, err := r.result(sample)
			if test.fails != (err != nil) || got.State != test.state || got.Risk != test.risk || got.Name != test.threat {
				t.Errorf("%+v, %v", got, err)
			}
			if test.name == "high" && got.Detail != "Dropped simulated" {
				t.Errorf("the violations are %q", got.Detail)
			}
		})
	}
}

// TestManyInOneRequest: a batch is one request for brief reports for each hundred samples.
func TestManyInOneRequest(t *testing.T) {
	s := newSimulator(t, "bad* high\nslow* none fault=never\n* none\n")
	r := newRig(t, s.block())
	var submissions []analyzer.Submission
	want := map[string]analyzer.Result{}
	for i := range 3 * briefBatch / 2 {
		name, result := "good", analyzer.Result{State: analyzer.Done, Risk: analyzer.NoRisk}
		switch i % 3 {
		case 1:
			name, result = "bad", analyzer.Result{State: analyzer.Done, Risk: analyzer.High}
		case 2:
			name, result = "slow", analyzer.Result{State: analyzer.Pending}
		}
		sample := sampleOf(name, fmt.Sprint("sample ", i))
		if state, detail := r.submit(sample, false); state != analyzer.Pending {
			t.Fatalf("state %d: %s", state, detail)
		}
		result.SHA256 = sample.SHA256
		want[sample.SHA256] = result
		submissions = append(submissions, analyzer.Submission{SHA1: strings.ToUpper(sample.SHA1), SHA256: sample.SHA256, Server: sample.Server})
	}
	results, err := r.Results(t.Context(), submissions)
	if err != nil || len(results) != len(want) {
		t.Fatalf("%d results, %v", len(results), err)
	}
	for _, got := range results {
		if got != want[got.SHA256] {
			t.Errorf("%+v, want %+v", got, want[got.SHA256])
		}
	}
	if n := s.counters().Requests["get_brief_report"]; n != 2 {
		t.Errorf("%d requests for brief reports", n)
	}
}

func TestUnnamedReportsAreAskedForOneByOne(t *testing.T) {
	s := newSimulator(t, "bad high fault=unnamed\ngood none fault=unnamed\n")
	r := newRig(t, s.block())
	bad, good := sampleOf("bad", "bad"), sampleOf("good", "good")
	var submissions []analyzer.Submission
	for _, sample := range []*analyzer.Sample{bad, good} {
		if state, detail := r.submit(sample, false); state != analyzer.Pending {
			t.Fatalf("state %d: %s", state, detail)
		}
		submissions = append(submissions, analyzer.Submission{SHA1: sample.SHA1, SHA256: sample.SHA256, Server: sample.Server})
	}
	results, err := r.Results(t.Context(), submissions)
	if err != nil || results[0].Risk != analyzer.High || results[1].Risk != analyzer.NoRisk {
		t.Errorf("%+v, %v", results, err)
	}
}

// TestServerThatDies: with submissions on it, and after it has lost them.
func TestServerThatDies(t *testing.T) {
	s := newSimulator(t, "* none\n")
	r := newRig(t, s.block())
	sample := sampleOf("a", "a")
	if state, detail := r.submit(sample, false); state != analyzer.Pending {
		t.Fatalf("state %d: %s", state, detail)
	}
	s.control("fault?kind=refuse")
	if got, err := r.result(sample); err == nil {
		t.Errorf("%+v of a server that is away", got)
	}
	s.control("fault?kind=none")
	s.control("forget?what=samples")
	if got, err := r.result(sample); err != nil || got.State != analyzer.Pending {
		t.Errorf("%+v, %v of a server that has lost it", got, err)
	}
}

// TestWhatIsLearntInTimeIsTold: a server that hangs over the full reports does not take away what the brief ones said.
func TestWhatIsLearntInTimeIsTold(t *testing.T) {
	s := newSimulator(t, "bad high\n* none\n")
	r := newRig(t, s.block())
	var submissions []analyzer.Submission
	for _, name := range []string{"bad", "good"} {
		sample := sampleOf(name, name)
		if state, detail := r.submit(sample, false); state != analyzer.Pending {
			t.Fatalf("state %d: %s", state, detail)
		}
		submissions = append(submissions, analyzer.Submission{SHA1: sample.SHA1, SHA256: sample.SHA256, Server: sample.Server})
	}
	s.control("fault?kind=hang&service=get_report")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	results, err := r.Results(ctx, submissions)
	if err != nil || ctx.Err() != nil || results[0].State != analyzer.Done || results[0].Risk != analyzer.High || results[1].State != analyzer.Pending {
		t.Errorf("%+v, %v, %v", results, err, ctx.Err())
	}
}

func TestRatingsAndStatuses(t *testing.T) {
	for text, want := range map[string]rating{
		"0": {risk: analyzer.NoRisk}, "1": {risk: analyzer.Low}, " 2 ": {risk: analyzer.Medium}, "3": {risk: analyzer.High}, "4": {}, "-2": {},
		"": {}, "none": {}, "0.0": {}, "0x0": {}, "00": {risk: analyzer.NoRisk}, "99999999999999999999": {}, "-1": {unsupported: true},
		"Unsupported": {unsupported: true},
	} {
		if got := ratingOf(text, -1); got != want {
			t.Errorf("%q is %+v", text, got)
		}
	}
	for text, want := range map[string]status{
		"Done": done, "done": done, "3": done, "Error": failed, "Timeout": timedOut, "Arrived": arrived, "2": processing, "NotFound": notFound,
		"Finished": unknownStatus, "": unknownStatus, "-1": unknownStatus, "6": unknownStatus,
	} {
		if got := statusOf(text); got != want {
			t.Errorf("%q is %d", text, got)
		}
	}
}

func seed(f *testing.F) {
	f.Helper()
	files, err := filepath.Glob("testdata/*.xml")
	if err != nil || len(files) == 0 {
		f.Fatalf("no reports to begin with: %v", err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		f.Add(raw[:len(raw)/2])
	}
}

// FuzzBriefReport: whatever comes, no risk is only what a done report with the rating 0 says.
func FuzzBriefReport(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		reports, err := parseBrief(raw)
		if err != nil && reports != nil {
			t.Error("reports beside an error")
		}
		for _, report := range reports {
			if ratingOf(report.RiskLevel, -1).risk == analyzer.NoRisk && strings.Trim(strings.TrimSpace(report.RiskLevel), "+-0") != "" {
				t.Errorf("%q is no risk", report.RiskLevel)
			}
		}
	})
}

// FuzzFullReport: a report never takes back the risk that a brief one told of, and there is no "none" without a rating.
func FuzzFullReport(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		report, err := parseFull(raw)
		if (report == nil) != (err != nil) {
			t.Fatal("neither report nor error, or both")
		}
		if got := settle(analyzer.Result{State: analyzer.Pending}, rating{risk: analyzer.Medium}, report, err, -1); got.State != analyzer.Done || got.Risk < analyzer.Medium {
			t.Errorf("medium became %+v", got)
		}
		got := settle(analyzer.Result{State: analyzer.Pending}, rating{risk: analyzer.NoRisk}, report, err, -1)
		if got.State == analyzer.Done && (err != nil || ratingOf(report.level, -1).risk == analyzer.NoLevel) {
			t.Errorf("without a rating %+v", got)
		}
		if report != nil && (len(report.names) > mostTexts || len(report.violations) > mostTexts) {
			t.Error("more texts than are told")
		}
	})
}
