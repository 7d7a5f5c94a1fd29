package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/postern-mail/postern/core/content"
	"github.com/postern-mail/postern/core/inspect"
	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/pluginpool"
	"github.com/postern-mail/postern/core/spool"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// Show starts the plugin, shows it one mail, and tells what it found. started is called with the process id before the mail is shown. A
// scanner sees the mail as it came, without what is in containers; an unpacker takes apart what it takes.
func (t *Trial) Show(ctx context.Context, mail string, started func(pid int) error) (facts *message.Facts, err error) {
	pool, err := pluginpool.New(ctx, t.Spec)
	if err != nil {
		return nil, err
	}
	defer pool.Stop()
	for _, d := range pool.Warnings() {
		t.Spec.Process.Log.Warn(d.GetSummary(), "at", strings.Join(d.GetPath(), "."), "detail", d.GetDetail())
	}
	if pids := pool.Status().Pids; len(pids) > 0 {
		if err := started(pids[0]); err != nil {
			return nil, err
		}
	}
	inspector := &inspect.Inspector{CallName: CallName, Log: t.Spec.Process.Log}
	live := inspect.Live{}
	if t.Entry.HasRole(pluginv1.Role_ROLE_SCANNER) {
		inspector.Scanners = []inspect.Scanner{{
			Name: t.Entry.Name, Digest: t.Entry.Digest, Version: t.Entry.Description.GetVersion(), Inputs: t.Entry.Description.GetInputs(), Pool: pool,
		}}
		for _, q := range t.Plugin.Queries {
			live[t.Entry.Name] = append(live[t.Entry.Name], q.Number)
		}
	}
	if t.Entry.HasRole(pluginv1.Role_ROLE_UNPACKER) {
		inspector.Unpacker, err = inspect.NewUnpacker(t.Entry.Name, t.Entry.Description.GetContainers(), pool, CallName, t.Spec.Process.Log)
		if err != nil {
			return nil, err
		}
	}
	f, err := os.Open(mail)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	bodies, err := spool.Open(filepath.Join(t.Spec.Process.RunDir, "bodies"), spoolBudget)
	if err != nil {
		return nil, err
	}
	scope := bodies.NewScope()
	defer func() { err = errors.Join(err, scope.Release()) }()
	w := scope.Create(openBytes)
	if _, err := io.Copy(w, crlf(f)); err != nil {
		return nil, fmt.Errorf("read %s: %w", mail, err)
	}
	body, err := w.Finish()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", mail, err)
	}
	m := &message.Message{ID: newID(), Session: message.Session{Client: netip.MustParseAddrPort("192.0.2.1:25"), Helo: "client.example"}}
	if m.Envelope, err = envelopeOf(body, m.Envelope); err != nil {
		return nil, fmt.Errorf("read %s: %w", mail, err)
	}
	inspector.Limits = content.Limits{Time: t.Spec.Timeout}
	return inspector.Inspect(ctx, m, body, scope, live)
}

// TrialCommand is the command of the one plugin block in a file of a trial.
func TrialCommand(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	parsed, diags := hclsyntax.ParseConfig(text, file, hcl.InitialPos)
	if diags.HasErrors() {
		return "", diags
	}
	body, ok := parsed.Body.(*hclsyntax.Body)
	for i := 0; ok && i < len(body.Blocks); i++ {
		command := body.Blocks[i].Body.Attributes["command"]
		if body.Blocks[i].Type != "plugin" || command == nil {
			continue
		}
		value, diags := command.Expr.Value(nil)
		if diags.HasErrors() {
			return "", diags
		}
		if value.Type() == cty.String && !value.IsNull() {
			return value.AsString(), nil
		}
	}
	return "", fmt.Errorf("%s: there is no plugin block with a command", file)
}
