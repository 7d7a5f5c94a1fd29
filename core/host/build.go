package host

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/hcl/v2"
	"golang.org/x/sync/semaphore"

	"github.com/postern-mail/postern/core/analysis"
	"github.com/postern-mail/postern/core/content"
	"github.com/postern-mail/postern/core/inspect"
	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/objects"
	"github.com/postern-mail/postern/core/observe"
	"github.com/postern-mail/postern/core/plugincatalog"
	"github.com/postern-mail/postern/core/pluginpool"
	"github.com/postern-mail/postern/core/pluginprocess"
	"github.com/postern-mail/postern/core/policy"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// Builder makes generations.
type Builder struct {
	// PluginDir is where commands without a slash are looked for.
	PluginDir string
	// RunDir holds the plugin instances' folders; its path must be short.
	RunDir string
	Now    func() time.Time
	// Stage is the program that sandboxes plugins.
	Stage string
	Log   hclog.Logger
	// Telemetry may be nil.
	Telemetry *observe.Telemetry
	bodies    *bodies // for the sandbox; nil where nothing is submitted
	// objects are the lists of suspicious objects; nil where there is no store.
	objects *objects.Keeper
	pools   poolSet
}

// Build starts every plugin of the policy that does not run yet as it is wanted, and returns when all are ready. On error nothing is left
// running that did not before. What the plugins say of their configuration is added to the diagnostics, also where it is only a warning.
func (b *Builder) Build(ctx context.Context, c *Configuration) (*Generation, error) {
	if err := b.loadObjects(ctx, c.Policy); err != nil {
		return nil, err
	}
	g := &Generation{policy: c.Policy, pools: map[string]*pluginpool.Pool{}, set: &b.pools, bodies: b.bodies, log: b.Log, idle: make(chan struct{})}
	if err := b.startPlugins(ctx, g, c); err != nil {
		g.Stop()
		return nil, err
	}
	if err := b.wire(g, c.Catalog); err != nil {
		g.Stop()
		return nil, err
	}
	return g, nil
}

// startPlugins starts all side by side.
func (b *Builder) startPlugins(ctx context.Context, g *Generation, c *Configuration) error {
	var (
		mu       sync.Mutex
		failed   error
		starting sync.WaitGroup
	)
	for i := range c.Policy.Plugins {
		p := &c.Policy.Plugins[i]
		starting.Go(func() {
			shared, kept, err := b.pool(ctx, p, c)
			mu.Lock()
			defer mu.Unlock()
			var said *pluginpool.Diagnostics
			switch {
			case errors.As(err, &said):
				c.Diags = append(c.Diags, p.Diagnostics(said.List)...)
				failed = errors.Join(failed, ErrPolicy)
			case err != nil:
				c.Diags = append(c.Diags, startFailure(p, err))
				failed = errors.Join(failed, err)
			default:
				c.Diags = append(c.Diags, p.Diagnostics(shared.pool.Warnings())...)
				g.pools[p.Name] = shared.pool
				g.shared = append(g.shared, shared)
				if kept {
					g.kept++
				}
			}
		})
	}
	starting.Wait()
	return failed
}

// pool is the running pool that is wanted, or a new one.
func (b *Builder) pool(ctx context.Context, p *policy.Plugin, c *Configuration) (shared *sharedPool, kept bool, err error) {
	spec, err := b.spec(p, c.Catalog[p.Name])
	if err != nil {
		return nil, false, err
	}
	granted := grantedBy(spec.Process.Reach)
	key, err := poolKey(&spec, granted)
	if err != nil {
		return nil, false, err
	}
	if shared := b.pools.keep(key); shared != nil {
		if c.verify {
			if err := shared.unchanged(spec.Process.Executable); err != nil {
				b.pools.release(shared)
				return nil, false, fmt.Errorf("plugin %s: %w", p.Name, err)
			}
		}
		shared.pool.Reset() // a suspended one gets a new chance
		return shared, true, nil
	}
	seen := stateOf(spec.Process.Executable)
	if image := c.sealed[spec.Process.Digest]; image != nil {
		spec.Process.Image, err = image.Share()
	} else {
		spec.Process.Image, err = b.pools.image(spec.Process.Digest)
	}
	if err != nil {
		return nil, false, err
	}
	pool, err := pluginpool.New(ctx, spec)
	if err != nil {
		return nil, false, err
	}
	return b.pools.add(&sharedPool{key: key, pool: pool, seen: seen, granted: granted}), false, nil
}

