// Package doctor looks a gateway over, running or not: a configuration folder goes in, findings come out that say what is wrong and what to do.
// It changes nothing, sends no mail, and leaves no process behind.
package doctor

import (
	"context"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/core/host"
	"github.com/postern-mail/postern/core/policy"
)

// Level says how a finding is.
type Level string

// The levels. A failure keeps the gateway from doing its work or some of it; a warning is something to know.
const (
	OK      Level = "ok"
	Warning Level = "warning"
	Failure Level = "failure"
)

// Finding is one thing looked at.
type Finding struct {
	Area  string `json:"area"` // configuration, plugins, state, store, listener NAME, relay NAME, host
	Level Level  `json:"level"`
	What  string `json:"what"`
	Do    string `json:"do,omitempty"`
}

// Options are what to look at, and with what.
type Options struct {
	Folder    string // of the configuration
	StateDir  string
	PluginDir string
	Stage     string // the program that plugins are sandboxed by
	Now       func() time.Time
	Log       hclog.Logger
}

// patience bounds each question to another machine.
const patience = 5 * time.Second

// Examine looks everything over, in the order in which it would be mended. Without a valid policy it ends early, since everything else
// hangs on it.
func Examine(ctx context.Context, o Options) []Finding {
	e := &examination{options: o}
	c, err := host.ReadConfiguration(o.Folder)
	if err != nil {
		e.fail("configuration", err.Error(), "name the folder with --config, and see that it can be read")
		return e.findings
	}
	e.configuration(c)
	if c.Policy == nil {
		return e.findings
	}
	e.policy = c.Policy
	e.host(ctx)
	running := e.listeners()
	e.state(running)
	e.store(ctx)
	e.plugins(ctx, c)
	e.relays(ctx)
	return e.findings
}

// examination gathers findings.
type examination struct {
	options  Options
	policy   *policy.Policy
	findings []Finding
}

func (e *examination) ok(area, what string) {
	e.findings = append(e.findings, Finding{Area: area, Level: OK, What: what})
}

func (e *examination) warn(area, what, do string) {
	e.findings = append(e.findings, Finding{Area: area, Level: Warning, What: what, Do: do})
}

func (e *examination) fail(area, what, do string) {
	e.findings = append(e.findings, Finding{Area: area, Level: Failure, What: what, Do: do})
}
