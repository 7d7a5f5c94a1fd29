package serve

import (
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
	"github.com/postern-mail/postern/sdk/scanner"
)

type scannerService struct {
	pluginv1.UnimplementedScannerServiceServer
	base *pluginService
}

func (s *scannerService) Scan(stream grpc.ClientStreamingServer[pluginv1.ScanRequest, pluginv1.ScanResponse]) error {
	s.base.work.Add(1)
	defer s.base.work.Done()
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	opening := first.GetOpening()
	if opening == nil {
		return status.Error(codes.InvalidArgument, "scan: the first frame is not an opening")
	}
	message := messageFrom(opening)
	spills, err := receiveChunks(stream)
	defer func() {
		for _, spilled := range spills {
			spilled.remove()
		}
	}()
	if err != nil {
		return err
	}
	for id, spilled := range spills {
		part := message.Part(id)
		if part == nil {
			return status.Errorf(codes.InvalidArgument, "scan: chunks for part %d, which was not announced", id)
		}
		part.Body = spilled.body()
	}
	defer releaseBodies(message.Parts)
	report, err := s.base.plugin.Scanner.Scan(s.base.of(stream.Context(), opening.GetCall()), message)
	if scanner.IsDownstream(err) {
		report, err = &scanner.Report{Troubles: []scanner.Trouble{downstreamTrouble(err)}}, nil
	}
	if err != nil {
		return status.Error(codes.Internal, fmt.Sprintf("scan: %v", err))
	}
	return stream.SendAndClose(wireReport(opening.GetCall(), report))
}

// downstreamTrouble is the whole answer where a server behind the plugin failed.
func downstreamTrouble(err error) scanner.Trouble {
	return scanner.Trouble{Kind: scanner.TroubleDownstream, Reason: "downstream", Detail: err.Error(), Part: -1}
}

func receiveChunks(stream grpc.ClientStreamingServer[pluginv1.ScanRequest, pluginv1.ScanResponse]) (map[int]*spill, error) {
	spills := map[int]*spill{}
	for {
		frame, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return spills, nil
		}
		if err != nil {
			return spills, err
		}
		chunk := frame.GetChunk()
		if chunk == nil {
			return spills, status.Error(codes.InvalidArgument, "scan: a second opening")
		}
		id := int(chunk.GetPart())
		if spills[id] == nil {
			spills[id] = &spill{}
		}
		if err := spills[id].add(chunk.GetData()); err != nil {
			return spills, status.Error(codes.ResourceExhausted, err.Error())
		}
	}
}

func messageFrom(o *pluginv1.ScanOpening) *scanner.Message {
	m := &scanner.Message{
		Envelope: envelopeFrom(o.GetEnvelope()),
		Header:   headerFrom(o.GetHeader()),
		Auth: scanner.Auth{
			SPF: o.GetAuth().GetSpf(), DKIM: o.GetAuth().GetDkim(), DMARC: o.GetAuth().GetDmarc(),
			DKIMAligned: o.GetAuth().GetDkimAligned(),
		},
	}
	for _, q := range o.GetQueries() {
		m.Queries = append(m.Queries, int(q))
	}
	for _, p := range o.GetParts() {
		m.Parts = append(m.Parts, partFrom(p))
	}
	for _, u := range o.GetUrls() {
		m.URLs = append(m.URLs, scanner.URL{Raw: u.GetRaw(), URL: u.GetUrl(), Part: int(u.GetPart()), Text: u.GetText()})
	}
	return m
}

func envelopeFrom(e *pluginv1.Envelope) scanner.Envelope {
	return scanner.Envelope{From: e.GetFrom(), To: e.GetTo(), Client: e.GetClient(), Helo: e.GetHelo()}
}

func headerFrom(fields []*pluginv1.HeaderField) []scanner.HeaderField {
	var out []scanner.HeaderField
	for _, f := range fields {
		out = append(out, scanner.HeaderField{Name: f.GetName(), Value: string(f.GetValue())})
	}
	return out
}

// wireReport cuts the report to the contract's limits; what does not fit becomes a trouble, so that it is not taken for complete.
func wireReport(call string, report *scanner.Report) *pluginv1.ScanResponse {
	out := &pluginv1.ScanResponse{Call: call}
	if report == nil {
		return out
	}
	findings := report.Findings
	if len(findings) > pluginv1.MaxFindings {
		out.Troubles = append(out.Troubles, &pluginv1.Trouble{
			Kind: pluginv1.TroubleKind_TROUBLE_KIND_LIMIT, Reason: "findings", Part: -1,
			Detail: fmt.Sprintf("%d findings, of which %d are shown", len(findings), pluginv1.MaxFindings),
		})
		findings = findings[:pluginv1.MaxFindings]
	}
	for _, f := range findings {
		out.Findings = append(out.Findings, &pluginv1.Finding{
			Query: uint32(f.Query), Kind: f.Kind, Certainty: pluginv1.Certainty(f.Certainty), Name: text(f.Name), Part: int32(f.Part),
			Evidence: text(f.Evidence),
		})
	}
	for _, t := range report.Troubles {
		out.Troubles = append(out.Troubles, wireTrouble(t))
	}
	return out
}

func wireTrouble(t scanner.Trouble) *pluginv1.Trouble {
	return &pluginv1.Trouble{
		Kind: pluginv1.TroubleKind(t.Kind), Reason: t.Reason, Detail: text(t.Detail), Part: int32(t.Part), Query: uint32(t.Query),
	}
}
