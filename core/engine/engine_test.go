package engine_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2/hclsimple"

	"github.com/postern-mail/postern/core/engine"
	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/plugincatalog"
	"github.com/postern-mail/postern/core/policy"
)

var update = flag.Bool("update", false, "write the .decisions files anew; read the difference before you commit it")

// caseFile is a testdata/*.cases.hcl: mails, told by what was found in them.
type caseFile struct {
	Cases []mailCase `hcl:"case,block"`
}

type mailCase struct {
	Name     string        `hcl:"name,label"`
	From     string        `hcl:"from,optional"`
	To       []string      `hcl:"to,optional"`
	Parts    []string      `hcl:"parts,optional"` // names of attachments; part 1 is the first
	Findings []findingCase `hcl:"finding,block"`
	Troubles []troubleCase `hcl:"trouble,block"`
	Verdicts []verdictCase `hcl:"verdict,block"`
	Waivers  []waiverCase  `hcl:"waiver,block"`
	Unasked  []string      `hcl:"unasked,optional"` // plugins that have not been asked
}

// findingCase answers a scan of a rule: the first of the plugin, or that of the number.
type findingCase struct {
	Plugin       string `hcl:"plugin,label"`
	Rule         string `hcl:"rule"`
	Kind         string `hcl:"kind,optional"`
	Possible     bool   `hcl:"possible,optional"`
	Name         string `hcl:"name,optional"`
	Part         *int   `hcl:"part"`
	ObjectAction string `hcl:"object_action,optional"`
}

type troubleCase struct {
	Exception string `hcl:"exception,label"`
	Reason    string `hcl:"reason"`
	Plugin    string `hcl:"plugin,optional"`
}

// verdictCase is what the sandbox says of a part, or of the message where it names none.
type verdictCase struct {
	Part  *int   `hcl:"part"`
	Level string `hcl:"level,optional"`
	State string `hcl:"state,optional"`
}

type waiverCase struct {
	Plugin   string   `hcl:"plugin,label"`
	Kind     string   `hcl:"kind"`
	Name     string   `hcl:"name"`
	Possible bool     `hcl:"possible,optional"`
	To       []string `hcl:"to,optional"`
}

// noon is when everything is judged.
func noon() time.Time { return time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC) }

