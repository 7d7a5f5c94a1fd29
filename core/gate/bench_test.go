package gate

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/core/analysis"
	"github.com/postern-mail/postern/core/compose"
	"github.com/postern-mail/postern/core/delivery"
	"github.com/postern-mail/postern/core/inspect"
	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/plugincatalog"
	"github.com/postern-mail/postern/core/policy"
	"github.com/postern-mail/postern/core/spool"
	"github.com/postern-mail/postern/core/store"
	"github.com/postern-mail/postern/core/store/sqlite"
)

// bench is a gate and a desk over a real store, with a clock and a sandbox of the test's own.
type bench struct {
	t       *testing.T
	now     time.Time
	jumped  time.Duration // by which the system's clock is off
	policy  *policy.Policy
	store   store.Store
	gate    *Gate
	desk    *analysis.Desk
	sandbox *fakeSandbox
}

// fakeSandbox knows verdicts by SHA-256 and notes when it is asked.
type fakeSandbox struct {
	b         *bench
	mu        sync.Mutex // samples are handed over side by side
	verdicts  map[string]message.Verdict
	submitted []string
	asked     []time.Duration // since the start
	away      map[string]bool // servers that cannot be reached
	lost      bool            // takes samples, and says nothing
	asking    []bool          // AskFirst of each submission
	restarts  int
}

func (f *fakeSandbox) Choose(_ context.Context, exclude []string) (string, error) {
	for _, server := range []string{"one", "two"} {
		if !slices.Contains(exclude, server) {
			return server, nil
		}
	}
	return "", nil
}

func (f *fakeSandbox) Submit(_ context.Context, sample *analysis.Sample) (*analysis.Receipt, error) {
	if _, err := io.Copy(io.Discard, sample.Content); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away[sample.Server] {
		return &analysis.Receipt{Unreachable: true}, nil
	}
	f.asking = append(f.asking, sample.AskFirst)
	if !sample.AskFirst {
		f.submitted = append(f.submitted, sample.Server+" "+sample.Key.SHA256)
	}
	if f.lost {
		return nil, context.DeadlineExceeded
	}
	return &analysis.Receipt{Remote: "r"}, nil
}

func (f *fakeSandbox) Results(_ context.Context, submissions []store.Submission) (map[string]analysis.Result, error) {
	f.asked = append(f.asked, f.b.now.Sub(start()))
	out := map[string]analysis.Result{}
	for i := range submissions {
		if v, known := f.verdicts[submissions[i].Key.SHA256]; known {
			out[submissions[i].Key.SHA256] = analysis.Result{Verdict: &v}
		}
	}
	return out, nil
}

func (f *fakeSandbox) Restart() { f.restarts++ }

type fakeGeneration struct{ b *bench }

func (g fakeGeneration) Policy() *policy.Policy        { return g.b.policy }
func (g fakeGeneration) Inspector() *inspect.Inspector { return nil }
func (g fakeGeneration) Performer() delivery.Performer { return nil }
func (g fakeGeneration) Sandbox() analysis.Sandbox     { return g.b.sandbox }
func (g fakeGeneration) Release()                      {}
func (g fakeGeneration) OpenSample(context.Context, *store.Sample) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader("sample")), nil
}

func start() time.Time { return time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC) }

