package policy

import (
	"fmt"

	"github.com/postern-mail/postern/core/message"
)

// Internal reports whether the address is of one of our own domains. The null sender is not.
func (p *Policy) Internal(address string) bool {
	domain := asciiDomain(message.Domain(address))
	for _, pattern := range p.Gateway.InternalDomains {
		if pattern.match(domain) {
			return true
		}
	}
	return false
}

// RelayFor is the first relay, in the order written, that takes mail for the recipient.
func (p *Policy) RelayFor(recipient string) (*Relay, bool) {
	domain := asciiDomain(message.Domain(recipient))
	for i := range p.Relays {
		for _, pattern := range p.Relays[i].Domains {
			if pattern.match(domain) {
				return &p.Relays[i], true
			}
		}
	}
	return nil, false
}

// AnalyzerName is the plugin that samples are given to, "" where there is none.
func (p *Policy) AnalyzerName() string {
	if p.VirtualAnalyzer == nil {
		return ""
	}
	return p.VirtualAnalyzer.Analyzer
}

// Submits reports whether samples are given to a sandbox at all.
func (p *Policy) Submits() bool { return p.AnalyzerName() != "" && p.VirtualAnalyzer.Submit }

// AppliesTo reports whether the rule is for mail from the sender to the recipient; why says what speaks against it, for the trace.
// Whether the rule is enabled is not asked.
func (r *Rule) AppliesTo(p *Policy, sender, recipient string) (applies bool, why string) {
	switch {
	case r.Route == RouteIncoming && !p.Internal(recipient):
		return false, "the rule is for incoming mail, and the recipient is not internal"
	case r.Route == RouteOutgoing && !p.Internal(sender):
		return false, "the rule is for outgoing mail, and the sender is not internal"
	case r.Route == RouteBoth && !p.Internal(sender) && !p.Internal(recipient):
		return false, "neither sender nor recipient is internal"
	case !matchAny(r.From, sender):
		return false, "the sender is not in `from`"
	case !matchAny(r.To, recipient):
		return false, "the recipient is not in `to`"
	}
	for _, pair := range r.Except {
		if pair.From.Match(sender) && pair.To.Match(recipient) {
			return false, fmt.Sprintf("excepted from %s to %s", pair.From, pair.To)
		}
	}
	return true, ""
}

// matchAny takes an empty list for anyone.
func matchAny(patterns []AddressPattern, address string) bool {
	for _, pattern := range patterns {
		if pattern.Match(address) {
			return true
		}
	}
	return len(patterns) == 0
}

// covers reports whether the rule is for all mail that the other is for.
func (r *Rule) covers(other *Rule) bool {
	direction := r.Route == RouteAll || r.Route == other.Route ||
		r.Route == RouteBoth && (other.Route == RouteIncoming || other.Route == RouteOutgoing)
	if !direction || !coverAll(r.From, other.From) || !coverAll(r.To, other.To) {
		return false
	}
	for _, pair := range r.Except {
		if !coveredBy(pair, other.Except) {
			return false
		}
	}
	return true
}

// neverApplies says why no mail can take the rule's route, or "".
func (r *Rule) neverApplies(p *Policy) string {
	from, to := p.anyInternal(r.From), p.anyInternal(r.To)
	switch {
	case r.Route == RouteIncoming && !to:
		return "the rule is for incoming mail, but no address of `to` is in internal_domains"
	case r.Route == RouteOutgoing && !from:
		return "the rule is for outgoing mail, but no address of `from` is in internal_domains"
	case r.Route == RouteBoth && !from && !to:
		return "no address of `from` or `to` is in internal_domains"
	}
	for _, from := range orAnyone(r.From) {
		for _, to := range orAnyone(r.To) {
			if !coveredBy(Pair{From: from, To: to}, r.Except) {
				return ""
			}
		}
	}
	return "everything it is for is taken out by `except`"
}

// anyInternal reports whether the patterns are for some internal address.
func (p *Policy) anyInternal(patterns []AddressPattern) bool {
	for _, pattern := range orAnyone(patterns) {
		if pattern == anyone {
			return true
		}
		_, domain := pattern.parts()
		for _, internal := range p.Gateway.InternalDomains {
			if domain.overlaps(internal) {
				return true
			}
		}
	}
	return false
}

func coveredBy(pair Pair, pairs []Pair) bool {
	for _, p := range pairs {
		if p.covers(pair) {
			return true
		}
	}
	return false
}
