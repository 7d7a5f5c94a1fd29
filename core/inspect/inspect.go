// Package inspect makes all plugin calls for a message: the spooled bytes and the live queries go in, Facts come out. A plugin is
// called at most once per message; the calls run side by side; whatever keeps a plugin from answering becomes a typed trouble.
package inspect

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/core/content"
	"github.com/postern-mail/postern/core/exposure"
	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/observe"
	"github.com/postern-mail/postern/core/pluginpool"
	"github.com/postern-mail/postern/core/spool"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// Scanner is one plugin with the role scanner, as a generation runs it.
type Scanner struct {
	Name    string
	Digest  string
	Version string
	Inputs  *pluginv1.Inputs
	Pool    *pluginpool.Pool
}

// Matcher finds suspicious objects in a tree; it is the core's own and does no I/O.
type Matcher interface {
	Match(tree *message.Tree) message.Report
}

// Inspector looks at messages with the plugins of one generation.
type Inspector struct {
	Scanners []Scanner
	// Unpacker is nil where no plugin takes containers apart.
	Unpacker *Unpacker
	// Objects matches suspicious objects under the name of their source; nil where the policy has none.
	Objects    Matcher
	ObjectsTag string
	Limits     content.Limits
	Revision   string
	// CallName makes the random name of a call.
	CallName func() string
	Log      hclog.Logger
	// Telemetry may be nil.
	Telemetry *observe.Telemetry
	// Shadow is another version of a scanner that is tried beside it; nil: none.
	Shadow atomic.Pointer[Shadow]
}

// Live are the queries to ask, by plugin.
type Live map[string][]int

// Inspect takes the message apart and asks the live queries. The tree's bodies live as long as the scope. An error means that
// nothing could be found out (the spool failed, ctx ended); everything less is in the facts.
func (i *Inspector) Inspect(
	ctx context.Context, m *message.Message, raw message.Body, scope *spool.Scope, live Live,
) (*message.Facts, error) {
	var expander content.Expander
	if i.Unpacker != nil {
		expander = i.Unpacker.of(m.ID)
	}
	tree, err := content.Read(ctx, raw, scope, i.Limits, expander)
	if err != nil {
		return nil, fmt.Errorf("take message apart: %w", err)
	}
	facts := &message.Facts{Tree: *tree, Reports: map[string]message.Report{}, Revision: i.Revision}
	if err := i.Ask(ctx, m, facts, live); err != nil {
		return nil, err
	}
	return facts, nil
}

// Ask adds the reports of the live queries to facts whose tree has its bodies. It replaces the reports of the plugins it asks.
func (i *Inspector) Ask(ctx context.Context, m *message.Message, facts *message.Facts, live Live) error {
	i.MatchObjects(facts)
	reports := make([]*message.Report, len(i.Scanners))
	var calls sync.WaitGroup
	for n := range i.Scanners {
		scanner := &i.Scanners[n]
		queries := live[scanner.Name]
		if len(queries) == 0 {
			continue
		}
		real := make(chan *message.Report, 1)
		calls.Go(func() {
			started := time.Now()
			calling, end := i.Telemetry.Call(ctx, scanner.Name)
			report := i.ask(calling, scanner, queries, m, &facts.Tree)
			report.Took = time.Since(started)
			end(outcomeOf(report))
			reports[n] = report
			real <- report
		})
		if shadow := i.Shadow.Load(); shadow != nil && shadow.plugin == scanner.Name && exposure.Needed(scanner.Inputs, &facts.Tree) && shadow.take() {
			calls.Go(func() { i.follow(ctx, shadow, *scanner, queries, m, &facts.Tree, real) })
		}
	}
	calls.Wait()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("ask plugins: %w", err)
	}
	for _, report := range reports {
		if report != nil {
			facts.Reports[report.Plugin] = *report
		}
	}
	return nil
}

// outcomeOf is the word for a call in the figures: a failed one is the only trouble of a report, and about no part.
func outcomeOf(r *message.Report) string {
	switch {
	case r.Skipped:
		return "skipped"
	case len(r.Troubles) == 1 && r.Troubles[0].Exception == message.ExceptionPluginUnavailable && r.Troubles[0].Part < 0:
		return r.Troubles[0].Reason
	}
	return "ok"
}

// MatchObjects looks for suspicious objects by the lists as they are now. It asks no plugin and needs no bodies.
func (i *Inspector) MatchObjects(facts *message.Facts) {
	if i != nil && i.Objects != nil && facts.Reports != nil {
		facts.Reports[i.ObjectsTag] = i.Objects.Match(&facts.Tree)
	}
}
