// Package host wires everything: a configuration folder goes in, a running gateway comes out. It builds generations of policy and
// plugins, swaps them under load, and starts, drains and stops the parts in their order.
package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/postern-mail/postern/core/analysis"
	"github.com/postern-mail/postern/core/delivery"
	"github.com/postern-mail/postern/core/gate"
	"github.com/postern-mail/postern/core/intake"
	"github.com/postern-mail/postern/core/observe"
	"github.com/postern-mail/postern/core/policy"
	"github.com/postern-mail/postern/core/spool"
	"github.com/postern-mail/postern/core/store"
	"github.com/postern-mail/postern/core/store/journal"
)

// Options are what a host is started with.
type Options struct {
	// Folder is the configuration folder.
	Folder string
	// StateDir holds spool, journal and run folder. Empty: the store's folder, or /var/lib/postern.
	StateDir  string
	PluginDir string
	// WatchDir is a folder whose new files are swapped in as plugins; "": none.
	WatchDir string
	// Stage is the program that plugins are sandboxed by: this one, which calls pluginprocess.RunStage first thing in main.
	Stage string
	// Drain is how long sessions and messages under way may take at the end.
	Drain time.Duration
	Now   func() time.Time
	Log   hclog.Logger
	// Version is the program's, for figures and traces.
	Version string
	// Diagnosed gets every reading of the configuration with what is said about it.
	Diagnosed func(*Configuration)
}

// Host is a running gateway.
type Host struct {
	options Options
	log     hclog.Logger
	builder *Builder
	current atomic.Pointer[Generation]
	old     sync.WaitGroup // generations that are being drained
	// changing is held by whoever makes a new generation.
	changing sync.Mutex
	serving  *Configuration // what current was built of
	former   *Configuration // what was served before, for a rollback
	control  *control

	stateDir  string
	store     store.Store
	spool     *spool.Spool
	journal   *journal.Journal
	gate      *gate.Gate
	desk      *analysis.Desk
	delivery  *delivery.Delivery
	objects   *objectWork
	listeners []*intake.Server
	telemetry *observe.Telemetry
	spans     *sdktrace.TracerProvider // nil: none are sent
	monitor   *observe.Monitor         // nil: none
	draining  atomic.Bool

	life    context.Context // of the work behind the listeners
	end     context.CancelFunc
	workers sync.WaitGroup
}

// spoolBudget is how much content of messages under way is kept in memory, all together.
const spoolBudget = 64 << 20

// maxUndecided bounds the messages that wait to be judged.
const maxUndecided = 1000

// Start brings the gateway up to where it takes mail. On error nothing is left running.
func Start(ctx context.Context, o Options) (h *Host, err error) {
	c, err := ReadConfiguration(o.Folder)
	if err != nil {
		return nil, err
	}
	if c.Policy == nil {
		o.Diagnosed(c)
		return nil, ErrPolicy
	}
	h = &Host{options: o, log: o.Log}
	h.life, h.end = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			err = errors.Join(err, h.Stop())
		}
	}()
	if err := h.startTelemetry(ctx, c.Policy); err != nil {
		return h, err
	}
	if err := h.openState(ctx, c.Policy); err != nil {
		return h, err
	}
	generation, err := h.builder.Build(ctx, c)
	o.Diagnosed(c)
	if err != nil {
		return h, err
	}
	h.current.Store(generation)
	h.serving = c
	h.makeParts()
	if err := h.listen(generation.policy); err != nil {
		return h, err
	}
	if err := h.work(ctx); err != nil {
		return h, err
	}
	return h, h.startMonitor(generation.policy)
}

// openState opens what is kept on disk.
func (h *Host) openState(ctx context.Context, p *policy.Policy) error {
	dir := StateDir(h.options.StateDir, p)
	for _, name := range []string{"spool", "run", "journal"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			return fmt.Errorf("prepare state folder: %w", err)
		}
	}
	node, err := nodeName(dir)
	if err != nil {
		return err
	}
	if h.store, err = OpenStore(ctx, p, node, h.options.Now, h.log); err != nil {
		return err
	}
	if h.spool, err = spool.Open(filepath.Join(dir, "spool"), spoolBudget); err != nil {
		return err
	}
	if h.journal, err = journal.Open(filepath.Join(dir, "journal")); err != nil {
		return err
	}
	runDir, err := runFolder(dir)
	if err != nil {
		return err
	}
	h.objects, h.stateDir = newObjectWork(h), dir
	h.builder = &Builder{
		PluginDir: h.options.PluginDir, Stage: h.options.Stage, RunDir: runDir, Now: h.options.Now, Log: h.log, Telemetry: h.telemetry,
		bodies: &bodies{store: h.store, spool: h.spool}, objects: h.objects.keeper,
	}
	return nil
}

