package plugintest

import (
	"slices"

	"github.com/postern-mail/postern/sdk/action"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// Perform asks for the changes of one action with the effect Edit. config is the inside of its block, matching the parts that the rule
// matched.
func (r *Runner) Perform(name string, config map[string]any, m Message, matching ...int) []action.Change {
	r.t.Helper()
	described := slices.IndexFunc(r.plugin.Actions, func(d action.Description) bool { return d.Name == name })
	if described < 0 {
		r.t.Fatalf("perform: %s describes no action %q", r.plugin.Name, name)
	}
	text, err := fit(r.plugin.Actions[described].Config, config)
	if err != nil {
		r.t.Fatalf("perform %s: %v", name, err)
	}
	m.Parts = slices.Clone(m.Parts)
	m.fill()
	request := &pluginv1.PerformRequest{
		Call: r.name(), Rule: "Test", Action: name, ConfigJson: text, Envelope: envelope(&m), Header: header(&m),
	}
	for i := range m.Parts {
		request.Parts = append(request.Parts, part(&m.Parts[i]))
	}
	for _, id := range matching {
		request.Matching = append(request.Matching, int32(id))
	}
	ctx, cancel := r.context()
	defer cancel()
	answer, err := pluginv1.NewActionServiceClient(r.conn).Perform(ctx, request)
	if err != nil {
		r.t.Fatalf("perform %s: %v", name, err)
	}
	var changes []action.Change
	for _, edit := range answer.GetEdits() {
		switch e := edit.GetEdit().(type) {
		case *pluginv1.Edit_SetHeader:
			changes = append(changes, action.SetHeader{Name: e.SetHeader.GetName(), Value: e.SetHeader.GetValue()})
		case *pluginv1.Edit_RemovePart:
			changes = append(changes, action.RemovePart{Part: int(e.RemovePart.GetPart()), Notice: e.RemovePart.GetNotice()})
		case *pluginv1.Edit_InsertText:
			changes = append(changes, action.InsertText{AtEnd: e.InsertText.GetAtEnd(), Text: e.InsertText.GetText()})
		}
	}
	return changes
}
