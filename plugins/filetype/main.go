// Command postern-filetype is the scanner for true file types: by content, never by name.
package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/postern-mail/postern/sdk/scanner"
	"github.com/postern-mail/postern/sdk/schema"
	"github.com/postern-mail/postern/sdk/serve"
)

// window is how much is sent of a body that is not given as a file, of which any place can be read.
const window = 1 << 20

func main() { serve.Main(plugin()) }

func plugin() serve.Plugin {
	t := &types{detector: newDetector()}
	return serve.Plugin{
		Name: "filetype", Version: "1.1.0", Summary: "Matches the true type of attachments and of the members of archives.",
		Configure: t.configure, Scanner: t,
		Scan: schema.Body{Attributes: []schema.Attribute{
			{Name: "types", Summary: "categories (executable, document, image, media, compressed, script) or types (exe, pdf, zip)",
				Type: schema.Strings},
			{Name: "not_types", Summary: "everything but these categories or types", Type: schema.Strings},
		}},
		Inputs: scanner.Inputs{
			Parts: true, Bodies: scanner.AttachmentBodies, MaxBodyBytes: window, NeedsAny: []scanner.Need{scanner.NeedAttachment},
		},
	}
}

type query struct {
	number   int
	types    []string
	notTypes []string
}

// matches are the types that the query asks for: each of a polyglot's. What is none of the types that it leaves out is found as what it
// is first of all.
func (q *query) matches(kinds []kind) []kind {
	in := func(words []string) (out []kind) {
		for _, k := range kinds {
			if slices.Contains(words, k.name) || slices.Contains(words, k.category) {
				out = append(out, k)
			}
		}
		return out
	}
	if len(q.types) > 0 {
		return in(q.types)
	}
	if len(in(q.notTypes)) > 0 || len(kinds) == 0 {
		return nil
	}
	return kinds[:1]
}

type types struct {
	detector *detector
	queries  atomic.Pointer[[]query]
}

func (t *types) configure(_ context.Context, c *serve.Configuration) (*serve.Configured, error) {
	var queries []query
	done := &serve.Configured{}
	for _, q := range c.Queries {
		var config struct {
			Types, NotTypes []string
		}
		if err := q.Decode(&config); err != nil {
			return nil, err
		}
		if (len(config.Types) == 0) == (len(config.NotTypes) == 0) {
			done.Problems = append(done.Problems, serve.Problem{
				Path: []string{"scan", strconv.Itoa(q.Number), "types"}, Summary: "Either types or not_types is needed",
				Detail: `Give types = ["executable"], or not_types = ["document", "image"].`,
			})
		}
		for _, list := range []struct {
			name  string
			words []string
		}{{"types", config.Types}, {"not_types", config.NotTypes}} {
			for i, word := range list.words {
				known := false
				if list.words[i], known = t.detector.word(word); known {
					continue
				}
				detail := "Categories are " + strings.Join(categories(), ", ") + "; types are named by their usual extension."
				if nearest := t.detector.nearest(word); nearest != "" {
					detail = fmt.Sprintf("Did you mean %q? %s", nearest, detail)
				}
				done.Problems = append(done.Problems, serve.Problem{
					Path: []string{"scan", strconv.Itoa(q.Number), list.name}, Summary: fmt.Sprintf("%q is no category or type", word), Detail: detail,
				})
			}
		}
		queries = append(queries, query{number: q.Number, types: config.Types, notTypes: config.NotTypes})
	}
	t.queries.Store(&queries)
	return done, nil
}

// Scan tells the type of every attachment and asks the live queries of it.
func (t *types) Scan(_ context.Context, m *scanner.Message) (*scanner.Report, error) {
	report := &scanner.Report{}
	for i := range m.Parts {
		part := &m.Parts[i]
		if !part.Attachment() || part.Body == nil {
			continue
		}
		kinds, err := t.kindsOf(part)
		if err != nil {
			return nil, err
		}
		for _, q := range *t.queries.Load() {
			if !slices.Contains(m.Queries, q.number) {
				continue
			}
			for _, k := range q.matches(kinds) {
				report.Findings = append(report.Findings, scanner.Finding{
					Query: q.number, Kind: "type", Certainty: scanner.Sure, Name: k.name, Part: part.ID,
					Evidence: fmt.Sprintf("%s is %s (%s)", part.Display, k.category, k.media),
				})
			}
		}
	}
	return report, nil
}

// kindsOf tells the types of a part, empty ones being of none.
func (t *types) kindsOf(part *scanner.Part) (kinds []kind, err error) {
	r, err := part.Body.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	s, err := sampleOf(part, r)
	if err != nil {
		return nil, err
	}
	kinds = t.detector.look(s)
	if s.err != nil {
		return nil, fmt.Errorf("read %s: %w", part.Path, s.err)
	}
	return kinds, nil
}
