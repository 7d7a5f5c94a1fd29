package robustness

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postern-mail/postern/core/e2e/harness"
	"github.com/postern-mail/postern/core/store"
)

// Ledger writes down every letter, every answer and every kill, and says in the end what does not add up (docs/scorecard.md).
type Ledger struct {
	mu      sync.Mutex
	entries map[string]*entry
	order   []string
	kills   []time.Time
	trouble []interval
	// inFlight is how many letters were without an answer at a kill, over all kills.
	inFlight int
}

// interval is a time with both of its ends.
type interval struct{ begin, end time.Time }

// touches reports whether the two have a moment in common, Window more at both ends.
func (i interval) touches(other interval) bool {
	return !other.end.Before(i.begin.Add(-Window)) && !other.begin.After(i.end.Add(Window))
}

// entry is what became of one letter at the client.
type entry struct {
	letter   *Letter
	open     bool // it is being sent
	sent     time.Time
	replies  []harness.Reply
	attempts []interval // of each reply
	answered time.Time  // 250
	broken   int        // attempts that ended without a reply
}

// NewLedger is empty.
func NewLedger() *Ledger { return &Ledger{entries: map[string]*entry{}} }

// Sending notes that a letter is given to the gateway.
func (l *Ledger) Sending(letter *Letter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[letter.ID]
	if e == nil {
		e = &entry{letter: letter}
		l.entries[letter.ID] = e
		l.order = append(l.order, letter.ID)
	}
	e.open, e.sent = true, time.Now()
}

// Answered notes the reply to a letter.
func (l *Ledger) Answered(letter *Letter, reply harness.Reply) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[letter.ID]
	e.open = false
	e.replies, e.attempts = append(e.replies, reply), append(e.attempts, interval{e.sent, time.Now()})
	if reply.Accepted() {
		e.answered = time.Now()
	}
}

// Broken notes that the connection ended before the reply.
func (l *Ledger) Broken(letter *Letter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[letter.ID]
	e.open = false
	e.broken++
}

// Killing counts what is in flight when the gateway is about to be killed.
func (l *Ledger) Killing() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		if e.open {
			l.inFlight++
		}
	}
}

// Killed notes that the gateway is gone.
func (l *Ledger) Killed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kills = append(l.kills, time.Now())
}

// Troubled notes when what lies between the gateway and its neighbours was not well. Where this is called, an answer of 4xx explains a second
// copy only if it was waited for during one of these times.
func (l *Ledger) Troubled(begin, end time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trouble = append(l.trouble, interval{begin, end})
}

func (l *Ledger) troubled(during interval) bool {
	return slices.ContainsFunc(l.trouble, func(t interval) bool { return t.touches(during) })
}

// Answers counts by code the answers that were given from begin to end to letters that no rule refuses.
func (l *Ledger) Answers(begin, end time.Time) map[int]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	codes := map[int]int{}
	for _, e := range l.entries {
		if neverTaken(e.letter) {
			continue
		}
		for i, attempt := range e.attempts {
			if !attempt.end.Before(begin) && !attempt.end.After(end) {
				codes[e.replies[i].Code]++
			}
		}
	}
	return codes
}

// LongestWait is the longest that a client waited for an answer.
func (l *Ledger) LongestWait() (longest time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		for _, attempt := range e.attempts {
			longest = max(longest, attempt.end.Sub(attempt.begin))
		}
	}
	return longest
}

// Taken is when the letters of the kind were answered 250, by id.
func (l *Ledger) Taken(kind string) map[string]time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string]time.Time{}
	for id, e := range l.entries {
		if e.letter.Kind.Name == kind && !e.answered.IsZero() {
			out[id] = e.answered
		}
	}
	return out
}

// Longest is how long mail took from its 250 to its last arrival, by kind.
func (l *Ledger) Longest(arrivals []Arrival) map[string]time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string]time.Duration{}
	for i := range arrivals {
		e := l.entries[idOf(arrivals[i].Data)]
		if e == nil || e.answered.IsZero() {
			continue
		}
		kind := e.letter.Kind.Name
		out[kind] = max(out[kind], arrivals[i].At.Sub(e.answered))
	}
	return out
}

// BrokenAttempts is how often a connection ended before the reply to a letter.
func (l *Ledger) BrokenAttempts() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, e := range l.entries {
		n += e.broken
	}
	return n
}

// Stored is what the gateway's store holds.
type Stored struct {
	Copies []store.CopyRow // in every state but done
	Tracks []store.Track
}

