package policy

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/plugincatalog"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// defaultArea is where mail is quarantined or archived when no area is named.
const defaultArea = "default"

var actionHeader = hcl.BlockHeaderSchema{Type: "action", LabelNames: []string{"name"}}

// actionPlace says where actions stand: `defer` is for exceptions only.
type actionPlace bool

const (
	inRule      actionPlace = false
	inException actionPlace = true
)

var effects = map[pluginv1.Effect]message.Effect{
	pluginv1.Effect_EFFECT_PASS: message.EffectPass, pluginv1.Effect_EFFECT_DELETE: message.EffectDelete,
	pluginv1.Effect_EFFECT_QUARANTINE: message.EffectQuarantine, pluginv1.Effect_EFFECT_REJECT: message.EffectReject,
	pluginv1.Effect_EFFECT_CHANGE_RECIPIENT: message.EffectChangeRecipient, pluginv1.Effect_EFFECT_HAND_OFF: message.EffectHandOff,
	pluginv1.Effect_EFFECT_DELIVER_NOW: message.EffectDeliverNow, pluginv1.Effect_EFFECT_POSTPONE: message.EffectPostpone,
	pluginv1.Effect_EFFECT_DEFER: message.EffectDefer, pluginv1.Effect_EFFECT_NOTIFY: message.EffectNotify,
	pluginv1.Effect_EFFECT_ARCHIVE: message.EffectArchive, pluginv1.Effect_EFFECT_BCC: message.EffectBCC,
	pluginv1.Effect_EFFECT_EDIT: message.EffectEdit,
}

// offer is an action that a plugin of the policy describes.
type offer struct {
	plugin      string
	description *pluginv1.ActionDescription
}

// offers are all actions of the policy's plugins, in the order of the plugins.
func (l *loader) offers() []offer {
	var out []offer
	for _, p := range l.policy.Plugins {
		d := l.plugins[p.Name]
		if !d.pinned || !d.entry.HasRole(pluginv1.Role_ROLE_ACTION) {
			continue
		}
		for _, a := range d.entry.Description.GetActions() {
			out = append(out, offer{plugin: p.Name, description: a})
		}
	}
	return out
}

// offer finds the action of the name. Where it is nil a diagnostic has said why.
func (l *loader) offer(name string, at hcl.Range) *offer {
	var found *offer
	var names []string
	for _, o := range l.offers() {
		names = append(names, o.description.GetName())
		if o.description.GetName() != name {
			continue
		}
		if found != nil {
			l.fail(at, "Ambiguous action", fmt.Sprintf("Plugins %q and %q both have an action %q; declare only one of them.",
				found.plugin, o.plugin, name))
			return nil
		}
		found = &o
	}
	if found == nil && !l.anyUnpinned() { // an unpinned plugin may be the one that has it
		detail := fmt.Sprintf("No plugin of this policy has an action %q.%s", name, suggest(name, names))
		if len(names) == 0 {
			detail = `No plugin of this policy has actions. Declare one that does, such as plugin "actions".`
		}
		l.fail(at, "Unknown action", detail)
	}
	return found
}

func (l *loader) anyUnpinned() bool {
	for _, d := range l.plugins {
		if !d.pinned {
			return true
		}
	}
	return false
}

func (l *loader) actions(blocks hcl.Blocks, place actionPlace) []message.Action {
	var out []message.Action
	for _, block := range blocks {
		o := l.offer(block.Labels[0], block.LabelRanges[0])
		if o == nil {
			continue
		}
		body, ok := block.Body.(*hclsyntax.Body)
		if !ok {
			continue
		}
		decoded, diags := plugincatalog.Decode(body, o.description.GetConfig(), l.context)
		l.diags = append(l.diags, diags...)
		if decoded == nil {
			continue
		}
		action := message.Action{Name: block.Labels[0], Plugin: o.plugin, Effect: effects[o.description.GetEffect()], Label: o.description.GetLabel()}
		if action.Label == "" {
			action.Label = action.Name
		}
		if action.Effect == message.EffectDefer && place == inRule {
			l.fail(block.DefRange, "Misplaced action", fmt.Sprintf("Action %q is for exceptions only.", action.Name))
		}
		action.Config, _ = l.json(decoded, block.DefRange)
		l.parameters(&action, decoded, block)
		out = append(out, action)
	}
	return out
}

// parameters fills what the core itself needs of an action, whatever plugin describes it.
func (l *loader) parameters(action *message.Action, decoded *plugincatalog.Block, block *hcl.Block) {
	place := func(name string) hcl.Range {
		if at, written := decoded.Ranges[name]; written {
			return at
		}
		return block.DefRange
	}
	wrong := func(name, detail string) {
		l.fail(place(name), "Unsuitable value", fmt.Sprintf("Attribute %q of action %q: %s.", name, action.Name, detail))
	}
	switch action.Effect {
	case message.EffectQuarantine, message.EffectArchive:
		action.Area = decoded.Text("area")
		if action.Area == "" {
			action.Area = defaultArea
		}
	case message.EffectReject:
		action.Text = decoded.Text("text")
		if strings.ContainsFunc(action.Text, func(r rune) bool { return r < ' ' || r > '~' }) {
			wrong("text", "it must be one line of ASCII") // RFC 5321 section 4.2: textstring
		}
	case message.EffectChangeRecipient, message.EffectBCC:
		action.To = decoded.Texts("to")
		if len(action.To) == 0 || slices.ContainsFunc(action.To, func(a string) bool { return !validAddress(a) }) {
			wrong("to", `it must be a list of mail addresses such as "admin@example.org"`)
		}
	case message.EffectHandOff:
		port := fmt.Sprint(decoded.Values["port"])
		action.Host = net.JoinHostPort(decoded.Text("host"), port)
		if !validHost(decoded.Text("host")) {
			wrong("host", "it must be a host name or an address")
		}
		if !validPort(port, 1) {
			wrong("port", "it must be a whole number from 1 to 65535")
		}
	case message.EffectPostpone:
		action.At = decoded.Text("at")
		if !validClock(action.At) {
			wrong("at", `it must be a time of day such as "23:00"`)
		}
	case message.EffectNotify:
		action.Notification = decoded.Text("notification")
		if _, known := l.policy.Notifications[action.Notification]; !known {
			names := slices.Collect(maps.Keys(l.policy.Notifications))
			l.fail(place("notification"), "Unknown notification", "There is no notification of that name."+suggest(action.Notification, names))
		}
	}
}

// Final is the one final action that a list of actions carries out, nil where it has none. The order is the product's: delete,
// deliver now, quarantine, change recipient; the effects it does not name follow.
func Final(actions []message.Action) *message.Action {
	order := [...]message.Effect{
		message.EffectDelete, message.EffectDeliverNow, message.EffectQuarantine, message.EffectChangeRecipient,
		message.EffectReject, message.EffectHandOff, message.EffectPostpone, message.EffectDefer,
	}
	for _, effect := range order {
		for i := range actions {
			if actions[i].Effect == effect {
				return &actions[i]
			}
		}
	}
	return nil
}
