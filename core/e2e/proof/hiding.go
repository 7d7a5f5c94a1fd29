package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/postern-mail/postern/core/message"

	"github.com/postern-mail/postern/core/e2e/harness"
)

func mimeHiding(ctx context.Context, e *env) (err error) {
	s, err := startSite(ctx, e, "hiding.hcl")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	contentShort, err := hiddenContent(ctx, e, s)
	if err != nil {
		return err
	}
	namesShort, err := hiddenNames(ctx, e, s)
	if err != nil {
		return err
	}
	if contentShort || namesShort {
		return errShort
	}
	return nil
}

// reader is what another program recovers from a mail of the set.
type reader struct {
	name  string
	opens map[string]bool // by file
}

// readReaders reads the table beside the corpus: id, validity, file, and a column of 0 and 1 for each reader.
func readReaders(path string) ([]reader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read what other readers open: %w", err)
	}
	defer f.Close()
	table := csv.NewReader(f)
	table.Comma, table.LazyQuotes = '\t', true
	rows, err := table.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read what other readers open: %w", err)
	}
	var readers []reader
	for column := 3; column < len(rows[0]); column++ {
		r := reader{name: rows[0][column], opens: map[string]bool{}}
		for _, row := range rows[1:] {
			r.opens[row[2]] = row[column] == "1"
		}
		readers = append(readers, r)
	}
	return readers, nil
}

// findings are the names of what the plugin found in each file, asked of `postern scan`, which judges without sending: also where the mail
// is malformed and no rule runs.
func findings(ctx context.Context, s *harness.Site, mails []*mail, plugin string) (map[string][]string, error) {
	arguments := []string{"scan", "--json", "--log-level", "warn"}
	for _, m := range mails {
		arguments = append(arguments, m.path)
	}
	type scanned struct {
		File  string        `json:"file"`
		Facts message.Facts `json:"facts"`
	}
	all, err := harness.JSONLines[scanned](s.Setup.Run(ctx, arguments...))
	if err != nil {
		return nil, err
	}
	out := map[string][]string{}
	for i := range all {
		report := all[i].Facts.Reports[plugin]
		for _, f := range report.Findings {
			out[all[i].File] = append(out[all[i].File], f.Name)
		}
	}
	return out, nil
}

func hiddenContent(ctx context.Context, e *env, s *harness.Site) (short bool, err error) {
	readers, err := readReaders(filepath.Join(e.corpora, "mime-content.tsv"))
	if err != nil {
		return false, err
	}
	mails, err := readCorpus(e.corpora, "mime-content")
	if err != nil {
		return false, err
	}
	if err := sendAll(ctx, s, mails); err != nil {
		return false, err
	}
	f, err := readFates(ctx, s)
	if err != nil {
		return false, err
	}
	viruses, err := findings(ctx, s, mails, "atse")
	if err != nil {
		return false, err
	}
	var found, deleted, malformed, refused, missed, dangerous int
	for _, m := range mails {
		if len(viruses[m.path]) > 0 {
			found++
		}
		rules := f.rules[m.recipient]
		switch {
		case slices.Contains(rules, "Virus"):
			deleted++
		case slices.Contains(rules, "malformed_message"):
			malformed++
		case len(f.arrived[m.recipient]) == 0:
			refused++
		default:
			missed++
			for _, r := range readers {
				if r.opens[filepath.Base(m.path)] {
					dangerous++
					e.printf("relayed as clean although %s opens it: %s", r.name, m.path)
					break
				}
			}
		}
	}
	percent := func(n int) float64 { return 100 * float64(n) / float64(len(mails)) }
	e.printf("mime-content, %d mails: EICAR found in %d (%.0f %%)", len(mails), found, percent(found))
	e.printf("    kept by the virus rule %d, as malformed before any rule %d, refused %d, missed %d, of these opened by a listed reader %d",
		deleted, malformed, refused, missed, dangerous)
	for _, r := range readers {
		n := 0
		for _, opens := range r.opens {
			if opens {
				n++
			}
		}
		e.printf("    %-18s finds it in %d (%.0f %%)", r.name, n, percent(n))
	}
	return dangerous > 0, nil
}

func hiddenNames(ctx context.Context, e *env, s *harness.Site) (short bool, err error) {
	mails, err := readCorpus(e.corpora, "mime-filename")
	if err != nil {
		return false, err
	}
	if err := sendAll(ctx, s, mails); err != nil {
		return false, err
	}
	f, err := readFates(ctx, s)
	if err != nil {
		return false, err
	}
	names, err := findings(ctx, s, mails, "filename")
	if err != nil {
		return false, err
	}
	var found, matched, malformed int
	for _, m := range mails {
		if len(names[m.path]) > 0 {
			found++
		} else {
			e.printf("name not found: %s", m.path)
		}
		switch rules := f.rules[m.recipient]; {
		case slices.Contains(rules, "Names"):
			matched++
		case slices.Contains(rules, "malformed_message"):
			malformed++
		default:
			e.printf("not matched: %s (%s; %s)", m.path, m.reply, strings.Join(rules, ", "))
		}
	}
	e.printf("mime-filename, %d mails: *.zip found in %d; kept by the name rule %d, as malformed before any rule %d", len(mails), found, matched, malformed)
	return found < len(mails) || matched+malformed < len(mails), nil
}
