package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/postern-mail/postern/sdk/scanner"
	"github.com/postern-mail/postern/sdk/serve"
)

// configured is a scanner with one scan block after the other, numbered from 1.
func configured(t *testing.T, config string, blocks ...string) (*snap, *serve.Configured) {
	t.Helper()
	s := &snap{}
	c := &serve.Configuration{Config: json.RawMessage(config)}
	for i, b := range blocks {
		c.Queries = append(c.Queries, serve.Query{Number: i + 1, Config: json.RawMessage(b)})
	}
	done, err := s.configure(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	return s, done
}

// deceit is a mail that much speaks against; mild one that little does.
func deceit() *scanner.Message {
	m := plain()
	alter(m, "From: PayPal Kundenservice <info@paypal-sicherheit.com>")
	alter(m, "Subject: Dringend: Ihr Konto wurde gesperrt")
	alter(m, `html: <p>Sehr geehrter Kunde</p><a href="https://bit.ly/x">Jetzt bestätigen</a>`)
	return m
}

func mild() *scanner.Message {
	m := plain()
	alter(m, "From: PayPal <info@example.com>")
	alter(m, "Subject: Ihr Paket")
	return m
}

// between are thresholds that lie around the scores of the mild mail, whatever the weights are.
func between(t *testing.T) string {
	t.Helper()
	st := testState(t)
	high, low := st.score(st.reasonsIn(t, deceit())), st.score(st.reasonsIn(t, mild()))
	if low <= 0 || high <= low {
		t.Fatalf("the mails score %.2f and %.2f", high, low)
	}
	return fmt.Sprintf(`,"conservative_score":%.2f,"aggressive_score":%.2f`, (high+low)/2, low/2)
}

func TestShippedThresholdsServeByDefault(t *testing.T) {
	s, _ := configured(t, `{}`, `{"mode":"auto"}`)
	st := s.current.Load()
	if q := st.queries[1]; q.conservative != st.weights.conservative || q.aggressive != st.weights.aggressive || q.aggressive <= 0 {
		t.Errorf("query %+v", q)
	}
}

func TestScoreDecidesCertaintyByMode(t *testing.T) {
	thresholds := between(t)
	tests := []struct {
		block string
		mail  func() *scanner.Message
		want  scanner.Certainty // 0: no finding
	}{
		{`{"mode":"auto"}`, deceit, scanner.Sure},
		{`{"mode":"auto"}`, mild, scanner.Possible},
		{`{"mode":"auto"}`, plain, 0},
		{`{"mode":"conservative"}`, deceit, scanner.Sure},
		{`{"mode":"conservative"}`, mild, 0},
		{`{"mode":"aggressive"}`, deceit, scanner.Sure},
		{`{"mode":"aggressive"}`, mild, scanner.Sure},
		{`{"mode":"aggressive"}`, plain, 0},
		{`{"mode":"auto","conservative_score":1,"aggressive_score":0.5}`, mild, scanner.Sure},
		{`{"mode":"auto","aggressive_score":-1}`, plain, scanner.Possible},
		{`{"mode":"auto","approved_senders":["*@paypal-sicherheit.com"]}`, deceit, 0},
		{`{"mode":"auto","approved_senders":["INFO@PayPal-Sicherheit.com"]}`, deceit, 0},
		{`{"mode":"auto","approved_senders":["*@paypal.com"]}`, deceit, scanner.Sure},
		{`{"mode":"auto","approved_senders":["anna@example.com"]}`, deceit, scanner.Sure}, // the envelope's sender
	}
	for _, test := range tests {
		block := test.block
		if !strings.Contains(block, "_score") {
			block = strings.TrimSuffix(block, "}") + thresholds + "}"
		}
		s, done := configured(t, `{}`, block)
		if len(done.Problems) > 0 {
			t.Fatal(done.Problems)
		}
		report, err := s.Scan(context.Background(), test.mail())
		if err != nil {
			t.Fatal(err)
		}
		var got scanner.Certainty
		for _, f := range report.Findings {
			got = f.Certainty
			if f.Kind != "social" || f.Part != -1 || f.Query != 1 {
				t.Errorf("%s: finding %+v", test.block, f)
			}
		}
		if got != test.want || len(report.Findings) > 1 {
			t.Errorf("%s: certainty %v, want %v (%v)", test.block, got, test.want, report.Findings)
		}
	}
}

func TestAllAuthorsHaveToBeApproved(t *testing.T) {
	q := query{approved: []string{"a@example.com"}}
	both := []address{{local: "a", domain: "example.com"}, {local: "b", domain: "example.com"}}
	if !q.approves(both[:1]) || q.approves(both) || q.approves(nil) {
		t.Error("approval of one, of one of two, of none:", q.approves(both[:1]), q.approves(both), q.approves(nil))
	}
}

func TestEachQueryIsAnsweredByItsOwnBlock(t *testing.T) {
	s, _ := configured(t, `{}`, `{"mode":"conservative"`+between(t)+`}`, `{"mode":"aggressive"`+between(t)+`}`, `{"mode":"auto","approved_senders":["*"]}`)
	m := mild()
	m.Queries = []int{1, 2, 3}
	report, err := s.Scan(context.Background(), m)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Findings) != 1 || report.Findings[0].Query != 2 {
		t.Errorf("findings %+v", report.Findings)
	}
}

