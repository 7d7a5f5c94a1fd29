package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/policy"
)

const (
	idleTime = 30 * time.Second
	mostIdle = 16  // per host
	mostUses = 100 // of one session
	// avoidFor is how long a host that could not be spoken to is tried last.
	avoidFor = 30 * time.Second
)

// idleClient is a session that waits for its next mail.
type idleClient struct {
	*client
	timer *time.Timer
}

// poolKey ties a session to how it was secured.
func poolKey(relay *policy.Relay, host string) string {
	return relay.TLS + " " + relay.CAFile + " " + relay.ServerName + " " + host
}

// take returns an idle session of the host, or nil.
func (d *Delivery) take(key string) *client {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := d.idle[key]
	if len(list) == 0 {
		return nil
	}
	last := list[len(list)-1]
	d.idle[key] = list[:len(list)-1]
	last.timer.Stop()
	return last.client
}

// put keeps a session for the next mail.
func (d *Delivery) put(key string, c *client) {
	c.uses++
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.idle == nil {
		d.idle = map[string][]*idleClient{}
	}
	if c.uses >= mostUses || len(d.idle[key]) >= mostIdle {
		go c.quit() // bounded by its deadline of a second
		return
	}
	kept := &idleClient{client: c}
	kept.timer = time.AfterFunc(idleTime, func() { d.expire(key, kept) })
	d.idle[key] = append(d.idle[key], kept)
}

func (d *Delivery) expire(key string, kept *idleClient) {
	d.mu.Lock()
	at := slices.Index(d.idle[key], kept)
	if at >= 0 {
		d.idle[key] = slices.Delete(d.idle[key], at, at+1)
	}
	d.mu.Unlock()
	if at >= 0 {
		kept.quit()
	}
}

// Close ends the idle sessions.
func (d *Delivery) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, list := range d.idle {
		for _, kept := range list {
			kept.timer.Stop()
			kept.quit()
		}
	}
	d.idle = nil
}

// order is the relay's hosts as written, those that failed a moment ago last.
func (d *Delivery) order(relay *policy.Relay) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var good, bad []string
	for _, host := range relay.Hosts {
		if d.failed[host].After(d.Now()) {
			bad = append(bad, host)
		} else {
			good = append(good, host)
		}
	}
	return append(good, bad...)
}

func (d *Delivery) note(host string, failed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !failed {
		delete(d.failed, host)
		return
	}
	if d.failed == nil {
		d.failed = map[string]time.Time{}
	}
	d.failed[host] = d.Now().Add(avoidFor)
}

// errNoHost says that no host of the relay could be spoken to.
var errNoHost = errors.New("no host could be spoken to")

// relay tries the hosts in order until one has answered for the mail. The outcome is never nil; an error says that no host did, or
// that the one that had the end of data did not answer.
func (d *Delivery) relay(ctx context.Context, relay *policy.Relay, hostname string, m *mail) (*outcome, string, error) {
	failed := errNoHost
	for _, host := range d.order(relay) {
		o, err := d.tryHost(ctx, relay, host, hostname, m)
		if err == nil && !busy(o) || o.ended {
			d.note(host, false)
			return o, host, err
		}
		if err == nil {
			err = &refusal{"send to " + host, o.recipients[0]}
		}
		d.note(host, true)
		failed = errors.Join(failed, err)
		if ctx.Err() != nil {
			break
		}
	}
	return m.same(message.Reply{}), "", fmt.Errorf("relay to %s: %w", relay.Name, failed)
}

// busy reports whether the server shuts its door for now (421): another may take the mail.
func busy(o *outcome) bool {
	return !slices.ContainsFunc(o.recipients, func(r message.Reply) bool { return r.Code != 421 })
}

// tryHost makes the transaction with one host, by an idle session where there is one. One that had been closed meanwhile costs a second
// try on a fresh one.
func (d *Delivery) tryHost(ctx context.Context, relay *policy.Relay, host, hostname string, m *mail) (*outcome, error) {
	key := poolKey(relay, host)
	for {
		c := d.take(key)
		reused := c != nil
		if !reused {
			var err error
			if c, err = dial(ctx, host, hostname, relay); err != nil {
				return m.same(message.Reply{}), err
			}
		}
		o, begun, err := c.transact(ctx, m)
		if err == nil && !busy(o) {
			d.put(key, c)
			return o, nil
		}
		c.close()
		if err == nil || begun || !reused || ctx.Err() != nil {
			return o, err
		}
	}
}
