// Command postern-filename is the scanner for names and extensions of attachments and of the members of archives.
package main

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/postern-mail/postern/sdk/scanner"
	"github.com/postern-mail/postern/sdk/schema"
	"github.com/postern-mail/postern/sdk/serve"
)

func main() { serve.Main(plugin()) }

func plugin() serve.Plugin {
	n := &names{}
	return serve.Plugin{
		Name: "filename", Version: "1.1.0", Summary: "Matches the names and extensions of attachments, also inside archives.",
		Configure: n.configure, Scanner: n,
		Scan: schema.Body{Attributes: []schema.Attribute{
			{Name: "names", Summary: "names with * and ? as wildcards, matched over the whole name; a word without a dot (exe, doc*) is an extension",
				Type: schema.Strings},
			{Name: "preset", Summary: "a list of extensions to begin with", Type: schema.String,
				OneOf: []string{"recommended", "exchanged"}},
			{Name: "deceptive", Summary: "names that show another type than the file opens as", Type: schema.Bool},
			{Name: "not_names", Summary: "names that are not matched whatever the others say", Type: schema.Strings},
		}},
		Inputs: scanner.Inputs{Parts: true, NeedsAny: []scanner.Need{scanner.NeedAttachment}},
	}
}

// query is one scan block.
type query struct {
	number    int
	patterns  []pattern
	except    []pattern
	deceptive bool
}

type names struct{ queries atomic.Pointer[[]query] }

func (n *names) configure(_ context.Context, c *serve.Configuration) (*serve.Configured, error) {
	var queries []query
	done := &serve.Configured{}
	for _, q := range c.Queries {
		var config struct {
			Names, NotNames []string
			Preset          string
			// Deceptive asks for names by what they do, beside those by what they are.
			Deceptive bool
		}
		if err := q.Decode(&config); err != nil {
			return nil, err
		}
		patterns := parseAll(append(preset(config.Preset), config.Names...))
		for i, written := range config.Names {
			if strings.Contains(written, ";") {
				done.Problems = append(done.Problems, serve.Problem{
					Path: []string{"scan", fmt.Sprint(q.Number), "names"}, Summary: fmt.Sprintf("%q is one name", config.Names[i]),
					Detail: `Write each name by itself, as in names = ["*.js", "*.vbs"].`,
				})
			}
		}
		if len(patterns) == 0 && !config.Deceptive {
			done.Problems = append(done.Problems, serve.Problem{
				Path: []string{"scan", fmt.Sprint(q.Number), "names"}, Summary: "No names to look for",
				Detail: `Give names = ["*.exe"], preset = "recommended" or deceptive = true.`,
			})
		}
		queries = append(queries, query{
			number: q.Number, patterns: patterns, except: parseAll(config.NotNames), deceptive: config.Deceptive,
		})
	}
	n.queries.Store(&queries)
	return done, nil
}

// Scan matches every name that a mail client might show for a part, as it is and as a client would make of it.
func (n *names) Scan(_ context.Context, m *scanner.Message) (*scanner.Report, error) {
	report := &scanner.Report{}
	live := map[int]bool{}
	for _, q := range m.Queries {
		live[q] = true
	}
	for i := range m.Parts {
		part := &m.Parts[i]
		if !part.Attachment() {
			continue
		}
		shown := shownNames(part)
		for _, q := range *n.queries.Load() {
			if !live[q.number] {
				continue
			}
			if name, why, found := q.match(shown); found {
				report.Findings = append(report.Findings, scanner.Finding{
					Query: q.number, Kind: "name", Certainty: scanner.Sure, Name: name, Part: part.ID, Evidence: why,
				})
			}
		}
	}
	return report, nil
}

// shown is a name as it was written and as it may be opened.
type shown struct {
	written string
	forms   [][]rune
	path    []rune // the whole path of a member, where it has one
}

// shownNames are the names that a part may have: every one that the core read, or the empty one.
func shownNames(part *scanner.Part) []shown {
	names := part.Names
	if len(names) == 0 {
		names = []string{""}
	}
	out := make([]shown, 0, len(names))
	for _, name := range names {
		s := shown{written: name}
		for _, form := range forms(lastElement(name)) {
			s.forms = append(s.forms, []rune(form))
		}
		if path := strings.ReplaceAll(name, `\`, "/"); strings.Contains(path, "/") {
			s.path = []rune(fold(path))
		}
		out = append(out, s)
	}
	return out
}

// match tells the first name that is asked for, and why. A name that is excepted in one form is still looked at in the others, since any
// may be the one that is opened.
func (q *query) match(names []shown) (name, why string, found bool) {
	for i := range names {
		n := &names[i]
		for _, form := range n.forms {
			if _, excepted := matchAny(q.except, form, n.path); excepted {
				continue
			}
			if p, ok := matchAny(q.patterns, form, n.path); ok {
				return n.written, fmt.Sprintf("name %q matches %q", n.written, p), true
			}
		}
		if !q.deceptive {
			continue
		}
		if _, excepted := matchAny(q.except, n.forms[0], n.path); excepted {
			continue
		}
		if trick := deception(lastElement(n.written)); trick != "" {
			return n.written, fmt.Sprintf("name %q %s", n.written, trick), true
		}
	}
	return "", "", false
}

func matchAny(patterns []pattern, name, path []rune) (written string, found bool) {
	for i := range patterns {
		if patterns[i].matches(name, path) {
			return patterns[i].written, true
		}
	}
	return "", false
}
