package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/postern-mail/postern/core/analysis"
	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/store"
)

// analyzerArea is what waits for the sandbox.
func analyzerArea() area {
	return area{"virtual-analyzer", "Mail that waits for the sandbox", []store.CopyState{store.CopyHeld, store.CopyWatched}}
}

// waiting is a message in the Virtual Analyzer's queue (product guide, page 9).
type waiting struct {
	store.CopyRow
	Submission time.Time       `json:"submission,omitzero"` // of the first sample
	QueryTime  time.Time       `json:"query_time,omitzero"` // the latest
	Attempts   int             `json:"queries"`             // the most of any sample
	Samples    []waitingSample `json:"samples"`
}

type waitingSample struct {
	store.Sample
	State    string    `json:"state"`
	Server   string    `json:"server"`
	Remote   string    `json:"remote"`
	Asked    time.Time `json:"asked,omitzero"`
	Attempts int       `json:"queries"`
}

// lookUp adds what is known of the samples that a copy waits for.
func lookUp(ctx context.Context, s store.Store, row store.CopyRow) (waiting, error) {
	copyOnTheWall(s, &row.Copy)
	w := waiting{CopyRow: row}
	samples, err := s.Waits(ctx, row.ID)
	if err != nil {
		return w, err
	}
	for i := range samples {
		sample := waitingSample{Sample: samples[i], State: "not submitted yet"}
		found, err := s.Submissions(ctx, []message.SampleKey{samples[i].Sample.Key})
		if err != nil {
			return w, err
		}
		for j := range found {
			u := &found[j]
			sample.State, sample.Server, sample.Remote, sample.Asked = u.State, u.Server, u.Remote, u.Asked
			sample.Attempts = max(0, u.Attempts-samples[i].AskedBefore)
			if w.Submission.IsZero() || u.Created.Before(w.Submission) {
				w.Submission = u.Created
			}
			if u.Asked.After(w.QueryTime) {
				w.QueryTime = u.Asked
			}
			w.Attempts = max(w.Attempts, sample.Attempts)
		}
		w.Samples = append(w.Samples, sample)
	}
	onTheWall(s, &w.Submission)
	return w, nil
}

// pageSize is how many messages the queue shows at once, as the product does.
const pageSize = 15

func newAnalyzerQueue(a *app) *cobra.Command {
	var q query
	var f format
	var page int
	cmd := &cobra.Command{
		Use:   "virtual-analyzer",
		Short: "List what waits for the Virtual Analyzer, newest first",
		Long:  "List what waits for the Virtual Analyzer, newest first." + patternHelp,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := q.parse(now()); err != nil {
				return err
			}
			if page < 1 {
				return usageError{fmt.Errorf("--page: %d is not a page", page)}
			}
			return a.withStore(cmd.Context(), func(s store.Store) error { return a.listWaiting(cmd.Context(), s, &q, f, page) })
		},
	}
	q.flags(cmd)
	f.flags(cmd)
	cmd.Flags().Lookup("limit").DefValue = fmt.Sprint(pageSize)
	q.page.Limit = pageSize
	cmd.Flags().IntVar(&page, "page", 1, "which page")
	return cmd
}

func (a *app) listWaiting(ctx context.Context, s store.Store, q *query, f format, page int) error {
	var rows []store.CopyRow
	var total int64
	at := q.page
	for n := range page {
		var next string
		var err error
		if rows, next, total, err = s.Copies(ctx, store.CopyQuery{States: analyzerArea().states, Text: q.text}, at); err != nil {
			return err
		}
		if next == "" && n < page-1 {
			rows = nil // there are fewer pages
			break
		}
		at.After = next
	}
	var list []waiting
	for i := range rows {
		w, err := lookUp(ctx, s, rows[i])
		if err != nil {
			return err
		}
		list = append(list, w)
	}
	if !f.json && !f.csv {
		first := int64((page-1)*q.page.Limit + min(1, len(list)))
		fmt.Fprintf(a.out, "Result as of %s\nAll %d record(s)  %d-%d of %d  Page %d\n", now().Format(timeFormat), total, first,
			first+int64(max(0, len(list)-1)), total, page)
	}
	return table(a, f, list, []column[waiting]{
		{name: "timestamp", value: func(w *waiting) any { return w.Received }},
		{name: "sender", value: func(w *waiting) any { return w.Sender }},
		{name: "recipient", value: func(w *waiting) any { return w.Recipients }},
		{name: "subject", value: func(w *waiting) any { return w.Subject }},
		{name: "submission", value: func(w *waiting) any { return w.Submission }},
		{name: "query time", value: func(w *waiting) any { return w.QueryTime }},
		{name: "attempts", value: func(w *waiting) any { return w.Attempts }},
		{name: "expiration", value: func(w *waiting) any { return w.Deadline }},
		{name: "internal id", value: func(w *waiting) any { return w.ID }},
		{name: "rule", value: func(w *waiting) any { return w.Fate.WaitRule }, detail: true},
		{name: "size", value: func(w *waiting) any { return w.Size }, detail: true},
		{name: "message id", value: func(w *waiting) any { return w.HeaderID }, detail: true},
	})
}

func newAnalyzerShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show COPY",
		Short: "Show one message that waits for the Virtual Analyzer",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withStore(cmd.Context(), func(s store.Store) error {
				c, record, err := kept(cmd, s, analyzerArea(), args[0])
				if err != nil {
					return err
				}
				m := &record.Message
				w, err := lookUp(cmd.Context(), s, store.CopyRow{Copy: *c, Received: m.Received, Sender: m.Envelope.From, Subject: m.Subject,
					HeaderID: m.HeaderID, Size: m.Size})
				if err != nil {
					return err
				}
				a.printWaiting(&w)
				return nil
			})
		},
	}
}

func (a *app) printWaiting(w *waiting) {
	line := func(name string, value any) {
		fmt.Fprintf(a.out, "%-14s %s\n", name+":", printable(text(value, timeFormat)))
	}
	line("Timestamp", w.Received)
	line("Sender", w.Sender)
	line("Recipient", w.Recipients)
	line("Subject", w.Subject)
	line("Message ID", w.HeaderID)
	line("Internal ID", w.ID)
	line("Rule", w.Fate.WaitRule)
	line("Original size", fmt.Sprintf("%.1f KB", float64(w.Size)/1024))
	line("Submission", w.Submission)
	line("Query time", w.QueryTime)
	line("Attempts", w.Attempts)
	line("Expiration", w.Deadline)
	for i := range w.Samples {
		x := &w.Samples[i]
		where := x.State
		if x.Server != "" {
			where += strings.TrimRight(" at "+x.Server+" as "+x.Remote, " as")
		}
		line("Attachment", fmt.Sprintf("%s, sha256 %s, rule %q, %s, asked %d times", x.Sample.Sample.Display, x.Sample.Sample.Key.SHA256,
			x.Sample.Sample.Rule, where, x.Attempts))
	}
}

func newCache(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "cache", Short: "Look at and clear the cache of the sandbox's verdicts"}
	var f format
	var page store.Page
	list := func(cmd *cobra.Command, sha256 string) error {
		return a.withStore(cmd.Context(), func(s store.Store) error {
			rows, next, err := s.Verdicts(cmd.Context(), s.Steady(), strings.ToLower(sha256), page)
			if err != nil {
				return err
			}
			if len(rows) == 0 && sha256 != "" {
				return fmt.Errorf("show %s: %w", sha256, store.ErrNotFound)
			}
			if next != "" {
				fmt.Fprintf(a.errOut, "there is more: go on with --after %s\n", next)
			}
			for i := range rows {
				onTheWall(s, &rows[i].Created, &rows[i].Expires)
			}
			return table(a, f, rows, verdictColumns())
		})
	}
	all := &cobra.Command{Use: "list", Short: "List the verdicts that count now, the latest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return list(cmd, "") }}
	all.Flags().IntVar(&page.Limit, "limit", 100, "most rows")
	all.Flags().StringVar(&page.After, "after", "", "cursor that the page before ended with")
	show := &cobra.Command{Use: "show SHA256", Short: "Show the verdict of one sample", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return list(cmd, args[0]) }}
	clear := &cobra.Command{
		Use: "clear [SHA256]", Short: "Forget the verdicts of one sample, or all; mail that waits already still gets them",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withStore(cmd.Context(), func(s store.Store) error {
				n, err := s.ClearVerdicts(cmd.Context(), s.Steady(), strings.ToLower(strings.Join(args, "")))
				if err != nil {
					return err
				}
				fmt.Fprintf(a.out, "%d verdicts are forgotten\n", n)
				return s.Commit(cmd.Context(), &store.Change{Audit: []store.Audit{{At: now(), By: operator(), Act: "clear cache", Object: strings.Join(args, "")}}})
			})
		},
	}
	f.flags(all)
	f.flags(show)
	cmd.AddCommand(all, show, clear)
	return cmd
}

func verdictColumns() []column[store.Submission] {
	return []column[store.Submission]{
		{name: "sha256", value: func(u *store.Submission) any { return u.Key.SHA256 }},
		{name: "sha1", value: func(u *store.Submission) any { return u.SHA1 }, detail: true},
		{name: "kind", value: func(u *store.Submission) any { return strings.TrimSpace(u.Key.Kind + " " + u.Key.Extension) }},
		{name: "level", value: func(u *store.Submission) any { return u.Verdict.Level.String() }},
		{name: "name", value: func(u *store.Submission) any { return u.Verdict.Name }},
		{name: "analyzer", value: func(u *store.Submission) any { return u.Analyzer }},
		{name: "server", value: func(u *store.Submission) any { return u.Server }},
		{name: "time", value: func(u *store.Submission) any { return u.Asked }},
		{name: "expires", value: func(u *store.Submission) any { return u.Expires }},
	}
}

func newAnalyzer(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "analyzer", Short: "Look after the sandbox's connector"}
	cmd.AddCommand(&cobra.Command{
		Use:   "restart",
		Short: "Clear the cache of verdicts and restart the connector on every gateway of the store",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withStore(cmd.Context(), func(s store.Store) error {
				n, err := analysis.Restart(cmd.Context(), s, now())
				if err != nil {
					return err
				}
				fmt.Fprintf(a.out, "%d verdicts are forgotten; running gateways restart the analyzer within seconds\n", n)
				return s.Commit(cmd.Context(), &store.Change{Audit: []store.Audit{{At: now(), By: operator(), Act: "restart analyzer"}}})
			})
		},
	})
	return cmd
}
