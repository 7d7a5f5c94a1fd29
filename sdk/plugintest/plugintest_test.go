package plugintest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/sdk/action"
	"github.com/postern-mail/postern/sdk/scanner"
	"github.com/postern-mail/postern/sdk/schema"
	"github.com/postern-mail/postern/sdk/serve"
)

// probe tells in its findings what it was shown.
type probe struct {
	query struct {
		Word  string        `summary:"a word" default:"x"`
		Most  int           `summary:"a number" min:"1" max:"9"`
		Wait  time.Duration `summary:"a time" default:"2s"`
		Kinds []string      `summary:"kinds" one_of:"a,b"`
	}
	fails error
}

func (p *probe) configure(_ context.Context, c *serve.Configuration) (*serve.Configured, error) {
	return nil, c.Queries[0].Decode(&p.query)
}

func (p *probe) Scan(ctx context.Context, m *scanner.Message) (*scanner.Report, error) {
	serve.Log(ctx).Info("looking")
	var sum int
	for i := range m.Parts {
		if m.Parts[i].Body == nil {
			continue
		}
		content, err := m.Parts[i].Body.Bytes()
		if err != nil {
			return nil, err
		}
		sum += len(content)
	}
	seen := fmt.Sprintf("from %q, %d fields, %d parts, %d bytes, %d links, spf %q, word %s, most %d, wait %s", m.Envelope.From, len(m.Header), len(m.Parts),
		sum, len(m.URLs), m.Auth.SPF, p.query.Word, p.query.Most, p.query.Wait)
	return &scanner.Report{Findings: []scanner.Finding{{Query: 1, Kind: "seen", Certainty: scanner.Sure, Name: seen, Part: -1}}}, p.fails
}

func (p *probe) Perform(_ context.Context, r *action.Request) ([]action.Change, error) {
	var config struct{ Text string }
	if err := r.Decode(&config); err != nil {
		return nil, err
	}
	return []action.Change{action.SetHeader{Name: "X-Text", Value: config.Text}, action.RemovePart{Part: r.Matching[0]}}, nil
}

func (p *probe) plugin(in scanner.Inputs) serve.Plugin {
	return serve.Plugin{
		Name: "probe", Version: "1.0.0", Scan: schema.Of(p.query), Configure: p.configure, Scanner: p, Inputs: in, Performer: p,
		Actions: []action.Description{{Name: "mark", Effect: action.Edit, Config: schema.Of(struct {
			Text string `required:"true"`
		}{})}},
	}
}

// TestTheScannerSeesWhatItDeclared: each input by itself, and bodies of every size.
func TestTheScannerSeesWhatItDeclared(t *testing.T) {
	const nothing = `from "", 0 fields, 0 parts, 0 bytes, 0 links, spf "", word x, most 0, wait 2s`
	large := Mail(t, "testdata/mail.eml")
	large.Parts = append(large.Parts, Attachment("large.bin", bytes.Repeat([]byte("x"), 3<<20)))
	tests := map[string]struct {
		in        scanner.Inputs
		not, want string // in the place of what
	}{
		"nothing":     {scanner.Inputs{}, "", ""},
		"envelope":    {scanner.Inputs{Envelope: true}, `from ""`, `from "alice@outside.example"`},
		"header":      {scanner.Inputs{Header: true}, "0 fields", "6 fields"},
		"parts":       {scanner.Inputs{Parts: true}, "0 parts", "4 parts"},
		"attachments": {scanner.Inputs{Bodies: scanner.AttachmentBodies}, "0 parts, 0 bytes", "4 parts, 3145733 bytes"},
		"bodies":      {scanner.Inputs{Bodies: scanner.AllBodies}, "0 parts, 0 bytes", "4 parts, 3145795 bytes"},
		"beginnings":  {scanner.Inputs{Bodies: scanner.AttachmentBodies, MaxBodyBytes: 3}, "0 parts, 0 bytes", "4 parts, 6 bytes"},
		"links":       {scanner.Inputs{URLs: true}, "0 links", "1 links"},
		"auth":        {scanner.Inputs{Auth: true}, `spf ""`, `spf "none"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			want := strings.Replace(nothing, test.not, test.want, 1)
			report := Start(t, new(probe).plugin(test.in), Setup{}).Scan(large)
			if got := report.Findings[0].Name; got != want {
				t.Errorf("it saw %s, want %s", got, want)
			}
		})
	}
}

func TestItIsNotCalledForWhatItDoesNotNeed(t *testing.T) {
	r := Start(t, new(probe).plugin(scanner.Inputs{NeedsAny: []scanner.Need{scanner.NeedAttachment}}), Setup{})
	if report := r.Scan(Message{Parts: []Part{Text("x")}}); report != nil {
		t.Errorf("it was called: %+v", report)
	}
	if report := r.Scan(Message{Parts: []Part{Attachment("x", nil)}}); report == nil {
		t.Error("it was not called")
	}
}

func TestAFailedServerIsATrouble(t *testing.T) {
	down := &probe{fails: scanner.Downstream(errors.New("no answer"))}
	report := Start(t, down.plugin(scanner.Inputs{}), Setup{}).Scan(Message{})
	if len(report.Findings) != 0 || len(report.Troubles) != 1 || report.Troubles[0].Kind != scanner.TroubleDownstream || report.Troubles[0].Detail != "no answer" {
		t.Errorf("%+v", report)
	}
	broken := &probe{fails: errors.New("broken")}
	if _, err := Start(t, broken.plugin(scanner.Inputs{}), Setup{}).TryScan(Message{}); err == nil {
		t.Error("an error of the plugin's own is an error of the call")
	}
}

func TestPerform(t *testing.T) {
	r := Start(t, new(probe).plugin(scanner.Inputs{}), Setup{})
	changes := r.Perform("mark", map[string]any{"text": "hello"}, Message{Parts: []Part{Attachment("x", nil)}}, 0)
	if want := []action.Change{action.SetHeader{Name: "X-Text", Value: "hello"}, action.RemovePart{Part: 0}}; !slices.Equal(changes, want) {
		t.Errorf("%+v", changes)
	}
}

// TestFit: values that the core would refuse are refused here, so that no test passes with a configuration that no operator can write.
func TestFit(t *testing.T) {
	body := schema.Of(new(probe).query)
	body.Blocks = []schema.Block{{Name: "server", Labels: []string{"host"}, Repeated: true}}
	for text, values := range map[string]map[string]any{
		`{"wait":2,"word":"x"}`:                         nil,
		`{"most":9,"wait":90,"word":""}`:                {"most": 9, "wait": "1m30s", "word": ""},
		`{"server":[{"host":"h"}],"wait":2,"word":"x"}`: {"server": []map[string]any{{"host": "h"}}},
		"": {"other": 1}, " ": {"most": 10}, "  ": {"most": "2"}, "   ": {"wait": 2}, "    ": {"kinds": []string{"c"}}, "     ": {"word": 1},
		"      ": {"server": []map[string]any{{}}},
	} {
		got, err := fit(body, values)
		if refused := strings.TrimSpace(text) == ""; refused != (err != nil) || !refused && got != text {
			t.Errorf("%v: %s, %v", values, got, err)
		}
	}
}

func TestAValueThatDoesNotFitIsAProblemAtItsPlace(t *testing.T) {
	problems := Problems(t, new(probe).plugin(scanner.Inputs{}), Setup{Queries: []map[string]any{{"most": 1.5}}})
	if len(problems) != 1 || !slices.Equal(problems[0].Path, []string{"scan", "1", "most"}) {
		t.Errorf("%+v", problems)
	}
}
