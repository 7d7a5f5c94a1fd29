package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/postern-mail/postern/core/gate"
	"github.com/postern-mail/postern/core/store"
)

func newQueue(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "queue", Short: "Look at the queues: what is owed to next hops, and what waits for the Virtual Analyzer"}
	var f format
	var page store.Page
	list := &cobra.Command{
		Use:   "list",
		Short: "List what is owed to next hops, oldest first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withStore(cmd.Context(), func(s store.Store) error {
				rows, next, err := s.DueObligations(cmd.Context(), page)
				if err != nil {
					return err
				}
				if next != "" {
					fmt.Fprintf(a.errOut, "there is more: go on with --after %s\n", next)
				}
				for i := range rows {
					onTheWall(s, &rows[i].NextAt, &rows[i].GiveUpAt)
				}
				return table(a, f, rows, []column[store.Obligation]{
					{name: "copy", value: func(o *store.Obligation) any { return o.CopyID }},
					{name: "kind", value: func(o *store.Obligation) any { return o.Kind }},
					{name: "hop", value: func(o *store.Obligation) any { return o.Hop }},
					{name: "recipient", value: func(o *store.Obligation) any { return o.Recipient }},
					{name: "attempts", value: func(o *store.Obligation) any { return o.Attempts }},
					{name: "next", value: func(o *store.Obligation) any { return o.NextAt }},
					{name: "gives up", value: func(o *store.Obligation) any { return o.GiveUpAt }},
					{name: "last reply", value: func(o *store.Obligation) any { return o.LastReply }},
				})
			})
		},
	}
	f.flags(list)
	list.Flags().IntVar(&page.Limit, "limit", 100, "most rows")
	list.Flags().StringVar(&page.After, "after", "", "cursor that the page before ended with")
	list.AddCommand(newAnalyzerQueue(a))
	flush := &cobra.Command{
		Use:   "flush",
		Short: "Try everything that is owed at once",
		Args:  cobra.ExactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withStore(cmd.Context(), func(s store.Store) error {
				n, err := s.Flush(cmd.Context(), s.Steady())
				if err != nil {
					return err
				}
				fmt.Fprintf(a.out, "%d deliveries are tried now\n", n)
				return nil
			})
		},
	}
	waiting := analyzerArea()
	cmd.AddCommand(list, flush, newAnalyzerShow(a),
		newAreaChange(a, waiting, "release", "Release messages from analysis, no more: the other rules still judge", gate.Release),
		newAreaChange(a, waiting, "delete", "Delete messages that wait for analysis", gate.Delete))
	return cmd
}
