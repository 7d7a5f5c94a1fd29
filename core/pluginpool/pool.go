// Package pluginpool keeps the instances of one plugin ready: a specification goes in, leases of running, configured instances come
// out. An instance that dies or hangs is started again with backoff, and left alone for a while where that does not help; while none is
// ready a lease is refused at once, so that a dead plugin costs a message an exception and no waiting.
package pluginpool

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

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
	Rules       Rules
	// Beat is how often an instance has to show that it lives; 0: every five seconds.
	Beat time.Duration
}

// Pool holds the instances of one plugin.
type Pool struct {
	spec    Spec
	log     hclog.Logger
	image   *pluginprocess.Image
	life    context.Context
	cancel  context.CancelFunc
	keepers sync.WaitGroup
	poison  poison

	mu         sync.Mutex
	slots      []*slot
	next       int
	warnings   []*pluginv1.Diagnostic
	signatures string
	level      pluginprocess.Level
	changed    chan struct{} // closed and replaced whenever a slot changes or a place that is waited for gets free
	waiting    bool          // somebody waits for it
}

// New starts all instances and returns when each of them is configured, checked and ready. An error may hold *Diagnostics; nothing is
// left running then.
func New(ctx context.Context, spec Spec) (*Pool, error) {
	image := spec.Process.Image
	if image == nil {
		var err error
		if image, err = pluginprocess.Seal(spec.Process.Executable, spec.Process.Digest); err != nil {
			return nil, fmt.Errorf("start plugin %s: %w", spec.Process.Name, err)
		}
	}
	spec.Process.Image = image
	p := &Pool{spec: spec, log: spec.Process.Log, image: image, changed: make(chan struct{})}
	p.life, p.cancel = context.WithCancel(context.Background())
	var (
		starting sync.WaitGroup
		failed   = make([]error, max(1, spec.Instances))
	)
	for i := range failed {
		s := &slot{events: make(chan signal, 8)}
		p.slots = append(p.slots, s)
		starting.Go(func() {
			var first *instance
			if first, failed[i] = p.start(ctx); failed[i] == nil {
				s.instance, s.condition = first, Condition{State: Ready, Since: time.Now()}
			}
		})
	}
	starting.Wait()
	for _, s := range p.slots {
		if s.instance != nil {
			p.keepers.Go(func() { p.keep(s) })
		}
	}
	for _, err := range failed {
		if err != nil {
			p.Stop()
			return nil, err
		}
	}
	p.log.Info("plugin runs in a sandbox", "holds", p.level.Guards(), "landlock", p.level.Landlock, "instances", len(p.slots))
	if len(p.level.Absent) > 0 {
		p.log.Warn("granted paths did not exist when the plugin was started; it cannot open them", "paths", p.level.Absent)
	}
	return p, nil
}

// Lease is the right to make one call. It must be given back, by Done or Release.
type Lease struct {
	pool     *Pool
	instance *instance
	key      func() string
	// Context ends at the call's deadline. A process that dies ends its calls by itself: their connection breaks.
	Context context.Context
	cancel  context.CancelFunc
	own     bool // the deadline is the call's own, not one of who asked
}

// Acquire leases a ready instance. It waits for a free place among its calls, and for an instance that has died and is started again
// for the first time, as long as a call may take. ErrUnavailable comes at once where starting failed.
func (p *Pool) Acquire(ctx context.Context) (*Lease, error) { return p.AcquireFor(ctx, nil) }

// AcquireFor is Acquire for content that key names, the same each time that it comes. Content that was being looked at in two crashes is
// refused with ErrPoison. key is only called where there have been crashes.
func (p *Pool) AcquireFor(ctx context.Context, key func() string) (*Lease, error) {
	if key != nil && p.poison.refuses(key) {
		return nil, fmt.Errorf("plugin %s: %w", p.spec.Process.Name, ErrPoison)
	}
	outer, bounded := ctx.Deadline()
	ctx, cancel := context.WithTimeout(ctx, p.spec.Timeout)
	inner, _ := ctx.Deadline()
	for {
		chosen, changed := p.choose()
		switch {
		case chosen != nil:
			l := &Lease{
				pool: p, instance: chosen, key: key, Context: ctx, cancel: cancel, own: !bounded || inner.Before(outer),
			}
			chosen.begin(l)
			return l, nil
		case changed == nil:
			cancel()
			return nil, fmt.Errorf("plugin %s: %w", p.spec.Process.Name, ErrUnavailable)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			cancel()
			return nil, fmt.Errorf("plugin %s: wait for a free place: %w", p.spec.Process.Name, ctx.Err())
		}
	}
}

