package pluginpool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/postern-mail/postern/core/pluginprocess"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

const (
	lateCalls     = 5                      // in a row that ran out of their own time: the instance hangs
	drainPatience = 2 * time.Second        // of a process that is asked to finish
	breakPatience = 100 * time.Millisecond // for the connection to be seen broken when a call says so
	waitedFor     = 2                      // failures in a row up to which calls wait for the next start
)

// Diagnostics are what the plugin finds wrong with its configuration. It is an error where one of them is.
type Diagnostics struct {
	Plugin string
	List   []*pluginv1.Diagnostic
}

func (d *Diagnostics) Error() string {
	for _, x := range d.List {
		if x.GetSeverity() != pluginv1.Severity_SEVERITY_WARNING {
			return fmt.Sprintf("configure plugin %s: %s", d.Plugin, x.GetSummary())
		}
	}
	return fmt.Sprintf("configure plugin %s: warnings", d.Plugin)
}

func (d *Diagnostics) failed() bool {
	for _, x := range d.List {
		if x.GetSeverity() != pluginv1.Severity_SEVERITY_WARNING {
			return true
		}
	}
	return false
}

// slot is the place of one instance. Its owner goroutine alone changes it, under the pool's lock.
type slot struct {
	events    chan signal
	instance  *instance // nil while there is no process
	condition Condition
	restarts  int
}

// signal is an event, of one instance where it matters which.
type signal struct {
	event Event
	about *instance
}

// coming says that a process is about to be there, so that it is worth waiting for.
func (s *slot) coming() bool {
	return s.condition.Streak <= waitedFor && (s.condition.State == Backoff || s.condition.State == Starting)
}

type instance struct {
	process *pluginprocess.Process
	busy    int // calls under way; the pool's lock holds it
	stop    context.CancelFunc
	watch   sync.WaitGroup
	events  chan<- signal

	mu       sync.Mutex
	leases   map[*Lease]bool
	blamed   map[string]bool // what its end is held against already
	broken   bool            // its connection broke: it ends, or has to be ended
	late     int             // calls in a row that ran out of time
	wanted   bool            // its end is wanted
	reported bool            // that it hangs
}

// ended reports whether the process is gone, or cannot be talked to; its slot may not know yet.
func (i *instance) ended() bool {
	i.mu.Lock()
	broken := i.broken
	i.mu.Unlock()
	if broken {
		return true
	}
	select {
	case <-i.process.Exited():
		return true
	default:
		return false
	}
}

func (i *instance) begin(l *Lease) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.leases[l] = true
}

// Conn is the connection to the leased instance.
func (l *Lease) Conn() grpc.ClientConnInterface { return l.instance.process.Conn() }

// Inbox is the leased instance's folder for bodies by reference.
func (l *Lease) Inbox() string { return l.instance.process.Inbox() }

// Release ends the lease and its context, where it is not known how the call went.
func (l *Lease) Release() { l.Done(nil) }

// Done ends the lease and its context. err is how the call went: a connection that broke is held against the content.
func (l *Lease) Done(err error) {
	// The plugin's end of the call may tell of its deadline a moment before ours does.
	late := l.own && (errors.Is(l.Context.Err(), context.DeadlineExceeded) || status.Code(err) == codes.DeadlineExceeded)
	l.cancel()
	i := l.instance
	broke := err != nil && status.Code(err) == codes.Unavailable && i.process.Broken(breakPatience)
	i.mu.Lock()
	open := i.leases[l]
	delete(i.leases, l)
	if late {
		i.late++
	} else if err == nil {
		i.late = 0
	}
	hangs := !i.reported && (i.late >= lateCalls || broke)
	i.broken = i.broken || broke
	i.reported = i.reported || hangs
	blamed := open && !i.wanted && broke
	i.mu.Unlock()
	if blamed {
		i.blame(&l.pool.poison, l.key)
	}
	if hangs {
		i.say(Wedged)
	}
	l.pool.leave(i)
}

// blame holds the end of the process against content, once.
func (i *instance) blame(p *poison, key func() string) {
	if key == nil {
		return
	}
	name := key()
	i.mu.Lock()
	known := i.blamed[name]
	i.blamed[name] = true
	i.mu.Unlock()
	if !known {
		p.blame(name)
	}
}

// blameAll holds the end of the process against all that it was looking at.
func (i *instance) blameAll(p *poison) {
	i.mu.Lock()
	var keys []func() string
	if !i.wanted {
		for l := range i.leases {
			keys = append(keys, l.key)
		}
	}
	i.leases = map[*Lease]bool{}
	i.mu.Unlock()
	for _, key := range keys {
		i.blame(p, key)
	}
}

// say tells the owner, who may be busy starting: then the event is not needed any more.
func (i *instance) say(e Event) {
	select {
	case i.events <- signal{e, i}:
	default:
	}
}

// start brings one process to ready.
func (p *Pool) start(ctx context.Context) (*instance, error) {
	ctx, cancel := context.WithTimeout(ctx, p.spec.Process.StartTimeout)
	defer cancel()
	process, err := pluginprocess.Start(ctx, p.spec.Process)
	if err != nil {
		return nil, err
	}
	if err := p.introduce(ctx, process); err != nil {
		process.Stop()
		return nil, err
	}
	return &instance{process: process, leases: map[*Lease]bool{}, blamed: map[string]bool{}}, nil
}

