package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/postern-mail/postern/core/e2e/harness"
)

const (
	connections = 8
	rounds      = 7
	perRound    = 600
	// leastRatio is the claim.
	leastRatio = 0.7
)

// throughput sends the same mails through the bare relay and through the gateway, in turn, so that both meet the same machine.
func throughput(ctx context.Context, e *env) (err error) {
	next, err := newDiscard()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, next.close()) }()
	bare, stopBare, err := startBareRelay(next.addr())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopBare()) }()
	s, err := newSite(ctx, e, "corpora.hcl")
	if err != nil {
		return err
	}
	s.Hop(next.addr())
	if err := s.Start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()

	mails := mix()
	var bytes int
	for _, m := range mails {
		bytes += len(m)
	}
	targets := []*target{
		{name: "bare go-smtp relay", address: bare},
		{name: "postern", address: s.Gateway.Address("in")},
	}
	for range rounds {
		for _, t := range targets {
			if err := t.round(ctx, mails); err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
		}
	}
	if taken, sent := next.taken.Load(), int64(len(targets)*rounds*perRound); taken != sent {
		return fmt.Errorf("%d mails were sent, %d arrived: %w", sent, taken, errShort)
	}
	e.printf("%d connections, mails of 4 KiB to 3 MiB (mean %d KiB), %d rounds of %d mails each", connections, bytes/len(mails)>>10, rounds, perRound)
	e.printf("%-20s %10s %10s %10s", "", "mails/s", "p50 ms", "p99 ms")
	for _, t := range targets {
		e.printf("%-20s %10.0f %10.1f %10.1f", t.name, t.rate(), t.percentile(50), t.percentile(99))
	}
	var ratios []float64
	for i := range rounds {
		ratios = append(ratios, targets[0].took[i].Seconds()/targets[1].took[i].Seconds())
	}
	slices.Sort(ratios)
	ratio := ratios[rounds/2]
	e.printf("ratio, median of the rounds: %.2f (from %.2f to %.2f; claimed: at least %.1f)", ratio, ratios[0], ratios[rounds-1], leastRatio)
	if ratio < leastRatio {
		return errShort
	}
	return nil
}

// target is something that mail is sent through.
type target struct {
	name, address string
	took          []time.Duration // of each round
	mu            sync.Mutex
	latencies     []time.Duration
}

func (t *target) round(ctx context.Context, mails [][]byte) error {
	var (
		next    atomic.Int64
		sending sync.WaitGroup
		failed  error
		started = time.Now()
	)
	for range connections {
		sending.Go(func() {
			latencies, err := t.connection(ctx, mails, &next)
			t.mu.Lock()
			defer t.mu.Unlock()
			t.latencies = append(t.latencies, latencies...)
			failed = errors.Join(failed, err)
		})
	}
	sending.Wait()
	t.took = append(t.took, time.Since(started))
	return failed
}

func (t *target) connection(ctx context.Context, mails [][]byte, next *atomic.Int64) (latencies []time.Duration, err error) {
	client, err := harness.Dial(t.address)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	for ctx.Err() == nil {
		i := int(next.Add(1)) - 1
		if i >= perRound {
			break
		}
		started := time.Now()
		reply, err := client.Send("alice@outside.example", []string{"bob@example.org"}, mails[i%len(mails)])
		if err != nil {
			return latencies, err
		}
		if !reply.Accepted() {
			return latencies, errors.New(reply.String())
		}
		latencies = append(latencies, time.Since(started))
	}
	return latencies, ctx.Err()
}

func (t *target) rate() float64 {
	took := slices.Clone(t.took)
	slices.Sort(took)
	return perRound / took[len(took)/2].Seconds()
}

func (t *target) percentile(p int) float64 {
	slices.Sort(t.latencies)
	return float64(t.latencies[(len(t.latencies)-1)*p/100].Microseconds()) / 1000
}

// startBareRelay runs this program again as the relay to compare with, so that it has a process of its own as the gateway has.
func startBareRelay(next string) (address string, stop func() error, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	command := exec.Command(self, bareRelay, next)
	command.Stderr = os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := command.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := command.Start(); err != nil {
		return "", nil, err
	}
	stop = func() error { return errors.Join(command.Process.Signal(syscall.SIGTERM), command.Wait()) }
	if _, err := fmt.Fscanln(out, &address); err != nil {
		return "", nil, errors.Join(fmt.Errorf("start bare relay: %w", err), stop())
	}
	return address, stop, nil
}
