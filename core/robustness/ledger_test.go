package robustness

import (
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/core/e2e/harness"
	"github.com/postern-mail/postern/core/store"
)

// TestLedgerFinds: each invariant that is broken is found, and nothing where all is well.
func TestLedgerFinds(t *testing.T) {
	now := time.Now()
	trace := func(l *Letter) []byte { return append([]byte("Received: from x\r\n"), l.Data...) }
	arrived := func(l *Letter, to string) Arrival {
		return Arrival{At: now, From: l.From, To: []string{to}, Data: trace(l)}
	}
	quarantined := func(l *Letter) store.CopyRow {
		return store.CopyRow{Copy: store.Copy{State: store.CopyQuarantined, Area: "kept", Recipients: l.To}}
	}
	logged := func(l *Letter) []store.Track { return []store.Track{{Kind: "Normal", Recipients: l.To}} }
	clean, kept, refused := kindNamed("clean"), kindNamed("kept"), kindNamed("refused")
	tests := []struct {
		name string
		kind Kind
		code int
		// broken is how many attempts ended without a reply; killed: a kill follows what arrived.
		broken int
		killed bool
		found  func(l *Letter) ([]Arrival, *Stored)
		want   string // the begin of the only violation; "": none
	}{
		{"all is well", clean, 250, 0, false, func(l *Letter) ([]Arrival, *Stored) {
			return []Arrival{arrived(l, l.To[0])}, &Stored{Tracks: logged(l)}
		}, ""},
		{"kept", kept, 250, 0, false, func(l *Letter) ([]Arrival, *Stored) {
			return nil, &Stored{Copies: []store.CopyRow{quarantined(l)}, Tracks: logged(l)}
		}, ""},
		{"lost", clean, 250, 0, false, func(l *Letter) ([]Arrival, *Stored) { return nil, &Stored{Tracks: logged(l)} }, "lost: "},
		{"not taken and not there", clean, 451, 0, false, func(l *Letter) ([]Arrival, *Stored) { return nil, &Stored{} }, ""},
		{"doubled", clean, 250, 0, false, func(l *Letter) ([]Arrival, *Stored) {
			return []Arrival{arrived(l, l.To[0]), arrived(l, l.To[0])}, &Stored{Tracks: logged(l)}
		}, "unexplained duplicate: "},
		{"doubled, as the first attempt had no reply", clean, 250, 1, false, func(l *Letter) ([]Arrival, *Stored) {
			return []Arrival{arrived(l, l.To[0]), arrived(l, l.To[0])}, &Stored{Tracks: logged(l)}
		}, ""},
		{"doubled, as a kill followed", clean, 250, 0, true, func(l *Letter) ([]Arrival, *Stored) {
			return []Arrival{{At: now.Add(-time.Hour), From: l.From, To: l.To, Data: trace(l)}, arrived(l, l.To[0])}, &Stored{Tracks: logged(l)}
		}, ""},
		{"altered", clean, 250, 0, false, func(l *Letter) ([]Arrival, *Stored) {
			a := arrived(l, l.To[0])
			a.Data = []byte(strings.Replace(string(a.Data), "\r\n.\r\n", "\r\n", 1))
			return []Arrival{a}, &Stored{Tracks: logged(l)}
		}, "altered: "},
		{"let through", kept, 250, 0, false, func(l *Letter) ([]Arrival, *Stored) {
			return []Arrival{arrived(l, l.To[0])}, &Stored{Tracks: logged(l)}
		}, "let through: "},
		{"refused and yet there", refused, 550, 0, false, func(l *Letter) ([]Arrival, *Stored) {
			return nil, &Stored{Copies: []store.CopyRow{quarantined(l)}}
		}, "phantom: "},
		{"to somebody else", clean, 250, 0, false, func(l *Letter) ([]Arrival, *Stored) {
			return []Arrival{arrived(l, l.To[0]), arrived(l, "evil@outside.example")}, &Stored{Tracks: logged(l)}
		}, "phantom: "},
		{"from somebody else", clean, 250, 0, false, func(l *Letter) ([]Arrival, *Stored) {
			a := arrived(l, l.To[0])
			a.From = "evil@outside.example"
			return []Arrival{arrived(l, l.To[0]), a}, &Stored{Tracks: logged(l)}
		}, "phantom: "},
		{"a bounce", clean, 550, 0, false, func(l *Letter) ([]Arrival, *Stored) { return nil, &Stored{} }, "refused for good: "},
		{"not in the log", clean, 250, 0, false, func(l *Letter) ([]Arrival, *Stored) {
			return []Arrival{arrived(l, l.To[0])}, &Stored{}
		}, "not in the log: "},
		{"held too long", kindNamed("cleared"), 451, 0, false, func(l *Letter) ([]Arrival, *Stored) {
			c := quarantined(l)
			c.State, c.Area, c.Deadline = store.CopyHeld, UnanalysedArea, now.Add(-2*time.Minute)
			return nil, &Stored{Copies: []store.CopyRow{c}}
		}, "held too long: "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l, ledger := NewLetter("t1", test.kind), NewLedger()
			for range test.broken {
				ledger.Sending(l)
				ledger.Broken(l)
			}
			ledger.Sending(l)
			ledger.Answered(l, harness.Reply{Code: test.code})
			if test.killed {
				ledger.Killed()
			}
			arrivals, stored := test.found(l)
			r := ledger.Check(arrivals, stored, now)
			found := r.Violations()
			switch {
			case test.want == "" && len(found) > 0:
				t.Errorf("found %v", found)
			case test.want != "" && !strings.Contains(strings.Join(found, "\n"), test.want):
				t.Errorf("found %v, want %q", found, test.want)
			}
		})
	}
}

