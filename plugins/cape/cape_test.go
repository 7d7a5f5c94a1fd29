package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/sdk/analyzer"
)

// flavors runs a test with either sandbox.
func flavors(t *testing.T, test func(t *testing.T, flavor string)) {
	for _, flavor := range []string{flavorCape, flavorCuckoo} {
		t.Run(flavor, func(t *testing.T) { test(t, flavor) })
	}
}

// TestVerdicts: what the sandbox says, and what the core is told. Whatever is odd is never "no risk".
func TestVerdicts(t *testing.T) {
	tests := []struct {
		name, verdict string
		state         analyzer.State
		risk          analyzer.Risk
		threat        string
		fails         bool // the whole question does
	}{
		{name: "none", verdict: "none", state: analyzer.Done, risk: analyzer.NoRisk},
		{name: "low", verdict: "low name=LOW", state: analyzer.Done, risk: analyzer.Low, threat: "LOW"},
		{name: "medium", verdict: "medium", state: analyzer.Done, risk: analyzer.Medium},
		{name: "high", verdict: "high name=HIGH", state: analyzer.Done, risk: analyzer.High, threat: "HIGH"},
		{name: "no-score", verdict: "none fault=no_level", state: analyzer.Failed},
		{name: "negative", verdict: "none score=-1", state: analyzer.Failed},
		{name: "too-high", verdict: "none score=10.1", state: analyzer.Failed},
		{name: "no-number", verdict: "none score=abc", state: analyzer.Failed},
		{name: "error", verdict: "error", state: analyzer.Failed},
		{name: "timeout", verdict: "timeout", state: analyzer.Failed},
		{name: "never", verdict: "high fault=never", state: analyzer.Pending},
		{name: "garbage", verdict: "none fault=garbage", fails: true},
		{name: "truncated", verdict: "none fault=truncated", fails: true},
		{name: "huge", verdict: "none fault=huge", fails: true},
		{name: "another-hash", verdict: "none fault=wrong_hash", fails: true},
	}
	var lines strings.Builder
	for _, test := range tests {
		fmt.Fprintln(&lines, test.name, test.verdict)
	}
	s := newSimulator(t, lines.String())
	flavors(t, func(t *testing.T, flavor string) {
		r := newRig(t, s.config(flavor))
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				sample := sampleOf(test.name, flavor+" "+test.name)
				receipt := r.submit(sample, false)
				if receipt.State != analyzer.Pending {
					t.Fatalf("%+v", receipt)
				}
				got, err := r.result(sample, receipt.Submission)
				if test.fails != (err != nil) || got.State != test.state || got.Risk != test.risk || got.Name != test.threat {
					t.Errorf("%+v, %v", got, err)
				}
			})
		}
	})
}

// TestOutcomes: what a server does to a submission, and what the core is told of it. State 0 is an error: not known.
func TestOutcomes(t *testing.T) {
	const unknown analyzer.State = 0
	tests := []struct {
		name, fault, verdict string
		askFirst             bool
		want                 analyzer.State
	}{
		{name: "all is well", want: analyzer.Pending},
		{name: "all is well and it has not got it", askFirst: true, want: analyzer.Pending},
		{name: "refuses connections", fault: "kind=refuse", want: analyzer.Unreachable},
		{name: "refuses connections and may have it", fault: "kind=refuse", askFirst: true, want: unknown},
		{name: "refuses the token", fault: "kind=status&code=401", want: analyzer.Unreachable},
		{name: "fails inside", fault: "kind=status&code=500", want: unknown},
		{name: "drops the submission", fault: "kind=drop", want: unknown},
		{name: "hangs", fault: "kind=hang", want: unknown},
		{name: "fails once at the search", fault: "kind=status&code=500&count=1", askFirst: true, want: analyzer.Pending},
		{name: "throttles", fault: "kind=status&code=429&retry_after=60", want: analyzer.Unreachable},
		{name: "does not take the kind", verdict: "sample.bin none upload=415", want: analyzer.Unsupported},
		{name: "finds it too large", verdict: "sample.bin none upload=413", want: analyzer.Failed},
	}
	flavors(t, func(t *testing.T, flavor string) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				s := newSimulator(t, test.verdict+"\n")
				r := newRig(t, s.config(flavor))
				if test.fault != "" {
					s.fault(test.fault)
				}
				if got := r.submit(sampleOf("sample.bin", test.name), test.askFirst); got.State != test.want {
					t.Errorf("%+v, want state %d", got, test.want)
				}
			})
		}
	})
}

