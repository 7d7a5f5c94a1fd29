package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/postern-mail/postern/core/gate"
	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/store"
)

// area is a place where mail is kept, a view of the copies' states.
type area struct {
	name, short string
	states      []store.CopyState
}

func areas() []area {
	return []area{
		{"quarantine", "Mail that a rule or an exception put into quarantine", []store.CopyState{store.CopyQuarantined}},
		{"archive", "Archived copies", []store.CopyState{store.CopyArchived}},
		{"postponed", "Mail that is delivered later", []store.CopyState{store.CopyPostponed}},
		{"deferred", "Mail that is on its way, tried again, or undeliverable",
			[]store.CopyState{store.CopyUndecided, store.CopyRetry, store.CopyDelivering, store.CopyUndeliverable}},
	}
}

// changeFunc does something to one copy, in the name of somebody.
type changeFunc func(ctx context.Context, s store.Store, at time.Time, copyID, by string) error

func newArea(a *app, area area) *cobra.Command {
	cmd := &cobra.Command{Use: area.name, Short: area.short}
	cmd.AddCommand(newAreaList(a, area), newAreaShow(a, area), newAreaChange(a, area, "release",
		"Give copies back to judgement: what kept them is waived, all other rules still judge", gate.Release),
		newAreaChange(a, area, "delete", "Delete copies without delivering them", gate.Delete))
	return cmd
}

func newAreaList(a *app, area area) *cobra.Command {
	var q query
	var f format
	var name string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List what is kept, newest first",
		Long:  "List what is kept, newest first." + patternHelp,
		Args:  cobra.ExactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := q.parse(now()); err != nil {
				return err
			}
			return a.withStore(cmd.Context(), func(s store.Store) error {
				rows, next, total, err := s.Copies(cmd.Context(), store.CopyQuery{States: area.states, Area: name, Text: q.text}, q.page)
				if err != nil {
					return err
				}
				for i := range rows {
					copyOnTheWall(s, &rows[i].Copy)
				}
				err = table(a, f, rows, []column[store.CopyRow]{
					{name: "copy", value: func(r *store.CopyRow) any { return r.ID }},
					{name: "state", value: func(r *store.CopyRow) any { return r.State }},
					{name: "area", value: func(r *store.CopyRow) any { return r.Area }},
					{name: "received", value: func(r *store.CopyRow) any { return r.Received }},
					{name: "due", value: func(r *store.CopyRow) any { return r.DueAt }},
					{name: "sender", value: func(r *store.CopyRow) any { return r.Sender }},
					{name: "recipients", value: func(r *store.CopyRow) any { return r.Recipients }},
					{name: "subject", value: func(r *store.CopyRow) any { return r.Subject }},
					{name: "rule", value: func(r *store.CopyRow) any { return ruleOf(&r.Fate) }},
					{name: "size", value: func(r *store.CopyRow) any { return r.Size }, detail: true},
					{name: "message id", value: func(r *store.CopyRow) any { return r.HeaderID }, detail: true},
				})
				a.more(len(rows), total, next)
				return err
			})
		},
	}
	q.flags(cmd)
	f.flags(cmd)
	cmd.Flags().StringVar(&name, "area", "", "only this area")
	return cmd
}

func ruleOf(f *message.Fate) string {
	if f.State == message.FateWaiting {
		return f.WaitRule
	}
	if n := len(f.Matches); n > 0 {
		return f.Matches[n-1].Rule
	}
	return ""
}

func newAreaShow(a *app, area area) *cobra.Command {
	var raw bool
	cmd := &cobra.Command{
		Use:   "show COPY",
		Short: "Show one copy and why it is kept",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withStore(cmd.Context(), func(s store.Store) error {
				c, record, err := kept(cmd, s, area, args[0])
				if err != nil {
					return err
				}
				if raw {
					return a.printBody(cmd, s, record.BodySHA256)
				}
				m := &record.Message
				fmt.Fprintf(a.out, "%s  %s\n  from <%s> to %s\n  subject %q, %d bytes, received %s\n  sha256 %s\n", c.ID, c.State,
					m.Envelope.From, strings.Join(c.Recipients, ", "), printable(m.Subject), m.Size, m.Received.Local().Format(timeFormat), m.SHA256)
				fmt.Fprintf(a.out, "  %s\n", disposition(&c.Fate))
				tree := &message.Tree{}
				if record.Facts != nil {
					tree = &record.Facts.Tree
				}
				for i := range c.Fate.Matches {
					for j := range c.Fate.Matches[i].Findings {
						fmt.Fprintf(a.out, "  %s\n", printable(findingText(&c.Fate.Matches[i].Findings[j], tree)))
					}
					for _, t := range c.Fate.Matches[i].Troubles {
						fmt.Fprintf(a.out, "  %s: %s %s\n", t.Exception, t.Reason, printable(t.Detail))
					}
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&raw, "raw", false, "print the message itself, as it came")
	return cmd
}

// kept loads a copy that is in the area.
func kept(cmd *cobra.Command, s store.Store, area area, id string) (*store.Copy, *store.Record, error) {
	c, err := s.Copy(cmd.Context(), id)
	if err != nil {
		return nil, nil, err
	}
	for _, state := range area.states {
		if c.State == state {
			record, err := s.Record(cmd.Context(), c.MessageID)
			return c, record, err
		}
	}
	return nil, nil, fmt.Errorf("%s is %s, not in %s: %w", id, c.State, area.name, store.ErrNotFound)
}

func (a *app) printBody(cmd *cobra.Command, s store.Store, sha256 string) error {
	r, err := s.OpenBody(cmd.Context(), sha256)
	if err != nil {
		return err
	}
	_, err = io.Copy(a.out, r)
	return errors.Join(err, r.Close())
}

// now is the time for commands that look back from it.
func now() time.Time { return time.Now() }

func newAreaChange(a *app, area area, name, short string, change changeFunc) *cobra.Command {
	return &cobra.Command{
		Use:   name + " COPY...",
		Short: short,
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withStore(cmd.Context(), func(s store.Store) error {
				var failed error
				for _, id := range args {
					done, err := a.change(cmd, s, area, id, change)
					if err != nil {
						failed = errors.Join(failed, err)
						continue
					}
					fmt.Fprintf(a.out, "%s: %s\n", id, map[bool]string{true: name + "d", false: "no longer in " + area.name}[done])
				}
				return failed
			})
		},
	}
}

// change acts on a copy that is in the area. One that was there and is no more is no failure: the command may be repeated.
func (a *app) change(cmd *cobra.Command, s store.Store, area area, id string, change changeFunc) (done bool, err error) {
	if _, _, err := kept(cmd, s, area, id); errors.Is(err, store.ErrNotFound) {
		if _, missing := s.Copy(cmd.Context(), id); missing == nil {
			return false, nil
		}
		return false, err
	} else if err != nil {
		return false, err
	}
	err = change(cmd.Context(), s, now(), id, operator())
	if errors.Is(err, store.ErrConflict) {
		return false, nil
	}
	return err == nil, err
}

// operator is who runs the command, for the audit.
func operator() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return fmt.Sprintf("uid %d", os.Getuid())
}
