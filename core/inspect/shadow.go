package inspect

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/pluginpool"
)

// Shadow gives another version of a scanner copies of what the scanner is asked about, and compares the reports. Nothing comes of the
// other's report.
type Shadow struct {
	plugin string
	pool   *pluginpool.Pool

	mu     sync.Mutex
	left   int
	result Comparison
	calls  sync.WaitGroup
	done   chan struct{} // closed when enough messages were compared
}

// Comparison is what became of the messages that were looked at twice.
type Comparison struct {
	Messages int `json:"messages"`
	Same     int `json:"same"`
	Differ   int `json:"differ"`
	Failed   int `json:"failed"` // the other version did not answer, or not in time
	// Differences are the first few, one line each.
	Differences []string `json:"differences,omitempty"`
}

// NewShadow compares the reports on so many messages.
func NewShadow(plugin string, pool *pluginpool.Pool, messages int) *Shadow {
	return &Shadow{plugin: plugin, pool: pool, left: messages, done: make(chan struct{})}
}

// Done is closed when enough messages were compared.
func (s *Shadow) Done() <-chan struct{} { return s.done }

// End lets no more messages in, waits for those under way, and tells what was seen.
func (s *Shadow) End() Comparison {
	s.mu.Lock()
	s.left = 0
	s.mu.Unlock()
	s.calls.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.result
}

// take counts a message in; false where enough are.
func (s *Shadow) take() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left <= 0 {
		return false
	}
	s.left--
	s.calls.Add(1)
	return true
}

// shadowGrace is how much longer than the scanner itself the other version may take, beside as long again: mail waits for it.
const shadowGrace = 500 * time.Millisecond

// follow asks the other version, no longer than is bearable once the real report is there.
func (i *Inspector) follow(
	ctx context.Context, s *Shadow, scanner Scanner, queries []int, m *message.Message, tree *message.Tree, real <-chan *message.Report,
) {
	defer s.calls.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	scanner.Pool = s.pool
	started := time.Now()
	answered := make(chan *message.Report, 1)
	var asking sync.WaitGroup
	asking.Go(func() { answered <- i.ask(ctx, &scanner, queries, m, tree) })
	first := <-real
	patience := time.NewTimer(time.Since(started) + shadowGrace)
	defer patience.Stop()
	var other *message.Report
	select {
	case other = <-answered:
	case <-patience.C:
		cancel()
		other = <-answered
	}
	asking.Wait()
	s.compare(m.ID, first, other)
}

const keptDifferences = 20

func (s *Shadow) compare(id string, first, other *message.Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, after := findingLines(first), findingLines(other)
	s.result.Messages++
	switch {
	case len(other.Troubles) > len(first.Troubles):
		s.result.Failed++
		s.note(fmt.Sprintf("%s: the new version failed: %s", id, other.Troubles[0].Reason))
	case slices.Equal(before, after):
		s.result.Same++
	default:
		s.result.Differ++
		s.note(fmt.Sprintf("%s: now %s, new %s", id, before, after))
	}
	if s.left == 0 && s.result.Messages > 0 {
		select {
		case <-s.done:
		default:
			close(s.done)
		}
	}
}

func (s *Shadow) note(line string) {
	if len(s.result.Differences) < keptDifferences {
		s.result.Differences = append(s.result.Differences, line)
	}
}

// findingLines are a report's findings in an order that does not depend on the plugin.
func findingLines(r *message.Report) []string {
	out := []string{}
	for _, f := range r.Findings {
		out = append(out, fmt.Sprintf("%s %s %q in part %d (query %d)", f.Certainty, f.Kind, f.Name, f.Part, f.Query))
	}
	slices.Sort(out)
	return out
}
