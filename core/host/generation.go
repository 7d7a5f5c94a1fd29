package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/core/analysis"
	"github.com/postern-mail/postern/core/content"
	"github.com/postern-mail/postern/core/delivery"
	"github.com/postern-mail/postern/core/inspect"
	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/pluginpool"
	"github.com/postern-mail/postern/core/policy"
	"github.com/postern-mail/postern/core/spool"
	"github.com/postern-mail/postern/core/store"
)

// Generation is one policy with the plugin instances that serve it. Whoever works with it holds a reference; it ends when it is
// retired and the last reference is gone (promise 10).
type Generation struct {
	policy    *policy.Policy
	inspector *inspect.Inspector
	sandbox   analysis.Sandbox // nil: none
	pools     map[string]*pluginpool.Pool
	shared    []*sharedPool // the same, to be given back
	kept      int           // how many of them ran before
	set       *poolSet
	bodies    *bodies
	log       hclog.Logger

	mu      sync.Mutex
	refs    int
	retired bool
	idle    chan struct{} // closed when retired and unused
}

func (g *Generation) Policy() *policy.Policy        { return g.policy }
func (g *Generation) Inspector() *inspect.Inspector { return g.inspector }
func (g *Generation) Sandbox() analysis.Sandbox     { return g.sandbox }

// Performer asks this generation's action plugins.
func (g *Generation) Performer() delivery.Performer {
	return &delivery.Plugins{Pool: g.Pool, CallName: CallName, Log: g.log.Named("actions")}
}

// Pool returns the instances of a plugin, or nil.
func (g *Generation) Pool(name string) *pluginpool.Pool { return g.pools[name] }

// retain takes a reference; false where the generation is retired.
func (g *Generation) retain() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.retired {
		return false
	}
	g.refs++
	return true
}

// Release gives a reference back.
func (g *Generation) Release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refs--
	g.settle()
}

// retire lets no new reference in.
func (g *Generation) retire() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.retired = true
	g.settle()
}

func (g *Generation) settle() {
	if g.retired && g.refs == 0 {
		close(g.idle)
	}
}

// Stop gives the plugin instances back, which ends those that no other generation uses.
func (g *Generation) Stop() {
	var stopping sync.WaitGroup
	for _, shared := range g.shared {
		stopping.Go(func() { g.set.release(shared) })
	}
	stopping.Wait()
}

// Status lists the plugins by name.
func (g *Generation) Status() []pluginpool.Status {
	var out []pluginpool.Status
	for _, p := range g.policy.Plugins {
		if pool := g.pools[p.Name]; pool != nil {
			out = append(out, pool.Status())
		}
	}
	return out
}

// bodies brings kept messages back for the sandbox.
type bodies struct {
	store store.Store
	spool *spool.Spool
}

// openBytes is how much of a body that is brought back stays in memory.
const openBytes = 256 << 10

// errNoSuchPart says that the message does not hold the sample, or that this generation takes it apart otherwise.
var errNoSuchPart = errors.New("the message has no such part")

// OpenSample takes the message apart again and opens the part that is the sample. The content lives until it is closed.
func (g *Generation) OpenSample(ctx context.Context, sample *store.Sample) (content io.ReadCloser, err error) {
	record, err := g.bodies.store.Record(ctx, sample.MessageID)
	if err != nil {
		return nil, fmt.Errorf("open sample: %w", err)
	}
	scope := g.bodies.spool.NewScope()
	defer func() {
		if err != nil {
			err = errors.Join(err, scope.Release())
		}
	}()
	raw, err := g.bodies.load(ctx, record.BodySHA256, scope)
	if err != nil {
		return nil, fmt.Errorf("open sample: %w", err)
	}
	body := raw
	if sample.Sample.Part >= 0 {
		if body, err = g.part(ctx, raw, scope, sample.Sample.Key.SHA256); err != nil {
			return nil, fmt.Errorf("open sample: %w", err)
		}
	}
	r, err := body.Open()
	if err != nil {
		return nil, fmt.Errorf("open sample: %w", err)
	}
	return &scoped{ReadCloser: r, scope: scope}, nil
}

func (g *Generation) part(ctx context.Context, raw message.Body, scope *spool.Scope, sha256 string) (message.Body, error) {
	var expander content.Expander
	if g.inspector.Unpacker != nil {
		expander = g.inspector.Unpacker
	}
	tree, err := content.Read(ctx, raw, scope, g.inspector.Limits, expander)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(tree.Parts, func(p message.Part) bool { return p.SHA256 == sha256 && p.Body != nil })
	if at < 0 {
		return nil, errNoSuchPart
	}
	return tree.Parts[at].Body, nil
}

func (b *bodies) load(ctx context.Context, sha256 string, scope *spool.Scope) (message.Body, error) {
	r, err := b.store.OpenBody(ctx, sha256)
	if err != nil {
		return nil, err
	}
	w := scope.Create(openBytes)
	_, err = io.Copy(w, r)
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	return w.Finish()
}

// scoped is content that keeps its scope until it is closed.
type scoped struct {
	io.ReadCloser
	scope *spool.Scope
}

func (s *scoped) Close() error { return errors.Join(s.ReadCloser.Close(), s.scope.Release()) }
