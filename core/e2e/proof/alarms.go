package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/core/e2e/harness"
	"github.com/postern-mail/postern/core/message"
)

// falseAlarms shows that plugin atse sees nothing suspicious in honest mail. What it sees in mail that is not, and in files of all types, is
// told beside it and has no target: nobody labelled it.
func falseAlarms(ctx context.Context, e *env) (err error) {
	s, err := newSite(ctx, e, "alarms.hcl")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	alarms := 0
	for _, corpus := range []string{"ham", "mail-misc"} {
		n, err := suspicious(ctx, e, s, corpus)
		if err != nil {
			return err
		}
		alarms += n
	}
	for _, corpus := range []string{"spam", "phishing"} {
		if _, err := suspicious(ctx, e, s, corpus); err != nil {
			return err
		}
	}
	for _, folder := range []string{"types", "containers"} {
		if err := suspiciousFiles(ctx, e, &s.Setup, folder); err != nil {
			return err
		}
	}
	e.printf("possible detections in honest mail: %d (at most 0)", alarms)
	if alarms > 0 {
		return errShort
	}
	return nil
}

// suspicious counts the possible detections in the mails of a folder, and tells them and how long the plugin took.
func suspicious(ctx context.Context, e *env, s *harness.Site, corpus string) (alarms int, err error) {
	mails, err := readCorpus(e.corpora, corpus)
	if err != nil {
		return 0, err
	}
	arguments := []string{"scan", "--json", "--log-level", "warn"}
	for _, m := range mails {
		arguments = append(arguments, m.path)
	}
	all, err := harness.JSONLines[scanned](s.Setup.Run(ctx, arguments...))
	if err != nil {
		return 0, err
	}
	if len(all) != len(mails) {
		return 0, fmt.Errorf("%d of %d mails were judged", len(all), len(mails))
	}
	var calls, slowest time.Duration
	found := 0
	for i := range all {
		report := all[i].Facts.Reports["atse"]
		calls, slowest = calls+report.Took, max(slowest, report.Took)
		said, err := possible(&all[i].Facts)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", all[i].File, err)
		}
		if len(said) > 0 {
			found++
		}
		for _, line := range said {
			e.printf("    %s: %s", filepath.Base(all[i].File), line)
		}
		alarms += len(said)
	}
	e.printf("%s, %d mails: possible detections in %d; %.2f ms for the plugin's answer on average, the slowest %.1f ms", corpus, len(mails), found,
		milliseconds(calls)/float64(len(mails)), milliseconds(slowest))
	return alarms, nil
}

// possible is what the plugin says of each possible detection. A plugin that did not look at the mail saw nothing, which is an error here.
func possible(facts *message.Facts) (said []string, err error) {
	report, looked := facts.Reports["atse"]
	if !looked {
		return nil, nil // no part has a body
	}
	if len(report.Troubles) > 0 {
		return nil, fmt.Errorf("plugin atse did not look: %v", report.Troubles)
	}
	for _, f := range report.Findings {
		if f.Certainty != message.Possible {
			continue
		}
		where := ""
		if f.Part >= 0 && f.Part < len(facts.Tree.Parts) {
			where = facts.Tree.Parts[f.Part].Display
		}
		said = append(said, fmt.Sprintf("%s in %s: %s", f.Name, where, f.Evidence))
	}
	return said, nil
}

// suspiciousFiles attaches every file below a folder to a mail of its own, and tells what the plugin sees.
func suspiciousFiles(ctx context.Context, e *env, setup *harness.Setup, folder string) error {
	mails := map[string][]byte{}
	root := filepath.Join(e.corpora, folder)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		mails[strings.ReplaceAll(name, string(filepath.Separator), "_")] = harness.Document("A file", entry.Name(), content)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read corpus %s: %w", folder, err)
	}
	facts, err := scanMails(ctx, e, setup, mails)
	if err != nil {
		return err
	}
	var lines []string
	found := 0
	for name, f := range facts {
		said, err := possible(&f)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if len(said) > 0 {
			found++
		}
		for _, line := range said {
			lines = append(lines, fmt.Sprintf("    %s: %s", name, line))
		}
	}
	slices.Sort(lines)
	for _, line := range lines {
		e.printf("%s", line)
	}
	e.printf("%s, %d files: possible detections in %d", folder, len(mails), found)
	return nil
}
