// Package pluginpool keeps the instances of one plugin ready: a specification goes in, leases of running, configured instances come
// out. An instance that dies is started again with backoff; while none is ready a lease is refused at once, so that a dead plugin
// costs a message an exception and no waiting.
package pluginpool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/postern-mail/postern/core/pluginprocess"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// ErrUnavailable says that no instance of the plugin is ready.
var ErrUnavailable = errors.New("no instance is ready")

// Spec is what a pool runs.
type Spec struct {
	Process pluginprocess.Spec
	// Description is the pinned one; a process that describes itself otherwise is refused. Nil: any.
	Description *pluginv1.DescribeResponse
	Configure   *pluginv1.ConfigureRequest // without the inbox, which is each instance's own
	Instances   int
	Concurrency int           // calls at once per instance
	Timeout     time.Duration // of one call
	// MinBackoff and MaxBackoff bound the wait before a dead instance is started again.
	MinBackoff, MaxBackoff time.Duration
}

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

// Pool holds the instances of one plugin.
type Pool struct {
	spec    Spec
	log     hclog.Logger
	cancel  context.CancelFunc
	keepers sync.WaitGroup
	// Warnings are what Configure warned of at the first start.
	Warnings []*pluginv1.Diagnostic

	mu         sync.Mutex
	slots      []*slot
	next       int
	signatures string
	changed    chan struct{} // closed and replaced whenever a slot changes
}

// slot is the place of one instance, which may be empty while a new process is started.
type slot struct {
	instance *instance
	restarts int
	// coming says that the first attempt to start a new process is still under way: it is worth waiting for.
	coming bool
}

type instance struct {
	process *pluginprocess.Process
	calls   chan struct{} // one token per call under way
}

// ended reports whether the process is gone; its slot may not know yet.
func (i *instance) ended() bool {
	select {
	case <-i.process.Exited():
		return true
	default:
		return false
	}
}

// Start starts all instances and returns when each of them is configured and ready. An error may hold *Diagnostics; nothing is
// left running then.
func Start(ctx context.Context, spec Spec) (*Pool, error) {
	life, cancel := context.WithCancel(context.Background())
	p := &Pool{spec: spec, log: spec.Process.Log, cancel: cancel, changed: make(chan struct{})}
	for range max(1, spec.Instances) {
		first, err := p.start(ctx)
		if err != nil {
			p.Stop()
			return nil, err
		}
		s := &slot{instance: first}
		p.slots = append(p.slots, s)
		p.keepers.Go(func() { p.keep(life, s, first) })
	}
	return p, nil
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
	return &instance{process: process, calls: make(chan struct{}, max(1, p.spec.Concurrency))}, nil
}

// introduce checks the description and hands the configuration over.
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
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Warnings = response.GetDiagnostics()
	p.signatures = response.GetSignatures()
	return nil
}

// keep replaces the slot's instance whenever it ends, until life ends.
func (p *Pool) keep(life context.Context, s *slot, current *instance) {
	for {
		select {
		case <-life.Done():
			current.process.Stop()
			return
		case <-current.process.Exited():
		}
		p.put(s, nil, true)
		p.log.Error("plugin process ended", "pid", current.process.Pid(), "status", current.process.ExitStatus())
		current.process.Stop()
		current = p.restart(life, s)
		if current == nil {
			return
		}
		p.put(s, current, false)
	}
}

// restart tries until an instance is ready; nil when life ended first.
func (p *Pool) restart(life context.Context, s *slot) *instance {
	wait := p.spec.MinBackoff
	for {
		// Full jitter, so that instances that died together do not come back together.
		timer := time.NewTimer(wait/2 + rand.N(wait/2+1))
		select {
		case <-life.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		fresh, err := p.start(life)
		if err == nil {
			p.mu.Lock()
			s.restarts++
			p.mu.Unlock()
			p.log.Info("plugin process restarted", "pid", fresh.process.Pid())
			return fresh
		}
		p.put(s, nil, false)
		wait = min(2*wait, p.spec.MaxBackoff)
		p.log.Error("restarting the plugin failed", "error", err, "next_within", wait)
	}
}

func (p *Pool) put(s *slot, i *instance, coming bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.instance, s.coming = i, coming
	close(p.changed)
	p.changed = make(chan struct{})
}

// Lease is the right to make one call. It must be released.
type Lease struct {
	instance *instance
	// Context ends at the call's deadline. A process that dies ends its calls by itself: their connection breaks.
	Context context.Context
	cancel  context.CancelFunc
}

// Acquire leases a ready instance. It waits for a free place among its calls, and for an instance that has died and is started again
// for the first time, as long as a call may take. ErrUnavailable comes at once where starting failed.
func (p *Pool) Acquire(ctx context.Context) (*Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, p.spec.Timeout)
	for {
		chosen, changed := p.choose()
		switch {
		case chosen == nil && changed == nil:
			cancel()
			return nil, fmt.Errorf("plugin %s: %w", p.spec.Process.Name, ErrUnavailable)
		case chosen == nil:
			select {
			case <-changed:
				continue
			case <-ctx.Done():
			}
		default:
			select {
			case chosen.calls <- struct{}{}:
				return &Lease{instance: chosen, Context: ctx, cancel: cancel}, nil
			case <-chosen.process.Exited():
				continue
			case <-ctx.Done():
			}
		}
		cancel()
		return nil, fmt.Errorf("plugin %s: wait for a free place: %w", p.spec.Process.Name, ctx.Err())
	}
}

// choose takes the ready instance with the fewest calls under way, in turn among equals. Where there is none, changed is closed when
// that may be otherwise, or is nil where no instance is about to come.
func (p *Pool) choose() (best *instance, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.slots {
		s := p.slots[(p.next+i)%len(p.slots)]
		switch {
		case s.coming || s.instance != nil && s.instance.ended():
			changed = p.changed
		case s.instance != nil && (best == nil || len(s.instance.calls) < len(best.calls)):
			best = s.instance
		}
	}
	p.next++
	return best, changed
}

// Conn is the connection to the leased instance.
func (l *Lease) Conn() grpc.ClientConnInterface { return l.instance.process.Conn() }

// Inbox is the leased instance's folder for bodies by reference.
func (l *Lease) Inbox() string { return l.instance.process.Inbox() }

// Release ends the lease and its context.
func (l *Lease) Release() {
	l.cancel()
	<-l.instance.calls
}

// Signatures is the version of the data that the plugin works with.
func (p *Pool) Signatures() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.signatures
}

// Status says how the instances are.
type Status struct {
	Name     string
	Ready    int
	Wanted   int
	Restarts int
	Pids     []int
}

// Status returns the pool's state for listings and health.
func (p *Pool) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	st := Status{Name: p.spec.Process.Name, Wanted: len(p.slots)}
	for _, s := range p.slots {
		st.Restarts += s.restarts
		if s.instance != nil {
			st.Ready++
			st.Pids = append(st.Pids, s.instance.process.Pid())
		}
	}
	return st
}

// Restart ends all instances, which are started again as after a death; calls under way fail.
func (p *Pool) Restart() {
	p.mu.Lock()
	var processes []*pluginprocess.Process
	for _, s := range p.slots {
		if s.instance != nil {
			processes = append(processes, s.instance.process)
		}
	}
	p.mu.Unlock()
	for _, process := range processes {
		process.Stop()
	}
}

// Stop ends all instances and waits until they are gone. Calls under way fail; the host drains before it stops.
func (p *Pool) Stop() {
	p.cancel()
	p.keepers.Wait()
}
