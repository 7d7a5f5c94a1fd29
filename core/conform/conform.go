// Package conform holds a real plugin, in whatever language, to the contract: an executable with its configuration goes in, a row for each
// check comes out, with what to do where one failed. The plugin runs as the gateway would run it, in its sandbox.
package conform

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/postern-mail/postern/core/plugincatalog"
	"github.com/postern-mail/postern/core/pluginprocess"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// Plugin is what is held to the contract.
type Plugin struct {
	// Process says what to run; its log is taken over, to see what the plugin writes.
	Process pluginprocess.Spec
	// Configure is the configuration that it has to accept, without the inbox.
	Configure *pluginv1.ConfigureRequest
	// Timeout is how long one call may take.
	Timeout time.Duration
	// Scratch is an empty folder on the file system of Process.RunDir, so that bodies can be handed over as files.
	Scratch string
}

// Outcome of a check.
type Outcome string

// The outcomes.
const (
	Passed        Outcome = "passed"
	Failed        Outcome = "failed"
	NotApplicable Outcome = "not applicable"
)

// Row is one check with its outcome.
type Row struct {
	Check   string        `json:"check"`
	Outcome Outcome       `json:"outcome"`
	Detail  string        `json:"detail,omitempty"` // what was seen
	Do      string        `json:"do,omitempty"`     // what to do about it
	Took    time.Duration `json:"took_ns"`
}

// Report is the outcome of all checks.
type Report struct {
	Plugin  string   `json:"plugin"`
	Version string   `json:"version"`
	Roles   []string `json:"roles"`
	Sandbox []string `json:"sandbox"`
	Rows    []Row    `json:"rows"`
}

// Conforms reports whether no check failed.
func (r *Report) Conforms() bool {
	for _, row := range r.Rows {
		if row.Outcome == Failed {
			return false
		}
	}
	return true
}

// check is one demand of the contract.
type check struct {
	name string
	do   string // what to do where it fails
	// ends says that nothing else can be checked where it fails.
	ends bool
	run  func(ctx context.Context, s *suite) (detail string, err error)
}

// errNotApplicable says why a check has nothing to check.
var errNotApplicable = errors.New("not applicable")

func notApplicable(why string) error { return fmt.Errorf("%w: %s", errNotApplicable, why) }

func checks() []check {
	return []check{
		{"handshake", "Print \"1|1|unix|PATH|grpc\" as the first line, once the socket in PLUGIN_UNIX_SOCKET_DIR listens, and serve gRPC on it.", true, handshake},
		{"describe", "Describe must answer the same every time, from the source alone, with a valid name, known roles and valid schemas.", true, describeTwice},
		{"configure", "The configuration fits the schema: accept it, or give --with a file whose plugin block and rules it accepts.", true, configure},
		{"health", "Serve grpc.health.v1.Health and answer SERVING for the service \"plugin\"; a scanner answers an opening with nothing in it by an empty report.",
			false, health},
		{"bad_configuration", "Answer what is wrong with a configuration as diagnostics, whose path begins \"config\", or \"scan\" and the query's number; never end.",
			false, badConfiguration},
		{"calls", "Answer each call with its own name (`call`), and only with queries, parts, kinds and certainties that exist.", true, calls},
		{"broken_calls", "A stream without an opening, or with chunks before it, gets an error; the plugin goes on.", false, brokenCalls},
		{"cancel", "A call that is cancelled, or whose deadline passes, ends at once and leaves nothing behind; the plugin goes on.", false, cancelled},
		{"body_file", "Read bodies of the transfer FILE from their path. They may be larger than the memory.", false, bodyByFile},
		{"body_chunks", "Take bodies of the transfer CHUNKS from the frames behind the opening, 64 KiB each; accept messages of up to 1 MiB.", false, bodyInChunks},
		{"concurrent", "Answer calls concurrently; no state of one may reach another.", false, concurrent},
		{"drain", "Drain returns when the calls under way are answered, and not before.", false, drain},
		{"files", "Write below TMPDIR only, and remove what is written for a call when it ends.", false, files},
		{"stdout", "Write the handshake to standard output and nothing else: logs go to standard error.", false, stdout},
		{"host_gone", "Read standard input, and exit when it ends: the host has gone.", false, hostGone},
	}
}

