package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/postern-mail/postern/core/message"
)

// exceptionNotice is the notification that exceptions use where the policy does not say otherwise. A policy may declare it itself.
const exceptionNotice = "Exception"

// exceptions reads the exception blocks and fills in what is left out.
func (l *loader) exceptions() {
	var names []string
	for _, e := range message.Exceptions() {
		names = append(names, string(e))
	}
	for _, b := range l.of("exception") {
		name := message.Exception(b.Labels[0])
		earlier, twice := l.policy.Exceptions[name]
		switch {
		case !slices.Contains(message.Exceptions(), name):
			l.fail(b.LabelRanges[0], "Unknown exception", fmt.Sprintf("The exceptions are %s.%s", strings.Join(names, ", "), suggest(string(name), names)))
		case twice:
			l.fail(b.DefRange, "Overlapping exceptions", fmt.Sprintf("What happens on %q is said already at %s:%d.",
				name, earlier.Range.Filename, earlier.Range.Start.Line))
		default:
			l.policy.Exceptions[name] = l.exception(name, b.Block)
		}
	}
	for _, name := range message.Exceptions() {
		if _, written := l.policy.Exceptions[name]; !written {
			l.policy.Exceptions[name] = l.defaultException(name)
		}
	}
}

func (l *loader) exception(name message.Exception, block *hcl.Block) ExceptionPolicy {
	s := shape{blocks: []hcl.BlockHeaderSchema{actionHeader}}
	switch name {
	case message.ExceptionSecuritySettings:
		s.optional = []string{"max_layers", "max_decompressed_size", "max_files", "max_ratio"}
	case message.ExceptionVirtualAnalyzer:
		s.blocks = append(s.blocks, hcl.BlockHeaderSchema{Type: "unsupported"})
	}
	r := l.read(block, s)
	p := withLimits(ExceptionPolicy{Exception: name, Actions: l.exceptionActions(r), Range: block.DefRange})
	if name == message.ExceptionSecuritySettings {
		p.MaxLayers = r.number("max_layers", p.MaxLayers, 1, 64)
		p.MaxDecompressedSize = r.size("max_decompressed_size", p.MaxDecompressedSize, mib)
		p.MaxFiles = r.number("max_files", p.MaxFiles, 1, 1000000)
		p.MaxRatio = r.number("max_ratio", p.MaxRatio, 1, 1000000)
	}
	if unsupported := r.single("unsupported"); unsupported != nil {
		p.Unsupported = l.exceptionActions(l.read(unsupported, shape{blocks: []hcl.BlockHeaderSchema{actionHeader}}))
	}
	return p
}

// exceptionActions reads the actions of an exception, which without any would let pass what nobody has judged.
func (l *loader) exceptionActions(r *reader) []message.Action {
	blocks := r.content.Blocks.OfType("action")
	if len(blocks) == 0 {
		l.fail(r.at, "Exception without action", `Say what happens; action "pass" lets the mail go on.`)
	}
	return l.actions(blocks, inException)
}

// withLimits sets the defaults of the limits (product: HES's values, where the appliance's are not known).
func withLimits(p ExceptionPolicy) ExceptionPolicy {
	if p.Exception == message.ExceptionSecuritySettings {
		p.MaxLayers, p.MaxDecompressedSize, p.MaxFiles, p.MaxRatio = 20, 60*mib, 353, 100
	}
	return p
}

// defaultException is quarantine and notify (guide page 10). A plugin that does not answer is no fault of the mail: it is deferred
// (ours).
func (l *loader) defaultException(name message.Exception) ExceptionPolicy {
	p := withLimits(ExceptionPolicy{Exception: name, Default: true})
	if name == message.ExceptionPluginUnavailable {
		p.Actions = []message.Action{{Name: "defer", Effect: message.EffectDefer, Label: "Deferred"}}
		return p
	}
	if _, declared := l.policy.Notifications[exceptionNotice]; !declared {
		l.policy.Notifications[exceptionNotice] = Notification{
			Name: exceptionNotice, To: []string{l.policy.Gateway.AdminAddress}, Subject: "Scanning exception: %DETECTED%",
			Body: "From %SENDER% to %RCPTS%, subject %SUBJECT%, %RULENAME%, action %TACTION%.\n",
		}
	}
	p.Actions = []message.Action{
		quarantineAction(),
		{Name: "notify", Effect: message.EffectNotify, Label: "Notification sent", Notification: exceptionNotice},
	}
	return p
}

// quarantineAction is the core's own quarantine, which needs no plugin to describe it.
func quarantineAction() message.Action {
	return message.Action{Name: "quarantine", Effect: message.EffectQuarantine, Label: "Quarantined", Area: defaultArea}
}
