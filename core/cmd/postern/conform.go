package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/postern-mail/postern/core/conform"
	"github.com/postern-mail/postern/core/host"
	"github.com/postern-mail/postern/core/pluginprocess"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

func newPluginConform(a *app) *cobra.Command {
	var (
		with   string
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "conform FILE",
		Short: "Hold a plugin to the contract, check by check; exit code 1 where one failed",
		Long: `Hold a plugin, in whatever language, to the contract: it is started in its sandbox as the gateway would start it, and asked what
a gateway may ask and what one never would. One row for each check: passed, failed with what to do, or not applicable.

--with names a file with its plugin block and with rules that scan with it, as a policy would have them. Without it the plugin is given no
configuration, and a scanner one scan block without attributes.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			scratch, err := os.MkdirTemp("", "postern")
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
			plugin, err := a.toConform(cmd, args[0], with, scratch)
			if err != nil {
				return err
			}
			report, err := conform.Run(cmd.Context(), plugin)
			if err != nil {
				return err
			}
			if asJSON {
				err = json.NewEncoder(a.out).Encode(report)
			} else {
				err = a.printConformance(report)
			}
			if err == nil && !report.Conforms() {
				err = errSilent
			}
			return err
		},
	}
	cmd.Flags().StringVar(&with, "with", "", "file with its plugin block and rules")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

const (
	conformStart  = 10 * time.Second
	conformCall   = 20 * time.Second
	conformMemory = 2 << 30
)

// toConform is the plugin with its configuration. One that cannot say what it is has none: the checks tell why.
func (a *app) toConform(cmd *cobra.Command, executable, with, scratch string) (conform.Plugin, error) {
	executable, err := filepath.Abs(executable)
	if err != nil {
		return conform.Plugin{}, err
	}
	p := conform.Plugin{
		Scratch: filepath.Join(scratch, "bodies"), Timeout: conformCall, Configure: &pluginv1.ConfigureRequest{ConfigJson: "{}"},
		Process: pluginprocess.Spec{
			Name: filepath.Base(executable), Executable: executable, Stage: stage, StartTimeout: conformStart, RunDir: scratch, Memory: conformMemory,
		},
	}
	if err := os.Mkdir(p.Scratch, 0o700); err != nil {
		return p, err
	}
	if _, err := os.Stat(executable); err != nil {
		return p, err
	}
	trial, c, err := host.NewTrial(cmd.Context(), host.TrialOptions{
		Executable: executable, File: with, Stage: stage, RunDir: scratch, Log: hclog.NewNullLogger(),
	})
	switch {
	case err != nil && with != "" && !errors.Is(err, host.ErrNotDescribed):
		return p, err
	case err != nil:
		return p, nil
	case trial == nil:
		return p, errors.Join(c.Write(a.errOut, terminal(a.errOut)), fmt.Errorf("check %s: %w", executable, host.ErrPolicy))
	}
	p.Process, p.Configure, p.Timeout = trial.Spec.Process, trial.Spec.Configure, trial.Spec.Timeout
	return p, nil
}

func (a *app) printConformance(r *conform.Report) error {
	fmt.Fprintf(a.out, "%s %s; it is held by %s\n", r.Plugin, r.Version, strings.Join(r.Sandbox, ", "))
	w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	for _, row := range r.Rows {
		fmt.Fprintf(w, "%s\t%s\t%s\n", row.Check, row.Outcome, printable(row.Detail))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, row := range r.Rows {
		if row.Outcome == conform.Failed {
			fmt.Fprintf(a.out, "\n%s: %s\n", row.Check, row.Do)
		}
	}
	return nil
}
