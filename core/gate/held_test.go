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

// TestHeldClock: an hour of held mail. The first query comes 60 s after the submission, then one each minute; the wait ends at 1,260 s by
// default and at max_wait where that is earlier, as Expiration showed.
func TestHeldClock(t *testing.T) {
	for _, test := range []struct {
		settings string
		end      time.Duration
		queries  int
	}{
		{"", 1260 * time.Second, 20}, // a query at the very end comes too late for what has expired then
		{`max_wait = "300s"`, 300 * time.Second, 4},
		{`max_wait = "400s"`, 400 * time.Second, 6},
		{`max_retries = 5`, 360 * time.Second, 5},
		{`query_delay = "10s"`, 1210 * time.Second, 20},
	} {
		b := newBench(t, test.settings)
		b.mail("M1", "aa")
		if c := b.copy("M1"); c.State != store.CopyHeld || c.Deadline.Sub(start()) != test.end {
			t.Errorf("%s: it is %s until %s", test.settings, c.State, c.Deadline.Sub(start()))
		}
		b.run(test.end - time.Second)
		if c := b.copy("M1"); c.State != store.CopyHeld {
			t.Errorf("%s: %s a second before its end", test.settings, c.State)
		}
		b.run(time.Second)
		if c := b.copy("M1"); c.State != store.CopyQuarantined || c.Area != "unanalysed" {
			t.Errorf("%s: %s in %q at its end", test.settings, c.State, c.Area)
		}
		if test.settings == "" {
			b.run(time.Hour - test.end)
		} else {
			b.run(5 * time.Minute)
		}
		delay := b.policy.VirtualAnalyzer.QueryDelay
		for i, at := range b.sandbox.asked {
			if want := delay + time.Duration(i)*time.Minute; at != want {
				t.Errorf("%s: query %d at %s, want %s", test.settings, i+1, at, want)
			}
		}
		if n := len(b.sandbox.asked); n < test.queries || n > test.queries+1 {
			t.Errorf("%s: asked %d times", test.settings, n)
		}
		t.Logf("%-22s expiration %s, %d queries from %s, ended on time", test.settings, test.end, len(b.sandbox.asked), delay)
	}
}

// TestHeldJump: a clock that jumps while mail is held changes neither the queries nor the end; what is recorded has its time.
func TestHeldJump(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour, 24 * time.Hour, -24 * time.Hour} {
		b := newBench(t, `max_wait = "300s"`)
		b.mail("M1", "aa")
		b.run(30 * time.Second)
		b.jumped = jump
		b.mail("M2", "aa")
		b.run(269 * time.Second)
		if c := b.copy("M1"); c.State != store.CopyHeld {
			t.Errorf("%s: %s a second before its end", jump, c.State)
		}
		b.run(time.Second)
		if c := b.copy("M1"); c.State != store.CopyQuarantined || !c.Changed.Equal(b.clock()) {
			t.Errorf("%s: %s at its end, recorded as of %s at %s", jump, c.State, c.Changed, b.clock())
		}
		b.run(29 * time.Second)
		if c := b.copy("M2"); c.State != store.CopyHeld {
			t.Errorf("%s: the one that came after is %s a second before its end", jump, c.State)
		}
		b.run(time.Second)
		if c := b.copy("M2"); c.State != store.CopyQuarantined {
			t.Errorf("%s: the one that came after is %s at its end", jump, c.State)
		}
		for i, at := range b.sandbox.asked {
			if want := time.Duration(i+1) * time.Minute; at != want {
				t.Errorf("%s: query %d at %s, want %s", jump, i+1, at, want)
			}
		}
	}
}

