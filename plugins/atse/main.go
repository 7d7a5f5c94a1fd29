// Command postern-atse is the pattern engine: what is known to be malware by its content is a sure detection. It knows the EICAR test
// file, signatures in ClamAV's formats, YARA rules where built with libyara, and what a clamd says. What only looks like malware, by what it does and how it hides it, is a
// possible detection.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/postern-mail/postern/sdk/scanner"
	"github.com/postern-mail/postern/sdk/schema"
	"github.com/postern-mail/postern/sdk/serve"
)

func main() { serve.Main(plugin()) }

func plugin() serve.Plugin {
	e := &engine{}
	return serve.Plugin{
		Name: "atse", Version: "1.2.0", Summary: "Finds malware by signatures, built in and from files, by clamd, and by how it looks.",
		Config: schema.Body{Attributes: []schema.Attribute{
			{Name: "clamd", Summary: "clamd's socket, unix:/path or tcp:host:port", Type: schema.Endpoint},
			{Name: "signatures", Summary: "folders or files with .hdb, .hsb and .ndb signatures, and .yar rules where built with libyara", Type: schema.Paths},
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
	signatures *database
	clamd      *clamd   // nil: none
	readers    []reader // none: no possible detections are made
}

func (e *engine) configure(ctx context.Context, c *serve.Configuration) (*serve.Configured, error) {
	var config struct {
		Clamd      string   `json:"clamd"`
		Signatures []string `json:"signatures"`
		Heuristics *bool    `json:"heuristics"`
	}
	if err := json.Unmarshal(c.Config, &config); err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	done := &serve.Configured{}
	// What does not load is told, and the others serve on: a signature file must not turn mail away.
	warn := func(problem string) { c.Log.Warn("signatures were not loaded", "error", problem) }
	d := &detectors{signatures: newDatabase(config.Signatures, time.Now, warn)}
	if config.Heuristics == nil || *config.Heuristics {
		d.readers = readers()
	}
	for _, problem := range d.signatures.start() {
		warn(problem)
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
	d.signatures.refresh()
	report := &scanner.Report{}
	// What might be malware is looked for in this time; what is surely known, in all parts.
	suspecting, stop := context.WithTimeout(ctx, suspectPatience)
	defer stop()
	late := false
	for i := range m.Parts {
		part := &m.Parts[i]
		if part.Body == nil || part.Size == 0 {
			continue
		}
		known, err := d.scan(ctx, m.Queries, part, report)
		if err == nil && !known && !late {
			err = d.suspect(suspecting, m, part, report)
		}
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			late, err = true, nil
			report.Troubles = append(report.Troubles, scanner.Trouble{
				Kind: scanner.TroubleLimit, Reason: "suspect_time", Part: part.ID,
				Detail: fmt.Sprintf("from this part on, no look for possible malware: it took %v", suspectPatience),
			})
		}
		if err != nil {
			return nil, fmt.Errorf("scan part %s: %w", part.Path, err)
		}
	}
	return report, nil
}

// suspectPatience bounds the look for possible malware in one message. Each reader is bounded by the size of what it reads.
const suspectPatience = 20 * time.Second

// scan tells what is surely known of one part, and whether there is such.
func (d *detectors) scan(ctx context.Context, queries []int, part *scanner.Part, report *scanner.Report) (known bool, err error) {
	name, evidence, err := d.signatures.match(part)
	if errors.Is(err, errSlowRules) {
		report.Troubles = append(report.Troubles,
			scanner.Trouble{Kind: scanner.TroubleLimit, Reason: "yara_time", Detail: err.Error(), Part: part.ID})
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if name == "" && d.clamd != nil {
		if name, err = d.clamd.scan(ctx, part.Body); err != nil {
			report.Troubles = append(report.Troubles, troubleOf(part, err))
			return false, nil
		}
		evidence = "clamd knows it as " + name
	}
	if name == "" {
		return false, nil
	}
	report.ForQueries(queries, finding(part, scanner.Sure, name, evidence))
	return true, nil
}

// suspect tells what a part might be.
func (d *detectors) suspect(ctx context.Context, m *scanner.Message, part *scanner.Part, report *scanner.Report) error {
	hits, err := suspect(ctx, d.readers, m, part)
	for _, h := range hits {
		report.ForQueries(m.Queries, finding(part, scanner.Possible, h.name, h.evidence))
	}
	return err
}

func finding(part *scanner.Part, certainty scanner.Certainty, name, evidence string) scanner.Finding {
	return scanner.Finding{Kind: "virus", Certainty: certainty, Name: name, Part: part.ID, Evidence: evidence}
}