// TestLostAnswer: the sandbox took the sample and its answer was lost; it is asked and not given the sample again.
func TestLostAnswer(t *testing.T) {
	flavors(t, func(t *testing.T, flavor string) {
		s := newSimulator(t, "* none fault=never\n")
		r := newRig(t, s.config(flavor))
		kind := map[string]string{flavorCape: "cape_create", flavorCuckoo: "cuckoo_submit"}[flavor]
		s.fault("kind=cut&service=" + kind)
		if got := r.submit(sampleOf("a", "lost"), false); got.State != 0 {
			t.Fatalf("%+v", got)
		}
		s.fault("kind=none")
		if other := r.submit(sampleOf("b", "another"), true); other.State != analyzer.Pending || s.uploads() != 2 {
			t.Fatalf("another sample that it has not got: %+v after %d uploads", other, s.uploads())
		}
		got := r.submit(sampleOf("a", "lost"), true)
		if got.State != analyzer.Pending || got.Submission == "" || s.uploads() != 2 {
			t.Errorf("%+v after %d uploads", got, s.uploads())
		}
		if result, err := r.result(sampleOf("a", "lost"), got.Submission); err != nil || result.State != analyzer.Pending {
			t.Errorf("%+v, %v", result, err)
		}
	})
}

// TestKnownSample: CAPE refuses what it has, and the task that it has is the one to ask for.
func TestKnownSample(t *testing.T) {
	s := newSimulator(t, "* low\n")
	r := newRig(t, s.config(flavorCape))
	first, second := r.submit(sampleOf("a", "known"), false), r.submit(sampleOf("b", "known"), false)
	if first.State != analyzer.Pending || second != first && second.Submission != first.Submission || s.uploads() != 1 {
		t.Errorf("%+v and %+v after %d uploads", first, second, s.uploads())
	}
}

func TestThrottledServerIsLeftAlone(t *testing.T) {
	s := newSimulator(t, "")
	r := newRig(t, s.config(flavorCape))
	s.fault("kind=status&code=429&retry_after=60&count=1")
	if got := r.submit(sampleOf("a", "a"), false); got.State != analyzer.Unreachable {
		t.Fatalf("%+v", got)
	}
	if server, err := r.Choose(t.Context(), nil); server != "" || err != nil {
		t.Errorf("chosen is %q, %v", server, err)
	}
	if _, err := r.result(sampleOf("a", "a"), "1"); !errors.Is(err, errQuiet) {
		t.Errorf("asked for results: %v", err)
	}
	r.ahead.Add(int64(time.Minute + time.Second))
	if server, err := r.Choose(t.Context(), nil); server != "lab" || err != nil {
		t.Errorf("chosen is %q, %v", server, err)
	}
	if got := r.submit(sampleOf("a", "a"), false); got.State != analyzer.Pending {
		t.Errorf("%+v", got)
	}
}

func TestURLs(t *testing.T) {
	flavors(t, func(t *testing.T, flavor string) {
		s := newSimulator(t, "* medium\n")
		r := newRig(t, s.config(flavor))
		sample := sampleOf("", "http://link.example/a?b=c")
		sample.Kind = analyzer.URL
		receipt := r.submit(sample, false)
		if receipt.State != analyzer.Pending {
			t.Fatalf("%+v", receipt)
		}
		if got, err := r.result(sample, receipt.Submission); err != nil || got.Risk != analyzer.Medium {
			t.Errorf("%+v, %v", got, err)
		}
		if got := r.submit(sample, true); got.State != analyzer.Failed {
			t.Errorf("a URL that may be there: %+v", got)
		}
	})
}

