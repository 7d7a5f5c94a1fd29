// Package plugintest runs a plugin in the memory of its own test: a serve.Plugin, a configuration and messages go in, reports come out. The
// calls go through gRPC and show the plugin what it declared and nothing more, as the gateway does. What only a process can get wrong is for
// `postern plugin conform`.
package plugintest

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
	"github.com/postern-mail/postern/sdk/serve"
)

// Setup is what an operator would write, by the names of the attributes. Durations are written as in a policy ("20s").
type Setup struct {
	// Config is the inside of `plugin NAME { config { ... } }`.
	Config map[string]any
	// Queries are the scan blocks, numbered from 1. Nil: for a scanner one without attributes.
	Queries []map[string]any
}

// Runner holds a configured plugin.
type Runner struct {
	t       testing.TB
	plugin  serve.Plugin
	conn    *grpc.ClientConn
	queries []uint32
	calls   int
	// Timeout is how long one call may take.
	Timeout time.Duration
}

const patience = 20 * time.Second

// Start serves the plugin and configures it. The test fails at once where the configuration has problems; warnings are logged.
func Start(t testing.TB, plugin serve.Plugin, setup Setup) *Runner {
	t.Helper()
	r, problems := start(t, plugin, setup)
	for _, p := range problems {
		if !p.Warning {
			t.Fatalf("configure %s: at %s: %s: %s", plugin.Name, strings.Join(p.Path, "."), p.Summary, p.Detail)
		}
		t.Logf("configure %s warns: at %s: %s: %s", plugin.Name, strings.Join(p.Path, "."), p.Summary, p.Detail)
	}
	return r
}

// Problems are what the plugin finds wrong with a configuration that fits its schema.
func Problems(t testing.TB, plugin serve.Plugin, setup Setup) []serve.Problem {
	t.Helper()
	_, problems := start(t, plugin, setup)
	return problems
}

func start(t testing.TB, plugin serve.Plugin, setup Setup) (*Runner, []serve.Problem) {
	t.Helper()
	listener := bufconn.Listen(pluginv1.MaxMessage)
	server := grpc.NewServer(grpc.MaxRecvMsgSize(pluginv1.MaxMessage), grpc.MaxSendMsgSize(pluginv1.MaxMessage))
	log := hclog.New(&hclog.LoggerOptions{Name: plugin.Name, Level: hclog.Debug, Output: t.Output(), DisableTime: true})
	serve.Register(server, plugin, log)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:plugin", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(pluginv1.MaxMessage), grpc.MaxCallSendMsgSize(pluginv1.MaxMessage)))
	if err != nil {
		t.Fatalf("start %s: %v", plugin.Name, err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Errorf("stop %s: %v", plugin.Name, err)
		}
		server.GracefulStop()
		if err := <-served; err != nil {
			t.Errorf("stop %s: %v", plugin.Name, err)
		}
	})
	r := &Runner{t: t, plugin: plugin, conn: conn, Timeout: patience}
	return r, r.configure(setup)
}

// configure checks the values as the core would, and hands them over.
func (r *Runner) configure(setup Setup) (problems []serve.Problem) {
	r.t.Helper()
	request := &pluginv1.ConfigureRequest{Inbox: r.t.TempDir()}
	var err error
	if request.ConfigJson, err = fit(r.plugin.Config, setup.Config); err != nil {
		r.t.Fatalf("configure %s: config: %v", r.plugin.Name, err)
	}
	if setup.Queries == nil && r.plugin.Scanner != nil {
		setup.Queries = []map[string]any{{}}
	}
	for i, query := range setup.Queries {
		text, err := fit(r.plugin.Scan, query)
		if err != nil {
			r.t.Fatalf("configure %s: scan block %d: %v", r.plugin.Name, i+1, err)
		}
		request.Queries = append(request.Queries, &pluginv1.Query{Number: uint32(i + 1), ConfigJson: text})
		r.queries = append(r.queries, uint32(i+1))
	}
	ctx, cancel := r.context()
	defer cancel()
	response, err := pluginv1.NewPluginServiceClient(r.conn).Configure(ctx, request)
	if err != nil {
		r.t.Fatalf("configure %s: %v", r.plugin.Name, err)
	}
	for _, d := range response.GetDiagnostics() {
		problems = append(problems, serve.Problem{
			Path: d.GetPath(), Summary: d.GetSummary(), Detail: d.GetDetail(), Warning: d.GetSeverity() == pluginv1.Severity_SEVERITY_WARNING,
		})
	}
	return problems
}

func (r *Runner) context() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), r.Timeout)
}

// name is that of the next call.
func (r *Runner) name() string {
	r.calls++
	return fmt.Sprintf("call-%d", r.calls)
}