// Run makes all checks. An error is about the checking; what is wrong with the plugin stands in the rows.
func Run(ctx context.Context, p Plugin) (*Report, error) {
	s := &suite{plugin: p, written: &written{}}
	s.plugin.Process.Log = s.written.logger()
	image, err := pluginprocess.Seal(p.Process.Executable, p.Process.Digest)
	if err != nil {
		return nil, fmt.Errorf("check conformance: %w", err)
	}
	defer image.Close()
	s.plugin.Process.Image = image
	defer s.stop()
	defer s.samples.release()
	if err := s.makeSample(ctx, &s.samples.small, smallBody); err != nil {
		return nil, fmt.Errorf("check conformance: %w", err)
	}
	report := &Report{}
	ended := ""
	for _, c := range checks() {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("check conformance: %w", err)
		}
		report.Rows = append(report.Rows, s.check(ctx, c, ended))
		if c.ends && ended == "" && report.Rows[len(report.Rows)-1].Outcome == Failed {
			ended = c.name
		}
	}
	if d := s.description; d != nil {
		report.Plugin, report.Version = d.GetName(), d.GetVersion()
		for _, role := range d.GetRoles() {
			report.Roles = append(report.Roles, strings.ToLower(strings.TrimPrefix(role.String(), "ROLE_")))
		}
	}
	report.Sandbox = s.level.Guards()
	return report, nil
}

// patience is how long a check may take at most, above what its calls may.
const patience = 30 * time.Second

func (s *suite) check(ctx context.Context, c check, ended string) Row {
	if ended != "" {
		return Row{Check: c.name, Outcome: NotApplicable, Detail: "the check " + ended + " failed"}
	}
	ctx, cancel := context.WithTimeout(ctx, patience+s.plugin.Timeout)
	defer cancel()
	began := time.Now()
	detail, err := c.run(ctx, s)
	row := Row{Check: c.name, Outcome: Passed, Detail: detail, Took: time.Since(began)}
	switch {
	case errors.Is(err, errNotApplicable):
		row.Outcome, row.Detail = NotApplicable, err.Error()[len(errNotApplicable.Error())+2:]
	case err != nil:
		row.Outcome, row.Detail, row.Do = Failed, err.Error(), c.do
	}
	return row
}

// suite is one run.
type suite struct {
	plugin      Plugin
	description *pluginv1.DescribeResponse
	process     *pluginprocess.Process // configured; shared by the checks that leave it as it was
	level       pluginprocess.Level
	written     *written
	samples     samples
}

func (s *suite) stop() {
	if s.process != nil {
		s.process.Stop()
		s.process = nil
	}
}

func (s *suite) has(role pluginv1.Role) bool {
	return plugincatalog.Entry{Description: s.description}.HasRole(role)
}

// start starts one more process.
func (s *suite) start(ctx context.Context) (*pluginprocess.Process, error) {
	ctx, cancel := context.WithTimeout(ctx, s.plugin.Process.StartTimeout)
	defer cancel()
	return pluginprocess.Start(ctx, s.plugin.Process)
}

// configured starts one more process and gives it the configuration that it has to accept.
func (s *suite) configured(ctx context.Context) (*pluginprocess.Process, error) {
	process, err := s.start(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.introduce(ctx, process); err != nil {
		process.Stop()
		return nil, err
	}
	return process, nil
}

func (s *suite) introduce(ctx context.Context, process *pluginprocess.Process) error {
	request := proto.CloneOf(s.plugin.Configure)
	request.Inbox = process.Inbox()
	ctx, cancel := context.WithTimeout(ctx, s.plugin.Process.StartTimeout)
	defer cancel()
	response, err := pluginv1.NewPluginServiceClient(process.Conn()).Configure(ctx, request)
	if err != nil {
		return alive(process, fmt.Errorf("configure: %w", err))
	}
	for _, d := range response.GetDiagnostics() {
		if d.GetSeverity() != pluginv1.Severity_SEVERITY_WARNING {
			return fmt.Errorf("at %q: %s: %s", d.GetPath(), d.GetSummary(), d.GetDetail())
		}
	}
	return nil
}

// shared is the process that checks share, started anew where one of them ended it.
func (s *suite) shared(ctx context.Context) (*pluginprocess.Process, error) {
	if s.process != nil && !hasEnded(s.process) {
		return s.process, nil
	}
	s.stop()
	process, err := s.configured(ctx)
	if err != nil {
		return nil, err
	}
	s.process = process
	return process, nil
}

func hasEnded(p *pluginprocess.Process) bool {
	select {
	case <-p.Exited():
		return true
	default:
		return false
	}
}

// deathPatience is how long the end of a process is waited for when its connection broke.
const deathPatience = 500 * time.Millisecond

// alive adds to the error of a call that the process ended, where it did.
func alive(p *pluginprocess.Process, err error) error {
	if err == nil {
		return nil
	}
	select {
	case <-p.Exited():
		return fmt.Errorf("the process ended (%s): %w", p.ExitStatus(), err)
	case <-time.After(deathPatience):
		return err
	}
}
