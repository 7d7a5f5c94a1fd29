// Package serve makes a process a Postern plugin: what the plugin is and does goes in, and Main serves it until the host goes away.
package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/postern-mail/postern/sdk/action"
	"github.com/postern-mail/postern/sdk/analyzer"
	"github.com/postern-mail/postern/sdk/objects"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
	"github.com/postern-mail/postern/sdk/scanner"
	"github.com/postern-mail/postern/sdk/schema"
	"github.com/postern-mail/postern/sdk/unpacker"
)

// Plugin is what a plugin is. A role is served where its field is set.
type Plugin struct {
	Name    string // [a-z][a-z0-9_-]*
	Version string // semantic version
	Summary string // one sentence
	Config  schema.Body

	// Configure gets the checked configuration once, before any work. It returns what is wrong as problems; an error is for
	// what is not the operator's doing. An answer of nil is a configuration without problems. Configure itself may be nil.
	Configure func(ctx context.Context, configuration *Configuration) (*Configured, error)

	Scanner scanner.Scanner
	Scan    schema.Body // of `scan NAME`
	Inputs  scanner.Inputs

	Actions   []action.Description
	Performer action.Performer // needed where an action has the effect Edit

	Unpacker   unpacker.Unpacker
	Containers []string // media types and ".ext" that Unpack takes

	Analyzer analyzer.Analyzer
	Objects  objects.Source
}

// Configuration is what the operator wrote for this plugin.
type Configuration struct {
	Config  json.RawMessage
	Queries []Query
	// Log goes to the host's diagnostics.
	Log hclog.Logger
}

// Decode fills a struct with the configuration, by the names that schema.Of gives its fields. What does not fit is a problem at its
// place in the policy where Configure returns the error.
func (c *Configuration) Decode(into any) error { return decode(c.Config, into, "config") }

// Query is one distinct scan block.
type Query struct {
	Number int
	Config json.RawMessage
}

// Decode is Configuration.Decode for a scan block.
func (q *Query) Decode(into any) error { return decode(q.Config, into, "scan", strconv.Itoa(q.Number)) }

func decode(text json.RawMessage, into any, path ...string) error {
	err := schema.Decode(text, into)
	var wrong *schema.ValueError
	if errors.As(err, &wrong) {
		wrong.Path = append(path, wrong.Path...)
	}
	return err
}

// Configured is the answer to a configuration.
type Configured struct {
	Problems []Problem
	// Signatures is the version of the data the plugin works with, for the log.
	Signatures string
}

// Problem is one thing wrong with the configuration.
type Problem struct {
	// Path leads to the attribute: "config", "server", "192.0.2.1", "port"; or "scan", "3", "names".
	Path    []string
	Summary string
	Detail  string
	Warning bool
}

// handshake is checked by go-plugin on both sides.
func handshake() goplugin.HandshakeConfig {
	return goplugin.HandshakeConfig{
		ProtocolVersion: pluginv1.ProtocolVersion, MagicCookieKey: pluginv1.CookieKey, MagicCookieValue: pluginv1.CookieValue,
	}
}

// gcPercent lets the heap grow more between collections than Go does by itself: what lives is small, and calls bring bodies along.
const gcPercent = 400

// Main serves the plugin and does not return before the host has gone or told it to stop.
func Main(plugin Plugin) {
	log := hclog.New(&hclog.LoggerOptions{Name: plugin.Name, Level: hclog.Debug, Output: os.Stderr, JSONFormat: true})
	if os.Getenv(pluginv1.CookieKey) != pluginv1.CookieValue {
		fmt.Fprintf(os.Stderr, "%s %s is a Postern plugin: name it in a plugin block of the gateway's policy.\n",
			plugin.Name, plugin.Version)
		os.Exit(2)
	}
	debug.SetGCPercent(gcPercent)
	go exitWithHost()
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: handshake(),
		Plugins:         goplugin.PluginSet{"postern": &bridge{plugin: plugin, log: log}},
		Logger:          hclog.NewNullLogger(),
		GRPCServer: func(options []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(options,
				grpc.MaxRecvMsgSize(pluginv1.MaxMessage), grpc.MaxSendMsgSize(pluginv1.MaxMessage),
				grpc.InitialWindowSize(pluginv1.StreamWindow), grpc.InitialConnWindowSize(pluginv1.ConnectionWindow),
				// Calls are short: a goroutine whose stack has grown already is worth keeping.
				grpc.NumStreamWorkers(uint32(runtime.GOMAXPROCS(0))))...)
		},
	})
}

