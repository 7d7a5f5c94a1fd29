package conform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"

	"github.com/postern-mail/postern/core/plugincatalog"
	"github.com/postern-mail/postern/core/pluginpool"
	"github.com/postern-mail/postern/core/pluginprocess"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// handshake starts the plugin; what the other checks need of it is asked here too.
func handshake(ctx context.Context, s *suite) (string, error) {
	began := time.Now()
	process, err := s.start(ctx)
	if err != nil {
		return "", err
	}
	s.process, s.level = process, process.Level()
	return fmt.Sprintf("in %d ms", time.Since(began).Milliseconds()), nil
}

// describeTwice asks one process twice, and another one.
func describeTwice(ctx context.Context, s *suite) (string, error) {
	ask := func(p *pluginprocess.Process) (*pluginv1.DescribeResponse, error) {
		ctx, cancel := context.WithTimeout(ctx, s.plugin.Process.StartTimeout)
		defer cancel()
		d, err := pluginv1.NewPluginServiceClient(p.Conn()).Describe(ctx, &pluginv1.DescribeRequest{})
		return d, alive(p, err)
	}
	other, err := s.start(ctx)
	if err != nil {
		return "", err
	}
	defer other.Stop()
	var first *pluginv1.DescribeResponse
	for _, process := range []*pluginprocess.Process{s.process, s.process, other} {
		d, err := ask(process)
		if err != nil {
			return "", err
		}
		if first == nil {
			first = d
		}
		if !proto.Equal(first, d) {
			return "", fmt.Errorf("it describes itself otherwise the second time: first %v, then %v", first, d)
		}
	}
	if err := plugincatalog.Check(first); err != nil {
		return "", err
	}
	if !slices.Contains(first.GetApiMinor(), 0) {
		return "", fmt.Errorf("api_minor is %v; it has to name the minor versions it speaks, which are [0] so far", first.GetApiMinor())
	}
	s.description = first
	return first.GetName() + " " + first.GetVersion(), nil
}

// configure gives the shared process its configuration.
func configure(ctx context.Context, s *suite) (string, error) {
	if err := s.introduce(ctx, s.process); err != nil {
		return "", err
	}
	return fmt.Sprintf("with %d scan blocks", len(s.plugin.Configure.GetQueries())), nil
}

// health asks as the gateway does before it uses a process.
func health(ctx context.Context, s *suite) (string, error) {
	process, err := s.shared(ctx)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, s.plugin.Timeout)
	defer cancel()
	answer, err := grpc_health_v1.NewHealthClient(process.Conn()).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: "plugin"})
	if err != nil {
		return "", alive(process, err)
	}
	if answer.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		return "", fmt.Errorf("the service \"plugin\" is %s", answer.GetStatus())
	}
	return "", alive(process, pluginpool.SelfCheck(ctx, process.Conn(), s.description))
}

// badConfiguration gives processes of their own what fits the schema and makes no sense, and what no JSON is.
func badConfiguration(ctx context.Context, s *suite) (string, error) {
	odd, err := json.Marshal(nonsense(s.description.GetConfig()))
	if err != nil {
		return "", err
	}
	query, err := json.Marshal(nonsense(s.description.GetScan()))
	if err != nil {
		return "", err
	}
	told := 0
	for _, request := range []*pluginv1.ConfigureRequest{
		{ConfigJson: string(odd), Queries: s.plugin.Configure.GetQueries()},
		{ConfigJson: s.plugin.Configure.GetConfigJson(), Queries: []*pluginv1.Query{{Number: 1, ConfigJson: string(query)}}},
	} {
		diagnostics, err := s.refused(ctx, request)
		if err != nil {
			return "", fmt.Errorf("for %s with the scan blocks %v: %w", request.GetConfigJson(), request.GetQueries(), err)
		}
		told += len(diagnostics)
	}
	// What the core never sends must not end it either; how it answers is its own affair.
	if _, err := s.refused(ctx, &pluginv1.ConfigureRequest{ConfigJson: `{"a`}); err != nil && errors.Is(err, errEnded) {
		return "", fmt.Errorf("for what is no JSON: %w", err)
	}
	return fmt.Sprintf("%d diagnostics", told), nil
}

// errEnded says that the process did not outlive a call.
var errEnded = errors.New("the process ended")

