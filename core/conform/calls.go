package conform

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/postern-mail/postern/core/exposure"
	"github.com/postern-mail/postern/core/inspect"
	"github.com/postern-mail/postern/core/message"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// call is a small call of one role, which checks its answer. name is that of the call, of its own.
type call func(ctx context.Context, conn grpc.ClientConnInterface, name string) error

// smallCalls are those that the plugin's roles have. Analyzers and sources of objects may answer with an error: what is behind them is
// not there.
func (s *suite) smallCalls() map[string]call {
	out := map[string]call{}
	if s.has(pluginv1.Role_ROLE_SCANNER) {
		out["Scan"] = func(ctx context.Context, conn grpc.ClientConnInterface, name string) error {
			return s.scan(ctx, conn, name, s.samples.small, "")
		}
	}
	if s.has(pluginv1.Role_ROLE_UNPACKER) {
		out["Unpack"] = func(ctx context.Context, conn grpc.ClientConnInterface, name string) error {
			return s.unpack(ctx, conn, name, 1<<10)
		}
	}
	for _, action := range s.description.GetActions() {
		if action.GetEffect() == pluginv1.Effect_EFFECT_EDIT {
			out["Perform "+action.GetName()] = func(ctx context.Context, conn grpc.ClientConnInterface, name string) error {
				return s.perform(ctx, conn, name, action)
			}
		}
	}
	if s.has(pluginv1.Role_ROLE_ANALYZER) {
		out["Results"] = results
	}
	if s.has(pluginv1.Role_ROLE_OBJECTS) {
		out["Fetch"] = fetch
	}
	return out
}

func (s *suite) queries() (out []int) {
	for _, q := range s.plugin.Configure.GetQueries() {
		out = append(out, int(q.GetNumber()))
	}
	return out
}

// scan shows the tree as the plugin declared that it wants to see it. Bodies that are too large for the opening go as files where an inbox
// is named, else in chunks.
func (s *suite) scan(ctx context.Context, conn grpc.ClientConnInterface, name string, tree *message.Tree, inbox string) (err error) {
	view, err := exposure.Scan(name, s.queries(), s.samples.mail, tree, s.description.GetInputs(), inbox)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, view.Close()) }()
	answer, err := inspect.Exchange(ctx, conn, view)
	if err != nil {
		return err
	}
	return inspect.Fill(&message.Report{Plugin: s.description.GetName(), Queries: s.queries()}, answer, tree)
}

// unpack pushes a container inline or in chunks, and reads the members.
func (s *suite) unpack(ctx context.Context, conn grpc.ClientConnInterface, name string, size int) error {
	content, err := container(s.description.GetContainers(), size)
	if err != nil {
		return err
	}
	part := &pluginv1.Part{Id: 1, Names: []string{"sample.zip"}, DeclaredType: "application/zip", Kind: "attachment", Size: uint64(len(content))}
	rest := content
	if len(content) <= pluginv1.InlineBody {
		part.Transfer, part.Body, rest = pluginv1.BodyTransfer_BODY_TRANSFER_INLINE, content, nil
	} else {
		part.Transfer = pluginv1.BodyTransfer_BODY_TRANSFER_CHUNKS
	}
	return exchangeContainer(ctx, conn, name, part, rest)
}

func budget() *pluginv1.UnpackBudget {
	return &pluginv1.UnpackBudget{Bytes: 512 << 20, FileBytes: 60 << 20, Files: 300, Layers: 20, Ratio: 100, Millis: 8000}
}

func exchangeContainer(ctx context.Context, conn grpc.ClientConnInterface, name string, part *pluginv1.Part, chunks []byte) error {
	stream, err := pluginv1.NewUnpackerServiceClient(conn).Unpack(ctx)
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	opening := &pluginv1.UnpackOpening{Call: name, Container: part, Budget: budget()}
	err = stream.Send(&pluginv1.UnpackRequest{Frame: &pluginv1.UnpackRequest_Opening{Opening: opening}})
	for len(chunks) > 0 && err == nil {
		n := min(len(chunks), pluginv1.Chunk)
		err = stream.Send(&pluginv1.UnpackRequest{Frame: &pluginv1.UnpackRequest_Chunk{Chunk: chunks[:n]}})
		chunks = chunks[n:]
	}
	if err == nil {
		err = stream.CloseSend()
	}
	if err != nil && !errors.Is(err, io.EOF) { // io.EOF: the answer says what is wrong
		return fmt.Errorf("unpack: send: %w", err)
	}
	return readMembers(stream)
}

