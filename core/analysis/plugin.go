package analysis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/pluginpool"
	"github.com/postern-mail/postern/core/store"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// Plugin is a Sandbox behind an analyzer plugin.
type Plugin struct {
	Name string
	Pool *pluginpool.Pool
	Now  func() time.Time
}

// Choose asks the plugin for a server.
func (p *Plugin) Choose(ctx context.Context, exclude []string) (string, error) {
	lease, err := p.Pool.Acquire(ctx)
	if err != nil {
		return "", err
	}
	defer lease.Release()
	response, err := pluginv1.NewAnalyzerServiceClient(lease.Conn()).Choose(lease.Context, &pluginv1.ChooseRequest{Exclude: exclude})
	if err != nil {
		return "", fmt.Errorf("plugin %s: choose a server: %w", p.Name, err)
	}
	return response.GetServer(), nil
}

// Restart ends the plugin's processes; the pool starts them anew.
func (p *Plugin) Restart() { p.Pool.Restart() }

// Submit streams the sample to the plugin.
func (p *Plugin) Submit(ctx context.Context, sample *Sample) (*Receipt, error) {
	lease, err := p.Pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer lease.Release()
	stream, err := pluginv1.NewAnalyzerServiceClient(lease.Conn()).Submit(lease.Context)
	if err != nil {
		return nil, fmt.Errorf("plugin %s: submit: %w", p.Name, err)
	}
	err = stream.Send(&pluginv1.SubmitRequest{Frame: &pluginv1.SubmitRequest_Opening{Opening: &pluginv1.SubmitOpening{
		Sha1: sample.SHA1, Sha256: sample.Key.SHA256, Kind: kindOf(sample.Key.Kind), Name: sample.Display, Size: uint64(sample.Size),
		Server: sample.Server, AskFirst: sample.AskFirst,
	}}})
	if err == nil {
		err = sendContent(stream, sample.Content)
	}
	if err != nil && !errors.Is(err, io.EOF) { // EOF: the plugin has answered already
		return nil, fmt.Errorf("plugin %s: submit: %w", p.Name, err)
	}
	response, err := stream.CloseAndRecv()
	if err != nil {
		return nil, fmt.Errorf("plugin %s: submit: %w", p.Name, err)
	}
	receipt := &Receipt{Remote: response.GetSubmission()}
	receipt.Unreachable = response.GetState() == pluginv1.AnalysisState_ANALYSIS_STATE_UNREACHABLE
	// A sample that was analysed before has its verdict asked for like any other: this answer holds no level.
	if response.GetState() != pluginv1.AnalysisState_ANALYSIS_STATE_DONE {
		receipt.Verdict = p.verdict(response.GetState(), pluginv1.RiskLevel_RISK_LEVEL_UNSPECIFIED, "", response.GetDetail())
	}
	return receipt, nil
}

func sendContent(stream pluginv1.AnalyzerService_SubmitClient, content io.Reader) error {
	buffer := make([]byte, pluginv1.Chunk)
	for {
		n, err := io.ReadFull(content, buffer)
		if n > 0 {
			if err := stream.Send(&pluginv1.SubmitRequest{Frame: &pluginv1.SubmitRequest_Chunk{Chunk: buffer[:n]}}); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return fmt.Errorf("read sample: %w", err)
		}
	}
}

func kindOf(kind string) pluginv1.SampleKind {
	switch kind {
	case "url":
		return pluginv1.SampleKind_SAMPLE_KIND_URL
	case "message":
		return pluginv1.SampleKind_SAMPLE_KIND_MESSAGE
	}
	return pluginv1.SampleKind_SAMPLE_KIND_FILE
}

// Results asks the plugin for all submissions in one call.
func (p *Plugin) Results(ctx context.Context, submissions []store.Submission) (map[string]Result, error) {
	lease, err := p.Pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer lease.Release()
	request := &pluginv1.ResultsRequest{}
	for i := range submissions {
		s := &submissions[i]
		request.Submissions = append(request.Submissions, &pluginv1.Submission{
			Sha1: s.SHA1, Sha256: s.Key.SHA256, Server: s.Server, Submission: s.Remote,
		})
	}
	response, err := pluginv1.NewAnalyzerServiceClient(lease.Conn()).Results(lease.Context, request)
	if err != nil {
		return nil, fmt.Errorf("plugin %s: ask for results: %w", p.Name, err)
	}
	out := map[string]Result{}
	for _, r := range response.GetResults() {
		out[r.GetSha256()] = Result{Verdict: p.verdict(r.GetState(), r.GetLevel(), r.GetName(), r.GetDetail())}
	}
	return out, nil
}

// verdict is nil while the analysis is under way or nobody can be reached. Done without a level is a failure, never "no risk".
func (p *Plugin) verdict(state pluginv1.AnalysisState, risk pluginv1.RiskLevel, name, detail string) *message.Verdict {
	v := &message.Verdict{Analyzer: p.Name, Name: name, Detail: detail, At: p.Now()}
	switch state {
	case pluginv1.AnalysisState_ANALYSIS_STATE_DONE:
		v.State = message.VerdictDone
	case pluginv1.AnalysisState_ANALYSIS_STATE_FAILED:
		v.State = message.VerdictFailed
		return v
	case pluginv1.AnalysisState_ANALYSIS_STATE_UNSUPPORTED:
		v.State = message.VerdictUnsupported
		return v
	default:
		return nil
	}
	switch risk {
	case pluginv1.RiskLevel_RISK_LEVEL_NONE:
		v.Level = message.RiskNone
	case pluginv1.RiskLevel_RISK_LEVEL_LOW:
		v.Level = message.RiskLow
	case pluginv1.RiskLevel_RISK_LEVEL_MEDIUM:
		v.Level = message.RiskMedium
	case pluginv1.RiskLevel_RISK_LEVEL_HIGH:
		v.Level = message.RiskHigh
	default:
		v.State = message.VerdictFailed
		v.Detail = "no valid level: " + detail
	}
	return v
}
