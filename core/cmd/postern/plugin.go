package main

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/postern-mail/postern/core/host"
	"github.com/postern-mail/postern/core/plugincatalog"
	"github.com/postern-mail/postern/core/pluginpool"
	"github.com/postern-mail/postern/core/pluginprocess"
	"github.com/postern-mail/postern/core/policy"
	"github.com/postern-mail/postern/core/store"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

func newPlugin(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "plugin", Short: "Look after plugins"}
	cmd.AddCommand(&cobra.Command{
		Use:   "pin FILE...",
		Short: "Ask plugins what they are and pin digest and description in plugins.lock.hcl",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			log, err := a.logger()
			if err != nil {
				return err
			}
			pinned, err := host.Pin(cmd.Context(), a.config, stage, args, log)
			for _, entry := range pinned {
				fmt.Fprintf(a.out, "%s %s %s\n", entry.Name, entry.Description.GetVersion(), entry.Digest)
			}
			return err
		},
	}, newPluginList(a), newPluginDescribe(a), newPluginVerify(a), newPluginSwap(a), newPluginShadow(a), newPluginNew(a), newPluginDev(a), newPluginConform(a),
		newPluginDo(a, "rollback", "Put the executable back that was swapped out last"),
		newPluginDo(a, "restart", "Start a plugin's processes anew, also where it is suspended"))
	return cmd
}

// pluginRow is one plugin of the policy with what it was granted.
type pluginRow struct {
	Name     string   `json:"name"`
	Version  string   `json:"version"`
	Roles    []string `json:"roles"`
	Sees     []string `json:"sees"`
	Grants   []string `json:"grants"`
	Limits   []string `json:"limits"`
	Digest   string   `json:"digest"`
	Summary  string   `json:"summary"`
	Instance int      `json:"instances"`
	// State is one word for each instance of a running gateway, and Sandbox what holds them there.
	State    []string `json:"state,omitempty"`
	Sandbox  []string `json:"sandbox,omitempty"`
	Restarts int      `json:"restarts,omitempty"`
}

func newPluginList(a *app) *cobra.Command {
	var f format
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the policy's plugins: what each is, sees of a message, and was granted; of a running gateway, how they are",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.configuration()
			if err != nil {
				return err
			}
			var rows []pluginRow
			for i := range c.Policy.Plugins {
				row, err := rowOf(&c.Policy.Plugins[i], c.Catalog)
				if err != nil {
					return err
				}
				rows = append(rows, row)
			}
			answer, err := host.Command(cmd.Context(), host.StateDir(a.stateDir, c.Policy), http.MethodGet, "/plugins", "")
			switch {
			case err == nil:
				addStates(rows, answer.Plugins)
			case !errors.Is(err, host.ErrNotRunning):
				fmt.Fprintf(a.errOut, "postern: how the plugins are is not known: %v\n", err)
			}
			return table(a, f, rows, []column[pluginRow]{
				{name: "name", value: func(r *pluginRow) any { return r.Name }},
				{name: "version", value: func(r *pluginRow) any { return r.Version }},
				{name: "roles", value: func(r *pluginRow) any { return r.Roles }},
				{name: "instances", value: func(r *pluginRow) any { return r.Instance }},
				{name: "sees", value: func(r *pluginRow) any { return r.Sees }},
				{name: "grants", value: func(r *pluginRow) any { return r.Grants }},
				{name: "limits", value: func(r *pluginRow) any { return r.Limits }},
				{name: "state", value: func(r *pluginRow) any { return r.State }},
				{name: "sandbox", value: func(r *pluginRow) any { return r.Sandbox }},
				{name: "restarts", value: func(r *pluginRow) any { return r.Restarts }, detail: true},
				{name: "digest", value: func(r *pluginRow) any { return r.Digest }, detail: true},
				{name: "summary", value: func(r *pluginRow) any { return r.Summary }, detail: true},
			})
		},
	}
	f.flags(cmd)
	return cmd
}

// addStates tells how the instances of the running gateway are.
func addStates(rows []pluginRow, running []pluginpool.Status) {
	for i := range rows {
		for _, status := range running {
			if status.Name != rows[i].Name {
				continue
			}
			for _, state := range status.States {
				rows[i].State = append(rows[i].State, string(state))
			}
			rows[i].Sandbox, rows[i].Restarts = status.Sandbox.Guards(), status.Restarts
			if status.Digest != rows[i].Digest {
				rows[i].State = append(rows[i].State, "not what is pinned: reload")
			}
		}
	}
}

func rowOf(p *policy.Plugin, catalog plugincatalog.Catalog) (pluginRow, error) {
	entry := catalog[p.Name]
	d := entry.Description
	grants, err := host.GrantsOf(p, entry)
	if err != nil {
		return pluginRow{}, err
	}
	for _, name := range slices.Sorted(maps.Keys(p.Env)) {
		grants = append(grants, "environment "+name)
	}
	row := pluginRow{
		Name: p.Name, Version: d.GetVersion(), Digest: entry.Digest, Summary: d.GetSummary(), Instance: p.Instances, Grants: grants,
		Sees: seesOf(d), Limits: []string{"call " + p.Timeout.String(), fmt.Sprintf("%d calls at once", p.Concurrency)},
	}
	if p.Memory > 0 {
		row.Limits = append(row.Limits, fmt.Sprintf("memory %d MiB", p.Memory>>20))
	}
	for _, role := range d.GetRoles() {
		row.Roles = append(row.Roles, strings.ToLower(strings.TrimPrefix(role.String(), "ROLE_")))
	}
	return row, nil
}

