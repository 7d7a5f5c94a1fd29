package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/postern-mail/postern/sdk/objects"
)

// Fetch reads all lists side by side. A list that fails says so, and no other suffers.
func (c *connector) Fetch(ctx context.Context, cursors map[string]string, out objects.Sink) error {
	limited, cancel := beforeTheEnd(ctx)
	defer cancel()
	shared := &shared{sink: out}
	var fetching sync.WaitGroup
	for _, s := range c.sources {
		fetching.Go(func() {
			cursor, ours := strings.CutPrefix(cursors[s.name], s.config+" ")
			if !ours {
				cursor = ""
			}
			to := &sender{list: s.name, shared: shared}
			complete, next, err := s.fetch(limited, cursor, to)
			if err == nil {
				err = to.flush()
			}
			state := objects.State{List: s.name, Complete: complete, Cursor: s.config + " " + next, Err: err}
			if err != nil {
				c.log.Warn("list was not fetched", "list", s.name, "error", err)
				state.Complete, state.Cursor = false, ""
			}
			shared.done(state)
		})
	}
	fetching.Wait()
	return shared.failed
}

// tellIn is what is left of a call's time for telling what became of each list.
const tellIn = 5 * time.Second

func beforeTheEnd(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, bounded := ctx.Deadline()
	if !bounded {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-min(tellIn, time.Until(deadline)/4)))
}

// digest tells configurations apart.
func digest(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:8])
}

// shared is the sink of all lists.
type shared struct {
	mu     sync.Mutex
	sink   objects.Sink
	failed error // of the sink: nobody takes anything any more
}

func (s *shared) send(batch []objects.Object) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = s.sink.Objects(batch)
	}
	return s.failed
}

func (s *shared) done(state objects.State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = s.sink.Done(state)
	}
}

// sendAtOnce is how many objects are gathered.
const sendAtOnce = 1000

// sender sends the objects of one list.
type sender struct {
	list   string
	shared *shared
	batch  []objects.Object
	sent   int
}

func (s *sender) object(o objects.Object) error {
	o.List = s.list
	o.Note = oneLine(o.Note)
	s.batch = append(s.batch, o)
	s.sent++
	if len(s.batch) < sendAtOnce {
		return nil
	}
	return s.flush()
}

func (s *sender) flush() error {
	if len(s.batch) == 0 {
		return nil
	}
	err := s.shared.send(s.batch)
	s.batch = s.batch[:0]
	return err
}

// longestNote bounds what is passed on of a description.
const longestNote = 256

func oneLine(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > longestNote {
		text = strings.ToValidUTF8(text[:longestNote], "")
	}
	return text
}

// withdrawn is when an object expired that the source has taken back: the core removes it.
func withdrawn() time.Time { return time.Unix(1, 0) }

// place is the cursor of a source that is mostly asked for what is new.
type place struct {
	After string    `json:"after"` // in the source's own words
	Full  time.Time `json:"full"`  // the last fetch of the whole list
}

// startFrom is the place to go on from; a zero one where the whole list is due.
func startFrom(cursor string, now time.Time, fullEvery time.Duration) place {
	var p place
	if json.Unmarshal([]byte(cursor), &p) != nil || p.After == "" || now.Sub(p.Full) >= fullEvery || p.Full.After(now) {
		return place{}
	}
	return p
}

func (p place) String() string {
	text, err := json.Marshal(p)
	if err != nil {
		return "" // the next fetch is a whole one
	}
	return string(text)
}
