package policy

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/postern-mail/postern/core/plugincatalog"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// ObjectMatcher is the name under which `scan` asks for the core's matcher of suspicious objects, whatever plugin is their source.
const ObjectMatcher = "suspicious_objects"

// declared is a plugin of the policy and what is pinned for it.
type declared struct {
	entry  plugincatalog.Entry
	pinned bool
	at     int // in Policy.Plugins
}

func (l *loader) loadPlugins() {
	l.plugins = map[string]*declared{}
	for _, b := range l.named("plugin", "plugins") {
		name := b.Labels[0]
		if !plugincatalog.ValidName(name) || name == ObjectMatcher {
			l.fail(b.LabelRanges[0], "Unsuitable name", "A plugin's name is of the form [a-z][a-z0-9_-]* and not suspicious_objects.")
			continue
		}
		d := &declared{at: len(l.policy.Plugins)}
		d.entry, d.pinned = l.options.Catalog[name]
		if !d.pinned {
			l.fail(b.LabelRanges[0], "Plugin is not pinned",
				fmt.Sprintf("The plugin lock file has no entry for %q. Run `postern plugin pin` to add it.", name))
		}
		l.plugins[name] = d
		l.policy.Plugins = append(l.policy.Plugins, l.plugin(b.Block, d))
	}
}

func (l *loader) plugin(block *hcl.Block, d *declared) Plugin {
	r := l.read(block, shape{
		required: []string{"command"}, optional: []string{"args", "env", "instances"},
		blocks: []hcl.BlockHeaderSchema{{Type: "config"}, {Type: "limits"}, {Type: "sandbox"}},
	})
	p := Plugin{
		Name: block.Labels[0], Command: r.filled("command", ""), Args: r.texts("args"), Env: r.environment("env"),
		Instances: r.number("instances", 1, 1, 64), Config: []byte("{}"), Timeout: 20 * time.Second, Concurrency: 64,
		StartTimeout: 10 * time.Second, Memory: defaultMemory, Range: block.DefRange, Ranges: map[string]hcl.Range{},
	}
	if d.pinned && d.entry.HasRole(pluginv1.Role_ROLE_OBJECTS) {
		p.Timeout = 5 * time.Minute // one call fetches all lists
	}
	if limits := r.single("limits"); limits != nil {
		r := l.read(limits, shape{optional: []string{"memory", "timeout", "start_timeout", "concurrency", "read", "write", "connect"}})
		p.Memory = r.size("memory", defaultMemory, 16*mib)
		p.Timeout = r.duration("timeout", p.Timeout, 100*time.Millisecond, 10*time.Minute)
		p.StartTimeout = r.duration("start_timeout", p.StartTimeout, 100*time.Millisecond, 10*time.Minute)
		p.Concurrency = r.number("concurrency", p.Concurrency, 1, 10000)
		p.Grants = r.grants()
	}
	if sandbox := r.single("sandbox"); sandbox != nil {
		r := l.read(sandbox, shape{optional: []string{"require"}})
		p.Require = list(r, "require", func(text string) (string, error) {
			if !slices.Contains(plugincatalog.Guards(), text) {
				return "", fmt.Errorf("the guards are %s", strings.Join(plugincatalog.Guards(), ", "))
			}
			return text, nil
		})
	}
	config := r.single("config")
	if !d.pinned {
		return p
	}
	// A block that is left out is like an empty one, so that what the schema requires is missed.
	body := &hclsyntax.Body{SrcRange: block.DefRange, EndRange: block.DefRange}
	if config != nil {
		if written, ok := config.Body.(*hclsyntax.Body); ok {
			body = written
		}
		p.Ranges["config"] = config.DefRange
	}
	decoded, diags := plugincatalog.Decode(body, d.entry.Description.GetConfig(), l.context)
	l.diags = append(l.diags, diags...)
	if decoded == nil {
		return p
	}
	for path, at := range decoded.Ranges {
		p.Ranges["config/"+path] = at
	}
	if text, ok := l.json(decoded, p.Range); ok {
		p.Config = text
	}
	return p
}

// defaultMemory is how much a plugin may have where nothing is written: no plugin may have all.
const defaultMemory = 2 << 30

// grants are what the block allows a plugin beyond the endpoints and paths of its configuration.
func (r *reader) grants() (out []string) {
	for _, verb := range []string{"read", "write"} {
		out = append(out, list(r, verb, func(path string) (string, error) {
			if !filepath.IsAbs(path) || strings.ContainsRune(path, 0) {
				return "", errors.New("a granted path begins with a slash")
			}
			return verb + " " + filepath.Clean(path), nil
		})...)
	}
	return append(out, list(r, "connect", func(endpoint string) (string, error) {
		return "connect " + endpoint, plugincatalog.CheckEndpoint(endpoint)
	})...)
}

func (l *loader) json(block *plugincatalog.Block, at hcl.Range) ([]byte, bool) {
	text, err := block.JSON()
	if err != nil {
		l.fail(at, "Unusable block", err.Error()+".")
	}
	return text, err == nil
}

func (r *reader) environment(name string) map[string]string {
	value, ok := r.scalar(name, cty.Map(cty.String))
	if !ok {
		return nil
	}
	out := map[string]string{}
	for key, v := range value.AsValueMap() {
		if v.IsNull() || key == "" || strings.ContainsAny(key, "=\x00") || strings.ContainsRune(v.AsString(), 0) {
			r.fail(r.place(name), name, "it must be a map of variables and their values")
			continue
		}
		out[key] = v.AsString()
	}
	return out
}

// withRole is a declared plugin that is pinned and has the role. Where it is nil a diagnostic has said why; at is where the plugin
// is used, and as what.
func (l *loader) withRole(name string, role pluginv1.Role, at hcl.Range, as string) *declared {
	d := l.plugins[name]
	switch {
	case d == nil:
		l.fail(at, "Unknown plugin", fmt.Sprintf("There is no block `plugin` of that name.%s", suggest(name, slices.Collect(maps.Keys(l.plugins)))))
	case !d.pinned: // said where it is declared
	case !d.entry.HasRole(role):
		l.fail(at, "Plugin has another role", fmt.Sprintf("Plugin %q is not %s.", name, as))
	default:
		return d
	}
	return nil
}

// RangeOf is the place in the sources that a plugin's diagnostic is about, or the nearest that is known.
func (p *Plugin) RangeOf(path []string) hcl.Range {
	for n := len(path); n > 0; n-- {
		if at, known := p.Ranges[strings.Join(path[:n], "/")]; known {
			return at
		}
	}
	return p.Range
}

// Diagnostics are what the plugin found wrong with its configuration, with the places in the sources.
func (p *Plugin) Diagnostics(list []*pluginv1.Diagnostic) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, d := range list {
		at := p.RangeOf(d.GetPath())
		severity := hcl.DiagError
		if d.GetSeverity() == pluginv1.Severity_SEVERITY_WARNING {
			severity = hcl.DiagWarning
		}
		diags = diags.Append(&hcl.Diagnostic{
			Severity: severity, Summary: printable(p.Name + ": " + d.GetSummary()), Detail: printable(d.GetDetail()), Subject: &at,
		})
	}
	return diags
}
