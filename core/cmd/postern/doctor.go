package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/postern-mail/postern/core/doctor"
)

// errUnwell says that something keeps the gateway from its work.
var errUnwell = errors.New("something keeps the gateway from its work: see what is marked FAIL")

func newDoctor(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look the gateway over: what is wrong and what to do",
		Long: `Look over the configuration, this machine, listeners, state, store, plugins and next hops. Plugins are started as the gateway would
start them, and ended again; next hops are greeted; nothing is changed and no mail is sent.

Exit codes: 0 nothing fails (there may be warnings), 1 something does.`,
		Args: cobra.ExactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("log-level") {
				a.logLevel = "off" // what there is to say is in the findings
			}
			log, err := a.logger()
			if err != nil {
				return err
			}
			findings := doctor.Examine(cmd.Context(), doctor.Options{
				Folder: a.config, StateDir: a.stateDir, PluginDir: a.pluginDir, Stage: stage, Now: time.Now, Log: log,
			})
			unwell := false
			encoder := json.NewEncoder(a.out)
			for i := range findings {
				f := &findings[i]
				unwell = unwell || f.Level == doctor.Failure
				if asJSON {
					if err := encoder.Encode(f); err != nil {
						return fmt.Errorf("print findings: %w", err)
					}
					continue
				}
				mark := map[doctor.Level]string{doctor.OK: "ok  ", doctor.Warning: "WARN", doctor.Failure: "FAIL"}[f.Level]
				fmt.Fprintf(a.out, "%s  %s: %s\n", mark, f.Area, printable(f.What))
				if f.Do != "" {
					fmt.Fprintf(a.out, "      %s\n", f.Do)
				}
			}
			if unwell {
				return errUnwell
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, one object per line")
	return cmd
}