// exitWithHost ends the process when the host does, however it ended: the host holds the other end of standard input and never
// writes to it.
func exitWithHost() {
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// Register adds the plugin's services to a gRPC server; Main does it for a process, plugintest in memory.
func Register(server *grpc.Server, plugin Plugin, log hclog.Logger) {
	base := &pluginService{plugin: plugin, log: log}
	pluginv1.RegisterPluginServiceServer(server, base)
	if plugin.Scanner != nil {
		pluginv1.RegisterScannerServiceServer(server, &scannerService{base: base})
	}
	if plugin.Performer != nil {
		pluginv1.RegisterActionServiceServer(server, &actionService{base: base})
	}
	if plugin.Unpacker != nil {
		pluginv1.RegisterUnpackerServiceServer(server, &unpackerService{base: base})
	}
	if plugin.Analyzer != nil {
		pluginv1.RegisterAnalyzerServiceServer(server, &analyzerService{base: base})
	}
	if plugin.Objects != nil {
		pluginv1.RegisterObjectsServiceServer(server, &objectsService{base: base})
	}
}

// bridge is go-plugin's view of the plugin.
type bridge struct {
	goplugin.NetRPCUnsupportedPlugin
	plugin Plugin
	log    hclog.Logger
}

func (b *bridge) GRPCServer(_ *goplugin.GRPCBroker, server *grpc.Server) error {
	Register(server, b.plugin, b.log)
	return nil
}

// GRPCClient is the host's side, which does not use this type.
func (b *bridge) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, fmt.Errorf("a plugin is not a host")
}

// pluginService answers what every plugin answers, and counts the work under way for Drain.
type pluginService struct {
	pluginv1.UnimplementedPluginServiceServer
	plugin Plugin
	log    hclog.Logger
	work   sync.WaitGroup
}

func (s *pluginService) Describe(context.Context, *pluginv1.DescribeRequest) (*pluginv1.DescribeResponse, error) {
	return Describe(s.plugin), nil
}

func (s *pluginService) Configure(ctx context.Context, request *pluginv1.ConfigureRequest) (*pluginv1.ConfigureResponse, error) {
	if s.plugin.Configure == nil {
		return &pluginv1.ConfigureResponse{}, nil
	}
	configuration := &Configuration{Config: json.RawMessage(request.GetConfigJson()), Log: s.log}
	for _, q := range request.GetQueries() {
		configuration.Queries = append(configuration.Queries,
			Query{Number: int(q.GetNumber()), Config: json.RawMessage(q.GetConfigJson())})
	}
	configured, err := s.plugin.Configure(ctx, configuration)
	var wrong *schema.ValueError
	switch {
	case errors.As(err, &wrong):
		configured = &Configured{Problems: []Problem{{Path: wrong.Path, Summary: "Unsuitable value", Detail: wrong.Err.Error()}}}
	case err != nil:
		return nil, fmt.Errorf("configure %s: %w", s.plugin.Name, err)
	case configured == nil:
		configured = &Configured{}
	}
	response := &pluginv1.ConfigureResponse{Signatures: configured.Signatures}
	for _, p := range configured.Problems {
		severity := pluginv1.Severity_SEVERITY_ERROR
		if p.Warning {
			severity = pluginv1.Severity_SEVERITY_WARNING
		}
		response.Diagnostics = append(response.Diagnostics,
			&pluginv1.Diagnostic{Severity: severity, Path: p.Path, Summary: p.Summary, Detail: p.Detail})
	}
	return response, nil
}

// Drain waits for the calls under way. The host sends no new ones before it asks.
func (s *pluginService) Drain(ctx context.Context, _ *pluginv1.DrainRequest) (*pluginv1.DrainResponse, error) {
	done := make(chan struct{})
	go func() {
		s.work.Wait()
		close(done)
	}()
	select {
	case <-done:
		return &pluginv1.DrainResponse{}, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("drain %s: %w", s.plugin.Name, ctx.Err())
	}
}
