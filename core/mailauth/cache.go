package mailauth

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// How long answers serve. Go's resolver does not tell a record's own time to live, so the times are short: long enough for the mails of
// one campaign, too short to hide that a key or policy was changed.
const (
	keepAnswer   = 5 * time.Minute
	keepNotFound = time.Minute
	maxAnswers   = 20_000
)

// Cache is a Resolver that remembers answers for a short time. What could not be answered is asked again. It is safe for concurrent use.
type Cache struct {
	resolver Resolver
	now      func() time.Time

	mu      sync.Mutex
	answers map[question]answer
}

type question struct{ kind, name string }

type answer struct {
	value any
	err   error // that there is no such name, or nil
	until time.Time
}

// NewCache remembers what the resolver answers.
func NewCache(resolver Resolver, now func() time.Time) *Cache {
	return &Cache{resolver: resolver, now: now, answers: map[question]answer{}}
}

// LookupTXT is that of Resolver.
func (c *Cache) LookupTXT(ctx context.Context, name string) ([]string, error) {
	return lookUp(c, question{"TXT", name}, func() ([]string, error) { return c.resolver.LookupTXT(ctx, name) })
}

// LookupMX is that of Resolver.
func (c *Cache) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	return lookUp(c, question{"MX", name}, func() ([]*net.MX, error) { return c.resolver.LookupMX(ctx, name) })
}

// LookupIPAddr is that of Resolver.
func (c *Cache) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	return lookUp(c, question{"IP", host}, func() ([]net.IPAddr, error) { return c.resolver.LookupIPAddr(ctx, host) })
}

// LookupAddr is that of Resolver.
func (c *Cache) LookupAddr(ctx context.Context, address string) ([]string, error) {
	return lookUp(c, question{"PTR", address}, func() ([]string, error) { return c.resolver.LookupAddr(ctx, address) })
}

func lookUp[T any](c *Cache, q question, ask func() (T, error)) (T, error) {
	if known, found := c.get(q); found {
		value, _ := known.value.(T)
		return value, known.err
	}
	value, err := ask()
	var failed *net.DNSError
	switch {
	case err == nil:
		c.put(q, answer{value: value, until: c.now().Add(keepAnswer)})
	case errors.As(err, &failed) && failed.IsNotFound && !failed.IsTemporary && !failed.IsTimeout:
		c.put(q, answer{value: value, err: err, until: c.now().Add(keepNotFound)})
	}
	return value, err
}

func (c *Cache) get(q question) (answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, found := c.answers[q]
	return a, found && c.now().Before(a.until)
}

// put keeps an answer. Where there is no room, first those that have run out go, and if none has, all.
func (c *Cache) put(q question, a answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.answers) >= maxAnswers {
		now := c.now()
		for old, known := range c.answers {
			if !now.Before(known.until) {
				delete(c.answers, old)
			}
		}
		if len(c.answers) >= maxAnswers {
			clear(c.answers)
		}
	}
	c.answers[q] = a
}