func startFailure(p *policy.Plugin, err error) *hcl.Diagnostic {
	detail := err.Error()
	if errors.Is(err, pluginprocess.ErrDigest) {
		detail += "; if the change was intended, run `postern plugin pin`"
	}
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Plugin " + p.Name + " does not start", Detail: detail, Subject: &p.Range}
}

func (b *Builder) spec(p *policy.Plugin, entry plugincatalog.Entry) (pluginpool.Spec, error) {
	grants, err := GrantsOf(p, entry)
	if err != nil {
		return pluginpool.Spec{}, err
	}
	configure := &pluginv1.ConfigureRequest{ConfigJson: string(p.Config)}
	for _, q := range p.Queries {
		configure.Queries = append(configure.Queries, &pluginv1.Query{Number: uint32(q.Number), ConfigJson: string(q.Config)})
	}
	return pluginpool.Spec{
		Process: pluginprocess.Spec{
			Name: p.Name, Executable: Executable(b.PluginDir, p, entry), Args: p.Args, Digest: entry.Digest, Env: p.Env, Memory: p.Memory,
			Reach: plugincatalog.ReachOf(grants), Require: p.Require, Stage: b.Stage, StartTimeout: p.StartTimeout, RunDir: b.RunDir, Log: b.Log.Named("plugin").Named(p.Name),
		},
		Description: entry.Description, Configure: configure, Instances: p.Instances, Concurrency: p.Concurrency, Timeout: p.Timeout,
		Rules: pluginpool.DefaultRules(),
	}, nil
}

// GrantsOf is all that a plugin may reach beside its own folder and the system's libraries: the endpoints and paths of its configuration,
// and what `limits` adds.
func GrantsOf(p *policy.Plugin, entry plugincatalog.Entry) ([]string, error) {
	grants, err := plugincatalog.Grants(entry.Description.GetConfig(), p.Config)
	if err != nil {
		return nil, fmt.Errorf("plugin %s: %w", p.Name, err)
	}
	return append(grants, p.Grants...), nil
}

// Executable is the file that a plugin runs: the copy that a hot swap made, or the policy's command.
func Executable(folder string, p *policy.Plugin, entry plugincatalog.Entry) string {
	if entry.File != "" {
		return entry.File
	}
	return CommandPath(folder, p.Command)
}

// CommandPath is the executable of a plugin's command: a name without a slash is one in the folder of plugins.
func CommandPath(folder, command string) string {
	if strings.ContainsRune(command, os.PathSeparator) {
		return command
	}
	return filepath.Join(folder, command)
}

// wire gives the started plugins their work.
func (b *Builder) wire(g *Generation, catalog plugincatalog.Catalog) error {
	p := g.policy
	g.inspector = &inspect.Inspector{
		Limits: limitsOf(p), Revision: p.Revision, CallName: CallName, Log: b.Log.Named("inspect"), Telemetry: b.Telemetry,
	}
	if p.Objects != nil {
		g.inspector.ObjectsTag, g.inspector.Objects = p.Objects.Source, b.matcher(p.Objects.Source)
	}
	for _, plugin := range p.Plugins {
		entry, pool := catalog[plugin.Name], g.pools[plugin.Name]
		if entry.HasRole(pluginv1.Role_ROLE_SCANNER) {
			g.inspector.Scanners = append(g.inspector.Scanners, inspect.Scanner{
				Name: plugin.Name, Digest: entry.Digest, Version: entry.Description.GetVersion(), Inputs: entry.Description.GetInputs(),
				Pool: pool,
			})
		}
		if entry.HasRole(pluginv1.Role_ROLE_UNPACKER) && g.inspector.Unpacker == nil {
			unpacker, err := inspect.NewUnpacker(plugin.Name, entry.Description.GetContainers(), pool, CallName, b.Log.Named("inspect"))
			if err != nil {
				return fmt.Errorf("build policy: %w", err)
			}
			g.inspector.Unpacker = unpacker
		}
	}
	if p.Submits() {
		g.sandbox = &analysis.Plugin{Name: p.AnalyzerName(), Pool: g.pools[p.AnalyzerName()], Now: b.Now}
	}
	return nil
}

// limitsOf takes the limits of taking apart over from the exception that is about them.
func limitsOf(p *policy.Policy) content.Limits {
	e := p.Exceptions[message.ExceptionSecuritySettings]
	return content.Limits{
		Layers: e.MaxLayers, Files: e.MaxFiles, Ratio: e.MaxRatio, FileBytes: e.MaxDecompressedSize,
		Memory: semaphore.NewWeighted(content.MemoryBudget),
	}
}

// CallName is the random name of one plugin call.
func CallName() string {
	var b [12]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
