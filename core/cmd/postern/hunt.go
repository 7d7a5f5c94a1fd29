package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/postern-mail/postern/core/objects"
	"github.com/postern-mail/postern/core/store"
)

// hunted is a message that carried what is hunted for.
type hunted struct {
	Received   time.Time `json:"received,omitzero"`
	ID         string    `json:"id"`
	HeaderID   string    `json:"header_id"`
	Sender     string    `json:"sender"`
	Recipients []string  `json:"recipients"`
	Subject    string    `json:"subject"`
	Fate       string    `json:"fate"`
}

func newHunt(a *app) *cobra.Command {
	var f format
	var kind string
	var most int
	cmd := &cobra.Command{
		Use:   "hunt VALUE",
		Short: "Find mail that carried a file, URL, domain or address, delivered or kept",
		Long: `Find mail that carried a file (by SHA-1 or SHA-256), a URL, or a URL of a domain or address, newest first: what was delivered and what is
kept, for as long as the retention keeps tracking. What a message carried is noted while the policy has a block suspicious_objects.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o := store.Object{Type: kind, Value: args[0]}
			if err := objects.Complete(&o); err != nil {
				return usageError{err}
			}
			return a.withStore(cmd.Context(), func(s store.Store) error {
				text, page := store.TextQuery{Objects: [][]byte{o.Key}}, store.Page{Limit: most}
				var found []hunted
				copies, more, _, err := s.Copies(cmd.Context(), store.CopyQuery{Text: text}, page)
				if err != nil {
					return err
				}
				for i := range copies {
					c := &copies[i]
					fate := string(c.State)
					if c.State == store.CopyDone || c.State == store.CopyQuarantined {
						fate = c.Result
					}
					found = append(found, hunted{c.Received, c.ID, c.HeaderID, c.Sender, c.Recipients, c.Subject, fate})
				}
				tracks, moreTracks, err := s.Tracks(cmd.Context(), text, page)
				if err != nil {
					return err
				}
				for i := range tracks {
					t := &tracks[i]
					found = append(found, hunted{t.At, t.CopyID, t.HeaderID, t.Sender, t.Recipients, t.Subject, t.Kind})
				}
				slices.SortStableFunc(found, func(x, y hunted) int { return cmp.Or(y.Received.Compare(x.Received), cmp.Compare(x.ID, y.ID)) })
				if more != "" || moreTracks != "" || len(found) > most {
					found = found[:min(len(found), most)]
					fmt.Fprintf(a.errOut, "there is more: --limit shows more than %d\n", most)
				}
				return table(a, f, found, []column[hunted]{
					{name: "date", value: func(h *hunted) any { return h.Received }},
					{name: "internal id", value: func(h *hunted) any { return h.ID }},
					{name: "fate", value: func(h *hunted) any { return h.Fate }},
					{name: "sender", value: func(h *hunted) any { return h.Sender }},
					{name: "recipients", value: func(h *hunted) any { return h.Recipients }},
					{name: "subject", value: func(h *hunted) any { return h.Subject }},
					{name: "message id", value: func(h *hunted) any { return h.HeaderID }, detail: true},
				})
			})
		},
	}
	f.flags(cmd)
	cmd.Flags().StringVar(&kind, "type", "", "type of the value; by default told by it")
	cmd.Flags().IntVar(&most, "limit", 100, "most rows")
	return cmd
}