func TestEvidenceNamesTheHeaviestReasonFirst(t *testing.T) {
	st := testState(t)
	found := st.reasonsIn(t, deceit())
	text := st.evidence(&query{}, st.score(found), found)
	last := 1000.0
	for _, piece := range strings.Split(text, "; ")[1:] {
		var id string
		var weight float64
		if _, err := fmt.Sscanf(piece[strings.LastIndexByte(piece, '[')+1:], "%s %f]", &id, &weight); err != nil || !known(id) || weight > last {
			t.Errorf("%q after a weight of %.2f: %v", piece, last, err)
		}
		last = weight
	}
	if want := `"PayPal Kundenservice"`; !strings.Contains(text, want) || !strings.HasPrefix(text, "score ") {
		t.Errorf("%s in %s", want, text)
	}
}

func TestEvidenceKeepsWithinTheContract(t *testing.T) {
	st := testState(t)
	var all []reason
	for _, id := range reasonNames() {
		all = append(all, reason{id, strings.Repeat("ü", 500)})
	}
	text := st.evidence(&query{}, 1, all)
	if len(text) > 4096 {
		t.Errorf("%d bytes", len(text))
	}
	if !strings.Contains(text, "[attach-pretends ") {
		t.Error("a reason was left out")
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	_, done := configured(t, `{"brand":[{"name":"--","domains":["example.com"]}]}`, `{"mode":"auto","aggressive_score":9,"conservative_score":2}`)
	var paths []string
	for _, p := range done.Problems {
		paths = append(paths, strings.Join(p.Path, "."))
	}
	if want := []string{"config.brand.--", "scan.1.aggressive_score"}; !slices.Equal(paths, want) {
		t.Errorf("problems at %v, want %v", paths, want)
	}
}

func TestBrandsOfTheOperatorAreWatched(t *testing.T) {
	s, _ := configured(t, `{"brand":[{"name":"Ziegelei Ruiz","domains":["*.ziegelei-ruiz.de"]}]}`, `{"mode":"auto"}`)
	m := plain()
	alter(m, "From: Ziegelei Ruiz <info@example.com>")
	if found := names(s.current.Load().reasonsIn(t, m)); !slices.Contains(found, "brand-name") {
		t.Errorf("reasons %v", found)
	}
	alter(m, "From: Ziegelei Ruiz <info@shop.ziegelei-ruiz.de>")
	if found := names(s.current.Load().reasonsIn(t, m)); slices.Contains(found, "brand-name") {
		t.Errorf("reasons %v", found)
	}
}

func TestWeightsThatDoNotFitAreRefused(t *testing.T) {
	lines := strings.SplitAfter(weightsFile, "\n")
	tests := map[string]string{
		"a reason is missing":  strings.Join(lines[:len(lines)-2], ""),
		"a reason is unknown":  weightsFile + "from-mars\t1\t1\t1\n",
		"a number is none":     weightsFile + "form\t1\t1\theavy\n",
		"a threshold is gone":  strings.Replace(weightsFile, "threshold\taggressive", "threshold\tother", 1),
		"thresholds are swaps": strings.Replace(weightsFile, "threshold\taggressive\t", "threshold\taggressive\t9", 1),
	}
	for name, text := range tests {
		if _, err := readWeights(text); err == nil {
			t.Errorf("%s, and nothing is said", name)
		}
	}
	if _, err := readWeights(weightsFile); err != nil {
		t.Error(err)
	}
}

func TestApprovedPatterns(t *testing.T) {
	tests := []struct {
		pattern, text string
		want          bool
	}{
		{"a@example.com", "a@example.com", true}, {"a@example.com", "ba@example.com", false},
		{"*@example.com", "a@example.com", true}, {"*@example.com", "a@example.com.net", false},
		{"*@*.example.com", "a@b.example.com", true}, {"*@*.example.com", "a@example.com", false},
		{"a*b*c", "a-b-b-c", true}, {"a*a", "a", false}, {"*", "", true}, {"", "a", false},
	}
	for _, test := range tests {
		if got := wildcard(test.pattern, test.text); got != test.want {
			t.Errorf("%q on %q: %v", test.pattern, test.text, got)
		}
	}
}

func TestScansRunBesideEachOther(t *testing.T) {
	s, _ := configured(t, `{}`, `{"mode":"aggressive"}`)
	want, err := s.Scan(context.Background(), deceit())
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	for range 8 {
		running.Go(func() {
			got, err := s.Scan(context.Background(), deceit())
			if err != nil || len(got.Findings) != 1 || got.Findings[0] != want.Findings[0] {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
	running.Wait()
}

func TestAnUnconfiguredScannerFails(t *testing.T) {
	if _, err := (&snap{}).Scan(context.Background(), plain()); err == nil {
		t.Error("it answers")
	}
}
