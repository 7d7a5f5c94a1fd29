// Command postern-snap is the scanner for social engineering: mail that would have its reader believe what is not so. It weighs reasons
// that can each be said in one sentence, and reports a mail whose sum reaches a threshold: the conservative one is a sure detection, the
// aggressive one a possible detection that a sandbox should look at. It asks nobody: no look-up, no network.
package main

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/postern-mail/postern/sdk/scanner"
	"github.com/postern-mail/postern/sdk/schema"
	"github.com/postern-mail/postern/sdk/serve"
)

// maxBody is how much of each body is looked at. What deceives a reader stands where he sees it; and it is what travels inside a call.
const maxBody = 256 << 10

func main() { serve.Main(plugin()) }

func plugin() serve.Plugin {
	s := &snap{}
	return serve.Plugin{
		Name: "snap", Version: "1.0.0", Summary: "Finds social engineering by weighed reasons: who writes, by which way, where the links lead, what is asked.",
		Config:    configSchema(),
		Configure: s.configure,
		Scanner:   s,
		Scan:      scanSchema(),
		Inputs: scanner.Inputs{
			Envelope: true, Header: true, Parts: true, Bodies: scanner.AllBodies, MaxBodyBytes: maxBody, URLs: true, Auth: true,
		},
	}
}

func configSchema() schema.Body {
	return schema.Body{
		Attributes: []schema.Attribute{
			{Name: "internal_domains", Summary: "all own domains, with what is below them: others that look like them are held against a mail", Type: schema.Strings},
			{Name: "protected_names", Summary: "names of people that only write from an internal domain", Type: schema.Strings},
		},
		Blocks: []schema.Block{{
			Name: "brand", Summary: "a name that others like to write under, beside those that are built in", Labels: []string{"name"},
			Repeated: true,
			Body: schema.Body{Attributes: []schema.Attribute{
				{Name: "domains", Summary: "the domains it does write from", Type: schema.Strings, Required: true},
			}},
		}},
	}
}

func scanSchema() schema.Body {
	return schema.Body{Attributes: []schema.Attribute{
		{Name: "mode", Type: schema.String, Default: modeAuto, OneOf: []string{modeAuto, modeConservative, modeAggressive},
			Summary: "auto: sure from the conservative threshold on, possible from the aggressive one; " +
				"conservative: only the first; aggressive: sure from the aggressive one on"},
		{Name: "approved_senders", Summary: "addresses of the header, with * as wildcard, that are not looked at", Type: schema.Strings},
		{Name: "conservative_score", Summary: "score of a sure detection, where not that of the weights", Type: schema.Number},
		{Name: "aggressive_score", Summary: "score of a possible detection, where not that of the weights", Type: schema.Number},
	}}
}

// snap is the scanner; configure sets once what it works with.
type snap struct{ current atomic.Pointer[state] }

// Scan reports at most one finding for each scan block.
func (s *snap) Scan(_ context.Context, m *scanner.Message) (*scanner.Report, error) {
	st := s.current.Load()
	if st == nil {
		return nil, fmt.Errorf("scan: not configured")
	}
	return st.scan(m)
}
