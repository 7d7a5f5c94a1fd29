package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/postern-mail/postern/core/host"
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
			pinned, err := host.Pin(cmd.Context(), a.config, args, log)
			for _, entry := range pinned {
				fmt.Fprintf(a.out, "%s %s %s\n", entry.Name, entry.Description.GetVersion(), entry.Digest)
			}
			return err
		},
	})
	return cmd
}
