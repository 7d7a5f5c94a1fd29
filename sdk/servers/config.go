package servers

import (
	"context"
	"time"

	"github.com/postern-mail/postern/sdk/analyzer"
	"github.com/postern-mail/postern/sdk/schema"
	"github.com/postern-mail/postern/sdk/serve"
)

// Config is what the block of every server has, besides how it is reached and what it is shown.
type Config struct {
	Preference  float64 `json:"preference"`
	Enabled     bool    `json:"enabled"`
	CAFile      string  `json:"ca_file"`
	Fingerprint string  `json:"fingerprint"`
	Insecure    bool    `json:"insecure"`
}

// Attributes are those of Config.
func Attributes() []schema.Attribute {
	return []schema.Attribute{
		{Name: "preference", Summary: "lower is used first; equal ones share", Type: schema.Number, Default: 10},
		{Name: "enabled", Summary: "whether it is given samples", Type: schema.Bool, Default: true},
		{Name: "ca_file", Summary: "PEM file of the authorities its certificate is checked by", Type: schema.Path},
		{Name: "fingerprint", Summary: "SHA-256 of its certificate, which is then the one that is accepted", Type: schema.String},
		{Name: "insecure", Summary: "whether any certificate is accepted", Type: schema.Bool, Default: false},
	}
}

// Client makes the client for the server of a block, which path leads to; nil where a problem keeps it from being made.
func (c Config) Client(path ...string) (client *Client, problems []serve.Problem) {
	problem := func(attribute, summary, detail string, warning bool) {
		problems = append(problems, serve.Problem{
			Path: append(path[:len(path):len(path)], attribute), Summary: summary, Detail: detail, Warning: warning,
		})
	}
	if c.Insecure {
		problem("insecure", "The server's certificate is not checked",
			"Whoever answers at this address is given samples and can call them harmless. Better give ca_file or fingerprint.", true)
	}
	client, err := NewClient(Identity{CAFile: c.CAFile, Fingerprint: c.Fingerprint, Insecure: c.Insecure})
	if err != nil {
		attribute := "fingerprint"
		if c.Fingerprint == "" {
			attribute = "ca_file"
		}
		problem(attribute, "No way to know the server", err.Error()+".", false)
		return nil, problems
	}
	return client, problems
}

// InTime gives every call of an analyzer a little less time than it has, so that its outcome is told and not cut off.
func InTime(a analyzer.Analyzer) analyzer.Analyzer { return inTime{a} }

type inTime struct{ analyzer analyzer.Analyzer }

func (t inTime) Choose(ctx context.Context, exclude []string) (string, error) {
	ctx, cancel := within(ctx)
	defer cancel()
	return t.analyzer.Choose(ctx, exclude)
}

func (t inTime) Submit(ctx context.Context, sample *analyzer.Sample) (*analyzer.Receipt, error) {
	ctx, cancel := within(ctx)
	defer cancel()
	return t.analyzer.Submit(ctx, sample)
}

func (t inTime) Results(ctx context.Context, submissions []analyzer.Submission) ([]analyzer.Result, error) {
	ctx, cancel := within(ctx)
	defer cancel()
	return t.analyzer.Results(ctx, submissions)
}

// answerIn is what is left of a call's time for telling what became of it, or a quarter of a short one.
const answerIn = time.Second

func within(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, bounded := ctx.Deadline()
	if !bounded {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-min(answerIn, time.Until(deadline)/4)))
}