// TestEvaluate judges the mails of every testdata/*.cases.hcl by the policy beside it and holds the decisions against a third file.
func TestEvaluate(t *testing.T) {
	files, err := filepath.Glob("testdata/*.cases.hcl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, path := range files {
		base := strings.TrimSuffix(path, ".cases.hcl")
		t.Run(filepath.Base(base), func(t *testing.T) {
			p := loadPolicy(t, base+".policy.hcl")
			var cases caseFile
			if err := hclsimple.DecodeFile(path, nil, &cases); err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for i := range cases.Cases {
				c := &cases.Cases[i]
				in := c.input(t, p)
				d := engine.Evaluate(in)
				fmt.Fprintf(&got, "# %s\n%s\n", c.Name, decisionText(&d))
				checkPure(t, in, &d)
			}
			if *update {
				if err := os.WriteFile(base+".decisions", []byte(got.String()), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(base + ".decisions")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("want -, got +:\n%s", diff)
			}
		})
	}
}

// checkPure judges again: the same input gives the same decision, and every recipient has one fate.
func checkPure(t *testing.T, in engine.Input, d *message.Decision) {
	t.Helper()
	again := engine.Evaluate(in)
	if diff := cmp.Diff(*d, again); diff != "" {
		t.Errorf("judged again it is another decision:\n%s", diff)
	}
	if len(d.NeedFacts) > 0 {
		return
	}
	seen := map[string]int{}
	for i := range d.Fates {
		for _, r := range d.Fates[i].Recipients {
			seen[r]++
		}
	}
	for _, r := range in.Recipients {
		if seen[r] != 1 {
			t.Errorf("%s has %d fates", r, seen[r])
		}
	}
}

func loadPolicy(t testing.TB, path string) *policy.Policy {
	t.Helper()
	catalog, err := plugincatalog.Load("../policy/testdata/plugins.lock.hcl")
	if err != nil {
		t.Fatal(err)
	}
	builtin, err := policy.LoadRules(os.DirFS("../../config"), "builtin", "")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	common, err := os.ReadFile("testdata/common.hcl")
	if err != nil {
		t.Fatal(err)
	}
	p, files, diags := policy.Load([]policy.Source{{Name: "common.hcl", Bytes: common}, {Name: path, Bytes: text}},
		policy.Options{Catalog: catalog, Builtin: builtin, Env: os.LookupEnv, ReadFile: os.ReadFile})
	if p == nil {
		var b strings.Builder
		_ = policy.WriteDiagnostics(&b, files, diags, 100, false)
		t.Fatal(b.String())
	}
	return p
}

// input makes the facts that the case tells of.
func (c *mailCase) input(t testing.TB, p *policy.Policy) engine.Input {
	t.Helper()
	if c.From == "" {
		c.From = "alice@outside.example"
	}
	if len(c.To) == 0 {
		c.To = []string{"bob@example.org"}
	}
	facts := &message.Facts{Tree: message.Tree{Parts: []message.Part{{Display: "text", Kind: message.PartText}}}, Reports: map[string]message.Report{}}
	for i, name := range c.Parts {
		facts.Tree.Parts = append(facts.Tree.Parts, message.Part{
			ID: i + 1, Names: []string{name}, Display: name, Kind: message.PartAttachment, SHA256: fmt.Sprintf("%064d", i+1),
		})
	}
	for i := range p.Plugins {
		report := message.Report{Plugin: p.Plugins[i].Name}
		for _, q := range p.Plugins[i].Queries {
			report.Queries = append(report.Queries, q.Number)
		}
		facts.Reports[report.Plugin] = report
	}
	if p.Objects != nil {
		facts.Reports[p.Objects.Source] = message.Report{Plugin: p.Objects.Source}
	}
	for _, f := range c.Findings {
		report := facts.Reports[f.Plugin]
		report.Findings = append(report.Findings, message.Finding{
			Plugin: f.Plugin, Query: queryOf(t, p, f.Rule, f.Plugin), Kind: f.Kind, Certainty: certainty(f.Possible), Name: f.Name, Part: part(f.Part),
			ObjectAction: f.ObjectAction,
		})
		facts.Reports[f.Plugin] = report
	}
	for _, x := range c.Troubles {
		trouble := message.Trouble{Exception: message.Exception(x.Exception), Reason: x.Reason, Part: -1, Plugin: x.Plugin}
		if x.Plugin == "" {
			facts.Tree.Troubles = append(facts.Tree.Troubles, trouble)
			continue
		}
		report := facts.Reports[x.Plugin]
		report.Troubles = append(report.Troubles, trouble)
		facts.Reports[x.Plugin] = report
	}
	for _, plugin := range c.Unasked {
		delete(facts.Reports, plugin)
	}
	in := engine.Input{
		Message:    &message.Message{Envelope: message.Envelope{From: c.From, To: c.To}, SHA256: "mail"},
		Recipients: c.To, Facts: facts, Policy: p, Verdicts: map[message.SampleKey]message.Verdict{}, Now: noon(),
	}
	for _, v := range c.Verdicts {
		verdict := message.Verdict{State: message.VerdictDone, Analyzer: "ddan", At: noon()}
		if v.State != "" {
			verdict.State = message.VerdictState(v.State)
		}
		for verdict.Level = message.RiskNone; verdict.State == message.VerdictDone && verdict.Level.String() != v.Level; verdict.Level++ {
			if verdict.Level > message.RiskHigh {
				t.Fatalf("%s: no level %q", c.Name, v.Level)
			}
		}
		in.Verdicts[keyOf(facts, part(v.Part))] = verdict
	}
	for _, w := range c.Waivers {
		in.Waivers = append(in.Waivers, message.Waiver{Plugin: w.Plugin, Kind: w.Kind, Name: w.Name, Certainty: certainty(w.Possible), Recipients: w.To})
	}
	return in
}

func part(p *int) int {
	if p == nil {
		return -1
	}
	return *p
}

func certainty(possible bool) message.Certainty {
	if possible {
		return message.Possible
	}
	return message.Sure
}

func queryOf(t testing.TB, p *policy.Policy, rule, plugin string) int {
	t.Helper()
	for i := range p.Rules {
		for _, scan := range p.Rules[i].Scans {
			if p.Rules[i].Name == rule && scan.Plugin == plugin {
				return scan.Query
			}
		}
	}
	t.Fatalf("no rule %q with scan %q", rule, plugin)
	return 0
}

// keyOf is the sample's key as the engine makes it.
func keyOf(facts *message.Facts, part int) message.SampleKey {
	if part < 0 {
		return message.SampleKey{SHA256: "mail", Kind: "message", Extension: "eml"}
	}
	p := &facts.Tree.Parts[part]
	return message.SampleKey{SHA256: p.SHA256, Kind: "file", Extension: strings.TrimPrefix(filepath.Ext(p.Name()), ".")}
}

// decisionText is a decision as the .decisions files hold it: each fate with what matched, then the trace.
func decisionText(d *message.Decision) string {
	var b strings.Builder
	if len(d.NeedFacts) > 0 {
		fmt.Fprintf(&b, "needs answers: %v\n", d.NeedFacts)
		return b.String()
	}
	for i := range d.Fates {
		f := &d.Fates[i]
		what := "delivered"
		switch {
		case f.State == message.FateWaiting:
			what = fmt.Sprintf("waits by rule %q for", f.WaitRule)
			for _, s := range f.Waits {
				what += " " + s.Display
			}
		case f.Final != nil:
			what = strings.TrimSpace(f.Final.Name + " " + f.Final.Area)
		}
		for _, s := range f.Submits {
			what += fmt.Sprintf(", submits %s for %q", s.Display, s.Rule)
		}
		fmt.Fprintf(&b, "%s: %s\n", strings.Join(f.Recipients, ", "), what)
		for _, m := range f.Matches {
			fmt.Fprintf(&b, "    %s", m.Rule)
			for _, a := range m.Actions {
				fmt.Fprintf(&b, ", %s", a.Name)
			}
			if m.ThreatType != "" {
				fmt.Fprintf(&b, ", %s", m.ThreatType)
			}
			fmt.Fprintf(&b, ", for %s\n", strings.Join(m.Recipients, ", "))
		}
	}
	for _, s := range d.Trace {
		fmt.Fprintf(&b, "  %d %s [%s] %s", s.Number, s.Rule, strings.Join(s.Recipients, ", "), s.Outcome)
		if s.Why != "" {
			fmt.Fprintf(&b, ": %s", s.Why)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// BenchmarkEvaluate judges a mail with findings for a policy of ten rules.
func BenchmarkEvaluate(b *testing.B) {
	p := loadPolicy(b, "testdata/order.policy.hcl")
	c := mailCase{To: []string{"bob@example.org", "sales@example.org"}, Parts: []string{"a.zip"}, Findings: []findingCase{
		{Plugin: "filetype", Rule: "Sales only", Kind: "type", Name: "zip"},
	}}
	in := c.input(b, p)
	b.ReportAllocs()
	for b.Loop() {
		if d := engine.Evaluate(in); len(d.Fates) != 2 {
			b.Fatalf("%d fates", len(d.Fates))
		}
	}
}
