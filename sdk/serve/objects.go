package serve

import (
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/postern-mail/postern/sdk/objects"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

type objectsService struct {
	pluginv1.UnimplementedObjectsServiceServer
	base *pluginService
}

func (s *objectsService) Fetch(r *pluginv1.FetchRequest, stream grpc.ServerStreamingServer[pluginv1.FetchResponse]) error {
	s.base.work.Add(1)
	defer s.base.work.Done()
	cursors := map[string]string{}
	for _, c := range r.GetCursors() {
		cursors[c.GetSource()] = c.GetCursor()
	}
	if err := s.base.plugin.Objects.Fetch(stream.Context(), cursors, objectSink{stream, NewProgress(s.base.log, "fetching objects", time.Now)}); err != nil {
		return status.Error(codes.Unavailable, fmt.Sprintf("fetch: %v", err))
	}
	return nil
}

// batchSize is how many objects travel in one message.
const batchSize = 1000

type objectSink struct {
	stream   grpc.ServerStreamingServer[pluginv1.FetchResponse]
	progress *Progress
}

func (s objectSink) Objects(batch []objects.Object) error {
	for len(batch) > 0 {
		n := min(len(batch), batchSize)
		wire := &pluginv1.ObjectBatch{}
		for _, o := range batch[:n] {
			w := &pluginv1.Object{
				Source: o.List, Type: pluginv1.ObjectType(o.Type), Value: text(o.Value), Action: pluginv1.ObjectAction(o.Action),
				Note: text(o.Note), Exception: o.Exception,
			}
			if !o.Expires.IsZero() {
				w.ExpiresUnix = o.Expires.Unix()
			}
			wire.Objects = append(wire.Objects, w)
		}
		if err := s.stream.Send(&pluginv1.FetchResponse{Frame: &pluginv1.FetchResponse_Batch{Batch: wire}}); err != nil {
			return fmt.Errorf("send objects: %w", err)
		}
		s.progress.Add(n)
		batch = batch[n:]
	}
	return nil
}

func (s objectSink) Done(state objects.State) error {
	wire := &pluginv1.SourceState{Source: state.List, Complete: state.Complete, Cursor: state.Cursor}
	if state.Err != nil {
		wire.Error = text(state.Err.Error())
	}
	if err := s.stream.Send(&pluginv1.FetchResponse{Frame: &pluginv1.FetchResponse_Source{Source: wire}}); err != nil {
		return fmt.Errorf("send state: %w", err)
	}
	return nil
}
