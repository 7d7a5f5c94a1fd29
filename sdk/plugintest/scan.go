package plugintest

import (
	"errors"
	"io"
	"slices"

	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
	"github.com/postern-mail/postern/sdk/scanner"
)

// Scan shows the plugin a message, as far as it declared that it wants to see it, and asks all queries. The report is nil where the plugin
// would not be called: the message has nothing of what it needs. The test fails where the answer is one that the gateway would refuse.
func (r *Runner) Scan(m Message) *scanner.Report {
	r.t.Helper()
	report, err := r.TryScan(m)
	if err != nil {
		r.t.Fatalf("scan: %v", err)
	}
	return report
}

// TryScan is Scan for messages that the plugin may not be able to look at.
func (r *Runner) TryScan(m Message) (*scanner.Report, error) {
	r.t.Helper()
	m.Parts = slices.Clone(m.Parts)
	m.fill()
	if !needed(r.plugin.Inputs, &m) {
		return nil, nil
	}
	opening, chunked := r.opening(&m)
	ctx, cancel := r.context()
	defer cancel()
	stream, err := pluginv1.NewScannerServiceClient(r.conn).Scan(ctx)
	if err != nil {
		return nil, err
	}
	err = stream.Send(&pluginv1.ScanRequest{Frame: &pluginv1.ScanRequest_Opening{Opening: opening}})
	for _, part := range chunked {
		content := r.shown(&m.Parts[part])
		for last := false; err == nil && !last; {
			n := min(len(content), pluginv1.Chunk)
			last = n == len(content)
			chunk := &pluginv1.BodyChunk{Part: uint32(part), Data: content[:n], Last: last}
			err = stream.Send(&pluginv1.ScanRequest{Frame: &pluginv1.ScanRequest_Chunk{Chunk: chunk}})
			content = content[n:]
		}
	}
	if err != nil && !errors.Is(err, io.EOF) { // io.EOF: the answer says what is wrong
		return nil, err
	}
	answer, err := stream.CloseAndRecv()
	if err != nil {
		return nil, err
	}
	return r.report(&m, answer), nil
}

func needed(in scanner.Inputs, m *Message) bool {
	if len(in.NeedsAny) == 0 {
		return true
	}
	for i := range m.Parts {
		p := &m.Parts[i]
		if p.Attachment() && slices.Contains(in.NeedsAny, scanner.NeedAttachment) || p.Size > 0 && slices.Contains(in.NeedsAny, scanner.NeedBody) {
			return true
		}
	}
	return len(m.URLs) > 0 && slices.Contains(in.NeedsAny, scanner.NeedURL)
}

// shown is as much of a body as the plugin declared.
func (r *Runner) shown(p *Part) []byte {
	if most := r.plugin.Inputs.MaxBodyBytes; most > 0 && uint64(len(p.Content)) > most {
		return p.Content[:most]
	}
	return p.Content
}

// opening is what the plugin is shown, and the parts whose bodies follow in chunks.
func (r *Runner) opening(m *Message) (o *pluginv1.ScanOpening, chunked []int) {
	in := r.plugin.Inputs
	o = &pluginv1.ScanOpening{Call: r.name(), Queries: r.queries}
	if in.Envelope {
		o.Envelope = envelope(m)
	}
	if in.Header {
		o.Header = header(m)
	}
	if in.Auth {
		o.Auth = &pluginv1.Auth{Spf: m.Auth.SPF, Dkim: m.Auth.DKIM, Dmarc: m.Auth.DMARC, DkimAligned: m.Auth.DKIMAligned}
	}
	if in.URLs {
		for _, u := range m.URLs {
			o.Urls = append(o.Urls, &pluginv1.Url{Raw: u.Raw, Url: u.URL, Part: uint32(u.Part), Text: u.Text})
		}
	}
	if !in.Parts && in.Bodies == scanner.NoBodies {
		return o, nil
	}
	inline := 0
	for i := range m.Parts {
		p := &m.Parts[i]
		wire := part(p)
		content := r.shown(p)
		switch {
		case len(content) == 0 || in.Bodies == scanner.NoBodies || in.Bodies == scanner.AttachmentBodies && !p.Attachment():
		case len(content) <= pluginv1.InlineBody && inline+len(content) <= pluginv1.InlineTotal:
			wire.Transfer, wire.Body = pluginv1.BodyTransfer_BODY_TRANSFER_INLINE, content
			inline += len(content)
		default:
			wire.Transfer = pluginv1.BodyTransfer_BODY_TRANSFER_CHUNKS
			chunked = append(chunked, i)
		}
		o.Parts = append(o.Parts, wire)
	}
	return o, chunked
}

func envelope(m *Message) *pluginv1.Envelope {
	return &pluginv1.Envelope{From: m.Envelope.From, To: m.Envelope.To, Client: m.Envelope.Client, Helo: m.Envelope.Helo}
}

func header(m *Message) (out []*pluginv1.HeaderField) {
	for _, f := range m.Header {
		out = append(out, &pluginv1.HeaderField{Name: f.Name, Value: []byte(f.Value)})
	}
	return out
}

func part(p *Part) *pluginv1.Part {
	return &pluginv1.Part{
		Id: uint32(p.ID), Parent: int32(p.Parent), Path: p.Path, Display: p.Display, Names: p.Names, DeclaredType: p.Declared, Kind: p.Kind,
		Size: uint64(p.Size), Sha1: p.SHA1, Sha256: p.SHA256, Charset: p.Charset,
	}
}

// report takes the answer over, and holds it to what the gateway accepts.
func (r *Runner) report(m *Message, answer *pluginv1.ScanResponse) *scanner.Report {
	r.t.Helper()
	out := &scanner.Report{}
	exists := func(part int32) bool { return part >= -1 && int(part) < len(m.Parts) }
	for _, f := range answer.GetFindings() {
		if !slices.Contains(r.queries, f.GetQuery()) || !exists(f.GetPart()) ||
			f.GetCertainty() != pluginv1.Certainty_CERTAINTY_SURE && f.GetCertainty() != pluginv1.Certainty_CERTAINTY_POSSIBLE {
			r.t.Errorf("the gateway refuses the whole report for this finding, whose query, part or certainty does not exist: %v", f)
		}
		out.Findings = append(out.Findings, scanner.Finding{
			Query: int(f.GetQuery()), Kind: f.GetKind(), Certainty: scanner.Certainty(f.GetCertainty()), Name: f.GetName(), Part: int(f.GetPart()),
			Evidence: f.GetEvidence(),
		})
	}
	for _, t := range answer.GetTroubles() {
		if !exists(t.GetPart()) {
			r.t.Errorf("the gateway refuses the whole report for this trouble, whose part does not exist: %v", t)
		}
		out.Troubles = append(out.Troubles, scanner.Trouble{
			Kind: scanner.TroubleKind(t.GetKind()), Reason: t.GetReason(), Detail: t.GetDetail(), Part: int(t.GetPart()), Query: int(t.GetQuery()),
		})
	}
	return out
}
