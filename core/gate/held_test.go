package gate

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/postern-mail/postern/core/analysis"
	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/store"
)

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
