package e2e

import (
	"strings"
	"testing"

	"github.com/postern-mail/postern/core/e2e/harness"
	"github.com/postern-mail/postern/core/store/postgres/pgtest"
)

// sandbox is a running simulator.
type sandbox struct{ *harness.Simulator }

// newSandbox starts the simulator with the lines of verdicts.
func newSandbox(t *testing.T, verdicts string) *sandbox {
	t.Helper()
	simulator, err := harness.StartSimulator(limited(t), bin, t.TempDir(), verdicts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := simulator.Stop(); err != nil {
			t.Error(err)
		}
	})
	return &sandbox{simulator}
}

// uploads returns how often a sample was uploaded, by SHA-1, and how many while it was being analysed already.
func (s *sandbox) uploads(t *testing.T) (uploads map[string]int, doubled int) {
	t.Helper()
	uploads, doubled, err := s.Uploads()
	if err != nil {
		t.Fatal(err)
	}
	return uploads, doubled
}

func (s *sandbox) set(t *testing.T, lines string) {
	t.Helper()
	told(t, s.Set(lines))
}

func (s *sandbox) fault(t *testing.T, what string) {
	t.Helper()
	told(t, s.Fault(what))
}

func (s *sandbox) forget(t *testing.T, what string) {
	t.Helper()
	told(t, s.Forget(what))
}

