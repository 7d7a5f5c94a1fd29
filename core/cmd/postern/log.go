package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/postern-mail/postern/core/store"
)

// query are the flags that the logs and queues share.
type query struct {
	from, to string
	text     store.TextQuery
	page     store.Page
}

func (q *query) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&q.from, "since", "", "first time, 2006-01-02 or 2006-01-02T15:04, or a duration back from now such as 24h")
	flags.StringVar(&q.to, "until", "", "time before which")
	flags.StringVar(&q.text.Sender, "sender", "", "envelope sender")
	flags.StringVar(&q.text.Recipient, "recipient", "", "envelope recipient")
	flags.StringVar(&q.text.Subject, "subject", "", "subject")
	flags.StringVar(&q.text.Rule, "rule", "", "rule")
	flags.StringVar(&q.text.MessageID, "id", "", "internal id, copy id, or Message-ID")
	flags.IntVar(&q.page.Limit, "limit", 100, "most rows")
	flags.StringVar(&q.page.After, "after", "", "cursor that the page before ended with")
}

const patternHelp = `

Texts are patterns: * stands for any text, ; separates alternatives, "quotes" make text literal. Case does not matter.`

func (q *query) parse(now time.Time) error {
	var err error
	if q.text.From, err = parseTime(q.from, now); err != nil {
		return usageError{fmt.Errorf("--since: %w", err)}
	}
	if q.text.To, err = parseTime(q.to, now); err != nil {
		return usageError{fmt.Errorf("--until: %w", err)}
	}
	return nil
}

func parseTime(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if back, err := time.ParseDuration(text); err == nil {
		return now.Add(-back), nil
	}
	for _, layout := range []string{time.DateOnly, "2006-01-02T15:04", "2006-01-02T15:04:05", time.RFC3339} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is neither a time nor a duration", text)
}

func newLog(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "log", Short: "Query the policy events"}
	var q query
	var f format
	var kind string
	list := &cobra.Command{
		Use:   "query",
		Short: "List policy events, newest first",
		Long:  "List policy events, newest first." + patternHelp,
		Args:  cobra.ExactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := q.parse(now()); err != nil {
				return err
			}
			if kind != "policy" {
				return usageError{fmt.Errorf("--type: there is no log %q here; `postern track` shows the tracking log", kind)}
			}
			return a.withStore(cmd.Context(), func(s store.Store) error {
				rows, next, total, err := s.Events(cmd.Context(), q.text, q.page)
				if err != nil {
					return err
				}
				columns := eventColumns()
				if q.text.Subtype == "advanced-persistent-threat" && !f.csv {
					columns = threatColumns()
				}
				err = table(a, f, rows, columns)
				a.more(len(rows), total, next)
				return err
			})
		},
	}
	q.flags(list)
	list.Flags().StringVar(&kind, "type", "policy", "which log: policy")
	list.Flags().StringVar(&q.text.Subtype, "subtype", "", "subtype of policy events: virus-or-malicious-code, advanced-persistent-threat, spam-phish, "+
		"attachment, scanning-exceptions, suspicious-objects, others")
	f.flags(list)
	cmd.AddCommand(list)
	return cmd
}

// eventColumns are the columns of the policy events (product guide, pages 10 and 16).
func eventColumns() []column[store.Event] {
	return []column[store.Event]{
		{name: "date", value: func(e *store.Event) any { return e.At }},
		{name: "type", value: func(e *store.Event) any { return e.Subtype }},
		{name: "rule", value: func(e *store.Event) any { return e.Rule }},
		{name: "action", value: func(e *store.Event) any { return e.Action }},
		{name: "name", value: func(e *store.Event) any { return e.Name }},
		{name: "kind", value: func(e *store.Event) any { return e.Type }, detail: true},
		{name: "advanced threat type", value: func(e *store.Event) any { return e.ThreatType }, detail: true},
		{name: "sender", value: func(e *store.Event) any { return e.Sender }},
		{name: "recipients", value: func(e *store.Event) any { return e.Recipients }},
		{name: "subject", value: func(e *store.Event) any { return e.Subject }},
		{name: "original size (KB)", value: func(e *store.Event) any { return fmt.Sprintf("%.1f", float64(e.Size)/1024) }, detail: true},
		{name: "violating attachments", value: func(e *store.Event) any { return e.Attachments }},
		{name: "violation reason", value: func(e *store.Event) any { return e.Reason }},
		{name: "true file type", value: func(e *store.Event) any { return e.TrueFileType }, detail: true},
		{name: "evidence", value: func(e *store.Event) any { return e.Evidence }, detail: true},
		{name: "scanner", value: func(e *store.Event) any { return e.Scanner }, detail: true},
		{name: "message id", value: func(e *store.Event) any { return e.HeaderID }, detail: true},
		{name: "internal id", value: func(e *store.Event) any { return e.CopyID }},
	}
}

// threatColumns are those of the view of advanced threats (product guide, page 10).
func threatColumns() []column[store.Event] {
	return []column[store.Event]{
		{name: "timestamp", value: func(e *store.Event) any { return e.At }},
		{name: "action", value: func(e *store.Event) any { return e.Action }},
		{name: "name", value: func(e *store.Event) any { return e.Name }},
		{name: "type", value: func(e *store.Event) any { return e.Type }},
		{name: "advanced threat type", value: func(e *store.Event) any { return e.ThreatType }},
		{name: "subject", value: func(e *store.Event) any { return e.Subject }},
		{name: "message id", value: func(e *store.Event) any { return e.HeaderID }},
	}
}

// more says on standard error what a listing left out.
func (a *app) more(shown int, total int64, next string) {
	if next != "" {
		fmt.Fprintf(a.errOut, "%d of %d shown; go on with --after %s\n", shown, total, next)
	}
}
