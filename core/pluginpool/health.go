package pluginpool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

const (
	defaultBeat = 5 * time.Second
	missedBeats = 3 // in a row: the instance hangs
)

// healthService is the name that go-plugin gives the plugin in the gRPC health service.
const healthService = "plugin"

// ErrSelfCheck says that a plugin started and configured itself but does not do its work.
var ErrSelfCheck = errors.New("the self-check failed")

// checkCall is the name of the call that a scanner is checked with.
const checkCall = "self-check"

// SelfCheck asks the plugin whether it serves, and a scanner for a report on nothing at all.
func SelfCheck(ctx context.Context, conn grpc.ClientConnInterface, d *pluginv1.DescribeResponse) error {
	health, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: healthService})
	if err != nil {
		return fmt.Errorf("%w: ask for its health: %w", ErrSelfCheck, err)
	}
	if health.GetStatus() == grpc_health_v1.HealthCheckResponse_NOT_SERVING {
		return fmt.Errorf("%w: it says that it does not serve", ErrSelfCheck)
	}
	scans := false
	for _, role := range d.GetRoles() {
		scans = scans || role == pluginv1.Role_ROLE_SCANNER
	}
	if !scans {
		return nil
	}
	stream, err := pluginv1.NewScannerServiceClient(conn).Scan(ctx)
	if err != nil {
		return fmt.Errorf("%w: scan: %w", ErrSelfCheck, err)
	}
	opening := &pluginv1.ScanRequest_Opening{Opening: &pluginv1.ScanOpening{Call: checkCall}}
	if err := stream.Send(&pluginv1.ScanRequest{Frame: opening}); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: scan: %w", ErrSelfCheck, err)
	}
	answer, err := stream.CloseAndRecv()
	switch {
	case err != nil:
		return fmt.Errorf("%w: scan: %w", ErrSelfCheck, err)
	case answer.GetCall() != checkCall || len(answer.GetFindings()) > 0:
		return fmt.Errorf("%w: scan: the answer does not fit an empty message", ErrSelfCheck)
	}
	return nil
}

// watchOver begins to listen to the instance's health.
func (p *Pool) watchOver(s *slot) {
	i := s.instance
	ctx, stop := context.WithCancel(context.Background())
	i.stop, i.events = stop, s.events
	i.watch.Go(func() { p.listen(ctx, i) })
	i.watch.Go(func() { p.beat(ctx, i) })
}

// listen follows the stream on which the plugin says how it is. A plugin that has none is asked by beats alone.
func (p *Pool) listen(ctx context.Context, i *instance) {
	stream, err := grpc_health_v1.NewHealthClient(i.process.Conn()).Watch(ctx, &grpc_health_v1.HealthCheckRequest{Service: healthService})
	for err == nil {
		var health *grpc_health_v1.HealthCheckResponse
		if health, err = stream.Recv(); err == nil {
			i.say(map[bool]Event{true: SaysReady, false: SaysDegraded}[health.GetStatus() == grpc_health_v1.HealthCheckResponse_SERVING])
		}
	}
}

// beat asks now and then whether the plugin lives, and looks at its memory. A process that is stopped, or whose threads all hang, answers
// nothing and keeps its connection. One that has more memory than it may is ended: where the system has no cgroup for it, its own limit comes
// late.
func (p *Pool) beat(ctx context.Context, i *instance) {
	every := p.spec.Beat
	if every == 0 {
		every = defaultBeat
	}
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	client := grpc_health_v1.NewHealthClient(i.process.Conn())
	for missed := 0; missed < missedBeats; {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		if has, most := i.process.Memory(), p.spec.Process.Memory; most > 0 && has > most {
			p.log.Error("plugin process has more memory than it may", "pid", i.process.Pid(), "bytes", has, "limit", most)
			break
		}
		asking, cancel := context.WithTimeout(ctx, every)
		_, err := client.Check(asking, &grpc_health_v1.HealthCheckRequest{Service: healthService})
		cancel()
		if missed++; err == nil || status.Code(err) == codes.Unimplemented {
			missed = 0
		}
	}
	i.say(Wedged)
}