func told(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestSandbox sends mail through the real gateway and plugin to the simulator: held, listed, analysed, decided. That the verdicts come only
// when the test sets them shows that each mail waited for its own.
func TestSandbox(t *testing.T) {
	s := newSandbox(t, "* none fault=never\n")
	site := newSite(t, "sandbox", s.Environment()...)
	start(t, site)
	names := map[string]string{"bad": "bad.js", "good": "good.js", "failing": "failing.js", "odd": "odd.js"}
	for subject, name := range names {
		data := harness.Document(subject, name, []byte("script "+subject))
		if reply := send(t, site, outside, []string{inside}, data); !reply.Accepted() {
			t.Fatalf("%s: refused: %s", subject, reply)
		}
	}
	err := harness.Eventually(limited(t), "all are held and submitted", func() (bool, error) {
		waiting, err := site.Waiting(limited(t))
		if err != nil {
			return false, err
		}
		uploads, _ := s.uploads(t)
		return len(waiting) == len(names) && len(uploads) == len(names), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	listed := run(t, site, "queue", "list", "virtual-analyzer")
	for subject := range names {
		if !strings.Contains(listed, subject) {
			t.Errorf("%s is not listed:\n%s", subject, listed)
		}
	}
	if n := len(site.Sink.Mails()); n != 0 {
		t.Errorf("%d mails arrived before their verdicts", n)
	}

	s.set(t, "bad.js high delay=0s name=JS_SIMULATED event=Dropped\ngood.js none delay=0s\nfailing.js error delay=0s\nodd.js unsupported delay=0s")
	if m := wait(t, site.Sink, "<good@outside.example>", 1)[0]; !harness.AsSent(m.Data, harness.Document("good", "good.js", []byte("script good"))) {
		t.Errorf("arrived as %s", m.Data)
	}
	wait(t, site.Sink, "<odd@outside.example>", 1) // the exception's own branch lets it pass
	for _, test := range []struct{ subject, area, event string }{
		{"bad", "scripts", "Analyzed advanced threat"},
		{"failing", "unanalysed", "Probable advanced threat"},
	} {
		err := harness.Eventually(limited(t), test.subject+" is quarantined", func() (bool, error) {
			copies, err := site.Copies(limited(t), "quarantine", "--area", test.area)
			return len(copies) == 1, err
		})
		if err != nil {
			t.Error(err)
		}
		events, err := site.Events(limited(t), "--id", `"`+test.subject+`@outside.example"`)
		if err != nil || len(events) != 1 || !strings.HasPrefix(events[0].ThreatType, test.event) {
			t.Errorf("%s: the log has %+v, %v; want %q", test.subject, events, err, test.event)
		}
	}
	if n := len(site.Sink.Mails()); n != 2 {
		t.Errorf("%d mails arrived, want 2", n)
	}
	uploads, doubled := s.uploads(t)
	for hash, n := range uploads {
		if n != 1 {
			t.Errorf("%s was uploaded %d times", hash, n)
		}
	}
	if doubled != 0 {
		t.Errorf("%d uploads of what was being analysed", doubled)
	}
	if log := site.Gateway.Log(); strings.Contains(log, harness.SimulatorKey) {
		t.Error("the key is in the log")
	}
}

// TestSandboxLosesAnswers: the sandbox takes a sample and its answer is lost; it refuses connections; it forgets its clients. The mail waits,
// the sample is uploaded once.
func TestSandboxLosesAnswers(t *testing.T) {
	s := newSandbox(t, "* high delay=0s\n")
	site := newSite(t, "sandbox", s.Environment()...)
	start(t, site)
	s.fault(t, "kind=cut&service=upload_sample&count=1")
	data := harness.Document("lost", "lost.js", []byte("script lost"))
	if reply := send(t, site, outside, []string{inside}, data); !reply.Accepted() {
		t.Fatalf("refused: %s", reply)
	}
	uploaded := func() (bool, error) {
		uploads, _ := s.uploads(t)
		return len(uploads) == 1, nil
	}
	if err := harness.Eventually(limited(t), "the sample is uploaded", uploaded); err != nil {
		t.Fatal(err)
	}
	s.fault(t, "kind=refuse&for=2s")
	s.forget(t, "clients")
	err := harness.Eventually(limited(t), "the mail is quarantined", func() (bool, error) {
		copies, err := site.Copies(limited(t), "quarantine", "--area", "scripts")
		return len(copies) == 1, err
	})
	if err != nil {
		t.Error(err)
	}
	uploads, doubled := s.uploads(t)
	for hash, n := range uploads {
		if n != 1 || doubled != 0 {
			t.Errorf("%s was uploaded %d times, %d while it was analysed", hash, n, doubled)
		}
	}
	if n := len(site.Sink.Mails()); n != 0 {
		t.Errorf("%d mails arrived", n)
	}
}

// TestSandboxTrouble: the analyzer's process dies and the database is restarted while mail is held; each message is analysed once and
// decided by its verdict.
func TestSandboxTrouble(t *testing.T) {
	s := newSandbox(t, "* none fault=never\n")
	server := pgtest.Start(t)
	site := newSite(t, "sandbox", append(s.Environment(), "SITE_STORE="+server.Database(t))...)
	if err := site.WriteConfig("store.hcl", []byte(`store "postgres" { url = env("SITE_STORE") }`)); err != nil {
		t.Fatal(err)
	}
	start(t, site)
	held := 0
	hold := func(subject string) {
		t.Helper()
		held++
		if reply := send(t, site, outside, []string{inside}, harness.Document(subject, subject+".js", []byte("script "+subject))); !reply.Accepted() {
			t.Fatalf("%s: refused: %s", subject, reply)
		}
		err := harness.Eventually(limited(t), subject+" is uploaded", func() (bool, error) {
			uploads, _, err := s.Uploads()
			return len(uploads) == held && strings.Count(site.Gateway.Log(), `"sample submitted"`) == held, err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	hold("first")
	if err := harness.KillChild(site.Gateway.Pid(), "postern-ddan"); err != nil {
		t.Fatal(err)
	}
	hold("second")
	server.Restart(t)
	s.set(t, "*.js high delay=0s name=JS_SIMULATED")
	err := harness.Eventually(limited(t), "both are quarantined", func() (bool, error) {
		copies, err := site.Copies(limited(t), "quarantine", "--area", "scripts")
		return len(copies) == 2, err
	})
	if err != nil {
		t.Error(err)
	}
	if uploads, doubled := s.uploads(t); len(uploads) != 2 || doubled != 0 {
		t.Errorf("uploads are %v, %d doubled", uploads, doubled)
	}
}
