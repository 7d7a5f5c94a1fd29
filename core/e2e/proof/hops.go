package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-mail/postern/core/robustness"
)

const (
	hopFaultLasts = time.Second
	hopFaultOver  = time.Minute // for everything to arrive afterwards
)

// hopTrouble is what a next hop does at one point.
type hopTrouble struct {
	what string
	act  robustness.Act
	// permanent says that it refuses for good.
	permanent bool
}

func hopTroubles(healed <-chan struct{}) []hopTrouble {
	return []hopTrouble{
		{"4xx", robustness.Act{Reply: "450 4.2.0 not now"}, false},
		{"421", robustness.Act{Reply: "421 4.3.2 closing", Cut: true}, false},
		{"cut", robustness.Act{Cut: true}, false},
		{"garbage", robustness.Act{Reply: "\x00\xff what?"}, false},
		{"a line without end", robustness.Act{Reply: "250 " + strings.Repeat("x", 1<<20), Cut: true}, false},
		{"lines of two codes", robustness.Act{Reply: "250-a|550 b"}, false},
		{"a go-ahead", robustness.Act{Reply: "354 go on"}, false},
		{"silence", robustness.Act{Wait: healed}, false},
		{"5xx", robustness.Act{Reply: "550 5.7.1 never"}, true},
	}
}

// hops makes the next hop misbehave at each point of a session in each way, while one letter is relayed in session and one is delivered from
// the outbox.
func hops(ctx context.Context, e *env) (err error) {
	g, err := newGround(ctx, e, e.bin, "sqlite")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.end()) }()
	var now atomic.Pointer[func(point string) robustness.Act]
	g.hop.Answer = func(point, _ string) robustness.Act {
		if act := now.Load(); act != nil {
			return (*act)(point)
		}
		return robustness.Act{}
	}
	if err := g.start(ctx); err != nil {
		return err
	}
	cases, passed := 0, 0
	for _, point := range []string{robustness.AtConnect, "EHLO", "MAIL", "RCPT", "DATA", robustness.AtEndOfData} {
		for n := range hopTroubles(nil) {
			healed := make(chan struct{})
			m := hopTroubles(healed)[n]
			if point == "DATA" && m.what == "a go-ahead" {
				continue // that is what is due
			}
			at := func(p string) robustness.Act {
				if p == point {
					return m.act
				}
				return robustness.Act{}
			}
			cases++
			prefix := fmt.Sprintf("h%d.", cases)
			load := &robustness.Load{Ledger: g.ledger, Door: g.door, Prefix: prefix}
			now.Store(&at)
			codes, err := g.sendPair(ctx, load, func() { now.Store(nil); close(healed) }, m.permanent)
			if err != nil {
				return fmt.Errorf("%s at %s: %w", m.what, point, err)
			}
			passedOn := strings.HasPrefix(codes, "5")
			if expected := m.permanent && point != robustness.AtConnect && point != "EHLO"; passedOn == expected {
				passed++
			} else {
				e.printf("    %s at %s: the client was told %s", m.what, point, codes)
			}
		}
	}
	g.hop.Down()
	down, err := g.once(robustness.NewLetter("down", robustness.Kinds()[0]))
	if err := errors.Join(err, g.hop.Up()); err != nil {
		return err
	}
	if err := g.settled(ctx, hopFaultOver); err != nil {
		return err
	}
	r, err := g.check(ctx)
	if err != nil {
		return err
	}
	r.Bounced = nil // those are counted above
	e.printf("%d of %d ways to misbehave have the right answer; hop down: %s, delivered later", passed, cases, down)
	if passed < cases || !down.Accepted() {
		err = errShort
	}
	return errors.Join(err, e.report("hops", r))
}

// sendPair sends a letter that is relayed in session and one that is delivered from the outbox, ends the trouble after a while, and waits until
// both have arrived, or the first was refused. The codes are the answers to the first.
func (g *ground) sendPair(ctx context.Context, load *robustness.Load, heal func(), permanent bool) (codes string, err error) {
	kinds := robustness.Kinds()
	clean, split := kinds[0], kinds[6]
	letters := []*robustness.Letter{robustness.NewLetter(load.Prefix+"clean", clean)}
	if !permanent {
		letters = append(letters, robustness.NewLetter(load.Prefix+"split", split))
	}
	var (
		sending sync.WaitGroup
		mu      sync.Mutex
	)
	for _, letter := range letters {
		sending.Go(func() {
			for {
				reply, sendErr := g.once(letter)
				mu.Lock()
				err = errors.Join(err, sendErr)
				if letter == letters[0] {
					codes += fmt.Sprint(reply.Code, " ")
				}
				mu.Unlock()
				if sendErr != nil || reply.Code/100 != 4 {
					return
				}
				if sleep(ctx, 100*time.Millisecond) != nil {
					return
				}
			}
		})
	}
	waited := sleep(ctx, hopFaultLasts)
	heal()
	sending.Wait()
	return codes, errors.Join(err, waited, g.settled(ctx, hopFaultOver))
}
