package inspect

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/proto"

	"github.com/postern-mail/postern/core/content"
	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/spool"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// told gives an unpacker's frames, each after its length in two bytes, as a plugin might send them.
type told struct{ rest []byte }

func (t *told) Recv() (*pluginv1.UnpackResponse, error) {
	if len(t.rest) < 2 {
		return nil, io.EOF
	}
	n := min(int(binary.BigEndian.Uint16(t.rest)), len(t.rest)-2)
	frame := &pluginv1.UnpackResponse{}
	err := proto.Unmarshal(t.rest[2:2+n], frame)
	t.rest = t.rest[2+n:]
	return frame, err
}

func frameBytes(list ...*pluginv1.UnpackResponse) (out []byte) {
	for _, f := range list {
		raw, err := proto.Marshal(f)
		if err != nil {
			panic(err) // the frames are the test's own
		}
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(raw))), raw...)
	}
	return out
}

func memberFrame(number, parent uint32, name string) *pluginv1.UnpackResponse {
	return &pluginv1.UnpackResponse{Frame: &pluginv1.UnpackResponse_Member{Member: &pluginv1.Member{Number: number, Parent: parent, Name: name}}}
}

func chunkFrame(text string) *pluginv1.UnpackResponse {
	return &pluginv1.UnpackResponse{Frame: &pluginv1.UnpackResponse_Chunk{Chunk: []byte(text)}}
}

func troubleFrame(kind pluginv1.TroubleKind) *pluginv1.UnpackResponse {
	return &pluginv1.UnpackResponse{Frame: &pluginv1.UnpackResponse_Trouble{Trouble: &pluginv1.Trouble{Kind: kind, Reason: "r", Detail: "d", Part: 99}}}
}

func linkFrame(member uint32, raw string) *pluginv1.UnpackResponse {
	return &pluginv1.UnpackResponse{Frame: &pluginv1.UnpackResponse_Link{Link: &pluginv1.Link{Member: member, Raw: raw}}}
}

// saying is an expander whose plugin answers every container with the same bytes.
type saying struct {
	*Unpacker
	answer []byte
	calls  int
}

func (s *saying) Expand(ctx context.Context, part *message.Part, _ content.Budget, sink content.Sink) (time.Duration, error) {
	s.calls++
	return 0, s.explain(ctx, s.receive(&told{rest: s.answer}, part, sink), part, sink)
}

const withContainer = "Subject: s\r\nMIME-Version: 1.0\r\nContent-Type: application/x-box; name=\"a.box\"\r\n\r\nbox\r\n"

