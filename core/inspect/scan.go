package inspect

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/postern-mail/postern/core/exposure"
	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/pluginpool"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// errForeign says that a plugin answered something that was not asked.
var errForeign = errors.New("the answer does not belong to the call")

// ask makes one scanner call. A call that fails is a report with a trouble.
func (i *Inspector) ask(
	ctx context.Context, s *Scanner, queries []int, m *message.Message, tree *message.Tree,
) *message.Report {
	report := &message.Report{
		Plugin: s.Name, Digest: s.Digest, Version: s.Version, Signatures: s.Pool.Signatures(), Queries: queries,
	}
	if !exposure.Needed(s.Inputs, tree) {
		report.Skipped = true
		return report
	}
	answer, err := i.call(ctx, s, queries, m, tree)
	if err == nil {
		err = Fill(report, answer, tree)
	}
	if err != nil {
		reason := reasonOf(err)
		i.Log.Warn("plugin call failed", "plugin", s.Name, "message", m.ID, "reason", reason, "error", err)
		report.Findings = nil
		report.Troubles = []message.Trouble{{
			Exception: message.ExceptionPluginUnavailable, Reason: reason, Part: -1, Plugin: s.Name,
			Detail: "the scanner did not answer",
		}}
	}
	return report
}

func (i *Inspector) call(
	ctx context.Context, s *Scanner, queries []int, m *message.Message, tree *message.Tree,
) (answer *pluginv1.ScanResponse, err error) {
	lease, err := s.Pool.AcquireFor(ctx, func() string { return contentOf(tree) })
	if err != nil {
		return nil, err
	}
	defer func() { lease.Done(err) }()
	i.Log.Debug("plugin call", "plugin", s.Name, "message", m.ID)
	view, err := exposure.Scan(i.CallName(), queries, m, tree, s.Inputs, lease.Inbox())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, view.Close()) }()
	return Exchange(lease.Context, lease.Conn(), view)
}

// Exchange makes one scanner call: the view goes out with what follows it in chunks, and the answer to it comes back.
func Exchange(ctx context.Context, conn grpc.ClientConnInterface, view *exposure.View) (*pluginv1.ScanResponse, error) {
	stream, err := pluginv1.NewScannerServiceClient(conn).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("scan: %w", err)
	}
	err = stream.Send(&pluginv1.ScanRequest{Frame: &pluginv1.ScanRequest_Opening{Opening: view.Opening}})
	for n := 0; err == nil && n < len(view.Chunked); n++ {
		err = sendChunks(stream.Send, view.Chunked[n])
	}
	// io.EOF means that the plugin has answered, or failed, before it got everything: the answer says which.
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("scan: send: %w", err)
	}
	answer, err := stream.CloseAndRecv()
	if err != nil {
		return nil, fmt.Errorf("scan: %w", err)
	}
	if answer.GetCall() != view.Opening.GetCall() {
		return nil, fmt.Errorf("scan: %w", errForeign)
	}
	return answer, nil
}

// contentOf names a message by what stays the same when its sender tries again: its parts and its Message-ID.
func contentOf(tree *message.Tree) string {
	hash := sha256.New()
	for i := range tree.Parts {
		_, _ = io.WriteString(hash, tree.Parts[i].SHA256+"\n") // never fails
	}
	for _, f := range tree.Header {
		if strings.EqualFold(f.Name, "Message-ID") {
			_, _ = io.WriteString(hash, f.Value+"\n")
		}
	}
	return hex.EncodeToString(hash.Sum(nil))
}

func sendChunks(send func(*pluginv1.ScanRequest) error, body exposure.Chunked) error {
	r, err := body.Body.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	limited := io.LimitReader(r, body.Limit)
	for {
		// A fresh buffer each time: gRPC may still hold the one before.
		buffer := make([]byte, pluginv1.Chunk)
		n, err := io.ReadFull(limited, buffer)
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return fmt.Errorf("read body: %w", err)
		}
		chunk := &pluginv1.BodyChunk{Part: body.Part, Data: buffer[:n], Last: last}
		if err := send(&pluginv1.ScanRequest{Frame: &pluginv1.ScanRequest_Chunk{Chunk: chunk}}); err != nil {
			return err
		}
		if last {
			return nil
		}
	}
}

