package serve

import (
	"context"
	"encoding/json"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/postern-mail/postern/sdk/action"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

type actionService struct {
	pluginv1.UnimplementedActionServiceServer
	base *pluginService
}

func (s *actionService) Perform(ctx context.Context, r *pluginv1.PerformRequest) (*pluginv1.PerformResponse, error) {
	s.base.work.Add(1)
	defer s.base.work.Done()
	request := &action.Request{
		Rule: r.GetRule(), Action: r.GetAction(), Config: json.RawMessage(r.GetConfigJson()),
		Envelope: envelopeFrom(r.GetEnvelope()), Header: headerFrom(r.GetHeader()),
	}
	for _, p := range r.GetParts() {
		request.Parts = append(request.Parts, partFrom(p))
	}
	for _, id := range r.GetMatching() {
		request.Matching = append(request.Matching, int(id))
	}
	defer releaseBodies(request.Parts)
	changes, err := s.base.plugin.Performer.Perform(s.base.of(ctx, r.GetCall()), request)
	if err != nil {
		return nil, status.Error(codes.Internal, fmt.Sprintf("perform %s: %v", r.GetAction(), err))
	}
	response := &pluginv1.PerformResponse{Call: r.GetCall()}
	for _, c := range changes {
		response.Edits = append(response.Edits, wireChange(c))
	}
	return response, nil
}

func wireChange(c action.Change) *pluginv1.Edit {
	switch c := c.(type) {
	case action.SetHeader:
		return &pluginv1.Edit{Edit: &pluginv1.Edit_SetHeader{SetHeader: &pluginv1.SetHeader{Name: c.Name, Value: text(c.Value)}}}
	case action.RemovePart:
		return &pluginv1.Edit{Edit: &pluginv1.Edit_RemovePart{
			RemovePart: &pluginv1.RemovePart{Part: int32(c.Part), Notice: text(c.Notice)}}}
	case action.InsertText:
		return &pluginv1.Edit{Edit: &pluginv1.Edit_InsertText{InsertText: &pluginv1.InsertText{AtEnd: c.AtEnd, Text: text(c.Text)}}}
	}
	return &pluginv1.Edit{}
}
