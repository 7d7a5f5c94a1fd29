package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/store"
)

func newExplain(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "explain ID",
		Short: "Tell rule by rule why a message fared as it did",
		Long:  "Tell rule by rule why a message fared as it did. ID is its internal id, a copy's id, or its Message-ID.",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withStore(cmd.Context(), func(s store.Store) error {
				record, err := s.Record(cmd.Context(), args[0])
				if errors.Is(err, store.ErrNotFound) {
					return a.explainRelayed(cmd, s, args[0])
				}
				if err != nil {
					return err
				}
				m := &record.Message
				fmt.Fprintf(a.out, "%s\n  from <%s> to %s\n  subject %q, received %s\n", m.ID, printable(m.Envelope.From),
					printable(strings.Join(m.Envelope.To, ", ")), printable(m.Subject), m.Received.Local().Format(timeFormat))
				if record.Decision == nil {
					fmt.Fprintln(a.out, "  not judged yet")
					return nil
				}
				tree := &message.Tree{}
				if record.Facts != nil {
					tree = &record.Facts.Tree
				}
				return a.printDecision(record.Decision, tree)
			})
		},
	}
}

// explainRelayed tells of mail that was not kept: its trace stands in the tracking log.
func (a *app) explainRelayed(cmd *cobra.Command, s store.Store, id string) error {
	rows, _, err := s.Tracks(cmd.Context(), store.TextQuery{MessageID: `"` + id + `"`}, store.Page{Limit: 10})
	if err != nil {
		return err
	}
	for i := range rows {
		if len(rows[i].Trace) == 0 {
			continue
		}
		fmt.Fprintf(a.out, "%s\n  from <%s> to %s\n  %s: %s\n", rows[i].MessageID, printable(rows[i].Sender),
			printable(strings.Join(rows[i].Recipients, ", ")), rows[i].Kind, printable(rows[i].Detail))
		a.printTrace(rows[i].Trace, &message.Tree{})
		return nil
	}
	return fmt.Errorf("explain %s: %w", id, store.ErrNotFound)
}

// printDecision prints each fate and then the trace.
func (a *app) printDecision(d *message.Decision, tree *message.Tree) error {
	for i := range d.Fates {
		f := &d.Fates[i]
		fmt.Fprintf(a.out, "  %s: %s\n", printable(strings.Join(f.Recipients, ", ")), printable(disposition(f)))
	}
	a.printTrace(d.Trace, tree)
	return nil
}

func (a *app) printTrace(trace []message.TraceStep, tree *message.Tree) {
	for i := range trace {
		s := &trace[i]
		line := fmt.Sprintf("  %3d %s: %s", s.Number, s.Rule, s.Outcome)
		if s.Why != "" {
			line += ": " + s.Why
		}
		fmt.Fprintf(a.out, "%s [%s]\n", printable(line), printable(strings.Join(s.Recipients, ", ")))
		for j := range s.Findings {
			fmt.Fprintf(a.out, "        %s\n", printable(findingText(&s.Findings[j], tree)))
		}
	}
}

func findingText(f *message.Finding, tree *message.Tree) string {
	text := fmt.Sprintf("%s: %s %s", f.Plugin, f.Certainty, f.Name)
	if f.Part >= 0 && f.Part < len(tree.Parts) {
		text += " in " + cmp.Or(tree.Parts[f.Part].Display, "part "+tree.Parts[f.Part].Path)
	}
	if f.Evidence != "" {
		text += " (" + f.Evidence + ")"
	}
	return text
}

// disposition says in words what happens to a copy and which rule made it so.
func disposition(f *message.Fate) string {
	if f.State == message.FateWaiting {
		var names []string
		for i := range f.Waits {
			names = append(names, f.Waits[i].Display)
		}
		return fmt.Sprintf("held for the sandbox by rule %q: %s", f.WaitRule, strings.Join(names, ", "))
	}
	var rules []string
	for i := range f.Matches {
		rules = append(rules, f.Matches[i].Rule)
	}
	what := "delivered"
	if f.Final != nil {
		what = f.Final.Label
	}
	if len(rules) > 0 {
		what += " by " + strings.Join(rules, ", ")
	}
	return what
}