// Fill takes the answer over. An answer that names a query, part or certainty that was not asked or does not exist is refused as
// a whole: unknown means refuse, never allow.
func Fill(report *message.Report, answer *pluginv1.ScanResponse, tree *message.Tree) error {
	if len(answer.GetFindings()) > pluginv1.MaxFindings {
		return fmt.Errorf("%w: %d findings", errForeign, len(answer.GetFindings()))
	}
	for _, f := range answer.GetFindings() {
		if !slices.Contains(report.Queries, int(f.GetQuery())) || !partExists(tree, f.GetPart()) {
			return fmt.Errorf("%w: finding %q for query %d in part %d", errForeign, f.GetName(), f.GetQuery(), f.GetPart())
		}
		certainty, known := certainties()[f.GetCertainty()]
		if !known || tooLong(f.GetKind(), f.GetName(), f.GetEvidence()) {
			return fmt.Errorf("%w: finding with certainty %v", errForeign, f.GetCertainty())
		}
		report.Findings = append(report.Findings, message.Finding{
			Plugin: report.Plugin, Query: int(f.GetQuery()), Kind: f.GetKind(), Certainty: certainty, Name: f.GetName(),
			Part: int(f.GetPart()), Evidence: f.GetEvidence(),
		})
	}
	if len(answer.GetTroubles()) > mostTroubles {
		return fmt.Errorf("%w: %d troubles", errForeign, len(answer.GetTroubles()))
	}
	for _, t := range answer.GetTroubles() {
		if !partExists(tree, t.GetPart()) || tooLong(t.GetReason(), t.GetDetail()) {
			return fmt.Errorf("%w: trouble in part %d", errForeign, t.GetPart())
		}
		report.Troubles = append(report.Troubles, troubleFrom(t, report.Plugin, int(t.GetPart())))
	}
	return nil
}

func certainties() map[pluginv1.Certainty]message.Certainty {
	return map[pluginv1.Certainty]message.Certainty{
		pluginv1.Certainty_CERTAINTY_SURE: message.Sure, pluginv1.Certainty_CERTAINTY_POSSIBLE: message.Possible,
	}
}

func partExists(tree *message.Tree, part int32) bool {
	return part >= -1 && int(part) < len(tree.Parts)
}

// troubleFrom types a plugin's trouble; a kind that is not known is the plugin's own failure.
func troubleFrom(t *pluginv1.Trouble, plugin string, part int) message.Trouble {
	exception := message.ExceptionPluginUnavailable
	switch t.GetKind() {
	case pluginv1.TroubleKind_TROUBLE_KIND_LIMIT, pluginv1.TroubleKind_TROUBLE_KIND_BROKEN:
		exception = message.ExceptionSecuritySettings
	case pluginv1.TroubleKind_TROUBLE_KIND_ENCRYPTED:
		exception = message.ExceptionEncryption
	}
	return message.Trouble{Exception: exception, Reason: t.GetReason(), Detail: t.GetDetail(), Part: part, Plugin: plugin}
}

// reasonOf is the stable token for why a call failed.
func reasonOf(err error) string {
	switch {
	case errors.Is(err, pluginpool.ErrUnavailable):
		return "not_ready"
	case errors.Is(err, pluginpool.ErrPoison):
		return "crashes"
	case errors.Is(err, context.DeadlineExceeded), status.Code(err) == codes.DeadlineExceeded:
		return "timeout"
	case errors.Is(err, errForeign):
		return "bad_answer"
	case status.Code(err) == codes.Unavailable:
		return "crash"
	}
	return "error"
}
