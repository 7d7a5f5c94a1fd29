package e2e

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postern-mail/postern/core/e2e/harness"
	"github.com/postern-mail/postern/core/store"
)

// objectSite is a gateway with a list in a file and a sandbox.
type objectSite struct {
	*harness.Site
	t       *testing.T
	sandbox *sandbox
	list    string
}

func newObjectSite(t *testing.T, verdicts string) *objectSite {
	t.Helper()
	s := &objectSite{t: t, sandbox: newSandbox(t, verdicts), list: filepath.Join(t.TempDir(), "list.csv")}
	s.write("type,value,action\ndomain,fetched.example,block\n")
	s.Site = newSite(t, "objects", append(s.sandbox.Environment(), "SITE_LIST="+s.list)...)
	start(t, s.Site)
	s.loaded("fetched", 1)
	return s
}

func (s *objectSite) write(text string) {
	s.t.Helper()
	if err := os.WriteFile(s.list, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// loaded waits until the gateway matches by the list of that generation.
func (s *objectSite) loaded(list string, generation int64) {
	s.t.Helper()
	if err := s.WaitForList(limited(s.t), list, generation); err != nil {
		s.t.Fatal(err)
	}
}

// link sends a mail with a link and returns the rule that its event names, "" where it passed without one.
func (s *objectSite) link(id, url string) string {
	s.t.Helper()
	return s.rule(id, fmt.Appendf(nil, "From: Alice <alice@outside.example>\r\nTo: Bob <bob@example.org>\r\nSubject: %s\r\nMessage-ID: <%s@outside.example>\r\n\r\nSee %s\r\n", id, id, url))
}

func (s *objectSite) rule(id string, data []byte) string {
	s.t.Helper()
	if reply := send(s.t, s.Site, outside, []string{inside}, data); !reply.Accepted() {
		s.t.Fatalf("%s: refused: %s", id, reply)
	}
	events, err := s.Events(limited(s.t), "--id", `"`+id+`@outside.example"`)
	if err != nil {
		s.t.Fatal(err)
	}
	if len(events) == 0 {
		return ""
	}
	return events[0].Rule
}

// quarantined waits until the mail is, and returns the event.
func (s *objectSite) quarantined(id string) store.Event {
	s.t.Helper()
	var events []store.Event
	err := harness.Eventually(limited(s.t), id+" is quarantined", func() (ok bool, err error) {
		events, err = s.Events(limited(s.t), "--id", `"`+id+`@outside.example"`)
		return len(events) == 1, err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return events[0]
}

const (
	suspiciousFile = "TMCM_M_Suspicious file detection"
	suspiciousURL  = "TMCM_M_Suspicious URL detection"
)

// TestObjects: what an operator does with lists counts at once, is explained, and is there before the first mail after a start.
func TestObjects(t *testing.T) {
	s := newObjectSite(t, "")
	if rule := s.link("fetched", "http://fetched.example/"); rule != suspiciousURL {
		t.Errorf("what was fetched is judged by %q", rule)
	}
	if rule := s.link("clean", "http://clean.example/"); rule != "" {
		t.Errorf("a clean mail is judged by %q", rule)
	}
	if out := run(t, s.Site, "policy", "show", "--hidden"); !strings.Contains(out, suspiciousFile) || strings.Index(out, suspiciousURL) < strings.Index(out, suspiciousFile) ||
		strings.Index(out, "Scripts") < strings.Index(out, suspiciousURL) {
		t.Errorf("the rules are\n%s", out)
	}

	run(t, s.Site, "objects", "add", "bad.example", "http://evil.example/kit/*", "--note", "seen today", "--expires", "30d")
	s.loaded("local", 1)
	for id, test := range map[string]struct{ url, want string }{
		"added": {"http://www.bad.example/", suspiciousURL}, "begins": {"http://evil.example/kit/1", suspiciousURL}, "other": {"http://evil.example/", ""},
	} {
		if rule := s.link(id, test.url); rule != test.want {
			t.Errorf("%s is judged by %q", test.url, rule)
		}
	}
	if out := run(t, s.Site, "objects", "test", "https://x.bad.example/y?z"); !strings.Contains(out, "matches, with the action block") || !strings.Contains(out, "seen today") {
		t.Errorf("test says\n%s", out)
	}
	if out := run(t, s.Site, "objects", "test", "http://evil.example/kit/2"); !strings.Contains(out, "evil.example/kit/*") {
		t.Errorf("test says\n%s", out)
	}
	if out := run(t, s.Site, "objects", "test", "good.example"); !strings.Contains(out, "is in no list") {
		t.Errorf("test says\n%s", out)
	}

	mail := filepath.Join(t.TempDir(), "mail.eml")
	if err := os.WriteFile(mail, []byte("From: a@outside.example\nTo: b@example.org\nSubject: x\n\nhttp://bad.example/\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := run(t, s.Site, "scan", mail); !strings.Contains(out, suspiciousURL) || !strings.Contains(out, "local lists bad.example") {
		t.Errorf("scan says\n%s", out)
	}

	run(t, s.Site, "objects", "add", "--exception", "fetched.example")
	s.loaded("local", 2)
	if rule := s.link("excepted", "http://fetched.example/"); rule != "" {
		t.Errorf("what is excepted is judged by %q", rule)
	}
	if out := run(t, s.Site, "objects", "test", "fetched.example"); !strings.Contains(out, "never matches") {
		t.Errorf("test says\n%s", out)
	}
	run(t, s.Site, "objects", "remove", "bad.example")
	s.loaded("local", 3)
	if rule := s.link("removed", "http://bad.example/"); rule != "" {
		t.Errorf("what was removed is judged by %q", rule)
	}

	// A file that cannot be read any more does no harm; one that changes is read again.
	s.write("type,value,action\ndomain")
	err := harness.Eventually(limited(t), "the trouble is told", func() (bool, error) {
		lists, err := s.ObjectLists(limited(t))
		return lists["fetched"].Error != "" && lists["fetched"].Objects == 1, err
	})
	if err != nil {
		t.Error(err)
	}
	s.write("type,value,action\ndomain,fetched.example,block\ndomain,later.example,quarantine\n")
	s.loaded("fetched", 2)
	if rule := s.link("later", "http://later.example/"); rule != suspiciousURL {
		t.Errorf("what came later is judged by %q", rule)
	}

	exported := run(t, s.Site, "objects", "export", "--list", "local")
	file := filepath.Join(t.TempDir(), "export.csv")
	if err := os.WriteFile(file, []byte(exported+"domain,imported.example,log,,,,\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, s.Site, "objects", "import", "--replace", file)
	if again := run(t, s.Site, "objects", "export", "--list", "local"); strings.Count(again, "\n") != strings.Count(exported, "\n")+1 {
		t.Errorf("exported\n%s then\n%s", exported, again)
	}

	var found []struct{ Fate string }
	// Delivered mail is in the store a moment later, kept mail at once.
	err = harness.Eventually(limited(t), "both are found", func() (ok bool, err error) {
		found, err = harness.JSONLines[struct{ Fate string }](run(t, s.Site, "hunt", "fetched.example", "--json"), nil)
		return len(found) == 2, err
	})
	if err != nil {
		t.Error(err)
	}
	fates, err := json.Marshal(found)
	if text := string(fates); err != nil || !strings.Contains(text, "Quarantine") || !strings.Contains(text, "Normal") {
		t.Errorf("hunted are %s", text)
	}

	if err := s.Gateway.Stop(); err != nil {
		t.Fatal(err)
	}
	s.write("out of order,,,,,,,,")
	start(t, s.Site)
	if rule := s.link("restarted", "http://later.example/"); rule != suspiciousURL {
		t.Errorf("the first mail after a start is judged by %q", rule)
	}
}

// TestHighRiskIsListed: a verdict counts for the file under any name, and without the sandbox.
func TestHighRiskIsListed(t *testing.T) {
	s := newObjectSite(t, "*.js high delay=0s name=JS_SIMULATED\n")
	content := []byte("// a bad script")
	s.rule("analysed", harness.Document("analysed", "a.js", content))
	if e := s.quarantined("analysed"); e.Rule != "Scripts" {
		t.Errorf("the first is judged by %q", e.Rule)
	}
	s.loaded("virtual-analyzer", 1)
	if rule := s.rule("renamed", harness.Document("renamed", "a.dat", content)); rule != suspiciousFile {
		t.Errorf("the second is judged by %q", rule)
	}
	// A release waives what kept the mail, for this mail.
	kept, err := s.Copies(limited(t), "quarantine", "--area", "default")
	if err != nil || len(kept) != 1 {
		t.Fatal(kept, err)
	}
	run(t, s.Site, "quarantine", "release", kept[0].ID)
	wait(t, s.Sink, "<renamed@outside.example>", 1)

	digest := fmt.Sprintf("%x", sha256.Sum256(content))
	if out := run(t, s.Site, "objects", "list", "--list", "virtual-analyzer"); !strings.Contains(out, digest[:40]) || !strings.Contains(out, "JS_SIMULATED") {
		t.Errorf("the list is\n%s", out)
	}
	run(t, s.Site, "objects", "remove", digest)
	s.loaded("virtual-analyzer", 2)
	if rule := s.rule("forgiven", harness.Document("forgiven", "b.dat", content)); rule != "" {
		t.Errorf("what was removed is judged by %q", rule)
	}
}

// TestNewObjectWakes: mail that waits for the sandbox is decided as soon as a list has what it carries.
func TestNewObjectWakes(t *testing.T) {
	s := newObjectSite(t, "* none fault=never\n")
	content := []byte("// nobody knows yet")
	for _, id := range []string{"waits", "stays"} {
		if rule := s.rule(id, harness.Document(id, id+".js", append(content, id...))); rule != "" {
			t.Errorf("%s is judged by %q", id, rule)
		}
	}
	run(t, s.Site, "objects", "add", fmt.Sprintf("%x", sha256.Sum256(append(content, "waits"...))), "--action", "quarantine")
	if e := s.quarantined("waits"); e.Rule != suspiciousFile || e.Reason != "Suspicious Objects" {
		t.Errorf("the event is %+v", e)
	}
	waiting, err := s.Waiting(limited(t))
	if err != nil || len(waiting) != 1 || waiting[0].Subject != "stays" {
		t.Errorf("waiting are %+v, %v", waiting, err)
	}
}

// TestExamplePolicies: each is valid beside the configuration that an installation starts from.
func TestExamplePolicies(t *testing.T) {
	examples, err := filepath.Glob("../../examples/policies/*.hcl")
	if err != nil || len(examples) == 0 {
		t.Fatal(examples, err)
	}
	base, err := os.ReadFile("../../config/postern.hcl")
	if err != nil {
		t.Fatal(err)
	}
	for _, example := range examples {
		text, err := os.ReadFile(example)
		if err != nil {
			t.Fatal(err)
		}
		site, err := harness.NewSite(limited(t), bin, t.TempDir(), map[string][]byte{"postern.hcl": base, "example.hcl": text})
		if err != nil {
			t.Fatal(err)
		}
		run(t, site, "validate")
		if err := site.Stop(); err != nil {
			t.Error(err)
		}
	}
}
