package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/postern-mail/postern/core/scaffold"
)

func newPluginNew(a *app) *cobra.Command {
	plan := scaffold.Plan{Version: version}
	cmd := &cobra.Command{
		Use:   "new " + strings.Join(scaffold.Languages(), "|") + " NAME",
		Short: "Make the folder of a new plugin: a scanner that builds, is tested and runs",
		Args:  cobra.ExactArgs(2), ValidArgs: scaffold.Languages(),
		RunE: func(_ *cobra.Command, args []string) error {
			plan.Language, plan.Name = args[0], args[1]
			if !slices.Contains(scaffold.Languages(), plan.Language) {
				return usageError{fmt.Errorf("a plugin can be new in %s, not in %q", strings.Join(scaffold.Languages(), " and "), plan.Language)}
			}
			if plan.Folder == "" {
				plan.Folder = "postern-" + plan.Name
			}
			made, err := scaffold.Make(plan)
			if err != nil {
				return err
			}
			for _, name := range made {
				fmt.Fprintln(a.out, filepath.Join(plan.Folder, name))
			}
			fmt.Fprintf(a.out, "Go on as %s says.\n", filepath.Join(plan.Folder, "README.md"))
			return nil
		},
	}
	cmd.Flags().StringVar(&plan.Folder, "dir", "", "folder to make; by default postern-NAME")
	cmd.Flags().StringVar(&plan.SDK, "sdk", "", "local copy of Postern's source to build against, for plugins in Go")
	return cmd
}
