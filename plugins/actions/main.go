// Command postern-actions is the plugin with the stock actions: each is described by the effect that the core carries out, and those
// that change a message are computed here.
package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/postern-mail/postern/sdk/action"
	"github.com/postern-mail/postern/sdk/scanner"
	"github.com/postern-mail/postern/sdk/schema"
	"github.com/postern-mail/postern/sdk/serve"
)

func main() { serve.Main(plugin()) }

func plugin() serve.Plugin {
	return serve.Plugin{
		Name: "actions", Version: "1.0.0", Summary: "The stock actions: delete, quarantine, tag, notify and so on.",
		Actions: descriptions(), Performer: performer{},
	}
}

func body(attributes ...schema.Attribute) schema.Body { return schema.Body{Attributes: attributes} }

func required(name, summary string) schema.Attribute {
	return schema.Attribute{Name: name, Summary: summary, Type: schema.String, Required: true}
}

func area() schema.Attribute {
	return schema.Attribute{Name: "area", Summary: "the area's name", Type: schema.String, Default: "default"}
}

func addresses() schema.Attribute {
	return schema.Attribute{Name: "to", Summary: "addresses", Type: schema.Strings, Required: true}
}

func descriptions() []action.Description {
	return []action.Description{
		{Name: "pass", Summary: "log the match and go on", Effect: action.Pass, Label: "Passed"},
		{Name: "delete_message", Summary: "delete the message and all its attachments", Effect: action.Delete,
			Label: "Message deleted"},
		{Name: "quarantine", Summary: "keep the message in a quarantine area", Effect: action.Quarantine, Label: "Quarantined",
			Config: body(area())},
		{Name: "reject", Summary: "refuse the message with 5xx", Effect: action.Reject, Label: "Rejected",
			Config: body(schema.Attribute{Name: "text", Summary: "what the client is told", Type: schema.String,
				Default: "Message refused by policy"})},
		{Name: "change_recipient", Summary: "send the message to other addresses", Effect: action.ChangeRecipient,
			Label: "Recipient changed", Config: body(addresses())},
		{Name: "hand_off", Summary: "hand the message to another server", Effect: action.HandOff, Label: "Handed off",
			Config: body(required("host", "name or address"), schema.Attribute{Name: "port", Summary: "TCP port", Type: schema.Number,
				Default: 25, Min: schema.Bound(1), Max: schema.Bound(65535)})},
		{Name: "deliver_now", Summary: "deliver the message and skip all further rules", Effect: action.DeliverNow,
			Label: "Delivered"},
		{Name: "postpone", Summary: "deliver the message at a time of day", Effect: action.Postpone, Label: "Postponed",
			Config: body(required("at", "HH:MM, local time"))},
		{Name: "defer", Summary: "let the sender try again later; for exceptions", Effect: action.Defer, Label: "Deferred"},
		{Name: "notify", Summary: "send a notification", Effect: action.Notify, Label: "Notification sent",
			Config: body(required("notification", "the notification's name"))},
		{Name: "archive", Summary: "keep a copy in an archive area", Effect: action.Archive, Label: "Archived", Config: body(area())},
		{Name: "bcc", Summary: "send a copy to other addresses too", Effect: action.BCC, Label: "BCC sent", Config: body(addresses())},
		{Name: "tag_subject", Summary: "put text before the subject", Effect: action.Edit, Label: "Subject tagged",
			Config: body(required("text", "the tag"))},
		{Name: "x_header", Summary: "insert a header field", Effect: action.Edit, Label: "Header inserted",
			Config: body(required("name", "the field's name"), required("value", "its value"))},
		{Name: "stamp", Summary: "insert text into the body", Effect: action.Edit, Label: "Stamp inserted",
			Config: body(required("text", "the stamp"), schema.Attribute{Name: "at", Summary: "where", Type: schema.String,
				Default: "end", OneOf: []string{"beginning", "end"}})},
		{Name: "delete_attachments", Summary: "remove attachments", Effect: action.Edit, Label: "Attachment deleted",
			Config: body(schema.Attribute{Name: "which", Summary: "which ones", Type: schema.String, Default: "matching",
				OneOf: []string{"matching", "all"}})},
	}
}

type performer struct{}

// config is every attribute of the editing actions.
type config struct{ Text, Name, Value, At, Which string }

// Perform computes the changes of one action on one copy.
func (performer) Perform(_ context.Context, r *action.Request) ([]action.Change, error) {
	var c config
	if err := r.Decode(&c); err != nil {
		return nil, err
	}
	switch r.Action {
	case "tag_subject":
		return tagSubject(c.Text, r.Header), nil
	case "x_header":
		return []action.Change{action.SetHeader{Name: c.Name, Value: c.Value}}, nil
	case "stamp":
		return []action.Change{action.InsertText{AtEnd: c.At != "beginning", Text: c.Text}}, nil
	case "delete_attachments":
		return deleteAttachments(c.Which, r), nil
	}
	return nil, fmt.Errorf("action %q is not one that changes a message", r.Action)
}

// tagSubject puts the tag before the subject, unless it stands there already.
func tagSubject(tag string, header []scanner.HeaderField) []action.Change {
	subject := ""
	for _, f := range header {
		if strings.EqualFold(f.Name, "Subject") {
			subject = f.Value
			break
		}
	}
	if strings.HasPrefix(subject, tag) {
		return nil
	}
	return []action.Change{action.SetHeader{Name: "Subject", Value: strings.TrimSpace(tag + " " + subject)}}
}

// deleteAttachments removes the attachments that matched, or all. What matched inside a container takes the whole container along.
func deleteAttachments(which string, r *action.Request) []action.Change {
	parts := map[int]*scanner.Part{}
	for i := range r.Parts {
		parts[r.Parts[i].ID] = &r.Parts[i]
	}
	var remove []int
	take := func(id int) {
		for p := parts[id]; p != nil; p = parts[p.Parent] {
			if p.Kind == "member" {
				continue
			}
			if p.Attachment() && !slices.Contains(remove, p.ID) {
				remove = append(remove, p.ID)
			}
			return
		}
	}
	if which == "all" {
		for i := range r.Parts {
			take(r.Parts[i].ID)
		}
	} else {
		for _, id := range r.Matching {
			take(id)
		}
	}
	var changes []action.Change
	for _, id := range remove {
		changes = append(changes, action.RemovePart{
			Part:   id,
			Notice: fmt.Sprintf("The attachment %q was removed by the mail gateway (rule %q).", parts[id].Display, r.Rule),
		})
	}
	return changes
}
