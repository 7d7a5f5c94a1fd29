package serve

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/postern-mail/postern/sdk/analyzer"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

type analyzerService struct {
	pluginv1.UnimplementedAnalyzerServiceServer
	base *pluginService
}

func (s *analyzerService) Choose(ctx context.Context, r *pluginv1.ChooseRequest) (*pluginv1.ChooseResponse, error) {
	s.base.work.Add(1)
	defer s.base.work.Done()
	server, err := s.base.plugin.Analyzer.Choose(ctx, r.GetExclude())
	if err != nil {
		return nil, status.Error(codes.Unavailable, fmt.Sprintf("choose: %v", err))
	}
	return &pluginv1.ChooseResponse{Server: server}, nil
}

func (s *analyzerService) Submit(stream grpc.ClientStreamingServer[pluginv1.SubmitRequest, pluginv1.SubmitResponse]) error {
	s.base.work.Add(1)
	defer s.base.work.Done()
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	o := first.GetOpening()
	if o == nil {
		return status.Error(codes.InvalidArgument, "submit: the first frame is not an opening")
	}
	sample := &analyzer.Sample{
		SHA1: o.GetSha1(), SHA256: o.GetSha256(), Kind: analyzer.Kind(o.GetKind()), Name: o.GetName(), Size: int64(o.GetSize()),
		Content: &chunkReader{stream: stream}, Server: o.GetServer(), AskFirst: o.GetAskFirst(),
	}
	receipt, err := s.base.plugin.Analyzer.Submit(stream.Context(), sample)
	if err != nil {
		return status.Error(codes.Unavailable, fmt.Sprintf("submit: %v", err))
	}
	return stream.SendAndClose(&pluginv1.SubmitResponse{
		State: pluginv1.AnalysisState(receipt.State), Submission: receipt.Submission, Detail: text(receipt.Detail),
	})
}

// chunkReader reads a sample as it comes.
type chunkReader struct {
	stream grpc.ClientStreamingServer[pluginv1.SubmitRequest, pluginv1.SubmitResponse]
	rest   []byte
}

func (r *chunkReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		frame, err := r.stream.Recv()
		if errors.Is(err, io.EOF) {
			return 0, io.EOF
		}
		if err != nil {
			return 0, fmt.Errorf("read sample: %w", err)
		}
		r.rest = frame.GetChunk()
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (s *analyzerService) Results(ctx context.Context, r *pluginv1.ResultsRequest) (*pluginv1.ResultsResponse, error) {
	s.base.work.Add(1)
	defer s.base.work.Done()
	var asked []analyzer.Submission
	for _, x := range r.GetSubmissions() {
		asked = append(asked, analyzer.Submission{
			SHA1: x.GetSha1(), SHA256: x.GetSha256(), Server: x.GetServer(), Submission: x.GetSubmission()})
	}
	results, err := s.base.plugin.Analyzer.Results(ctx, asked)
	if err != nil {
		return nil, status.Error(codes.Unavailable, fmt.Sprintf("results: %v", err))
	}
	response := &pluginv1.ResultsResponse{}
	for _, x := range results {
		response.Results = append(response.Results, &pluginv1.Result{
			Sha256: x.SHA256, State: pluginv1.AnalysisState(x.State), Level: pluginv1.RiskLevel(x.Risk), Name: text(x.Name),
			Detail: text(x.Detail),
		})
	}
	return response, nil
}