// readMembers checks the order of what an unpacker streams back.
func readMembers(stream pluginv1.UnpackerService_UnpackClient) error {
	members, open := uint32(0), false
	for {
		frame, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("unpack: %w", err)
		}
		switch frame := frame.GetFrame().(type) {
		case *pluginv1.UnpackResponse_Member:
			members++
			if m := frame.Member; m.GetNumber() != members || m.GetParent() >= m.GetNumber() {
				return fmt.Errorf("unpack: member %d inside %d came as the %d.: members are numbered from 1, containers before what is in them",
					m.GetNumber(), m.GetParent(), members)
			}
			open = !frame.Member.GetEncrypted()
		case *pluginv1.UnpackResponse_Chunk:
			if !open || len(frame.Chunk) > pluginv1.Chunk {
				return fmt.Errorf("unpack: a chunk of %d bytes; it follows its member, with at most %d bytes", len(frame.Chunk), pluginv1.Chunk)
			}
		case *pluginv1.UnpackResponse_Link:
			open = false
			if frame.Link.GetMember() > members {
				return fmt.Errorf("unpack: a link in member %d, of %d", frame.Link.GetMember(), members)
			}
		case *pluginv1.UnpackResponse_Trouble:
			if k := frame.Trouble.GetKind(); k == pluginv1.TroubleKind_TROUBLE_KIND_UNSPECIFIED || pluginv1.TroubleKind_name[int32(k)] == "" {
				return fmt.Errorf("unpack: a trouble of the unknown kind %d", k)
			}
		default:
			return errors.New("unpack: a frame with nothing in it")
		}
	}
}

// perform asks for the changes of an action, with values of the right types.
func (s *suite) perform(ctx context.Context, conn grpc.ClientConnInterface, name string, action *pluginv1.ActionDescription) error {
	config, err := json.Marshal(fitting(action.GetConfig()))
	if err != nil {
		return fmt.Errorf("perform: %w", err)
	}
	request := &pluginv1.PerformRequest{
		Call: name, Rule: "Conformance", Action: action.GetName(), ConfigJson: string(config), Envelope: exposure.Envelope(s.samples.mail),
		Header: exposure.Header(s.samples.small),
	}
	for i := range s.samples.small.Parts {
		request.Parts = append(request.Parts, exposure.Part(&s.samples.small.Parts[i]))
	}
	answer, err := pluginv1.NewActionServiceClient(conn).Perform(ctx, request)
	if err != nil {
		return fmt.Errorf("perform %s: %w", action.GetName(), err)
	}
	if answer.GetCall() != name {
		return fmt.Errorf("perform %s: the answer does not belong to the call", action.GetName())
	}
	for _, edit := range answer.GetEdits() {
		part := int(edit.GetRemovePart().GetPart())
		if edit.GetEdit() == nil || part < 0 || part >= len(s.samples.small.Parts) {
			return fmt.Errorf("perform %s: an edit that is none, or of a part that does not exist: %v", action.GetName(), edit)
		}
	}
	return nil
}

// couldNot accepts the errors by which a plugin says that it could not look.
func couldNot(err error) error {
	switch status.Code(err) {
	case codes.Unimplemented, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Canceled:
		return err
	}
	return nil
}

// results asks for a sample that the sandbox never had.
func results(ctx context.Context, conn grpc.ClientConnInterface, name string) error {
	client := pluginv1.NewAnalyzerServiceClient(conn)
	if _, err := client.Choose(ctx, &pluginv1.ChooseRequest{}); err != nil && couldNot(err) != nil {
		return fmt.Errorf("choose: %w", err)
	}
	digest := fmt.Sprintf("%x", name)
	answer, err := client.Results(ctx, &pluginv1.ResultsRequest{
		Submissions: []*pluginv1.Submission{{Sha256: digest, Server: "nowhere", Submission: "none"}}})
	if err != nil {
		return couldNot(err)
	}
	for _, r := range answer.GetResults() {
		if r.GetSha256() != digest {
			return fmt.Errorf("results: an answer about %s, which was not asked for", r.GetSha256())
		}
		if _, known := pluginv1.AnalysisState_name[int32(r.GetState())]; !known || r.GetState() == pluginv1.AnalysisState_ANALYSIS_STATE_UNSPECIFIED {
			return fmt.Errorf("results: the unknown state %d", r.GetState())
		}
		if r.GetState() == pluginv1.AnalysisState_ANALYSIS_STATE_DONE {
			return errors.New("results: a verdict about a sample that was never submitted")
		}
	}
	return nil
}

