package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/postern-mail/postern/core/e2e/harness"
	"github.com/postern-mail/postern/core/robustness"
)

const (
	faultClients = 6
	beforeFault  = time.Second
	// backWithin is how soon mail is taken again when a fault is over.
	backWithin = 30 * time.Second
	// settleTime is how long what was under way may take.
	settleTime = 2 * time.Minute
)

// fault is trouble that begins, and is over some time later.
type fault struct {
	name, store string
	lasts       time.Duration
	// disk says that the state is on a small disk of its own meanwhile.
	disk bool
	// deaf says that some new connections are not greeted while it lasts.
	deaf bool
	// begin makes the trouble and returns what ends it.
	begin func(ctx context.Context, g *ground) (ending, error)
}

// ending ends a fault and says what was seen of it.
type ending func() (said string, err error)

func faultList() []fault {
	return []fault{
		{name: "disk full", store: "sqlite", lasts: 6 * time.Second, disk: true, begin: fillDisk},
		{name: "I/O errors", store: "sqlite", lasts: 6 * time.Second, disk: true, begin: inject("pwrite64,fsync,fdatasync:error=EIO")},
		{name: "read-only", store: "sqlite", lasts: 6 * time.Second, disk: true,
			begin: inject("pwrite64,fsync,fdatasync,mkdirat,renameat,linkat,unlinkat:error=EROFS")},
		{name: "database locked", store: "sqlite", lasts: 75 * time.Second, begin: lockDatabase},
		{name: "descriptors", store: "sqlite", lasts: 6 * time.Second, deaf: true, begin: exhaustDescriptors},
		{name: "database gone", store: "postgres", lasts: 10 * time.Second, begin: databaseAway},
		{name: "database hangs", store: "postgres", lasts: 65 * time.Second, begin: databaseHangs}, // longer than data_timeout
		{name: "table locked", store: "postgres", lasts: 8 * time.Second, begin: lockCopies},
		{name: "connections", store: "postgres", lasts: 8 * time.Second, begin: hogConnections},
	}
}

// faults makes trouble under load of every kind: what cannot be kept is answered 4xx, nothing is refused for good or lost, and mail is taken
// again soon after.
func faults(ctx context.Context, e *env) error {
	only := e.setting("FAULT", "")
	var short error
	for _, f := range faultList() {
		if only != "" && only != f.name {
			continue
		}
		run := func() error { return f.run(ctx, e) }
		if f.disk {
			run = func() error { return inOwnMounts(func() error { return f.run(ctx, e) }) }
		}
		err := run()
		if err != nil && !errors.Is(err, errShort) {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		short = errors.Join(short, err)
	}
	return short
}

func (f *fault) run(ctx context.Context, e *env) (err error) {
	g, err := newGround(ctx, e, e.bin, f.store)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.end()) }()
	if f.disk {
		unmount, err := mountState(g.site.Setup.State)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, unmount()) }()
	}
	if err := g.start(ctx); err != nil {
		return err
	}
	load := g.load("f", 1, robustness.Kinds())
	load.Pause = 20 * time.Millisecond
	load.Start(ctx, faultClients)
	if err := sleep(ctx, beforeFault); err != nil {
		return err
	}
	end, err := f.begin(ctx, g)
	if err != nil {
		return err
	}
	// A client of its own asks what mail that is to be kept is told.
	asked := g.ask(ctx, f.deaf)
	slept := sleep(ctx, f.lasts)
	said, short := end()
	over := time.Now()
	if short != nil && !errors.Is(short, errShort) {
		return short
	}
	told, err := asked()
	if err := errors.Join(err, slept); err != nil {
		return err
	}
	back, err := g.untilTaken(ctx)
	if err != nil {
		return err
	}
	served := back.Sub(over)
	if err := errors.Join(load.Stop(), g.settled(ctx, settleTime)); err != nil {
		return err
	}
	settled := time.Since(over)
	r, err := g.check(ctx)
	if err != nil {
		return err
	}
	e.printf("%s (%s): mail to be kept was answered %s while it lasted; the longest answer took %s; taken again %s after its end, "+
		"all settled after %s; %d sudden ends%s",
		f.name, f.store, counted(told), g.ledger.LongestWait().Round(time.Second), served.Round(10*time.Millisecond), settled.Round(time.Second),
		g.ledger.BrokenAttempts(), prefixed("; ", said))
	err = errors.Join(short, e.report(f.name, r))
	if served > backWithin || len(told) == 0 || g.ledger.BrokenAttempts() > 0 {
		err = errors.Join(err, errShort)
	}
	if f.deaf && told[0] == 0 {
		e.printf("    every connection was greeted: there was no trouble")
		err = errors.Join(err, errShort)
	}
	for code := range told {
		if code/100 == 5 {
			err = errors.Join(err, errShort)
		}
	}
	return err
}

func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}

// keptLetter is one that has to be committed.
func keptLetter(id string) *robustness.Letter {
	return robustness.NewLetter(id, robustness.Kind{Name: "asked", Extension: "kept", To: []robustness.To{{Domain: "example.org", Fate: robustness.Kept}}})
}

// greetedWithin is how soon a gateway greets, unless it cannot.
const greetedWithin = time.Second

// ask begins to send letters that have to be kept. What it returns ends that and counts the answers by code; 0 is a connection that was not
// greeted, which is an error unless the gateway may be deaf.
func (g *ground) ask(ctx context.Context, deaf bool) (asked func() (map[int]int, error)) {
	var (
		asking sync.WaitGroup
		told   = map[int]int{}
		stop   = make(chan struct{})
		err    error
	)
	asking.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			case <-ctx.Done():
				return
			case <-time.After(50 * time.Millisecond):
			}
			client, unheard := g.dial(deaf)
			if unheard != nil && deaf {
				told[0]++
				continue
			}
			if err = unheard; err != nil {
				return
			}
			var reply harness.Reply
			if reply, err = g.sendAndLeave(client, keptLetter(fmt.Sprintf("asked%d", n))); err != nil {
				return
			}
			told[reply.Code]++
		}
	})
	return func() (map[int]int, error) {
		close(stop)
		asking.Wait()
		return told, err
	}
}

func (g *ground) dial(deaf bool) (*harness.Client, error) {
	if deaf {
		return harness.DialWithin(g.site.Gateway.Address("in"), greetedWithin)
	}
	return g.site.Dial()
}

// once sends a letter over a connection of its own.
func (g *ground) once(letter *robustness.Letter) (reply harness.Reply, err error) {
	client, err := g.site.Dial()
	if err != nil {
		return reply, err
	}
	return g.sendAndLeave(client, letter)
}

// onceWithin is how long one letter may take.
const onceWithin = 2 * time.Minute

func (g *ground) sendAndLeave(client *harness.Client, letter *robustness.Letter) (reply harness.Reply, err error) {
	if err := client.Within(onceWithin); err != nil {
		return reply, err
	}
	g.ledger.Sending(letter)
	if reply, err = client.Send(letter.From, letter.To, letter.Data); err != nil {
		g.ledger.Broken(letter)
		return reply, err
	}
	g.ledger.Answered(letter, reply)
	return reply, client.Close()
}

// untilTaken sends a letter until it is taken and says when that was.
func (g *ground) untilTaken(ctx context.Context) (time.Time, error) {
	for n := 0; ; n++ {
		reply, err := g.once(keptLetter(fmt.Sprintf("again%d", n)))
		if err != nil || reply.Accepted() {
			return time.Now(), err
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return time.Time{}, err
		}
	}
}
