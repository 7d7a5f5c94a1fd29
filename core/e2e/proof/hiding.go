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
)

func mimeHiding(ctx context.Context, e *env) (err error) {
	s, err := startSite(ctx, e, "hiding.hcl")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
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

func hiddenContent(ctx context.Context, e *env, s *site) (short bool, err error) {
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
	var found, malformed, refused, missed, dangerous int
	for _, m := range mails {
		rules := f.rules[m.recipient]
		switch {
		case slices.Contains(rules, "Virus"):
			found++
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
	e.printf("mime-content, %d mails: EICAR found in %d (%.0f %%), malformed %d, kept or refused otherwise %d, missed %d, of these opened by a listed reader %d",
		len(mails), found, percent(found), malformed, refused, missed, dangerous)
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

func hiddenNames(ctx context.Context, e *env, s *site) (short bool, err error) {
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
	matched := 0
	for _, m := range mails {
		if slices.Contains(f.rules[m.recipient], "Names") {
			matched++
			continue
		}
		e.printf("not matched: %s (%s; %s)", m.path, m.reply, strings.Join(f.rules[m.recipient], ", "))
	}
	e.printf("mime-filename, %d mails: *.zip matched in %d", len(mails), matched)
	return matched < len(mails), nil
}
