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
				return table(a, f, rows, []column[store.Track]{
					{name: "date", value: func(t *store.Track) any { return t.At }},
					{name: "copy", value: func(t *store.Track) any { return t.CopyID }},
					{name: "kind", value: func(t *store.Track) any { return t.Kind }},
					{name: "sender", value: func(t *store.Track) any { return t.Sender }},
					{name: "recipients", value: func(t *store.Track) any { return t.Recipients }},
					{name: "subject", value: func(t *store.Track) any { return t.Subject }},
					{name: "detail", value: func(t *store.Track) any { return t.Detail }},
					{name: "client", value: func(t *store.Track) any { return t.Client }, detail: true},
					{name: "size", value: func(t *store.Track) any { return t.Size }, detail: true},
					{name: "message id", value: func(t *store.Track) any { return t.HeaderID }, detail: true},
				})
			})
		},
	}
	q.flags(cmd)
	f.flags(cmd)
	return cmd
}
