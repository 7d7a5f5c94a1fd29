package pluginpool

import (
	"slices"
	"time"
)

// State is where an instance is in its life. docs/states.md has the picture.
type State string

// The states.
const (
	Starting  State = "starting"
	Ready     State = "ready"
	Degraded  State = "degraded"  // it says that it works less well; it is used where no other instance is ready
	Backoff   State = "backoff"   // it failed and waits before it is started again
	Suspended State = "suspended" // it failed too often: a last resort is tried now and then
	Draining  State = "draining"  // no new calls
	Stopped   State = "stopped"
)

// Event is what happens to an instance.
type Event string

// The events.
const (
	Started      Event = "started" // handshake, description, configuration and self-check are done
	StartFailed  Event = "start failed"
	Ended        Event = "ended"  // the process is gone
	Wedged       Event = "wedged" // beats are missed, or calls run out of time one after the other
	SaysReady    Event = "says ready"
	SaysDegraded Event = "says degraded"
	Due          Event = "due"     // the wait is over
	Reset        Event = "reset"   // the operator, or a reload, gives it a new chance
	Restart      Event = "restart" // the operator wants a new process
	Retired      Event = "retired" // its generation has ended
	Drained      Event = "drained" // the calls under way are done, or their time is
)

// Effect is what the owner of an instance has to do, in the order given.
type Effect string

// The effects.
const (
	Launch Effect = "start"
	Kill   Effect = "kill"
	Wait   Effect = "wait" // for Condition.Wait, then Due
	Alert  Effect = "alert"
	Drain  Effect = "drain" // ask the process to finish, then Drained
)

// Rules are the times and counts that the machine goes by.
type Rules struct {
	// MinBackoff doubles with every failure in a row up to MaxBackoff.
	MinBackoff, MaxBackoff time.Duration
	// Stable is how long an instance is ready until earlier failures are forgotten.
	Stable time.Duration
	// More than Failures within Window suspend it, for Suspension.
	Failures           int
	Window, Suspension time.Duration
}

// DefaultRules are those of a gateway.
func DefaultRules() Rules {
	return Rules{
		MinBackoff: 250 * time.Millisecond, MaxBackoff: 30 * time.Second, Stable: time.Minute,
		Failures: 5, Window: 5 * time.Minute, Suspension: 5 * time.Minute,
	}
}

// Condition is a state with what the machine remembers of the way to it.
type Condition struct {
	State State
	// Since is when the state began.
	Since time.Time
	// Streak counts the failures in a row, Recent holds the times of those in the window.
	Streak int
	Recent []time.Time
	// Probe says that a suspended instance is tried.
	Probe bool
	// Wait is how long to wait, where an effect says so.
	Wait time.Duration
}

// Next is the machine. It is pure: the same condition, event and time give the same.
func (r Rules) Next(c Condition, e Event, now time.Time) (Condition, []Effect) {
	switch c.State {
	case Starting:
		switch e {
		case Started:
			return c.to(Ready, now), nil
		case StartFailed, Ended, Wedged:
			return r.failed(c, now)
		case Retired:
			return c.to(Stopped, now), []Effect{Kill}
		}
	case Ready, Degraded:
		switch e {
		case Ended, Wedged:
			return r.failed(c, now)
		case SaysReady:
			if c.State == Degraded {
				return c.to(Ready, now), nil
			}
		case SaysDegraded:
			if c.State == Ready {
				return c.to(Degraded, now), nil
			}
		case Restart:
			return c.to(Starting, now), []Effect{Kill, Launch}
		case Retired:
			return c.to(Draining, now), []Effect{Drain}
		}
	case Backoff, Suspended:
		switch e {
		case Due:
			next := c.to(Starting, now)
			next.Probe = c.State == Suspended
			return next, []Effect{Launch}
		case Reset, Restart:
			return Condition{State: Starting, Since: now}, []Effect{Launch}
		case Retired:
			return c.to(Stopped, now), nil
		}
	case Draining:
		switch e {
		case Drained, Ended, Wedged:
			return c.to(Stopped, now), []Effect{Kill}
		}
	}
	return c, nil // what comes too late, or means nothing here
}

func (c Condition) to(s State, now time.Time) Condition {
	c.State, c.Since, c.Wait = s, now, 0
	if s != Starting && s != Degraded && s != Ready {
		c.Probe = false
	}
	return c
}

// failed counts the failure and decides how long to leave the instance alone.
func (r Rules) failed(c Condition, now time.Time) (Condition, []Effect) {
	var effects []Effect
	if c.State != Starting {
		effects = append(effects, Kill)
	}
	stable := (c.State == Ready || c.State == Degraded) && now.Sub(c.Since) >= r.Stable
	probe := c.Probe && !stable
	if stable {
		c.Streak, c.Recent = 0, nil
	}
	recent := slices.DeleteFunc(slices.Clone(c.Recent), func(at time.Time) bool { return now.Sub(at) > r.Window })
	c.Recent = append(recent, now)
	c.Streak++
	if probe || len(c.Recent) > r.Failures {
		next := c.to(Suspended, now)
		next.Wait = r.Suspension
		return next, append(effects, Alert, Wait)
	}
	next := c.to(Backoff, now)
	next.Wait = r.MaxBackoff
	if shift := c.Streak - 1; shift < 16 {
		next.Wait = min(r.MinBackoff<<shift, r.MaxBackoff)
	}
	return next, append(effects, Wait)
}