// introduce checks the description, hands the configuration over and lets the plugin show that it works.
func (p *Pool) introduce(ctx context.Context, process *pluginprocess.Process) error {
	name := p.spec.Process.Name
	client := pluginv1.NewPluginServiceClient(process.Conn())
	description, err := client.Describe(ctx, &pluginv1.DescribeRequest{})
	if err != nil {
		return fmt.Errorf("describe plugin %s: %w", name, err)
	}
	if p.spec.Description != nil && !proto.Equal(description, p.spec.Description) {
		return fmt.Errorf("describe plugin %s: it describes itself otherwise than when it was pinned; run `postern plugin pin`", name)
	}
	request := proto.CloneOf(p.spec.Configure)
	if request == nil {
		request = &pluginv1.ConfigureRequest{}
	}
	request.Inbox = process.Inbox()
	response, err := client.Configure(ctx, request)
	if err != nil {
		return fmt.Errorf("configure plugin %s: %w", name, err)
	}
	diagnostics := &Diagnostics{Plugin: name, List: response.GetDiagnostics()}
	if diagnostics.failed() {
		return diagnostics
	}
	if err := SelfCheck(ctx, process.Conn(), description); err != nil {
		return fmt.Errorf("plugin %s: %w", name, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.warnings = response.GetDiagnostics()
	p.signatures = response.GetSignatures()
	p.level = process.Level()
	return nil
}

// keep owns the slot: it takes events, asks the machine, and does what it says, until the pool ends.
func (p *Pool) keep(s *slot) {
	var timer *time.Timer
	due := func() <-chan time.Time {
		if timer == nil {
			return nil
		}
		return timer.C
	}
	p.watchOver(s)
	for s.condition.State != Stopped {
		var (
			event  Event
			exited <-chan struct{}
			life   = p.life.Done()
		)
		if s.instance != nil {
			exited = s.instance.process.Exited()
		}
		select {
		case <-life:
			event = Retired
			if s.condition.State == Draining {
				event = Drained
			}
		case <-exited:
			event = Ended
		case <-due():
			timer, event = nil, Due
		case got := <-s.events:
			if got.about != nil && got.about != s.instance {
				continue // of one that is gone
			}
			event = got.event
		}
		for event != "" {
			event = p.step(s, event, &timer)
		}
	}
	if timer != nil {
		timer.Stop()
	}
}

// step lets one event happen and carries its effects out; the event that follows from them at once is returned.
func (p *Pool) step(s *slot, e Event, timer **time.Timer) (follows Event) {
	now := time.Now()
	next, effects := p.spec.Rules.Next(s.condition, e, now)
	if e == Ended {
		p.log.Error("plugin process ended", "pid", s.instance.process.Pid(), "status", s.instance.process.ExitStatus())
	}
	gone := s.instance
	p.mu.Lock()
	s.condition = next
	for _, effect := range effects {
		if effect == Kill {
			s.instance = nil // no new lease, before the old ones are ended
		}
	}
	p.announce()
	p.mu.Unlock()
	for _, effect := range effects {
		switch effect {
		case Kill:
			p.kill(gone, e)
		case Launch:
			follows = p.launch(s)
		case Wait:
			// Half of it is jitter, so that instances that died together do not come back together.
			*timer = time.NewTimer(next.Wait/2 + rand.N(next.Wait/2+1))
		case Alert:
			p.log.Error("plugin is suspended: it failed again and again; `postern plugin restart` or a reload ends that", "for", next.Wait)
		case Drain:
			p.drain(gone)
			follows = Drained
		}
	}
	return follows
}

func (p *Pool) kill(i *instance, why Event) {
	if i == nil {
		return
	}
	i.mu.Lock()
	i.wanted = why == Restart || why == Retired || why == Drained
	i.mu.Unlock()
	i.blameAll(&p.poison)
	i.stop()
	i.process.Stop()
	i.watch.Wait()
	if why == Wedged {
		p.log.Error("plugin process hung or broke its connection", "pid", i.process.Pid(), "status", i.process.ExitStatus())
	}
}

func (p *Pool) launch(s *slot) Event {
	fresh, err := p.start(p.life)
	if err != nil {
		if p.life.Err() == nil {
			p.log.Error("starting the plugin again failed", "error", err)
		}
		return StartFailed
	}
	p.mu.Lock()
	s.instance = fresh
	s.restarts++
	p.mu.Unlock()
	p.watchOver(s)
	p.log.Info("plugin process started again", "pid", fresh.process.Pid())
	return Started
}

// drain lets the process finish what it does. One that does not know how, or takes too long, is ended as it is.
func (p *Pool) drain(i *instance) {
	i.mu.Lock()
	i.wanted = true
	i.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), drainPatience)
	defer cancel()
	_, err := pluginv1.NewPluginServiceClient(i.process.Conn()).Drain(ctx, &pluginv1.DrainRequest{})
	if err != nil && status.Code(err) != codes.Unimplemented && !i.ended() {
		p.log.Warn("draining the plugin failed", "error", err)
	}
}

// announce wakes those who wait for an instance; the pool is locked.
func (p *Pool) announce() {
	close(p.changed)
	p.waiting = false
	p.changed = make(chan struct{})
}