// Report is what the ledger found.
type Report struct {
	Kills, InFlight          int
	Delivering               int // recipients whose delivery may not have been recorded yet at a kill, over all kills
	Letters, Taken           int // sent, answered 250
	Refused, Deferred        int // answers of 5xx and 4xx
	Delivered, Kept, Expired int // copies
	// Duplicates are copies beyond the first, by kind too; those of them that no kill or cut explains are violations.
	Duplicates int
	Doubled    map[string]int
	// Violations, by invariant.
	Lost, Unexplained, Phantom, Altered, Late, Open, Unlogged, Bounced []string
}

// Violations are all that were found, each with the invariant that it breaks.
func (r *Report) Violations() []string {
	var out []string
	for name, list := range map[string][]string{
		"lost": r.Lost, "unexplained duplicate": r.Unexplained, "phantom": r.Phantom, "altered": r.Altered, "held too long": r.Late,
		"let through": r.Open, "not in the log": r.Unlogged, "refused for good": r.Bounced,
	} {
		for _, what := range list {
			out = append(out, name+": "+what)
		}
	}
	slices.Sort(out)
	return out
}

func (r *Report) String() string {
	return fmt.Sprintf("%d letters, %d taken, %d answers of 4xx, %d of 5xx; %d copies delivered, %d kept (%d without a verdict in time); "+
		"%d lost, %d duplicates (%d unexplained), %d phantoms, %d altered, %d held too long, %d let through, %d not in the log, %d refused for good",
		r.Letters, r.Taken, r.Deferred, r.Refused, r.Delivered, r.Kept, r.Expired, len(r.Lost), r.Duplicates, len(r.Unexplained), len(r.Phantom),
		len(r.Altered), len(r.Late), len(r.Open), len(r.Unlogged), len(r.Bounced))
}

// Window is how long after a hop took a mail a kill may still keep that from being recorded (RFC 1047).
const Window = 2 * time.Second

// holdGrace is how long after its deadline a held copy may still wait.
const holdGrace = time.Minute

// copies are one recipient's copies of one letter.
type copies struct {
	arrived []time.Time
	// unanswered is how many of them the hop did not answer, or may have answered in vain.
	unanswered int
	kept       []store.CopyRow
}

// Check compares what clients were told with what arrived and what is kept. It is called when nothing is under way any more.
func (l *Ledger) Check(arrivals []Arrival, stored *Stored, now time.Time) *Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := &Report{Kills: len(l.kills), InFlight: l.inFlight, Doubled: map[string]int{}}
	found := map[string]*copies{}
	l.readArrivals(r, found, arrivals)
	r.Delivering = l.delivering(arrivals)
	l.readCopies(r, found, stored.Copies, now)
	logged := finals(stored.Tracks)
	for _, id := range l.order {
		e := l.entries[id]
		r.Letters++
		for _, reply := range e.replies {
			switch reply.Code / 100 {
			case 4:
				r.Deferred++
			case 5:
				r.Refused++
				if !neverTaken(e.letter) {
					r.Bounced = append(r.Bounced, id+": "+reply.String())
				}
			}
		}
		if !e.answered.IsZero() {
			r.Taken++
		}
		for _, recipient := range e.letter.To {
			c := found[recipient]
			if c == nil {
				c = &copies{}
			}
			l.recipient(r, e, recipient, c, logged)
		}
	}
	return r
}

// readArrivals sorts what arrived by recipient; what nobody sent, or not so, is a violation.
func (l *Ledger) readArrivals(r *Report, found map[string]*copies, arrivals []Arrival) {
	for i := range arrivals {
		a := &arrivals[i]
		id := idOf(a.Data)
		e := l.entries[id]
		if e == nil || a.From != e.letter.From {
			r.Phantom = append(r.Phantom, fmt.Sprintf("from <%s> to %v: %.200q", a.From, a.To, a.Data))
			continue
		}
		for _, to := range a.To {
			fate, ours := e.letter.fateOf(to)
			switch {
			case !ours:
				r.Phantom = append(r.Phantom, id+" to "+to)
				continue
			case fate == Kept || fate == NeverTaken:
				r.Open = append(r.Open, id+" to "+to)
			case !e.letter.asSent(a.Data, fate):
				r.Altered = append(r.Altered, fmt.Sprintf("%s to %s: %.300q", id, to, a.Data))
			}
			c := of(found, to)
			c.arrived = append(c.arrived, a.At)
			// Between hop and gateway a reply may be lost that the hop has said. Where the gateway went on with the session it was not.
			if a.Unanswered || !a.Heard && l.troubled(interval{a.At, a.At}) {
				c.unanswered++
			}
			r.Delivered++
		}
	}
}

func of(found map[string]*copies, recipient string) *copies {
	if found[recipient] == nil {
		found[recipient] = &copies{}
	}
	return found[recipient]
}