// choose takes a place at the ready instance with the fewest calls under way, in turn among equals, and at a degraded one only where none
// is ready. Where there is no place, changed is closed when that may be otherwise, or is nil where no instance is about to come.
func (p *Pool) choose() (best *instance, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	most := max(1, p.spec.Concurrency)
	degraded := false
	for i := range p.slots {
		s := p.slots[(p.next+i)%len(p.slots)]
		usable := s.condition.State == Ready || s.condition.State == Degraded
		switch {
		case s.coming() || s.instance != nil && s.instance.ended(), usable && s.instance != nil && s.instance.busy >= most:
			changed = p.changed
		case s.instance == nil || !usable:
		case best == nil, degraded && s.condition.State == Ready,
			degraded == (s.condition.State == Degraded) && s.instance.busy < best.busy:
			best, degraded = s.instance, s.condition.State == Degraded
		}
	}
	p.next++
	if best != nil {
		best.busy++
		return best, nil
	}
	p.waiting = p.waiting || changed != nil
	return nil, changed
}

// leave gives a place back.
func (p *Pool) leave(i *instance) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i.busy--
	if p.waiting {
		p.announce()
	}
}

// Signatures is the version of the data that the plugin works with.
func (p *Pool) Signatures() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.signatures
}

// Warnings are what Configure warned of at the last start.
func (p *Pool) Warnings() []*pluginv1.Diagnostic {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.warnings
}

// Image is the sealed executable that the instances run.
func (p *Pool) Image() *pluginprocess.Image { return p.image }

// Status says how the instances are.
type Status struct {
	Name     string              `json:"name"`
	Version  string              `json:"version"`
	Digest   string              `json:"digest"`
	Ready    int                 `json:"ready"`
	Wanted   int                 `json:"wanted"`
	Restarts int                 `json:"restarts"`
	States   []State             `json:"states"`
	Pids     []int               `json:"pids"`
	Sandbox  pluginprocess.Level `json:"sandbox"`
	// Poison is how much content is not given to the plugin any more.
	Poison int `json:"poison"`
}

// Status returns the pool's state for listings and health.
func (p *Pool) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	st := Status{
		Name: p.spec.Process.Name, Version: p.spec.Description.GetVersion(), Digest: p.image.Digest(), Wanted: len(p.slots), Sandbox: p.level,
		Poison: p.poison.size(),
	}
	for _, s := range p.slots {
		st.Restarts += s.restarts
		st.States = append(st.States, s.condition.State)
		if s.instance != nil && (s.condition.State == Ready || s.condition.State == Degraded) {
			st.Ready++
			st.Pids = append(st.Pids, s.instance.process.Pid())
		}
	}
	return st
}

// Restart replaces the processes of all instances; calls under way fail.
func (p *Pool) Restart() { p.tell(Restart) }

// Reset gives instances that wait after failures, or are suspended, a new chance at once.
func (p *Pool) Reset() { p.tell(Reset) }

func (p *Pool) tell(e Event) {
	for _, s := range p.slots {
		select {
		case s.events <- signal{event: e}:
		case <-p.life.Done():
		}
	}
}

// Stop drains and ends all instances and waits until they are gone. The host stops a pool when no message uses it any more; calls that
// are still under way have drainPatience.
func (p *Pool) Stop() {
	p.cancel()
	p.keepers.Wait()
	if err := p.image.Close(); err != nil {
		p.log.Warn("closing the sealed executable failed", "error", err)
	}
}
