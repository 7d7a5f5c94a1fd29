package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/postern-mail/postern/core/host"
	"github.com/postern-mail/postern/core/objects"
	"github.com/postern-mail/postern/core/store"
)

func newObjects(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "objects",
		Short: "Look after the lists of suspicious files, URLs, domains and addresses",
		Long: `Look after the lists of suspicious files, URLs, domains and addresses. Each source of the policy has a list; what is added
here is in the list "local". A change counts at once on every gateway of the store.`,
	}
	cmd.AddCommand(newObjectsStatus(a), newObjectsList(a), newObjectsAdd(a), newObjectsRemove(a), newObjectsImport(a), newObjectsExport(a),
		newObjectsTest(a), newObjectsSync(a), newObjectsAccept(a))
	return cmd
}

func newObjectsStatus(a *app) *cobra.Command {
	var f format
	cmd := &cobra.Command{
		Use: "status", Short: "Show each list: its objects, its last synchronization, and what went wrong since", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withStore(cmd.Context(), func(s store.Store) error {
				lists, err := s.ObjectLists(cmd.Context())
				if err != nil {
					return err
				}
				return table(a, f, lists, []column[store.ObjectList]{
					{name: "list", value: func(l *store.ObjectList) any { return l.Name }},
					{name: "objects", value: func(l *store.ObjectList) any { return l.Objects }},
					{name: "last synchronization", value: func(l *store.ObjectList) any {
						if l.Synced.IsZero() {
							return "N/A"
						}
						return l.Synced
					}},
					{name: "last attempt", value: func(l *store.ObjectList) any { return l.Tried }},
					{name: "skipped", value: func(l *store.ObjectList) any { return l.Skipped }},
					{name: "error", value: func(l *store.ObjectList) any { return l.Error }},
				})
			})
		},
	}
	f.flags(cmd)
	return cmd
}

func newObjectsList(a *app) *cobra.Command {
	var f format
	var q store.ObjectQuery
	var page store.Page
	cmd := &cobra.Command{
		Use: "list", Short: "List objects", Args: cobra.NoArgs,
		Long: "List objects. --value is a pattern: * is a wildcard, ; separates alternatives.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withStore(cmd.Context(), func(s store.Store) error {
				rows, next, err := s.ListObjects(cmd.Context(), q, page)
				if err != nil {
					return err
				}
				if next != "" {
					fmt.Fprintf(a.errOut, "there is more: go on with --after %s\n", next)
				}
				return table(a, f, rows, objectColumns())
			})
		},
	}
	f.flags(cmd)
	cmd.Flags().StringVar(&q.List, "list", "", "of one list")
	cmd.Flags().StringVar(&q.Type, "type", "", "of one type: "+strings.Join(objects.Types(), ", "))
	cmd.Flags().StringVar(&q.Value, "value", "", "whose values fit the pattern")
	cmd.Flags().IntVar(&page.Limit, "limit", 100, "most rows")
	cmd.Flags().StringVar(&page.After, "after", "", "cursor that the page before ended with")
	return cmd
}

func objectColumns() []column[store.Object] {
	return []column[store.Object]{
		{name: "list", value: func(o *store.Object) any { return o.List }},
		{name: "type", value: func(o *store.Object) any { return o.Type }},
		{name: "value", value: func(o *store.Object) any { return o.Value }},
		{name: "action", value: func(o *store.Object) any {
			if o.Exception {
				return "exception"
			}
			return o.Action.String()
		}},
		{name: "expires", value: func(o *store.Object) any { return o.Expires }},
		{name: "note", value: func(o *store.Object) any { return o.Note }},
		{name: "added", value: func(o *store.Object) any { return o.Added }},
		{name: "by", value: func(o *store.Object) any { return o.By }, detail: true},
	}
}