// read takes a mail with one container apart, whose unpacker answers with the frames.
func read(t *testing.T, answer []byte) (*message.Tree, error) {
	t.Helper()
	u, err := NewUnpacker("unpack", []string{"application/x-box", ".box"}, nil, nil, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	s, err := spool.Open(t.TempDir(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	scope := s.NewScope()
	defer func() {
		if err := scope.Release(); err != nil {
			t.Error(err)
		}
	}()
	limits := content.Limits{Depth: 8, Parts: 50, HeaderBytes: 4096, Layers: 3, Files: 20, Ratio: 100, FileBytes: 2000, Bytes: 5000, Time: time.Minute}
	return content.Read(t.Context(), spool.FromBytes([]byte(withContainer)), scope, limits, &saying{Unpacker: u, answer: answer})
}

func TestUnpackerThatMisbehaves(t *testing.T) {
	long := strings.Repeat("x", pluginv1.MaxText+1)
	var flood []*pluginv1.UnpackResponse
	for range mostTroubles + 1 {
		flood = append(flood, troubleFrame(pluginv1.TroubleKind_TROUBLE_KIND_BROKEN))
	}
	for name, answer := range map[string][]byte{
		"content before a member":  frameBytes(chunkFrame("x")),
		"member of an unknown one": frameBytes(memberFrame(1, 7, "a")),
		"link in an unknown one":   frameBytes(linkFrame(7, "http://x.example")),
		"name too long":            frameBytes(memberFrame(1, 0, long)),
		"link too long":            frameBytes(linkFrame(0, long)),
		"flood of troubles":        frameBytes(flood...),
		"no frame":                 {0, 1, 0xff},
	} {
		tree, err := read(t, answer)
		if err != nil {
			t.Errorf("%s: the message is lost: %v", name, err)
			continue
		}
		last := message.Trouble{}
		if n := len(tree.Troubles); n > 0 {
			last = tree.Troubles[n-1]
		}
		if last.Exception != message.ExceptionPluginUnavailable {
			t.Errorf("%s: the last trouble is %+v", name, last)
		}
	}
}

// FuzzUnpackAnswer: whatever an unpacker answers, the message is judged, within its limits, and a wrong answer is the plugin's failure.
func FuzzUnpackAnswer(f *testing.F) {
	f.Add(frameBytes(memberFrame(1, 0, "a/b.txt"), chunkFrame("text"), memberFrame(2, 1, "c"), chunkFrame("deep"), linkFrame(2, "http://x.example/")))
	f.Add(frameBytes(troubleFrame(pluginv1.TroubleKind_TROUBLE_KIND_ENCRYPTED), memberFrame(0, 0, ""), memberFrame(1, 1, "..\\..\x00")))
	f.Add(frameBytes(memberFrame(1, 9, "a"), chunkFrame("x")))
	f.Fuzz(func(t *testing.T, answer []byte) {
		tree, err := read(t, answer)
		if err != nil {
			t.Fatalf("the message is lost: %v", err)
		}
		if len(tree.Parts) > 50 || len(tree.Troubles) > mostTroubles+50 {
			t.Errorf("%d parts, %d troubles", len(tree.Parts), len(tree.Troubles))
		}
		size := int64(0)
		for i := range tree.Parts {
			p := &tree.Parts[i]
			if p.Kind == message.PartMember {
				size += p.Size
			}
			if p.Parent >= p.ID && p.ID > 0 {
				t.Errorf("part %d has the parent %d", p.ID, p.Parent)
			}
		}
		if size > 5000 {
			t.Errorf("members of %d bytes", size)
		}
	})
}

// FuzzScanAnswer: an answer is taken over in whole or refused in whole, and says nothing of what was not asked.
func FuzzScanAnswer(f *testing.F) {
	for _, seed := range []*pluginv1.ScanResponse{
		{Findings: []*pluginv1.Finding{{Query: 1, Kind: "virus", Certainty: pluginv1.Certainty_CERTAINTY_SURE, Name: "n", Part: 0}}},
		{Findings: []*pluginv1.Finding{{Query: 9, Certainty: 7, Part: -5}}, Troubles: []*pluginv1.Trouble{{Part: 7}}},
		{Troubles: []*pluginv1.Trouble{{Kind: pluginv1.TroubleKind_TROUBLE_KIND_LIMIT, Part: -1}}},
	} {
		raw, err := proto.Marshal(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	tree := &message.Tree{Parts: []message.Part{{ID: 0}, {ID: 1}}}
	f.Fuzz(func(t *testing.T, raw []byte) {
		answer := &pluginv1.ScanResponse{}
		if proto.Unmarshal(raw, answer) != nil {
			return
		}
		report := &message.Report{Plugin: "p", Queries: []int{1, 2}}
		if err := Fill(report, answer, tree); err != nil {
			if !errors.Is(err, errForeign) {
				t.Errorf("refused with %v", err)
			}
			return
		}
		if len(report.Findings) != len(answer.GetFindings()) || len(report.Troubles) != len(answer.GetTroubles()) {
			t.Error("taken over in part")
		}
		for _, found := range report.Findings {
			if found.Query != 1 && found.Query != 2 || found.Part < -1 || found.Part > 1 || found.Certainty == "" || found.Plugin != "p" {
				t.Errorf("%+v was taken", found)
			}
		}
		for _, trouble := range report.Troubles {
			if trouble.Exception == "" || trouble.Part < -1 || trouble.Part > 1 {
				t.Errorf("%+v was taken", trouble)
			}
		}
	})
}
