package pluginpool

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func testRules() Rules {
	return Rules{
		MinBackoff: time.Second, MaxBackoff: 4 * time.Second, Stable: time.Minute, Failures: 3, Window: time.Minute, Suspension: time.Hour,
	}
}

// TestEveryPair: each state and event has one outcome; "" is none.
func TestEveryPair(t *testing.T) {
	events := []Event{Started, StartFailed, Ended, Wedged, SaysReady, SaysDegraded, Due, Reset, Restart, Retired, Drained}
	const table = `
		          | started | start failed | ended               | wedged              | says ready | says degraded | due            | reset          | restart             | retired        | drained
		starting  | ready   | backoff wait | backoff wait        | backoff wait        |            |               |                |                |                     | stopped kill   |
		ready     |         |              | backoff kill wait   | backoff kill wait   |            | degraded      |                |                | starting kill start | draining drain |
		degraded  |         |              | backoff kill wait   | backoff kill wait   | ready      |               |                |                | starting kill start | draining drain |
		backoff   |         |              |                     |                     |            |               | starting start | starting start | starting start      | stopped        |
		suspended |         |              |                     |                     |            |               | starting start | starting start | starting start      | stopped        |
		draining  |         |              | stopped kill        | stopped kill        |            |               |                |                |                     |                | stopped kill
		stopped   |         |              |                     |                     |            |               |                |                |                     |                |
	`
	rows := strings.Split(strings.TrimSpace(table), "\n")
	cells := func(row string) []string {
		out := strings.Split(row, "|")
		for i := range out {
			out[i] = strings.TrimSpace(out[i])
		}
		return out
	}
	for i, name := range cells(rows[0])[1:] {
		if Event(name) != events[i] {
			t.Fatalf("column %d is %q", i, name)
		}
	}
	now := time.Unix(1000, 0)
	states := []State{Starting, Ready, Degraded, Backoff, Suspended, Draining, Stopped}
	for i, row := range rows[1:] {
		cells := cells(row)
		if State(cells[0]) != states[i] || len(cells) != len(events)+1 {
			t.Fatalf("row %d is %q", i, cells)
		}
		for j, event := range events {
			before := Condition{State: states[i], Since: now.Add(-time.Second)}
			after, effects := testRules().Next(before, event, now)
			got := string(after.State)
			for _, effect := range effects {
				got += " " + string(effect)
			}
			want := cells[j+1]
			if want == "" {
				want = string(states[i])
				if after.Since != before.Since {
					t.Errorf("%s, %s: the state began anew", states[i], event)
				}
			}
			if got != want {
				t.Errorf("%s, %s: %q, want %q", states[i], event, got, want)
			}
		}
	}
}

// TestLives are longer stories: at each second given, the event; what comes of it.
func TestLives(t *testing.T) {
	tests := []struct{ name, life, want string }{
		{"backoff doubles up to its bound", "0 ended, 1 due, 1 start failed, 3 due, 3 start failed",
			"backoff 1s, starting, backoff 2s, starting, backoff 4s"},
		{"too many failures suspend", "0 ended, 1 due, 1 start failed, 3 due, 3 start failed, 7 due, 7 start failed, 3607 due",
			"backoff 1s, starting, backoff 2s, starting, backoff 4s, starting, suspended 1h0m0s alert, starting"},
		{"a probe that fails suspends again", "0 ended, 1 ended, 1 due, 1 started, 2 ended, 2 due, 2 started, 3 ended, 3 due, 3 started, 4 ended, 3604 due, 3604 start failed",
			"backoff 1s, backoff 1s, starting, ready, backoff 2s, starting, ready, backoff 4s, starting, ready, suspended 1h0m0s alert, starting, suspended 1h0m0s alert"},
		{"a probe that crashes soon suspends again", "0 ended, 0 due, 0 start failed, 0 due, 0 start failed, 0 due, 0 start failed, 3600 due, 3600 started, 3610 ended",
			"backoff 1s, starting, backoff 2s, starting, backoff 4s, starting, suspended 1h0m0s alert, starting, ready, suspended 1h0m0s alert"},
		{"a probe that lasts is forgiven", "0 ended, 0 due, 0 start failed, 0 due, 0 start failed, 0 due, 0 start failed, 3600 due, 3600 started, 3660 ended",
			"backoff 1s, starting, backoff 2s, starting, backoff 4s, starting, suspended 1h0m0s alert, starting, ready, backoff 1s"},
		{"failures far apart do not suspend", "0 ended, 1 due, 1 started, 30 ended, 31 due, 31 started, 75 ended, 76 due, 76 started, 110 ended, 111 due, 111 started, 150 ended",
			"backoff 1s, starting, ready, backoff 2s, starting, ready, backoff 4s, starting, ready, backoff 4s, starting, ready, backoff 4s"},
		{"being stable resets the backoff", "0 ended, 1 due, 1 started, 61 ended", "backoff 1s, starting, ready, backoff 1s"},
		{"reset ends a suspension and forgets", "0 ended, 0 due, 0 start failed, 0 due, 0 start failed, 0 due, 0 start failed, 5 reset, 5 start failed",
			"backoff 1s, starting, backoff 2s, starting, backoff 4s, starting, suspended 1h0m0s alert, starting, backoff 1s"},
		{"a wanted restart is no failure", "0 restart, 0 started, 0 restart, 0 started, 0 restart, 0 started, 0 restart, 0 started, 1 ended",
			"starting, ready, starting, ready, starting, ready, starting, ready, backoff 1s"},
	}
	for _, test := range tests {
		begin := time.Unix(1000, 0)
		c := Condition{State: Ready, Since: begin}
		var got []string
		for step := range strings.SplitSeq(test.life, ", ") {
			var second int
			if _, err := fmt.Sscan(step, &second); err != nil {
				t.Fatal(err)
			}
			_, event, _ := strings.Cut(step, " ")
			var effects []Effect
			c, effects = testRules().Next(c, Event(event), begin.Add(time.Duration(second)*time.Second))
			word := string(c.State)
			if c.Wait > 0 {
				word += " " + c.Wait.String()
			}
			if slices.Contains(effects, Alert) {
				word += " alert"
			}
			got = append(got, word)
		}
		if text := strings.Join(got, ", "); text != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.name, text, test.want)
		}
	}
}