// refused gives a process of its own a configuration and checks the diagnostics.
func (s *suite) refused(ctx context.Context, request *pluginv1.ConfigureRequest) ([]*pluginv1.Diagnostic, error) {
	process, err := s.start(ctx)
	if err != nil {
		return nil, err
	}
	defer process.Stop()
	request.Inbox = process.Inbox()
	ctx, cancel := context.WithTimeout(ctx, s.plugin.Process.StartTimeout)
	defer cancel()
	client := pluginv1.NewPluginServiceClient(process.Conn())
	answer, err := client.Configure(ctx, request)
	if err == nil || !hasEnded(process) {
		if _, asking := client.Describe(ctx, &pluginv1.DescribeRequest{}); asking != nil {
			return nil, fmt.Errorf("%w (%w): %w", errEnded, asking, err)
		}
	}
	if err != nil {
		return nil, alive(process, fmt.Errorf("an error instead of diagnostics: %w", err))
	}
	for _, d := range answer.GetDiagnostics() {
		if err := s.checkDiagnostic(d, request.GetQueries()); err != nil {
			return nil, err
		}
	}
	return answer.GetDiagnostics(), nil
}

// checkDiagnostic holds a diagnostic to what the core can show at a place of the policy.
func (s *suite) checkDiagnostic(d *pluginv1.Diagnostic, queries []*pluginv1.Query) error {
	path, schema := d.GetPath(), s.description.GetConfig()
	switch {
	case d.GetSummary() == "":
		return fmt.Errorf("the diagnostic at %q has no summary", path)
	case d.GetSeverity() != pluginv1.Severity_SEVERITY_ERROR && d.GetSeverity() != pluginv1.Severity_SEVERITY_WARNING:
		return fmt.Errorf("the diagnostic at %q has the unknown severity %d", path, d.GetSeverity())
	case len(path) > 0 && path[0] == "config":
		path = path[1:]
	case len(path) > 1 && path[0] == "scan":
		known := func(q *pluginv1.Query) bool { return strconv.Itoa(int(q.GetNumber())) == path[1] }
		if !slices.ContainsFunc(queries, known) {
			return fmt.Errorf("the diagnostic %q is about scan block %s, which was not sent", d.GetSummary(), path[1])
		}
		path, schema = path[2:], s.description.GetScan()
	default:
		return fmt.Errorf("the path %q of the diagnostic %q begins neither \"config\" nor \"scan\" and a number", path, d.GetSummary())
	}
	if len(path) == 0 {
		return nil
	}
	named := slices.ContainsFunc(schema.GetAttributes(), func(a *pluginv1.Attribute) bool { return a.GetName() == path[0] }) ||
		slices.ContainsFunc(schema.GetBlocks(), func(b *pluginv1.Block) bool { return b.GetName() == path[0] })
	if !named {
		return fmt.Errorf("the path of the diagnostic %q names %q, which is no attribute or block", d.GetSummary(), path[0])
	}
	return nil
}

// nonsense is what fits a schema and cannot be meant: files and servers that are not there, empty words, the same block twice.
func nonsense(schema *pluginv1.Schema) map[string]any {
	out := map[string]any{}
	for _, a := range schema.GetAttributes() {
		switch value := valueOf(a); {
		case a.GetType() == pluginv1.Type_TYPE_STRING && len(a.GetOneOf()) == 0:
			out[a.GetName()] = ""
		case a.GetType() == pluginv1.Type_TYPE_STRINGS && len(a.GetOneOf()) == 0:
			out[a.GetName()] = []string{"", "\u0000"}
		case a.GetType() == pluginv1.Type_TYPE_PATHS:
			out[a.GetName()] = []string{"/nonexistent/file"}
		default:
			out[a.GetName()] = value
		}
	}
	for _, b := range schema.GetBlocks() {
		inside := nonsense(b.GetBody())
		for _, label := range b.GetLabels() {
			inside[label] = ""
		}
		if out[b.GetName()] = inside; b.GetRepeated() {
			out[b.GetName()] = []any{inside, inside}
		}
	}
	return out
}

// goneWithin is the grace that the gateway gives a process before it kills it.
const goneWithin = 2 * time.Second

// hostGone closes standard input as the end of the host does, while nothing is asked.
func hostGone(ctx context.Context, s *suite) (string, error) {
	process, err := s.configured(ctx)
	if err != nil {
		return "", err
	}
	defer process.Stop()
	began := time.Now()
	if !process.HangUp(goneWithin) {
		return "", fmt.Errorf("it still runs %s after its standard input ended", goneWithin)
	}
	return fmt.Sprintf("ended after %d ms", time.Since(began).Milliseconds()), nil
}

// stdout looks at what was written in all checks before.
func stdout(_ context.Context, s *suite) (string, error) {
	if lines := s.written.standardOutput(); len(lines) > 0 {
		return "", fmt.Errorf("%d lines behind the handshake, the first is %s", len(lines), lines[0])
	}
	return "", nil
}