func newObjectsAdd(a *app) *cobra.Command {
	var o store.Object
	var action, expires string
	cmd := &cobra.Command{
		Use:   "add VALUE...",
		Short: "Add objects to the list local, or replace them there",
		Long: `Add objects to the list local, or replace them there. The type is told by the value: a SHA-1 or SHA-256, a URL (with * at its end the
beginning of URLs), a domain with all below it, an address or network. With --exception the values never match, whatever list they are in.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			at := now()
			if err := o.Action.UnmarshalText([]byte(action)); err != nil {
				return usageError{err}
			}
			if expires != "" {
				var err error
				if o.Expires, err = objects.ParseExpiry(expires, at); err != nil {
					return usageError{fmt.Errorf("--expires: %w", err)}
				}
			}
			var put []store.Object
			for _, value := range args {
				one := o
				one.Value = value
				if err := objects.Complete(&one); err != nil {
					return usageError{err}
				}
				put = append(put, one)
			}
			return a.withStore(cmd.Context(), func(s store.Store) error { return a.putObjects(cmd.Context(), s, put, nil, at) })
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Type, "type", "", "type of the values: "+strings.Join(objects.Types(), ", "))
	flags.StringVar(&action, "action", "block", "scan action: none, log, block, quarantine")
	flags.StringVar(&expires, "expires", "", "until when: 2026-12-31, 30d, 12h; by default for ever")
	flags.StringVar(&o.Note, "note", "", "why")
	flags.BoolVar(&o.Exception, "exception", false, "the values are harmless: they never match")
	return cmd
}

// changeAtOnce bounds one transaction.
const changeAtOnce = 1000

// putObjects changes the list local.
func (a *app) putObjects(ctx context.Context, s store.Store, put []store.Object, end [][]byte, at time.Time) error {
	added, removed := len(put), len(end)
	for len(put)+len(end) > 0 {
		n, m := min(len(put), changeAtOnce), min(len(end), changeAtOnce)
		change := &store.ObjectChange{List: objects.Local, Put: put[:n], End: end[:m], At: at}
		for i := range change.Put {
			o := &change.Put[i]
			o.Added, o.By = at, operator()
			act := "add object"
			if o.Exception {
				act = "add exception"
			}
			change.Audit = append(change.Audit, store.Audit{At: at, By: operator(), Act: act, Object: o.Value, Detail: o.Type + " " + o.Action.String() + " " + o.Note})
		}
		for _, key := range change.End {
			change.Audit = append(change.Audit, store.Audit{At: at, By: operator(), Act: "remove object", Object: fmt.Sprintf("%x", key)})
		}
		if _, err := s.ChangeObjects(ctx, change); err != nil {
			return err
		}
		put, end = put[n:], end[m:]
	}
	fmt.Fprintf(a.out, "%d added, %d removed\n", added, removed)
	return nil
}

func newObjectsRemove(a *app) *cobra.Command {
	var kind string
	cmd := &cobra.Command{
		Use:   "remove VALUE...",
		Short: "Remove objects from the list local, or from what the sandbox's verdicts have listed",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withStore(cmd.Context(), func(s store.Store) error {
				for _, value := range args {
					if err := a.removeObject(cmd.Context(), s, kind, value); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&kind, "type", "", "type of the values")
	return cmd
}

func (a *app) removeObject(ctx context.Context, s store.Store, kind, value string) error {
	o := store.Object{Type: kind, Value: value}
	if err := objects.Complete(&o); err != nil {
		return usageError{err}
	}
	found, err := s.FindObjects(ctx, [][]byte{o.Key})
	if err != nil {
		return err
	}
	removed := 0
	for i := range found {
		if !objects.Own(found[i].List) {
			continue
		}
		_, err := s.ChangeObjects(ctx, &store.ObjectChange{List: found[i].List, End: [][]byte{o.Key}, At: now(), Audit: []store.Audit{
			{At: now(), By: operator(), Act: "remove object", Object: o.Value, Detail: found[i].List},
		}})
		if err != nil {
			return err
		}
		removed++
		fmt.Fprintf(a.out, "%s is removed from %s\n", o.Value, found[i].List)
	}
	switch {
	case removed > 0:
		return nil
	case len(found) > 0:
		return fmt.Errorf("remove %s: it is in the list %s, which its source keeps; `postern objects add --exception` lets it pass", o.Value, found[0].List)
	}
	return fmt.Errorf("remove %s: %w", o.Value, store.ErrNotFound)
}

func newObjectsImport(a *app) *cobra.Command {
	var replace bool
	var action string
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Add the objects of a file to the list local; with --replace they become that list",
		Long: `Add the objects of a file to the list local. The file is CSV under a line that names its columns (value, and of type, action, expires,
note, exception those that there are), or JSON, one object in a line, as export writes both. A file with an error is not imported at all.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var fallback store.ObjectAction
			if err := fallback.UnmarshalText([]byte(action)); err != nil {
				return usageError{err}
			}
			content, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			put, err := objects.Read(content, fallback, now())
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return a.withStore(cmd.Context(), func(s store.Store) error {
				var end [][]byte
				if replace {
					stays := map[string]bool{}
					for i := range put {
						stays[string(put[i].Key)] = true
					}
					err := s.EachObject(cmd.Context(), objects.Local, func(o *store.Object) error {
						if !stays[string(o.Key)] {
							end = append(end, o.Key)
						}
						return nil
					})
					if err != nil {
						return err
					}
				}
				return a.putObjects(cmd.Context(), s, put, end, now())
			})
		},
	}
	cmd.Flags().BoolVar(&replace, "replace", false, "remove what is not in the file")
	cmd.Flags().StringVar(&action, "action", "block", "scan action of objects that have none")
	return cmd
}

