package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/core/message"
)

// In how many of the labelled files the category has to be right, in percent.
const (
	typesRight   = 97.0
	scriptsRight = 95.0
)

// filesPerMail is how many files go as attachments of one mail.
const filesPerMail = 16

// typeCategories are the categories of plugin filetype in the order of the rules of types.hcl.
func typeCategories() []string {
	return []string{"executable", "document", "image", "media", "compressed", "script"}
}

// labelled is a file of which it is known what it is.
type labelled struct {
	path, label string
	category    string // as the plugin has it; "": none of its categories
	found       []string
}

// right is the one category that is wanted. An archive behind a picture or in a program is a second thing that the file is, and wanted too.
func (l *labelled) right() bool {
	others := slices.DeleteFunc(slices.Clone(l.found), func(c string) bool { return c == l.category || c == "compressed" })
	return len(others) == 0 && (l.category == "" && len(l.found) == 0 || slices.Contains(l.found, l.category))
}

// readLabels reads filetype.tsv; absent files are those that the folder does not hold.
func readLabels(corpora string) (files []*labelled, absent int, err error) {
	f, err := os.Open(filepath.Join(corpora, "filetype.tsv"))
	if err != nil {
		return nil, 0, fmt.Errorf("read labels: %w", err)
	}
	defer f.Close()
	table := csv.NewReader(f)
	table.Comma, table.LazyQuotes = '\t', true
	rows, err := table.ReadAll()
	if err != nil {
		return nil, 0, fmt.Errorf("read labels: %w", err)
	}
	for _, row := range rows[1:] {
		path := filepath.Join(corpora, fileOfLabel(row[0]))
		switch info, err := os.Stat(path); {
		case errors.Is(err, os.ErrNotExist):
			absent++
		case err != nil:
			return nil, 0, err
		case info.Size() > 0:
			files = append(files, &labelled{path: path, label: row[1], category: categoryOfLabel(row[1], row[2])})
		}
	}
	return files, absent, nil
}

// fileOfLabel is where the corpus keeps the file that its table names by where it came from.
func fileOfLabel(path string) string {
	if _, rest, found := strings.Cut(path, "/fixtures/"); found {
		return filepath.Join("types", rest)
	}
	return filepath.Join("containers", filepath.Base(path))
}

// categoryOfLabel says the table's category in the words of the plugin: mail, pages and help files are documents, vector graphics are images,
// a shortcut is as good as the program that it starts, and plain text is in no category.
func categoryOfLabel(label, category string) string {
	switch {
	case label == "chm":
		return "document"
	case category == "archive":
		return "compressed"
	case category == "exe", category == "shortcut":
		return "executable"
	case category == "html", category == "email":
		return "document"
	case category == "svg":
		return "image"
	case category == "text":
		return ""
	}
	return category
}

// types sends every labelled file as an attachment with a name that says nothing and reads which category's rule it matched.
func types(ctx context.Context, e *env) (err error) {
	files, absent, err := readLabels(e.corpora)
	if err != nil {
		return err
	}
	s, err := newSite(ctx, e, "types.hcl")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	mails := map[string][]byte{}
	for n := 0; n < len(files); n += filesPerMail {
		if mails[mailOfFiles(n)], err = attachAll(files, n, min(len(files), n+filesPerMail)); err != nil {
			return err
		}
	}
	facts, err := scanMails(ctx, e, &s.Setup, mails)
	if err != nil {
		return err
	}
	var took time.Duration
	parts := 0
	for n := 0; n < len(files); n += filesPerMail {
		of := facts[mailOfFiles(n)]
		looked, err := readTypes(&of, files)
		if err != nil {
			return fmt.Errorf("%s: %w", mailOfFiles(n), err)
		}
		took += of.Reports["filetype"].Took
		parts += looked
	}
	e.printf("%d labelled files, %d of the table are not there", len(files), absent)
	short := printTypes(e, files)
	e.printf("%.0f microseconds for each of %d parts, the plugin's call and the transfer of the bodies with it", float64(took.Microseconds())/float64(max(parts, 1)), parts)
	if short {
		return errShort
	}
	return nil
}

func mailOfFiles(first int) string { return fmt.Sprintf("files-%04d.eml", first) }

func nameOfFile(n int) string { return fmt.Sprintf("file-%d.dat", n) }

// attachAll is a mail with the files from one number to another.
func attachAll(files []*labelled, from, to int) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: alice@outside.example\r\nTo: bob@example.org\r\nSubject: Files\r\nMessage-ID: <files-%d@outside.example>\r\n"+
		"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"=-files\"\r\n\r\n", from)
	for n := from; n < to; n++ {
		content, err := os.ReadFile(files[n].path)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "--=-files\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n"+
			"Content-Disposition: attachment; filename=\"%s\"\r\n\r\n", nameOfFile(n))
		for line := range slices.Chunk([]byte(base64.StdEncoding.EncodeToString(content)), 76) {
			b.Write(line)
			b.WriteString("\r\n")
		}
	}
	b.WriteString("--=-files--\r\n")
	return b.Bytes(), nil
}

// readTypes notes what was found in the files of one mail and returns how many parts the plugin was shown.
func readTypes(f *message.Facts, files []*labelled) (looked int, err error) {
	report := f.Reports["filetype"]
	if len(report.Troubles) > 0 || len(report.Queries) != len(typeCategories()) {
		return 0, fmt.Errorf("plugin filetype answered %d queries with troubles %v", len(report.Queries), report.Troubles)
	}
	queries := slices.Sorted(slices.Values(report.Queries))
	byPart := map[int][]string{}
	for _, found := range report.Findings {
		category := typeCategories()[slices.Index(queries, found.Query)]
		if !slices.Contains(byPart[found.Part], category) {
			byPart[found.Part] = append(byPart[found.Part], category)
		}
	}
	for i := range f.Tree.Parts {
		part := &f.Tree.Parts[i]
		if part.Kind == message.PartAttachment || part.Kind == message.PartMember || part.Kind == message.PartMessage {
			looked++
		}
		for _, name := range part.Names {
			var n int
			if _, err := fmt.Sscanf(name, "file-%d.dat", &n); err == nil && n < len(files) && nameOfFile(n) == name {
				files[n].found = byPart[part.ID]
				break
			}
		}
	}
	return looked, nil
}

func printTypes(e *env, files []*labelled) (short bool) {
	e.printf("%-12s %6s %6s %7s", "category", "files", "right", "")
	var all, right int
	scripts := 100.0
	for _, category := range append(typeCategories(), "") {
		var of, ok int
		var misses []string
		for _, f := range files {
			if f.category != category {
				continue
			}
			of++
			if f.right() {
				ok++
			} else {
				misses = append(misses, fmt.Sprintf("%s is %s, found %s", filepath.Base(f.path), f.label, orNone(f.found)))
			}
		}
		if category == "script" {
			scripts = percentOf(ok, of)
		}
		all, right = all+of, right+ok
		e.printf("%-12s %6d %6d %6.1f%%", orNone(strings.Fields(category)), of, ok, percentOf(ok, of))
		for _, miss := range misses {
			e.printf("    %s", miss)
		}
	}
	e.printf("right in %d of %d, %.1f %% (at least %.0f); scripts %.1f %% (at least %.0f)", right, all, percentOf(right, all), typesRight, scripts, scriptsRight)
	return percentOf(right, all) < typesRight || scripts < scriptsRight
}

func orNone(words []string) string {
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}