// TestLostRepliesExplain: what a hop said into a line that was down explains a second copy; nothing else does.
func TestLostRepliesExplain(t *testing.T) {
	now := time.Now()
	down := interval{now.Add(-time.Minute), now.Add(-50 * time.Second)}
	during, before := now.Add(-55*time.Second), now.Add(-2*time.Minute)
	tests := []struct {
		name      string
		at        time.Time
		heard     bool
		deferred  bool // an answer of 4xx, given now, came before the 250
		explained bool
	}{
		{"the reply may be lost", during, false, false, true},
		{"the reply was heard", during, true, false, false},
		{"the line was well", before, false, false, false},
		{"the line was well, and the client was deferred", before, false, true, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l, ledger := NewLetter("t1", kindNamed("clean")), NewLedger()
			ledger.Troubled(down.begin, down.end)
			if test.deferred {
				ledger.Sending(l)
				ledger.Answered(l, harness.Reply{Code: 451})
			}
			ledger.Sending(l)
			ledger.Answered(l, harness.Reply{Code: 250})
			first := Arrival{At: test.at, From: l.From, To: l.To, Data: append([]byte("Received: from x\r\n"), l.Data...), Heard: test.heard}
			second := first
			second.At, second.Heard = now, true
			r := ledger.Check([]Arrival{first, second}, &Stored{Tracks: []store.Track{{Kind: "Normal", Recipients: l.To}}}, now)
			if explained := len(r.Unexplained) == 0; explained != test.explained || r.Duplicates != 1 {
				t.Errorf("explained is %v, want %v: %s", explained, test.explained, r)
			}
		})
	}
}

// TestHopHears: a hop knows whether its reply to a mail was read.
func TestHopHears(t *testing.T) {
	hop, err := StartHop(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	l := NewLetter("t1", kindNamed("clean"))
	for _, leave := range []func(*harness.Client) error{(*harness.Client).Close, (*harness.Client).HangUp} {
		client, err := harness.Dial(hop.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if reply, err := client.Send(l.From, l.To, l.Data); err != nil || !reply.Accepted() {
			t.Fatal(reply, err)
		}
		if err := leave(client); err != nil {
			t.Fatal(err)
		}
	}
	hop.Down()
	arrivals := hop.Arrivals()
	if len(arrivals) != 2 || !arrivals[0].Heard || arrivals[1].Heard {
		t.Errorf("%d arrivals; after QUIT heard: %v, after the connection broke: %v", len(arrivals), arrivals[0].Heard, arrivals[1].Heard)
	}
}

func kindNamed(name string) Kind {
	for _, k := range Kinds() {
		if k.Name == name {
			return k
		}
	}
	return Kind{}
}
