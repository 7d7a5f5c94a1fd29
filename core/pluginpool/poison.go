package pluginpool

import (
	"errors"
	"sync"
)

// ErrPoison says that the plugin crashed twice while it looked at this content, which it is not given again.
var ErrPoison = errors.New("the plugin crashed twice on this content")

const (
	poisonAt  = 2    // crashes
	poisonous = 1024 // contents that are remembered, the latest
)

// poison remembers what was being looked at when a plugin crashed. What was there by chance in one crash is not refused; who crashes a
// plugin on purpose is from the second time on.
type poison struct {
	mu      sync.Mutex
	crashes map[string]int
	order   []string
}

// refuses reports whether the content was there in two crashes.
func (p *poison) refuses(key func() string) bool {
	p.mu.Lock()
	none := len(p.crashes) == 0
	p.mu.Unlock()
	if none {
		return false
	}
	name := key()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.crashes[name] >= poisonAt
}

func (p *poison) blame(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.crashes == nil {
		p.crashes = map[string]int{}
	}
	if p.crashes[name]++; p.crashes[name] > 1 {
		return
	}
	if p.order = append(p.order, name); len(p.order) > poisonous {
		delete(p.crashes, p.order[0])
		p.order = p.order[1:]
	}
}

// size is how many contents are refused.
func (p *poison) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, crashes := range p.crashes {
		if crashes >= poisonAt {
			n++
		}
	}
	return n
}
