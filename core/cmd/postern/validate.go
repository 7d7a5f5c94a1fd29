package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newValidate(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "validate",
		Short: "Check the policy without starting a plugin",
		Long: `Check the policy against the pinned descriptions of its plugins. No plugin is started.

Exit codes: 0 no errors (there may be warnings), 3 errors.`,
		Args: cobra.ExactArgs(0),
		RunE: func(*cobra.Command, []string) error {
			c, err := a.configuration()
			if err != nil {
				return err
			}
			fmt.Fprintf(a.out, "%s: valid, %d rules, %d plugins, %d warnings, revision %s\n",
				a.config, len(c.Policy.Rules), len(c.Policy.Plugins), len(c.Diags), c.Policy.Revision[:12])
			return nil
		},
	}
}
