package main

import (
	"github.com/spf13/cobra"

	"github.com/postern-mail/postern/core/policy"
)

func newPolicy(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "policy", Short: "Look at the policy"}
	var hidden bool
	show := &cobra.Command{
		Use:   "show",
		Short: "Print the rules in the order in which they are judged, with their numbers",
		Args:  cobra.ExactArgs(0),
		RunE: func(*cobra.Command, []string) error {
			c, err := a.configuration()
			if err != nil {
				return err
			}
			return policy.WriteRules(a.out, c.Policy, hidden)
		},
	}
	show.Flags().BoolVar(&hidden, "hidden", false, "hidden rules too")
	cmd.AddCommand(show)
	return cmd
}
