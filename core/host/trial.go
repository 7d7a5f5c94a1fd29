package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/hcl/v2"

	"github.com/postern-mail/postern/core/plugincatalog"
	"github.com/postern-mail/postern/core/pluginpool"
	"github.com/postern-mail/postern/core/policy"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// Trial is one plugin by itself, as its author runs it: with the plugin block and the rules of a file, and nothing of a gateway.
type Trial struct {
	Entry  plugincatalog.Entry
	Plugin *policy.Plugin
	Spec   pluginpool.Spec
}

// TrialOptions say which plugin is tried, and how.
type TrialOptions struct {
	Executable string
	// File holds its `plugin` block and rules as a policy would; "": a block without configuration, and one scan without attributes.
	File   string
	Stage  string
	RunDir string
	Log    hclog.Logger
}

// trialActions is what the rules of a trial may do without any other plugin: log.
const trialActions = "trial-actions"

const trialBase = `
gateway {
  hostname         = "trial.example"
  internal_domains = ["example.org"]
  admin_address    = "postmaster@trial.example"
}
listener "smtp" "in" { address = "127.0.0.1:25" }
relay "out" {
  domains = ["*"]
  hosts   = ["127.0.0.1:25"]
}
store "sqlite" { path = "/nonexistent" }
`

// ErrNotDescribed says that the executable did not start as a plugin and say what it is.
var ErrNotDescribed = errors.New("it does not say what it is")

// NewTrial describes the executable and checks the file against what it says of itself. What is wrong with the file is told by the
// configuration, whose policy is nil then.
func NewTrial(ctx context.Context, o TrialOptions) (*Trial, *Configuration, error) {
	entry, err := describeFile(ctx, o.Executable, o.Stage, o.RunDir, o.Log)
	if err != nil {
		return nil, nil, fmt.Errorf("try %s: %w: %w", o.Executable, ErrNotDescribed, err)
	}
	source := policy.Source{Name: "(built in)", Bytes: fmt.Appendf(nil, "plugin %q { command = \"-\" }\n", entry.Name)}
	if entry.HasRole(pluginv1.Role_ROLE_SCANNER) {
		source.Bytes = fmt.Appendf(source.Bytes, "rule \"Try\" {\n  scan %q {}\n  action \"pass\" {}\n}\n", entry.Name)
	}
	if o.File != "" {
		text, err := os.ReadFile(o.File)
		if err != nil {
			return nil, nil, fmt.Errorf("try %s: %w", o.Executable, err)
		}
		source = policy.Source{Name: o.File, Bytes: text}
	}
	c := &Configuration{Catalog: plugincatalog.Catalog{entry.Name: entry}}
	base := trialBase
	if !hasAction(entry, "pass") {
		c.Catalog[trialActions] = plugincatalog.Entry{Name: trialActions, Description: &pluginv1.DescribeResponse{
			Name: trialActions, Roles: []pluginv1.Role{pluginv1.Role_ROLE_ACTION},
			Actions: []*pluginv1.ActionDescription{{Name: "pass", Effect: pluginv1.Effect_EFFECT_PASS, Label: "Passed", Config: &pluginv1.Schema{}}},
		}}
		base += fmt.Sprintf("plugin %q { command = \"-\" }\n", trialActions)
	}
	folder := filepath.Dir(o.File)
	options := policy.Options{
		Catalog: c.Catalog, Env: os.LookupEnv,
		ReadFile: func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(folder, name)) },
	}
	var diags hcl.Diagnostics
	c.Policy, c.Files, diags = policy.Load([]policy.Source{{Name: "(the trial)", Bytes: []byte(base)}, source}, options)
	for _, d := range diags {
		if d.Severity == hcl.DiagError { // warnings are about a whole policy, which this is not
			c.Diags = append(c.Diags, d)
		}
	}
	if c.Policy == nil {
		return nil, c, nil
	}
	t := &Trial{Entry: entry, Plugin: c.plugin(entry.Name)}
	if t.Plugin == nil {
		return nil, nil, fmt.Errorf("try %s: %s has no block `plugin %q`, which is how it names itself", o.Executable, o.File, entry.Name)
	}
	own := *t.Plugin
	own.Command = o.Executable
	t.Plugin = &own
	b := &Builder{Stage: o.Stage, RunDir: o.RunDir, Log: o.Log}
	if t.Spec, err = b.spec(t.Plugin, entry); err != nil {
		return nil, nil, fmt.Errorf("try %s: %w", o.Executable, err)
	}
	return t, c, nil
}

func hasAction(entry plugincatalog.Entry, name string) bool {
	for _, a := range entry.Description.GetActions() {
		if a.GetName() == name {
			return true
		}
	}
	return false
}

// plugin is the policy's plugin of that name, or nil.
func (c *Configuration) plugin(name string) *policy.Plugin {
	for i := range c.Policy.Plugins {
		if c.Policy.Plugins[i].Name == name {
			return &c.Policy.Plugins[i]
		}
	}
	return nil
}

// unhurriedTime is as good as no limit.
const unhurriedTime = 24 * time.Hour

// Unhurried lets no time run out, so that the process can be stopped by a debugger.
func (t *Trial) Unhurried() { t.Spec.Timeout, t.Spec.Beat = unhurriedTime, unhurriedTime }