// StateDir is where files that are not the store's are kept.
func StateDir(given string, p *policy.Policy) string {
	switch {
	case given != "":
		return given
	case p.Store.Path != "":
		return p.Store.Path
	}
	return "/var/lib/postern"
}

// longestRunDir leaves room for a socket's name within the 107 bytes of its path: "/p" and "/plugin-dir" for folders and "/plugin" for the
// socket, each with up to ten digits, are 50.
const longestRunDir = 57

// runFolder is on the spool's file system where the path is short enough, so that bodies reach plugins by link. What an earlier run
// left there is removed.
func runFolder(stateDir string) (string, error) {
	absolute, err := filepath.Abs(filepath.Join(stateDir, "run"))
	if err != nil {
		return "", fmt.Errorf("prepare run folder: %w", err)
	}
	if len(absolute) > longestRunDir {
		if absolute, err = os.MkdirTemp("", "postern"); err != nil {
			return "", fmt.Errorf("prepare run folder: %w", err)
		}
		return absolute, nil
	}
	left, err := os.ReadDir(absolute)
	if err != nil {
		return "", fmt.Errorf("prepare run folder: %w", err)
	}
	for _, entry := range left {
		if err := os.RemoveAll(filepath.Join(absolute, entry.Name())); err != nil {
			return "", fmt.Errorf("prepare run folder: %w", err)
		}
	}
	return absolute, nil
}

// acquire pins the generation that serves now.
func (h *Host) acquire() *Generation {
	for {
		if g := h.current.Load(); g.retain() {
			return g
		}
	}
}

// warnFixed names what a reload does not change.
func warnFixed(log hclog.Logger, old, fresh *policy.Policy) {
	if !equal(old.Listeners, fresh.Listeners) {
		log.Warn("changed listeners take effect at the next start")
	}
	if old.Monitor != fresh.Monitor {
		log.Warn("a changed monitor takes effect at the next start")
	}
	if old.Store != fresh.Store {
		log.Warn("a changed store takes effect at the next start")
	}
	if old.Gateway.Hostname != fresh.Gateway.Hostname {
		log.Warn("a changed hostname takes effect in the SMTP greeting at the next start")
	}
}

func short(revision string) string { return revision[:min(12, len(revision))] }

// Status lists the plugins.
func (h *Host) Status() []string {
	g := h.acquire()
	defer g.Release()
	var out []string
	for _, s := range g.Status() {
		out = append(out, fmt.Sprintf("%s %d/%d", s.Name, s.Ready, s.Wanted))
	}
	return out
}

// Addresses are where the listeners listen, by name.
func (h *Host) Addresses() map[string]string {
	out := map[string]string{}
	for i, l := range h.current.Load().policy.Listeners {
		if i < len(h.listeners) {
			out[l.Name] = h.listeners[i].Addr().String()
		}
	}
	return out
}

// Stop drains and ends everything, in the order of the way of a message, and returns when nothing runs any more.
func (h *Host) Stop() error {
	var failed error
	h.draining.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), h.options.Drain)
	defer cancel()
	if h.control != nil {
		failed = errors.Join(failed, h.control.close())
	}
	var closing sync.WaitGroup
	for _, l := range h.listeners {
		closing.Go(func() {
			if err := l.Shutdown(ctx); err != nil {
				h.log.Error("closing a listener failed", "error", err)
			}
		})
	}
	closing.Wait()
	h.end()
	if h.store != nil {
		failed = errors.Join(failed, h.store.Stop(ctx))
	}
	failed = errors.Join(failed, h.stopMonitor(ctx))
	h.workers.Wait()
	if h.delivery != nil {
		h.delivery.Close()
	}
	if g := h.current.Load(); g != nil {
		g.retire()
		<-g.idle
		g.Stop()
	}
	h.old.Wait()
	if h.journal != nil && h.store != nil {
		failed = errors.Join(failed, h.journal.Drain(ctx, h.store.AddTracks, h.log.Named("journal")), h.journal.Close())
	}
	if h.store != nil {
		failed = errors.Join(failed, h.store.Close())
	}
	if failed != nil {
		return fmt.Errorf("stop: %w", failed)
	}
	return nil
}
