package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/postern-mail/postern/core/store"
)

func newTrack(a *app) *cobra.Command {
	var q query
	var f format
	cmd := &cobra.Command{
		Use:   "track [ID]",
		Short: "Show what became of messages",
		Long:  "Show what became of messages, newest first. ID is an internal id, a copy's id, or a Message-ID." + patternHelp,
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := q.parse(now()); err != nil {
				return err
			}
			if len(args) == 1 {
				q.text.MessageID = `"` + strings.Trim(args[0], "<>") + `"`
			}
			return a.withStore(cmd.Context(), func(s store.Store) error {
				rows, next, err := s.Tracks(cmd.Context(), q.text, q.page)
				if err != nil {
					return err
				}
				if len(rows) == 0 && len(args) == 1 {
					return fmt.Errorf("track %s: %w", args[0], store.ErrNotFound)
				}
				if next != "" {
					fmt.Fprintf(a.errOut, "there is more: go on with --after %s\n", next)
				}
				return table(a, f, rows, []string{"date", "copy", "kind", "sender", "recipients", "subject", "detail"},
					func(t *store.Track) []string {
						return []string{t.At.Local().Format(timeFormat), t.CopyID, t.Kind, t.Sender, strings.Join(t.Recipients, ", "), t.Subject, t.Detail}
					})
			})
		},
	}
	q.flags(cmd)
	f.flags(cmd)
	return cmd
}
