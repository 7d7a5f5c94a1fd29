package doctor

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/postern-mail/postern/core/delivery"
	"github.com/postern-mail/postern/core/host"
	"github.com/postern-mail/postern/core/policy"
	"github.com/postern-mail/postern/core/store"
)

// How old things may be before they are told.
const (
	undecidedLate = 5 * time.Minute
	dueLate       = time.Hour
)

// store opens the store and looks at what waits in it.
func (e *examination) store(ctx context.Context) {
	const area = "store"
	if p := e.policy.Store.Path; p != "" {
		if _, err := os.Stat(p); err != nil {
			e.warn(area, err.Error(), "the gateway makes it at its first start")
			return
		}
	}
	s, err := host.OpenStore(ctx, e.policy, "", e.options.Now, e.options.Log)
	if err != nil {
		e.fail(area, err.Error(), "see that the database runs, and that its user and password are right")
		return
	}
	defer func() {
		if err := s.Close(); err != nil {
			e.warn(area, err.Error(), "")
		}
	}()
	usage, err := s.Usage(ctx)
	if err != nil {
		e.fail(area, err.Error(), "see the database's own log")
		return
	}
	e.waiting(&usage)
}

// waiting tells of mail that should have gone on.
func (e *examination) waiting(usage *store.Usage) {
	const area = "store"
	now := e.options.Now()
	var held []string
	for _, state := range store.KeptStates() {
		if n := usage.Copies[state]; n > 0 {
			held = append(held, fmt.Sprintf("%d %s", n, state))
		}
	}
	e.ok(area, "kept: "+strings.Join(append(held, fmt.Sprintf("%d deliveries due", usage.Due)), ", "))
	if at, some := usage.Oldest[store.CopyUndecided]; some && now.Sub(at) > undecidedLate {
		e.fail(area, fmt.Sprintf("mail has not been judged since %s", at.Local().Format(time.DateTime)),
			"see that a gateway runs, and in its log why it does not judge")
	}
	if usage.Due > 0 && now.Sub(usage.OldestDue) > dueLate {
		e.fail(area, fmt.Sprintf("a delivery has been due since %s", usage.OldestDue.Local().Format(time.DateTime)),
			"see `postern queue list` and the relays below")
	}
	if n := usage.Copies[store.CopyUndeliverable]; n > 0 {
		e.warn(area, fmt.Sprintf("%d copies could be neither delivered nor returned", n), "see `postern undeliverable list`: release or delete them")
	}
}

// plugins starts every plugin as the gateway would, and ends it again.
func (e *examination) plugins(ctx context.Context, c *host.Configuration) {
	known := len(c.Diags)
	p, err := host.NewPreviewer(ctx, c, e.options.PluginDir, e.options.Stage, e.options.Now, e.options.Log)
	for _, d := range c.Diags[known:] {
		what := d.Summary + ": " + d.Detail
		if d.Severity == hcl.DiagError {
			e.fail("plugins", what, "the gateway does not start, or does not take a new policy, before that is mended")
		} else {
			e.warn("plugins", what, "mail that needs it meets an exception")
		}
	}
	if err != nil {
		if len(c.Diags) == known {
			e.fail("plugins", err.Error(), "")
		}
		return
	}
	e.ok("plugins", fmt.Sprintf("all %d start and take their configuration", len(c.Policy.Plugins)))
	if err := p.Close(); err != nil {
		e.warn("plugins", err.Error(), "")
	}
}

// relays greets every next hop.
func (e *examination) relays(ctx context.Context) {
	for i := range e.policy.Relays {
		r := &e.policy.Relays[i]
		area := "relay " + r.Name
		reached := 0
		for _, hop := range r.Hosts {
			said, err := e.hop(ctx, r, hop)
			if err != nil {
				e.warn(area, err.Error(), "see that it runs and takes connections from here")
				continue
			}
			reached++
			e.ok(area, hop+": "+said)
		}
		if reached == 0 {
			e.fail(area, "no host of it can be spoken to", "mail for "+patterns(r.Domains)+" waits until one can")
		}
	}
}

func patterns(list []policy.DomainPattern) string {
	var out []string
	for _, p := range list {
		out = append(out, string(p))
	}
	return strings.Join(out, ", ")
}

// hop greets one host as a delivery would.
func (e *examination) hop(ctx context.Context, r *policy.Relay, address string) (said string, err error) {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	offers, secured, err := delivery.Greet(limited, r, address, e.policy.Gateway.Hostname)
	if err != nil {
		return "", err
	}
	said = "answers"
	if secured {
		said += ", inside TLS"
	}
	return said + ", offers " + strings.Join(offers, " "), nil
}