// newBench makes one whose policy asks the sandbox about *.js; settings are further lines of its virtual_analyzer block.
func newBench(t *testing.T, settings string) *bench {
	t.Helper()
	b := &bench{t: t, now: start()}
	b.sandbox = &fakeSandbox{b: b, verdicts: map[string]message.Verdict{}, away: map[string]bool{}}
	b.policy = analyzerPolicy(t, settings)
	var err error
	b.store, err = sqlite.Open(context.Background(), filepath.Join(t.TempDir(), "db"), store.Options{
		Clock: func() time.Time { return b.now }, Log: slog.New(slog.DiscardHandler), // as a monotonic reading would be
		Reference: func(context.Context) (time.Time, error) { return b.clock(), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	spooled, err := spool.Open(t.TempDir(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.store.Close(); err != nil {
			t.Error(err)
		}
	})
	serial := 0
	b.gate = &Gate{
		Acquire: func() Generation { return fakeGeneration{b} }, Store: b.store, Spool: spooled, Now: b.clock, Log: hclog.NewNullLogger(),
		Composer: &compose.Composer{Now: b.clock, NewID: func() string { return "id" }},
		NewID:    func() string { serial++; return fmt.Sprint("E", serial) }, MaxUndecided: 10,
	}
	b.gate.Init()
	b.desk = b.newDesk()
	b.gate.Analysis = func(samples []store.Sample) { b.desk.Request(samples) }
	return b
}

// clock is the system's.
func (b *bench) clock() time.Time { return b.now.Add(b.jumped) }

func (b *bench) newDesk() *analysis.Desk {
	d := &analysis.Desk{
		Store: b.store, Acquire: func() analysis.Generation { return fakeGeneration{b} }, Wake: b.gate.Wake, Now: b.clock,
		Log: hclog.NewNullLogger(),
	}
	d.Init()
	return d
}

func analyzerPolicy(t *testing.T, settings string) *policy.Policy {
	t.Helper()
	catalog, err := plugincatalog.Load("../policy/testdata/plugins.lock.hcl")
	if err != nil {
		t.Fatal(err)
	}
	common, err := os.ReadFile("../engine/testdata/common.hcl")
	if err != nil {
		t.Fatal(err)
	}
	text := `plugin "ddan" {
  command = "postern-ddan"
  config {
    server "192.0.2.155" { api_key = "k" }
  }
}
virtual_analyzer {
  analyzer = "ddan"
  ` + settings + `
}
rule "Scripts" {
  scan "filename" {
    names   = ["*.js"]
    analyze = true
  }
  action "quarantine" { area = "scripts" }
}
notification "Held" {
  subject = "held: %SUBJECT%"
  body    = "A message for you is being analysed."
}
`
	p, files, diags := policy.Load([]policy.Source{{Name: "common.hcl", Bytes: common}, {Name: "rules.hcl", Bytes: []byte(text)}},
		policy.Options{Catalog: catalog})
	if p == nil {
		var b strings.Builder
		_ = policy.WriteDiagnostics(&b, files, diags, 100, false)
		t.Fatal(b.String())
	}
	return p
}

// mail takes a message in whose attachments are scripts with these digests, as the gate does after inspection.
func (b *bench) mail(id string, digests ...string) {
	b.t.Helper()
	facts := &message.Facts{Revision: b.policy.Revision, Reports: map[string]message.Report{}}
	facts.Tree.Parts = []message.Part{{Kind: message.PartText}}
	report := message.Report{Plugin: "filename", Queries: []int{1}}
	for i, digest := range digests {
		name := fmt.Sprintf("%d.js", i)
		facts.Tree.Parts = append(facts.Tree.Parts, message.Part{
			ID: i + 1, Names: []string{name}, Display: name, Kind: message.PartAttachment, SHA256: digest,
		})
		report.Findings = append(report.Findings, message.Finding{Plugin: "filename", Query: 1, Kind: "name", Certainty: message.Sure, Name: name, Part: i + 1})
	}
	for i := range b.policy.Plugins {
		p := &b.policy.Plugins[i]
		facts.Reports[p.Name] = message.Report{Plugin: p.Name, Skipped: true}
	}
	facts.Reports["filename"] = report
	m := &message.Message{ID: id, QueueID: "Q", Received: b.now, Subject: id, Envelope: message.Envelope{From: "a@outside.example", To: []string{"bob@example.org"}}}
	w := &work{
		generation: fakeGeneration{b}, policy: b.policy, message: m, raw: spool.FromBytes([]byte("mail " + id)), facts: facts,
		verdicts: map[message.SampleKey]message.Verdict{},
	}
	ctx := context.Background()
	if err := b.gate.judge(ctx, w, m.Envelope.To); err != nil {
		b.t.Fatal(err)
	}
	if reply, err := b.gate.commit(ctx, w); err != nil || !reply.Accepted() {
		b.t.Fatalf("%s, %v", reply, err)
	}
}

// run lets the time pass, a second at a time.
func (b *bench) run(d time.Duration) {
	ctx := context.Background()
	for end := b.now.Add(d); ; b.now = b.now.Add(time.Second) {
		b.desk.Submit(ctx)
		b.desk.Ask(ctx)
		for b.gate.runBatch(ctx) == runBatch {
		}
		if !b.now.Before(end) {
			return
		}
	}
}

func (b *bench) copy(id string) *store.Copy {
	b.t.Helper()
	c, err := b.store.Copy(context.Background(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

func high() message.Verdict {
	return message.Verdict{State: message.VerdictDone, Level: message.RiskHigh, Analyzer: "ddan"}
}