func newObjectsExport(a *app) *cobra.Command {
	var asJSON bool
	var list string
	cmd := &cobra.Command{
		Use: "export", Short: "Print objects as a file that import and the plugin ctd read", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withStore(cmd.Context(), func(s store.Store) error {
				names := []string{list}
				if list == "" {
					lists, err := s.ObjectLists(cmd.Context())
					if err != nil {
						return err
					}
					names = nil
					for i := range lists {
						names = append(names, lists[i].Name)
					}
				}
				w, encoder := csv.NewWriter(a.out), json.NewEncoder(a.out)
				if !asJSON {
					if err := w.Write(objects.Columns()); err != nil {
						return err
					}
				}
				for _, name := range names {
					err := s.EachObject(cmd.Context(), name, func(o *store.Object) error {
						if asJSON {
							return encoder.Encode(o)
						}
						cells := objects.Write(o)
						for i := range cells {
							cells[i] = harmless(cells[i])
						}
						return w.Write(cells)
					})
					if err != nil {
						return err
					}
				}
				w.Flush()
				return w.Error()
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, one object per line")
	cmd.Flags().StringVar(&list, "list", "", "of one list")
	return cmd
}

func newObjectsTest(a *app) *cobra.Command {
	var kind string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "test VALUE", Short: "Say whether a digest, URL, domain or address would match, by which objects, and what the rule would do", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if kind == "" {
				if kind = objects.Guess(args[0]); kind == "" {
					return usageError{fmt.Errorf("%q looks like no digest, URL, domain or address: say its --type", args[0])}
				}
			}
			value, keys, err := objects.Keys(kind, args[0])
			if err != nil {
				return usageError{err}
			}
			return a.withStore(cmd.Context(), func(s store.Store) error {
				found, err := s.FindObjects(cmd.Context(), keys)
				if err != nil {
					return err
				}
				explained := objects.Explain(kind, value, found, now())
				if asJSON {
					return json.NewEncoder(a.out).Encode(explained)
				}
				fmt.Fprintln(a.out, explained.String())
				if len(explained.Matches) == 0 {
					return nil
				}
				return table(a, format{}, explained.Matches, objectColumns())
			})
		},
	}
	cmd.Flags().StringVar(&kind, "type", "", "type of the value; by default told by it")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newObjectsSync(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "sync", Short: "Have a running gateway synchronise all lists now", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withStore(cmd.Context(), func(s store.Store) error {
				before, err := s.Setting(cmd.Context(), host.SettingObjectSync)
				if err != nil {
					return err
				}
				if err := s.SetSetting(cmd.Context(), host.SettingObjectSync, before, ""); err != nil && !errors.Is(err, store.ErrConflict) {
					return err // a conflict is a gateway that has just begun
				}
				fmt.Fprintln(a.out, "a running gateway synchronises within seconds; `postern objects status` shows how it went")
				return nil
			})
		},
	}
}

func newObjectsAccept(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "accept LIST",
		Short: "Believe the next synchronisation of a list although it is suddenly empty, or ten times as long",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withStore(cmd.Context(), func(s store.Store) error {
				return s.AcceptObjects(cmd.Context(), args[0], store.Audit{At: now(), By: operator(), Act: "accept list", Object: args[0]})
			})
		},
	}
}
