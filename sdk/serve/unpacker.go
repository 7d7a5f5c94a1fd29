package serve

import (
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
	"github.com/postern-mail/postern/sdk/scanner"
	"github.com/postern-mail/postern/sdk/unpacker"
)

type unpackerService struct {
	pluginv1.UnimplementedUnpackerServiceServer
	base *pluginService
}

type unpackStream = grpc.BidiStreamingServer[pluginv1.UnpackRequest, pluginv1.UnpackResponse]

func (s *unpackerService) Unpack(stream unpackStream) error {
	s.base.work.Add(1)
	defer s.base.work.Done()
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	opening := first.GetOpening()
	if opening == nil {
		return status.Error(codes.InvalidArgument, "unpack: the first frame is not an opening")
	}
	part := partFrom(opening.GetContainer())
	var spilled spill
	defer spilled.remove()
	for {
		frame, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := spilled.add(frame.GetChunk()); err != nil {
			return status.Error(codes.ResourceExhausted, err.Error())
		}
	}
	if part.Body == nil {
		part.Body = spilled.body()
	}
	content, err := part.Body.Open()
	if err != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	defer content.Close()
	b := opening.GetBudget()
	container := &unpacker.Container{
		Name: part.Name(), Declared: part.Declared, Size: part.Size, Content: content,
		Budget: unpacker.Budget{
			Bytes: int64(b.GetBytes()), FileBytes: int64(b.GetFileBytes()), Files: int(b.GetFiles()), Layers: int(b.GetLayers()),
			Ratio: int(b.GetRatio()), Time: time.Duration(b.GetMillis()) * time.Millisecond,
		},
	}
	for _, p := range opening.GetPasswords() {
		container.Passwords = append(container.Passwords, unpacker.Password{Text: p.GetText(), Source: p.GetSource()})
	}
	out := &emitter{stream: stream}
	err = s.base.plugin.Unpacker.Unpack(s.base.of(stream.Context(), opening.GetCall()), container, out)
	if scanner.IsDownstream(err) {
		err = out.Trouble(downstreamTrouble(err))
	}
	if err != nil {
		return status.Error(codes.Internal, fmt.Sprintf("unpack: %v", err))
	}
	return nil
}

// emitter sends members as they are written; it is used by one goroutine.
type emitter struct {
	stream unpackStream
	number int
}

func (e *emitter) Member(m unpacker.Member) (int, io.Writer, error) {
	e.number++
	member := &pluginv1.Member{
		Number: uint32(e.number), Parent: uint32(m.Parent), Name: text(m.Name), Encrypted: m.Encrypted, OpenedWith: m.OpenedWith,
	}
	err := e.stream.Send(&pluginv1.UnpackResponse{Frame: &pluginv1.UnpackResponse_Member{Member: member}})
	return e.number, chunkWriter{e.stream}, err
}

func (e *emitter) Link(member int, raw, shown string) error {
	link := &pluginv1.Link{Member: uint32(member), Raw: text(raw), Text: text(shown)}
	return e.stream.Send(&pluginv1.UnpackResponse{Frame: &pluginv1.UnpackResponse_Link{Link: link}})
}

func (e *emitter) Trouble(t scanner.Trouble) error {
	return e.stream.Send(&pluginv1.UnpackResponse{Frame: &pluginv1.UnpackResponse_Trouble{Trouble: wireTrouble(t)}})
}

type chunkWriter struct{ stream unpackStream }

func (w chunkWriter) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		n := min(len(p), pluginv1.Chunk)
		if err := w.stream.Send(&pluginv1.UnpackResponse{Frame: &pluginv1.UnpackResponse_Chunk{Chunk: p[:n]}}); err != nil {
			return written, err
		}
		written += n
		p = p[n:]
	}
	return written, nil
}