// TestVerdictDecides: the verdict is acted on when it is known; who comes later is served by the cache, and after its reset asks again.
func TestVerdictDecides(t *testing.T) {
	b := newBench(t, `cache { reset_at = "`+start().Local().Add(time.Hour).Format("15:04")+`" }`)
	b.mail("M1", "aa")
	b.run(90 * time.Second)
	b.mail("M2", "aa") // joins the wait late
	b.sandbox.verdicts["aa"] = high()
	b.run(35 * time.Second)
	for _, id := range []string{"M1", "M2"} {
		if c := b.copy(id); c.State != store.CopyQuarantined || c.Area != "scripts" || c.Fate.Matches[0].ThreatType != message.ThreatAnalyzed {
			t.Errorf("%s is %s: %+v", id, c.State, c.Fate)
		}
	}
	b.mail("M3", "aa")
	if c := b.copy("M3"); c.State != store.CopyQuarantined {
		t.Errorf("with the verdict in the cache it is %s", c.State)
	}
	if len(b.sandbox.submitted) != 1 {
		t.Errorf("submitted are %v", b.sandbox.submitted)
	}
	b.run(time.Hour)
	b.mail("M4", "aa")
	b.run(5 * time.Second)
	if c := b.copy("M4"); c.State != store.CopyHeld || len(b.sandbox.submitted) != 2 {
		t.Errorf("after the reset it is %s, submitted are %v", c.State, b.sandbox.submitted)
	}
}

// TestVerdictStays: what a message has learnt stays with it, whatever becomes of the cache, and what failed is not waited for again.
func TestVerdictStays(t *testing.T) {
	b := newBench(t, "")
	b.mail("M1", "failed", "slow")
	b.sandbox.verdicts["failed"] = message.Verdict{State: message.VerdictFailed, Analyzer: "ddan"}
	b.run(70 * time.Second)
	c := b.copy("M1")
	if c.State != store.CopyHeld || len(c.Fate.Waits) != 1 || c.Fate.Waits[0].Key.SHA256 != "slow" || len(c.Fate.Verdicts) != 1 {
		t.Fatalf("it is %s and waits for %+v", c.State, c.Fate.Waits)
	}
	if _, err := b.store.ClearVerdicts(context.Background(), b.now, ""); err != nil {
		t.Fatal(err)
	}
	b.sandbox.verdicts["slow"] = message.Verdict{State: message.VerdictDone, Level: message.RiskNone, Analyzer: "ddan"}
	b.run(70 * time.Second)
	if c := b.copy("M1"); c.Area != "unanalysed" {
		t.Errorf("it is %s in %q", c.State, c.Area)
	}
	if len(b.sandbox.submitted) != 2 {
		t.Errorf("submitted are %v", b.sandbox.submitted)
	}
}

// TestRelease: released from analysis, the other rules judge, and the cache learns nothing.
func TestRelease(t *testing.T) {
	b := newBench(t, "")
	b.mail("M1", "aa")
	b.run(5 * time.Second)
	if err := Release(context.Background(), b.store, b.now, "M1", "admin"); err != nil {
		t.Fatal(err)
	}
	b.run(2 * time.Second)
	if c := b.copy("M1"); c.State != store.CopyDelivering {
		t.Errorf("it is %s", c.State)
	}
	b.mail("M2", "aa")
	if c := b.copy("M2"); c.State != store.CopyHeld {
		t.Errorf("another with the sample is %s", c.State)
	}
}

// TestNotice: recipients are told once, when the message has been held for the time set.
func TestNotice(t *testing.T) {
	b := newBench(t, "notice {\n    after = \"120s\"\n    notification = \"Held\"\n  }")
	b.mail("M1", "aa")
	told := func() (n int) {
		owed, err := b.store.Obligations(context.Background(), "M1")
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range owed {
			if o.Kind == store.OweNotify && o.Recipient == "bob@example.org" {
				n++
			}
		}
		return n
	}
	b.run(119 * time.Second)
	if told() != 0 {
		t.Error("told too early")
	}
	b.run(10 * time.Minute)
	if n := told(); n != 1 {
		t.Errorf("told %d times", n)
	}
	if c := b.copy("M1"); c.State != store.CopyHeld || c.Deadline.Sub(start()) != 1260*time.Second {
		t.Errorf("it is %s until %s", c.State, c.Deadline.Sub(start()))
	}
}

