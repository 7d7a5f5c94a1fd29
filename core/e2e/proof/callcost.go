package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/postern-mail/postern/core/pluginpool"
	"github.com/postern-mail/postern/core/pluginprocess"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// bareServer as the first argument makes this program the server to compare with.
const bareServer = "bare-server"

const (
	costCalls  = 2000 // of a round
	costRounds = 7
	mostRatio  = 1.5
)

// runBareServer answers scans on the socket and does nothing else.
func runBareServer(socket string) error {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	pluginv1.RegisterScannerServiceServer(server, bareScanner{})
	fmt.Println("listening")
	return server.Serve(listener)
}

type bareScanner struct {
	pluginv1.UnimplementedScannerServiceServer
}

func (bareScanner) Scan(stream pluginv1.ScannerService_ScanServer) error {
	call := ""
	for {
		frame, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(&pluginv1.ScanResponse{Call: call})
		}
		if err != nil {
			return err
		}
		if o := frame.GetOpening(); o != nil {
			call = o.GetCall()
		}
	}
}

// callCost measures the same calls in turn on a bare connection and through the pool.
func callCost(ctx context.Context, e *env) (err error) {
	dir, err := os.MkdirTemp("", "cc") // a socket's path is short
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	bare, stop, err := startBareServer(filepath.Join(dir, "bare"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	pool, err := pluginpool.New(ctx, pluginpool.Spec{
		Process: pluginprocess.Spec{
			Name: "hostile", Executable: filepath.Join(e.bin, "hostile-plugin"), Stage: "/proc/self/exe", StartTimeout: 10 * time.Second, RunDir: dir,
			Memory: 1 << 30, Log: hclog.NewNullLogger(),
		},
		Configure: &pluginv1.ConfigureRequest{ConfigJson: "{}"}, Concurrency: 64, Timeout: 20 * time.Second, Rules: pluginpool.DefaultRules(),
	})
	if err != nil {
		return err
	}
	defer pool.Stop()
	throughPool := func(ctx context.Context, opening *pluginv1.ScanOpening) error {
		lease, err := pool.AcquireFor(ctx, func() string { return "content" })
		if err != nil {
			return err
		}
		err = scanOnce(lease.Context, lease.Conn(), opening)
		lease.Done(err)
		return err
	}
	onBare := func(ctx context.Context, opening *pluginv1.ScanOpening) error { return scanOnce(ctx, bare, opening) }
	e.printf("%10s %12s %14s %14s %8s", "body", "at once", "bare us/call", "pool us/call", "ratio")
	worst := 0.0
	for _, size := range []int{0, 4 << 10, 64 << 10, 256 << 10} {
		for _, together := range []int{1, 8} {
			var costs [2][]time.Duration
			for range costRounds {
				for i, call := range []func(context.Context, *pluginv1.ScanOpening) error{onBare, throughPool} {
					took, err := costOf(ctx, call, size, together)
					if err != nil {
						return err
					}
					costs[i] = append(costs[i], took)
				}
			}
			var ratios []float64
			for i := range costRounds {
				ratios = append(ratios, costs[1][i].Seconds()/costs[0][i].Seconds())
			}
			slices.Sort(ratios)
			ratio := ratios[costRounds/2]
			worst = max(worst, ratio)
			for i := range costs {
				slices.Sort(costs[i])
			}
			each := func(d time.Duration) float64 { return float64(d.Microseconds()) / costCalls }
			e.printf("%6d KiB %12d %14.1f %14.1f %8.2f", size>>10, together, each(costs[0][costRounds/2]), each(costs[1][costRounds/2]), ratio)
		}
	}
	e.printf("the worst ratio, median of %d rounds: %.2f (claimed: at most %.1f)", costRounds, worst, mostRatio)
	if worst > mostRatio {
		return errShort
	}
	return nil
}

func costOf(ctx context.Context, call func(context.Context, *pluginv1.ScanOpening) error, size, together int) (time.Duration, error) {
	var (
		next    atomic.Int64
		calling sync.WaitGroup
		mu      sync.Mutex
		failed  error
	)
	body := make([]byte, size)
	started := time.Now()
	for range together {
		calling.Go(func() {
			for next.Add(1) <= costCalls {
				err := call(ctx, &pluginv1.ScanOpening{Call: "0123456789abcdef", Queries: []uint32{1}, Parts: []*pluginv1.Part{{Body: body}}})
				if err != nil {
					mu.Lock()
					failed = errors.Join(failed, err)
					mu.Unlock()
					return
				}
			}
		})
	}
	calling.Wait()
	return time.Since(started), failed
}

func scanOnce(ctx context.Context, conn grpc.ClientConnInterface, opening *pluginv1.ScanOpening) error {
	stream, err := pluginv1.NewScannerServiceClient(conn).Scan(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(&pluginv1.ScanRequest{Frame: &pluginv1.ScanRequest_Opening{Opening: opening}}); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	_, err = stream.CloseAndRecv()
	return err
}

// startBareServer runs this program again as the server, so that it has a process of its own as a plugin has.
func startBareServer(socket string) (conn *grpc.ClientConn, stop func() error, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	command := exec.Command(self, bareServer, socket)
	command.Stderr = os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := command.Start(); err != nil {
		return nil, nil, err
	}
	kill := func() error {
		err := command.Process.Kill()
		_ = command.Wait() // it was killed
		return err
	}
	var word string
	if _, err := fmt.Fscanln(out, &word); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("start bare server: %w", err), kill())
	}
	if conn, err = grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		return nil, nil, errors.Join(err, kill())
	}
	return conn, func() error { return errors.Join(conn.Close(), kill()) }, nil
}
