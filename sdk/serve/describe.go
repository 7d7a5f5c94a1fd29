package serve

import (
	"github.com/postern-mail/postern/sdk/action"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
	"github.com/postern-mail/postern/sdk/scanner"
)

// Describe is the plugin's description as the contract carries it. It depends on nothing but the plugin's own source.
func Describe(p Plugin) *pluginv1.DescribeResponse {
	d := &pluginv1.DescribeResponse{
		Name: p.Name, Version: p.Version, ApiMinor: []uint32{0}, Summary: p.Summary,
		Config: p.Config.Wire(), Scan: p.Scan.Wire(), Containers: p.Containers,
	}
	if p.Scanner != nil {
		d.Roles = append(d.Roles, pluginv1.Role_ROLE_SCANNER)
		d.Inputs = describeInputs(p.Inputs)
	}
	if p.Analyzer != nil {
		d.Roles = append(d.Roles, pluginv1.Role_ROLE_ANALYZER)
	}
	if len(p.Actions) > 0 {
		d.Roles = append(d.Roles, pluginv1.Role_ROLE_ACTION)
	}
	if p.Unpacker != nil {
		d.Roles = append(d.Roles, pluginv1.Role_ROLE_UNPACKER)
	}
	if p.Objects != nil {
		d.Roles = append(d.Roles, pluginv1.Role_ROLE_OBJECTS)
	}
	for _, a := range p.Actions {
		d.Actions = append(d.Actions, &pluginv1.ActionDescription{
			Name: a.Name, Summary: a.Summary, Effect: wireEffect(a.Effect), Label: a.Label, Config: a.Config.Wire(),
		})
	}
	return d
}

func describeInputs(in scanner.Inputs) *pluginv1.Inputs {
	out := &pluginv1.Inputs{
		Envelope: in.Envelope, Header: in.Header, Parts: in.Parts, MaxBodyBytes: in.MaxBodyBytes, Urls: in.URLs, Auth: in.Auth,
		Bodies: pluginv1.Bodies_BODIES_NONE,
	}
	switch in.Bodies {
	case scanner.AttachmentBodies:
		out.Bodies = pluginv1.Bodies_BODIES_ATTACHMENTS
	case scanner.AllBodies:
		out.Bodies = pluginv1.Bodies_BODIES_ALL
	}
	for _, n := range in.NeedsAny {
		switch n {
		case scanner.NeedAttachment:
			out.NeedsAny = append(out.NeedsAny, pluginv1.Need_NEED_ATTACHMENT)
		case scanner.NeedURL:
			out.NeedsAny = append(out.NeedsAny, pluginv1.Need_NEED_URL)
		case scanner.NeedBody:
			out.NeedsAny = append(out.NeedsAny, pluginv1.Need_NEED_BODY)
		}
	}
	return out
}

func wireEffect(e action.Effect) pluginv1.Effect {
	switch e {
	case action.Pass:
		return pluginv1.Effect_EFFECT_PASS
	case action.Delete:
		return pluginv1.Effect_EFFECT_DELETE
	case action.Quarantine:
		return pluginv1.Effect_EFFECT_QUARANTINE
	case action.Reject:
		return pluginv1.Effect_EFFECT_REJECT
	case action.ChangeRecipient:
		return pluginv1.Effect_EFFECT_CHANGE_RECIPIENT
	case action.HandOff:
		return pluginv1.Effect_EFFECT_HAND_OFF
	case action.DeliverNow:
		return pluginv1.Effect_EFFECT_DELIVER_NOW
	case action.Postpone:
		return pluginv1.Effect_EFFECT_POSTPONE
	case action.Defer:
		return pluginv1.Effect_EFFECT_DEFER
	case action.Notify:
		return pluginv1.Effect_EFFECT_NOTIFY
	case action.Archive:
		return pluginv1.Effect_EFFECT_ARCHIVE
	case action.BCC:
		return pluginv1.Effect_EFFECT_BCC
	case action.Edit:
		return pluginv1.Effect_EFFECT_EDIT
	}
	return pluginv1.Effect_EFFECT_UNSPECIFIED
}
