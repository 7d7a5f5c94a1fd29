// Command postern-filename is the scanner for names and extensions of attachments and of the members of archives.
package main

import (
	"context"
	"encoding/json"
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
		Name: "filename", Version: "1.0.0", Summary: "Matches the names and extensions of attachments, also inside archives.",
		Configure: n.configure, Scanner: n,
		Scan: schema.Body{Attributes: []schema.Attribute{
			{Name: "names", Summary: "names with * and ? as wildcards, matched over the whole name", Type: schema.Strings},
			{Name: "preset", Summary: "a list of extensions to begin with", Type: schema.String,
				OneOf: []string{"recommended", "exchanged"}},
			{Name: "not_names", Summary: "names that are not matched whatever the others say", Type: schema.Strings},
		}},
		Inputs: scanner.Inputs{Parts: true, NeedsAny: []scanner.Need{scanner.NeedAttachment}},
	}
}

// query is one scan block.
type query struct {
	number   int
	patterns []string
	except   []string
}

type names struct{ queries atomic.Pointer[[]query] }

func (n *names) configure(_ context.Context, c *serve.Configuration) (*serve.Configured, error) {
	var queries []query
	done := &serve.Configured{}
	for _, q := range c.Queries {
		var config struct {
			Names    []string `json:"names"`
			NotNames []string `json:"not_names"`
			Preset   string   `json:"preset"`
		}
		if err := json.Unmarshal(q.Config, &config); err != nil {
			return nil, fmt.Errorf("read scan block: %w", err)
		}
		patterns := append(preset(config.Preset), config.Names...)
		if len(patterns) == 0 {
			done.Problems = append(done.Problems, serve.Problem{
				Path: []string{"scan", fmt.Sprint(q.Number), "names"}, Summary: "No names to look for",
				Detail: `Give names = ["*.exe"] or preset = "recommended".`,
			})
		}
		queries = append(queries, query{number: q.Number, patterns: normalizeAll(patterns), except: normalizeAll(config.NotNames)})
	}
	n.queries.Store(&queries)
	return done, nil
}

// preset is a list of extensions (product behaviour: "recommended extensions to block", "commonly exchanged").
func preset(name string) []string {
	var extensions string
	switch name {
	case "recommended":
		extensions = "386 acm ade adp asp avb bas bat bin chm cla class cmd cnv com cpl cs* dll drv exe gms hlp hta htt inf ini ins " +
			"isp jar js jse lib lnk mde msc msi msp mst ocx ov* pcd pif ps1 reg scr sct shb shs sys tlb tsp url vb vbe vbs vxd wbt " +
			"wiz wsc wsf wsh iso img vhd vhdx one"
	case "exchanged":
		extensions = "doc docx docm xls xlsx xlsm ppt pptx pptm pdf rtf txt csv zip rar 7z gif jpg jpeg png bmp htm html"
	}
	var out []string
	for _, e := range strings.Fields(extensions) {
		out = append(out, "*."+e)
	}
	return out
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
		for _, q := range *n.queries.Load() {
			if !live[q.number] {
				continue
			}
			if name, pattern, found := q.match(part.Names); found {
				report.Findings = append(report.Findings, scanner.Finding{
					Query: q.number, Kind: "name", Certainty: scanner.Sure, Name: name, Part: part.ID,
					Evidence: fmt.Sprintf("name %q matches %q", name, pattern),
				})
			}
		}
	}
	return report, nil
}

func (q *query) match(names []string) (name, pattern string, found bool) {
	for _, name := range names {
		for _, shown := range forms(name) {
			if _, excepted := matchAny(q.except, shown); excepted {
				continue
			}
			if p, ok := matchAny(q.patterns, shown); ok {
				return name, p, true
			}
		}
	}
	return "", "", false
}

func matchAny(patterns []string, name string) (pattern string, found bool) {
	for _, p := range patterns {
		if wildcard(p, name) {
			return p, true
		}
	}
	return "", false
}
