// Package servers is for plugins that work with one of several servers behind them: the servers of a policy's blocks go in, the one to use
// comes out. A lower preference is used first and equals share; a server that failed is passed over until it answers again.
package servers

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// Server is one that can be chosen.
type Server struct {
	Name       string // unique
	Preference int    // lower is used first; equals share
	Enabled    bool
	// Check asks whether the server serves again after it failed.
	Check func(ctx context.Context) error
}

const (
	// A server that failed is left alone for firstRest, and twice as long each time that it fails again, up to longestRest.
	firstRest   = 15 * time.Second
	longestRest = 2 * time.Minute
	// checkFor bounds a Check: whoever chooses waits for it, and there may be others to choose.
	checkFor = 3 * time.Second
)

// Pool keeps in mind how the servers fare. Its methods are called concurrently.
type Pool struct {
	now func() time.Time

	mu    sync.Mutex
	tiers [][]*state // by preference
	turns []int      // of each tier
	named map[string]*state
}

type state struct {
	Server
	failures int
	rest     time.Time // left alone until then
	checking bool
}

// New makes a pool in which every server is taken for good until it fails.
func New(now func() time.Time, list []Server) *Pool {
	p := &Pool{now: now, named: map[string]*state{}}
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b Server) int { return cmp.Compare(a.Preference, b.Preference) })
	for i, server := range list {
		s := &state{Server: server}
		p.named[s.Name] = s
		if i == 0 || list[i-1].Preference != s.Preference {
			p.tiers = append(p.tiers, nil)
		}
		last := len(p.tiers) - 1
		p.tiers[last] = append(p.tiers[last], s)
	}
	p.turns = make([]int, len(p.tiers))
	return p
}

// Choose names the server that is to be used, none that is disabled or excluded; "" where none can be.
func (p *Pool) Choose(ctx context.Context, exclude []string) string {
	tried := slices.Clone(exclude)
	for ctx.Err() == nil {
		s, check := p.candidate(tried)
		if s == nil {
			return ""
		}
		if !check {
			return s.Name
		}
		checking, cancel := context.WithTimeout(ctx, checkFor)
		err := s.Check(checking)
		cancel()
		p.mu.Lock()
		s.checking = false
		p.mu.Unlock()
		if err == nil {
			p.Served(s.Name)
			return s.Name
		}
		if ctx.Err() == nil {
			p.Failed(s.Name, 0)
		}
		tried = append(tried, s.Name)
	}
	return ""
}

// candidate is the server whose turn it is; check where it failed before and has to be asked first. Only one caller asks it: the others
// pass it over meanwhile.
func (p *Pool) candidate(exclude []string) (s *state, check bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	for i, tier := range p.tiers {
		var usable []*state
		for _, s := range tier {
			if s.Enabled && !s.checking && !now.Before(s.rest) && !slices.Contains(exclude, s.Name) {
				usable = append(usable, s)
			}
		}
		if len(usable) == 0 {
			continue
		}
		s = usable[p.turns[i]%len(usable)]
		p.turns[i]++
		s.checking = s.failures > 0
		return s, s.checking
	}
	return nil, false
}

// Failed says that a server could not be used. It is left alone for the time it asked for itself, or for one that grows.
func (p *Pool) Failed(name string, asked time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, known := p.named[name]
	if !known {
		return
	}
	now, rest := p.now(), asked
	if !now.Before(s.rest) { // calls that fail side by side count once
		rest = max(rest, min(firstRest<<min(s.failures, 10), longestRest))
		s.failures++
	}
	if end := now.Add(rest); end.After(s.rest) {
		s.rest = end
	}
}

// Served says that a server answered as it should.
func (p *Pool) Served(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s, known := p.named[name]; known {
		s.failures, s.rest = 0, time.Time{}
	}
}
