// Command postern-filetype is the scanner for true file types: by content, never by name.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/postern-mail/postern/sdk/scanner"
	"github.com/postern-mail/postern/sdk/schema"
	"github.com/postern-mail/postern/sdk/serve"
)

// window is how much of a file is looked at: enough for the names in an Office file's directory.
const window = 1 << 20

// firstLook is enough for everything else: the mark of an ISO image is at 32 KiB.
const firstLook = 48 << 10

func main() { serve.Main(plugin()) }

func plugin() serve.Plugin {
	t := &types{detector: newDetector()}
	return serve.Plugin{
		Name: "filetype", Version: "1.0.0", Summary: "Matches the true type of attachments and of the members of archives.",
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

func (q *query) matches(kinds []kind) (kind, bool) {
	for _, k := range kinds {
		if slices.Contains(q.types, k.name) || slices.Contains(q.types, k.category) {
			return k, true
		}
	}
	if len(q.notTypes) == 0 || len(kinds) == 0 {
		return kind{}, false
	}
	for _, k := range kinds {
		if slices.Contains(q.notTypes, k.name) || slices.Contains(q.notTypes, k.category) {
			return kind{}, false
		}
	}
	return kinds[0], true
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
			Types    []string `json:"types"`
			NotTypes []string `json:"not_types"`
		}
		if err := json.Unmarshal(q.Config, &config); err != nil {
			return nil, fmt.Errorf("read scan block: %w", err)
		}
		at := []string{"scan", strconv.Itoa(q.Number)}
		if (len(config.Types) == 0) == (len(config.NotTypes) == 0) {
			done.Problems = append(done.Problems, serve.Problem{
				Path: append(at, "types"), Summary: "Either types or not_types is needed",
				Detail: `Give types = ["executable"], or not_types = ["document", "image"].`,
			})
		}
		for _, list := range []struct {
			name  string
			words []string
		}{{"types", config.Types}, {"not_types", config.NotTypes}} {
			for i, word := range list.words {
				list.words[i] = strings.ToLower(strings.TrimPrefix(word, "."))
				if !t.detector.known(list.words[i]) {
					done.Problems = append(done.Problems, serve.Problem{
						Path: append(at, list.name), Summary: fmt.Sprintf("%q is no category or type", word),
						Detail: "Categories are " + strings.Join(categories(), ", ") + "; types are named by their usual extension.",
					})
				}
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
		head, err := start(part)
		if err != nil {
			return nil, err
		}
		kinds := t.detector.detect(head)
		for _, q := range *t.queries.Load() {
			if !slices.Contains(m.Queries, q.number) {
				continue
			}
			if k, found := q.matches(kinds); found {
				report.Findings = append(report.Findings, scanner.Finding{
					Query: q.number, Kind: "type", Certainty: scanner.Sure, Name: k.name, Part: part.ID,
					Evidence: fmt.Sprintf("%s is %s (%s)", part.Display, k.category, k.media),
				})
			}
		}
	}
	return report, nil
}

// start is the front of a part's content: more of it where a directory within tells what it is.
func start(part *scanner.Part) ([]byte, error) {
	r, err := part.Body.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	head := make([]byte, min(part.Size, firstLook))
	n, err := io.ReadFull(r, head)
	if err != nil && n == 0 && part.Size > 0 {
		return nil, fmt.Errorf("read %s: %w", part.Path, err)
	}
	head = head[:n]
	if !bytes.HasPrefix(head, []byte("PK")) && !bytes.HasPrefix(head, []byte("\xd0\xcf\x11\xe0")) {
		return head, nil
	}
	rest := make([]byte, min(part.Size, window)-int64(n))
	more, err := io.ReadFull(r, rest)
	if err != nil && more == 0 && len(rest) > 0 {
		return nil, fmt.Errorf("read %s: %w", part.Path, err)
	}
	return append(head, rest[:more]...), nil
}
