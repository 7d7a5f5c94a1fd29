// Command postern-atse is the pattern engine: what is known to be malware by its content is a sure detection. It knows the EICAR test
// file, hash signatures in ClamAV's formats, and what a clamd says.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"

	"github.com/postern-mail/postern/sdk/scanner"
	"github.com/postern-mail/postern/sdk/schema"
	"github.com/postern-mail/postern/sdk/serve"
)

func main() { serve.Main(plugin()) }

func plugin() serve.Plugin {
	e := &engine{}
	return serve.Plugin{
		Name: "atse", Version: "1.0.0", Summary: "Finds malware by signatures, built in and from files, and by clamd.",
		Config: schema.Body{Attributes: []schema.Attribute{
			{Name: "clamd", Summary: "clamd's socket, unix:/path or tcp:host:port", Type: schema.Endpoint},
			{Name: "signatures", Summary: "folders or files with .hdb and .hsb signatures", Type: schema.Paths},
			{Name: "heuristics", Summary: "whether possible detections are made", Type: schema.Bool, Default: true},
		}},
		Configure: e.configure,
		Scanner:   e,
		Inputs:    scanner.Inputs{Parts: true, Bodies: scanner.AllBodies, NeedsAny: []scanner.Need{scanner.NeedBody}},
	}
}

// engine is everything the plugin looks with; configure sets it once.
type engine struct{ current atomic.Pointer[detectors] }

type detectors struct {
	signatures *signatures
	clamd      *clamd // nil: none
}

func (e *engine) configure(ctx context.Context, c *serve.Configuration) (*serve.Configured, error) {
	var config struct {
		Clamd      string   `json:"clamd"`
		Signatures []string `json:"signatures"`
	}
	if err := json.Unmarshal(c.Config, &config); err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	done := &serve.Configured{}
	d := &detectors{}
	var broken []string
	d.signatures, broken = loadSignatures(config.Signatures)
	for _, problem := range broken {
		// The others serve on: a signature file that does not load must not turn mail away.
		c.Log.Warn("signature file was not loaded", "error", problem)
		done.Problems = append(done.Problems, serve.Problem{
			Path: []string{"config", "signatures"}, Summary: "Signatures were not loaded", Detail: problem, Warning: true,
		})
	}
	done.Signatures = d.signatures.version()
	if config.Clamd != "" {
		var err error
		if d.clamd, err = newClamd(config.Clamd); err != nil {
			done.Problems = append(done.Problems, serve.Problem{
				Path: []string{"config", "clamd"}, Summary: "Not a socket", Detail: err.Error(),
			})
			return done, nil
		}
		if version, err := d.clamd.version(ctx); err != nil {
			done.Problems = append(done.Problems, serve.Problem{
				Path: []string{"config", "clamd"}, Summary: "clamd does not answer", Warning: true,
				Detail: fmt.Sprintf("%v. Until it does, messages meet the exception plugin_unavailable.", err),
			})
		} else {
			done.Signatures += " " + version
		}
	}
	e.current.Store(d)
	return done, nil
}

// Scan looks at every part that has a body.
func (e *engine) Scan(ctx context.Context, m *scanner.Message) (*scanner.Report, error) {
	d := e.current.Load()
	if d == nil {
		return nil, fmt.Errorf("scan: not configured")
	}
	report := &scanner.Report{}
	for i := range m.Parts {
		part := &m.Parts[i]
		if part.Body == nil || part.Size == 0 {
			continue
		}
		if err := d.scan(ctx, m.Queries, part, report); err != nil {
			return nil, fmt.Errorf("scan part %s: %w", part.Path, err)
		}
	}
	return report, nil
}

func (d *detectors) scan(ctx context.Context, queries []int, part *scanner.Part, report *scanner.Report) error {
	name, evidence, err := d.signatures.match(part)
	if err != nil {
		return err
	}
	if name != "" {
		report.ForQueries(queries, finding(part, name, evidence))
		return nil
	}
	if d.clamd == nil {
		return nil
	}
	name, err = d.clamd.scan(ctx, part.Body)
	if err != nil {
		report.Troubles = append(report.Troubles, troubleOf(part, err))
		return nil
	}
	if name != "" {
		report.ForQueries(queries, finding(part, name, "clamd knows it as "+name))
	}
	return nil
}

func finding(part *scanner.Part, name, evidence string) scanner.Finding {
	return scanner.Finding{Kind: "virus", Certainty: scanner.Sure, Name: name, Part: part.ID, Evidence: evidence}
}