// TestURLIsTriedAgain: also where the first attempt did not reach the server.
func TestURLIsTriedAgain(t *testing.T) {
	sample := sampleOf("", "http://link.example/")
	sample.Kind = analyzer.URL
	for attempt := range 2 {
		body, err := formOf(sample, nil)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(body.body); err != nil || !bytes.Contains(text, []byte("http://link.example/")) || int64(len(text)) != body.size {
			t.Errorf("attempt %d: %q, %v", attempt, text, err)
		}
	}
}

// TestArchiveIsSeveralTasks: CAPE takes archives apart; all tasks have to be done, and the worst counts.
func TestArchiveIsSeveralTasks(t *testing.T) {
	scores := map[string]string{"1": "1.5", "2": "8", "3": "0"}
	states := map[string]string{"1": "reported", "2": "running", "3": "reported"}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /apiv2/tasks/create/file/", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"error": false, "data": {"task_ids": [1, 2, 3]}, "errors": []}`)
	})
	mux.HandleFunc("GET /apiv2/tasks/status/{id}/", func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `{"error": false, "data": %q}`, states[r.PathValue("id")])
	})
	mux.HandleFunc("GET /apiv2/tasks/get/report/{id}/json/", func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `{"malscore": %s, "detections": "T%s", "target": {"category": "file", "file": {"sha256": "inner"}}}`,
			scores[r.PathValue("id")], r.PathValue("id"))
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	r := newRig(t, (&simulator{url: server.URL}).config(flavorCape))
	sample := sampleOf("a.zip", "archive")
	receipt := r.submit(sample, false)
	if receipt.Submission != "1,2,3" {
		t.Fatalf("%+v", receipt)
	}
	if got, err := r.result(sample, receipt.Submission); err != nil || got.State != analyzer.Pending {
		t.Errorf("%+v, %v while one is running", got, err)
	}
	states["2"] = "reported"
	if got, err := r.result(sample, receipt.Submission); err != nil || got.Risk != analyzer.High || got.Name != "T1, T2, T3" {
		t.Errorf("%+v, %v", got, err)
	}
	scores["3"] = "null"
	if got, err := r.result(sample, receipt.Submission); err != nil || got.State != analyzer.Failed {
		t.Errorf("%+v, %v where one has no score", got, err)
	}
	states["1"] = "failed_analysis"
	if got, err := r.result(sample, receipt.Submission); err != nil || got.State != analyzer.Failed {
		t.Errorf("%+v, %v where one failed", got, err)
	}
}

func TestSampleThatIsNotTheAnnouncedOne(t *testing.T) {
	s := newSimulator(t, "")
	r := newRig(t, s.config(flavorCape))
	for name, change := range map[string]func(*analyzer.Sample){
		"other":   func(a *analyzer.Sample) { a.SHA256 = strings.Repeat("0", 64) },
		"shorter": func(a *analyzer.Sample) { a.Size++ },
		"longer":  func(a *analyzer.Sample) { a.Size-- },
	} {
		sample := sampleOf("a", "content "+name)
		change(sample)
		if got := r.submit(sample, false); got.State != 0 || s.uploads() != 0 {
			t.Errorf("%s: %+v after %d uploads", name, got, s.uploads())
		}
	}
}