// fetch reads all lists.
func fetch(ctx context.Context, conn grpc.ClientConnInterface, _ string) error {
	stream, err := pluginv1.NewObjectsServiceClient(conn).Fetch(ctx, &pluginv1.FetchRequest{})
	if err != nil {
		return fmt.Errorf("fetch: %w", err)
	}
	sent, ended := map[string]bool{}, map[string]bool{}
	for {
		frame, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return couldNot(err)
		}
		if n := len(frame.GetBatch().GetObjects()); n > 1000 {
			return fmt.Errorf("fetch: a batch of %d objects; at most 1,000", n)
		}
		for _, o := range frame.GetBatch().GetObjects() {
			sent[o.GetSource()] = true
		}
		if source := frame.GetSource(); source != nil {
			ended[source.GetSource()] = true
		}
	}
	for source := range sent {
		if !ended[source] {
			return fmt.Errorf("fetch: the list %q is not ended by a SourceState", source)
		}
	}
	return nil
}

// fitting are values for all required attributes of a schema.
func fitting(schema *pluginv1.Schema) map[string]any {
	out := map[string]any{}
	for _, a := range schema.GetAttributes() {
		switch {
		case a.GetDefaultJson() != "" && a.GetType() != pluginv1.Type_TYPE_DURATION: // written in the policy's form, sent as seconds
			out[a.GetName()] = json.RawMessage(a.GetDefaultJson())
		case a.GetRequired() || a.GetDefaultJson() != "":
			out[a.GetName()] = valueOf(a)
		}
	}
	return out
}

func valueOf(a *pluginv1.Attribute) any {
	text := "Text"
	if len(a.GetOneOf()) > 0 {
		text = a.GetOneOf()[0]
	}
	switch a.GetType() {
	case pluginv1.Type_TYPE_NUMBER, pluginv1.Type_TYPE_DURATION:
		return max(1, a.GetMin())
	case pluginv1.Type_TYPE_BOOL:
		return true
	case pluginv1.Type_TYPE_STRINGS, pluginv1.Type_TYPE_PATHS:
		return []string{text}
	case pluginv1.Type_TYPE_ENDPOINT:
		return "127.0.0.1:1"
	case pluginv1.Type_TYPE_PATH:
		return "/nonexistent/" + text
	}
	return text
}

// openScan begins a call and leaves it open.
func (s *suite) openScan(ctx context.Context, conn grpc.ClientConnInterface, name string) (pluginv1.ScannerService_ScanClient, error) {
	view, err := exposure.Scan(name, s.queries(), s.samples.mail, s.samples.small, s.description.GetInputs(), "")
	if err != nil {
		return nil, err
	}
	defer view.Close()
	stream, err := pluginv1.NewScannerServiceClient(conn).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("scan: %w", err)
	}
	err = stream.Send(&pluginv1.ScanRequest{Frame: &pluginv1.ScanRequest_Opening{Opening: view.Opening}})
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("scan: send: %w", err)
	}
	return stream, nil
}

// openUnpack begins a call of an unpacker with a chunk, and leaves it open.
func (s *suite) openUnpack(ctx context.Context, conn grpc.ClientConnInterface, name string) (pluginv1.UnpackerService_UnpackClient, error) {
	stream, err := pluginv1.NewUnpackerServiceClient(conn).Unpack(ctx)
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	content, err := container(s.description.GetContainers(), 1<<10)
	if err != nil {
		return nil, err
	}
	part := &pluginv1.Part{
		Id: 1, Names: []string{"sample.zip"}, Kind: "attachment", Size: uint64(len(content)), Transfer: pluginv1.BodyTransfer_BODY_TRANSFER_CHUNKS,
	}
	err = stream.Send(&pluginv1.UnpackRequest{Frame: &pluginv1.UnpackRequest_Opening{
		Opening: &pluginv1.UnpackOpening{Call: name, Container: part, Budget: budget()}}})
	if err == nil {
		err = stream.Send(&pluginv1.UnpackRequest{Frame: &pluginv1.UnpackRequest_Chunk{Chunk: bytes.Clone(content)}})
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("unpack: send: %w", err)
	}
	return stream, nil
}