// seesOf is what a plugin declares that it is to be shown.
func seesOf(d *pluginv1.DescribeResponse) []string {
	var out []string
	in := d.GetInputs()
	for _, input := range []struct {
		name string
		yes  bool
	}{
		{"envelope", in.GetEnvelope()}, {"header", in.GetHeader()}, {"parts", in.GetParts()},
		{"attachments", in.GetBodies() == pluginv1.Bodies_BODIES_ATTACHMENTS}, {"all bodies", in.GetBodies() == pluginv1.Bodies_BODIES_ALL},
		{"links", in.GetUrls()}, {"authentication", in.GetAuth()},
	} {
		if input.yes {
			out = append(out, input.name)
		}
	}
	for role, what := range map[pluginv1.Role]string{
		pluginv1.Role_ROLE_UNPACKER: "containers", pluginv1.Role_ROLE_ANALYZER: "samples",
	} {
		if slices.Contains(d.GetRoles(), role) {
			out = append(out, what)
		}
	}
	slices.Sort(out)
	return out
}

func newPluginDescribe(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "describe NAME",
		Short: "Show what a pinned plugin takes in its blocks",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			catalog, err := plugincatalog.Load(filepath.Join(a.config, host.LockFile))
			if err != nil {
				return err
			}
			entry, pinned := catalog[args[0]]
			if !pinned {
				return fmt.Errorf("describe %s: no such plugin is pinned: %w", args[0], store.ErrNotFound)
			}
			d := entry.Description
			fmt.Fprintf(a.out, "%s %s: %s\n%s\n", d.GetName(), d.GetVersion(), d.GetSummary(), entry.Digest)
			if hasAny(d.GetConfig()) {
				fmt.Fprintf(a.out, "\nplugin %q {\n  config {\n", d.GetName())
				a.printSchema(d.GetConfig(), "    ")
				fmt.Fprint(a.out, "  }\n}\n")
			}
			if entry.HasRole(pluginv1.Role_ROLE_SCANNER) {
				fmt.Fprintf(a.out, "\nscan %q {\n", d.GetName())
				a.printSchema(d.GetScan(), "  ")
				fmt.Fprint(a.out, "}\n")
			}
			for _, action := range d.GetActions() {
				fmt.Fprintf(a.out, "\naction %q { # %s\n", action.GetName(), action.GetSummary())
				a.printSchema(action.GetConfig(), "  ")
				fmt.Fprint(a.out, "}\n")
			}
			return nil
		},
	}
}

func hasAny(s *pluginv1.Schema) bool { return len(s.GetAttributes())+len(s.GetBlocks()) > 0 }

// printSchema shows each attribute with its type or default and what it is for.
func (a *app) printSchema(s *pluginv1.Schema, indent string) {
	for _, attribute := range s.GetAttributes() {
		value := attribute.GetDefaultJson()
		if value == "" {
			value = "<" + strings.ToLower(strings.TrimPrefix(attribute.GetType().String(), "TYPE_")) + ">"
		}
		notes := []string{attribute.GetSummary()}
		if attribute.GetRequired() {
			notes = append(notes, "required")
		}
		if len(attribute.GetOneOf()) > 0 {
			notes = append(notes, "one of "+strings.Join(attribute.GetOneOf(), ", "))
		}
		fmt.Fprintf(a.out, "%s%s = %s # %s\n", indent, attribute.GetName(), value, strings.Join(notes, "; "))
	}
	for _, b := range s.GetBlocks() {
		labels := ""
		for _, label := range b.GetLabels() {
			labels += " \"" + strings.ToUpper(label) + "\""
		}
		fmt.Fprintf(a.out, "%s%s%s { # %s\n", indent, b.GetName(), labels, b.GetSummary())
		a.printSchema(b.GetBody(), indent+"  ")
		fmt.Fprintf(a.out, "%s}\n", indent)
	}
}

func newPluginVerify(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "Compare the policy's plugins on disk with what is pinned; exit code 1 where one differs",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := a.configuration()
			if err != nil {
				return err
			}
			var failed error
			for i := range c.Policy.Plugins {
				p := &c.Policy.Plugins[i]
				path := host.Executable(a.pluginDir, p, c.Catalog[p.Name])
				digest, err := pluginprocess.Digest(path)
				if err == nil && digest != c.Catalog[p.Name].Digest {
					err = fmt.Errorf("%s: %w: it is %s, pinned is %s", path, pluginprocess.ErrDigest, digest, c.Catalog[p.Name].Digest)
				}
				if err != nil {
					failed = errors.Join(failed, fmt.Errorf("plugin %s: %w", p.Name, err))
					continue
				}
				fmt.Fprintf(a.out, "%s: %s is the pinned one\n", p.Name, path)
			}
			return failed
		},
	}
}