func TestThresholds(t *testing.T) {
	s := &simulator{url: "https://sandbox.example"}
	for _, test := range []struct {
		flavor string
		set    map[string]any
		want   string // levels of 0, 0.1, 1, 3.9, 4, 5.9, 6, 7, 8, 10
	}{
		{flavorCape, nil, "none low low low medium medium medium high high high"},
		{flavorCuckoo, nil, "none low low low low low medium medium high high"},
		{flavorCape, map[string]any{"no_risk": 1, "high": 8}, "none none none low medium medium medium medium high high"},
	} {
		config := s.config(test.flavor)
		config["thresholds"] = test.set
		r := newRig(t, config)
		names := map[analyzer.Risk]string{analyzer.NoRisk: "none", analyzer.Low: "low", analyzer.Medium: "medium", analyzer.High: "high"}
		var got []string
		for _, score := range []float64{0, 0.1, 1, 3.9, 4, 5.9, 6, 7, 8, 10} {
			got = append(got, names[r.connector.thresholds.level(score)])
		}
		if text := strings.Join(got, " "); text != test.want || len(r.problems) > 0 {
			t.Errorf("%s with %v: %s, %+v", test.flavor, test.set, text, r.problems)
		}
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	s := &simulator{url: "https://sandbox.example"}
	twice := s.config(flavorCape)
	twice["server"] = append(twice["server"].([]any), twice["server"].([]any)...)
	disordered := s.config(flavorCape)
	disordered["thresholds"] = map[string]any{"high": 3}
	for name, test := range map[string]struct {
		config  map[string]any
		path    string
		warning bool
	}{
		"twice":      {twice, "config/server/lab", false},
		"disordered": {disordered, "config/thresholds", false},
		"url":        {s.config(flavorCape, "url", "unix:/run/x"), "config/server/lab/url", false},
		"clear":      {s.config(flavorCape, "url", "http://sandbox.example"), "config/server/lab/url", true},
		"insecure":   {s.config(flavorCape, "insecure", true), "config/server/lab/insecure", true},
		"pin":        {s.config(flavorCape, "fingerprint", "1"), "config/server/lab/fingerprint", false},
	} {
		r := newRig(t, test.config)
		if len(r.problems) != 1 || strings.Join(r.problems[0].Path, "/") != test.path || r.problems[0].Warning != test.warning {
			t.Errorf("%s: %+v", name, r.problems)
		}
	}
}

func TestReports(t *testing.T) {
	for text, wrong := range map[string]string{
		`{"x": ` + strings.Repeat("[", 1e5): "nested too deeply",
		`{"malscore": 0, "malscore": 9}`:    "twice",
		`{"malscore": 0} {"malscore": 9}`:   "something follows",
		`{"malscore": 0`:                    "EOF",
		`[{"malscore": 0}]`:                 "no object",
		``:                                  "no object",
		`{"target": 1, "malscore": 0}`:      "target",
		`{"malscore": 0, "x": [{"malscore": 9}], "target": {"category": "url"}}`: "",
	} {
		r, err := readCape(strings.NewReader(text))
		if (err == nil) != (wrong == "") || err != nil && !strings.Contains(err.Error(), wrong) {
			t.Errorf("%.60s: %v, want %q", text, err, wrong)
		}
		if err == nil && (r.score == nil || *r.score != 0 || !r.isURL) {
			t.Errorf("%.60s: %+v", text, r)
		}
	}
}

// FuzzReport: whatever CAPE answers, there is a score only where a number stands.
func FuzzReport(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		report, err := readCape(bytes.NewReader(raw))
		if (report == nil) != (err != nil) {
			t.Fatal("neither report nor error, or both")
		}
		if report != nil && report.score != nil && !bytes.Contains(raw, []byte("malscore")) && !bytes.Contains(raw, []byte(`\u`)) {
			t.Errorf("a score of %v out of nothing", *report.score)
		}
	})
}

// FuzzAnalysis is the same for Cuckoo3.
func FuzzAnalysis(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		var a analysis
		if readJSON(bytes.NewReader(raw), &a) != nil {
			return
		}
		report, err := a.read(analyzer.Submission{SHA256: strings.Repeat("1", 64), Submission: "20260101-ABCDEF"})
		if (report == nil) != (err != nil) {
			t.Fatal("neither report nor error, or both")
		}
		if report != nil && report.state == analyzer.Done && a.State != "finished" {
			t.Errorf("%q is done", a.State)
		}
	})
}

func seed(f *testing.F) {
	f.Helper()
	files, err := filepath.Glob("testdata/*.json")
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