// readCopies sorts what is kept by recipient. Nothing may be on its way any more, and no wait may be over its time.
func (l *Ledger) readCopies(r *Report, found map[string]*copies, rows []store.CopyRow, now time.Time) {
	for i := range rows {
		c := &rows[i]
		switch c.State {
		case store.CopyQuarantined, store.CopyUndeliverable, store.CopyArchived:
		case store.CopyHeld:
			if now.After(c.Deadline.Add(holdGrace)) {
				r.Late = append(r.Late, fmt.Sprintf("%s to %v, deadline %s", c.Subject, c.Recipients, c.Deadline))
			}
		}
		for _, to := range c.Recipients {
			of(found, to).kept = append(of(found, to).kept, *c)
			r.Kept++
		}
		if c.Area == UnanalysedArea {
			r.Expired++
		}
	}
}

// UnanalysedArea is where the proofs' exception puts what got no verdict in time.
const UnanalysedArea = "unanalysed"

// recipient checks one recipient of one letter.
func (l *Ledger) recipient(r *Report, e *entry, recipient string, c *copies, logged map[string]bool) {
	fate, _ := e.letter.fateOf(recipient)
	what := e.letter.ID + " to " + recipient + " (" + e.letter.Kind.Name + ")"
	total := len(c.arrived) + len(c.kept)
	taken := !e.answered.IsZero()
	if taken && fate == NeverTaken {
		r.Open = append(r.Open, what+": answered 250")
	}
	if taken && total == 0 {
		r.Lost = append(r.Lost, what)
	}
	for i := range c.kept {
		k := &c.kept[i]
		expected := fate == Kept || fate == Either || fate == Analysed && k.Area == UnanalysedArea
		if !expected || k.State != store.CopyQuarantined {
			r.Phantom = append(r.Phantom, fmt.Sprintf("%s: %s in area %q", what, k.State, k.Area))
		}
	}
	if taken && !logged[recipient] {
		r.Unlogged = append(r.Unlogged, what)
	}
	if refusedForGood(e) && !taken && total > 0 {
		r.Phantom = append(r.Phantom, what+": there although it was refused")
	}
	if extra := total - 1; extra > 0 {
		r.Duplicates += extra
		r.Doubled[e.letter.Kind.Name] += extra
		if extra > e.broken+l.ambiguous(e)+c.unanswered+l.killsAfter(c.arrived) {
			r.Unexplained = append(r.Unexplained, fmt.Sprintf("%s: %d arrived, %d kept, %d attempts without a reply", what, len(c.arrived), len(c.kept), e.broken))
		}
	}
}

// neverTaken reports whether the letter is one that the policy refuses.
func neverTaken(l *Letter) bool {
	return !slices.ContainsFunc(l.Kind.To, func(to To) bool { return to.Fate != NeverTaken })
}

func refusedForGood(e *entry) bool {
	return len(e.replies) > 0 && e.replies[len(e.replies)-1].Code/100 == 5
}

// ambiguous counts the answers of 4xx: where the next hop did not answer the end of data, or the store a commit, nobody knows who owns the
// mail.
func (l *Ledger) ambiguous(e *entry) int {
	n := 0
	for i, reply := range e.replies {
		if reply.Code/100 == 4 && (len(l.trouble) == 0 || l.troubled(e.attempts[i])) {
			n++
		}
	}
	return n
}

// killsAfter counts the arrivals that a kill followed within the window.
func (l *Ledger) killsAfter(arrived []time.Time) int {
	n := 0
	for _, at := range arrived {
		if slices.ContainsFunc(l.kills, func(kill time.Time) bool { return !kill.Before(at) && kill.Sub(at) <= Window }) {
			n++
		}
	}
	return n
}

// mostDelivering is how many deliveries from the outbox a gateway has under way at most.
const mostDelivering = 16

// delivering counts, for each kill, the recipients whose mail arrived so shortly before that it may not have been recorded.
func (l *Ledger) delivering(arrivals []Arrival) (all int) {
	for _, kill := range l.kills {
		n := 0
		for i := range arrivals {
			if at := arrivals[i].At; !kill.Before(at) && kill.Sub(at) <= Window {
				n += len(arrivals[i].To)
			}
		}
		all += min(n, mostDelivering)
	}
	return all
}

// finals are the recipients that the tracking log has a final fate for.
func finals(tracks []store.Track) map[string]bool {
	out := map[string]bool{}
	for i := range tracks {
		switch t := &tracks[i]; t.Kind {
		case "Normal", "Quarantine", "Delete", "Undeliverable", "BouncedBack", "Rejected":
			for _, recipient := range t.Recipients {
				out[strings.ToLower(recipient)] = true
			}
		}
	}
	return out
}