// TestServers: an unreachable server is passed over; one whose answer was lost is asked first the next time, and no other.
func TestServers(t *testing.T) {
	b := newBench(t, "")
	b.sandbox.away["one"] = true
	b.mail("M1", "aa")
	b.run(2 * time.Second)
	if !slices.Equal(b.sandbox.submitted, []string{"two aa"}) {
		t.Errorf("submitted are %v", b.sandbox.submitted)
	}
	b.sandbox.away["two"] = true
	b.mail("M2", "bb")
	b.run(2 * time.Second)
	b.sandbox.away = map[string]bool{}
	b.sandbox.lost = true
	b.run(20 * time.Second)
	b.sandbox.lost = false
	b.desk = b.newDesk() // as after a restart
	b.run(30 * time.Second)
	if want := []string{"two aa", "one bb"}; !slices.Equal(b.sandbox.submitted, want) {
		t.Errorf("submitted are %v, want %v", b.sandbox.submitted, want)
	}
	if want := []bool{false, false, true}; !slices.Equal(b.sandbox.asking, want) {
		t.Errorf("asked first: %v, want %v", b.sandbox.asking, want)
	}
}

// TestBounded: no more samples are at the sandbox than allowed; the others go in the order in which they came.
func TestBounded(t *testing.T) {
	b := newBench(t, "max_submissions = 2")
	for i := range 5 {
		b.mail(fmt.Sprint("M", i), fmt.Sprint("d", i))
		b.now = b.now.Add(time.Millisecond)
	}
	b.run(10 * time.Second)
	if got := len(b.sandbox.submitted); got != 2 {
		t.Errorf("%d are at the sandbox", got)
	}
	for i := range 5 {
		b.sandbox.verdicts[fmt.Sprint("d", i)] = high()
	}
	b.run(4 * time.Minute)
	slices.Sort(b.sandbox.submitted[:2])
	slices.Sort(b.sandbox.submitted[2:4])
	if want := []string{"one d0", "one d1", "one d2", "one d3", "one d4"}; !slices.Equal(b.sandbox.submitted, want) {
		t.Errorf("submitted are %v", b.sandbox.submitted)
	}
}

// TestAnalyzerRestart: the command clears the cache and reaches a running desk.
func TestAnalyzerRestart(t *testing.T) {
	b := newBench(t, "")
	b.mail("M1", "aa")
	b.sandbox.verdicts["aa"] = high()
	b.run(70 * time.Second)
	n, err := analysis.Restart(context.Background(), b.store, b.now)
	if err != nil || n != 1 {
		t.Errorf("%d forgotten, %v", n, err)
	}
	b.run(10 * time.Second)
	if b.sandbox.restarts != 1 {
		t.Errorf("restarted %d times", b.sandbox.restarts)
	}
}

// TestCrashBeforeWaking: a verdict that was recorded just before the gateway died wakes who waits for it soon after the next start.
func TestCrashBeforeWaking(t *testing.T) {
	b := newBench(t, "")
	b.mail("M1", "aa")
	b.run(5 * time.Second)
	ctx := context.Background()
	found, err := b.store.Submissions(ctx, []message.SampleKey{{SHA256: "aa", Kind: "file", Extension: "js"}})
	if err != nil || len(found) != 1 {
		t.Fatalf("%v, %v", found, err)
	}
	v := high()
	found[0].State, found[0].Verdict, found[0].Expires = "done", &v, b.now.Add(time.Hour)
	if err := b.store.UpdateSubmission(ctx, found[0]); err != nil {
		t.Fatal(err)
	}
	b.desk = b.newDesk()
	b.run(2 * time.Second)
	if c := b.copy("M1"); c.State != store.CopyQuarantined {
		t.Errorf("it is %s", c.State)
	}
}
