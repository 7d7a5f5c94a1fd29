package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/postern-mail/postern/core/store"
)

func newQueue(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "queue", Short: "Look at and hurry what is owed to next hops"}
	var f format
	var page store.Page
	list := &cobra.Command{
		Use:   "list",
		Short: "List what is owed, oldest first",
		Args:  exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withStore(cmd.Context(), func(s store.Store) error {
				rows, next, err := s.DueObligations(cmd.Context(), page)
				if err != nil {
					return err
				}
				if next != "" {
					fmt.Fprintf(a.errOut, "there is more: go on with --after %s\n", next)
				}
				return table(a, f, rows, []string{"copy", "kind", "hop", "recipient", "attempts", "next", "gives up", "last reply"},
					func(o *store.Obligation) []string {
						return []string{o.CopyID, string(o.Kind), o.Hop, o.Recipient, fmt.Sprint(o.Attempts), o.NextAt.Local().Format(timeFormat),
							o.GiveUpAt.Local().Format(timeFormat), o.LastReply}
					})
			})
		},
	}
	f.flags(list)
	list.Flags().IntVar(&page.Limit, "limit", 100, "most rows")
	list.Flags().StringVar(&page.After, "after", "", "cursor that the page before ended with")
	flush := &cobra.Command{
		Use:   "flush",
		Short: "Try everything that is owed at once",
		Args:  exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withStore(cmd.Context(), func(s store.Store) error {
				n, err := s.Flush(cmd.Context(), time.Now())
				if err != nil {
					return err
				}
				fmt.Fprintf(a.out, "%d deliveries are tried now\n", n)
				return nil
			})
		},
	}
	cmd.AddCommand(list, flush)
	return cmd
}
