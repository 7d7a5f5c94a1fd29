package delivery

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/core/exposure"
	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/pluginpool"
	"github.com/postern-mail/postern/core/rewrite"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// Plugins is a Performer that asks the plugin each action comes from.
type Plugins struct {
	// Pool returns a plugin's instances, or nil.
	Pool     func(plugin string) *pluginpool.Pool
	CallName func() string
	Log      hclog.Logger
}

// errAnswer says that a plugin's answer does not fit the message: it is refused as a whole.
var errAnswer = errors.New("the plugin's answer does not fit the message")

// Perform asks for the changes of one action.
func (p *Plugins) Perform(ctx context.Context, r *Request) (*rewrite.Edits, error) {
	action := r.Action.Action
	pool := p.Pool(action.Plugin)
	if pool == nil {
		return nil, fmt.Errorf("plugin %q: %w", action.Plugin, pluginpool.ErrUnavailable)
	}
	lease, err := pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer lease.Release()
	p.Log.Debug("plugin call", "plugin", action.Plugin, "message", r.Message.ID)
	request := &pluginv1.PerformRequest{
		Call: p.CallName(), Rule: r.Action.Match.Rule, Action: action.Name, ConfigJson: string(action.Config),
		Envelope: exposure.Envelope(r.Message), Header: exposure.Header(&message.Tree{Header: r.Header}),
	}
	for i := range r.Tree.Parts {
		request.Parts = append(request.Parts, exposure.Part(&r.Tree.Parts[i]))
	}
	for i := range r.Action.Match.Findings {
		if part := r.Action.Match.Findings[i].Part; part >= 0 {
			request.Matching = append(request.Matching, int32(part))
		}
	}
	response, err := pluginv1.NewActionServiceClient(lease.Conn()).Perform(lease.Context, request)
	if err != nil {
		return nil, fmt.Errorf("plugin %s: %w", action.Plugin, err)
	}
	return editsOf(response, r.Tree)
}

func editsOf(response *pluginv1.PerformResponse, tree *message.Tree) (*rewrite.Edits, error) {
	edits := &rewrite.Edits{Remove: map[int]string{}}
	for _, e := range response.GetEdits() {
		switch e := e.GetEdit().(type) {
		case *pluginv1.Edit_SetHeader:
			edits.Headers = append(edits.Headers, message.HeaderField{Name: e.SetHeader.GetName(), Value: e.SetHeader.GetValue()})
		case *pluginv1.Edit_RemovePart:
			part := int(e.RemovePart.GetPart())
			if part < 0 || part >= len(tree.Parts) {
				return nil, fmt.Errorf("%w: remove part %d", errAnswer, part)
			}
			edits.Remove[part] = e.RemovePart.GetNotice()
		case *pluginv1.Edit_InsertText:
			edits.Insert = append(edits.Insert, rewrite.Insertion{AtEnd: e.InsertText.GetAtEnd(), Text: e.InsertText.GetText()})
		default:
			return nil, fmt.Errorf("%w: an edit of no known kind", errAnswer)
		}
	}
	return edits, nil
}
