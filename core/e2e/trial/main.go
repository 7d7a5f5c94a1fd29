// Command trial shows the gateway at work on this machine: it starts a local next hop and the gateway, sends the sample mails over
// SMTP, and prints what became of each and why. `make run` runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/postern-mail/postern/core/e2e/harness"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var t trial
	flag.StringVar(&t.setup.Bin, "bin", "bin", "folder of the built programs")
	flag.StringVar(&t.setup.Config, "config", "config", "configuration folder")
	flag.StringVar(&t.setup.State, "state", ".state", "folder for the store; emptied first")
	flag.StringVar(&t.samples, "samples", "examples/samples", "folder of the sample mails")
	flag.StringVar(&t.hop, "hop", "127.0.0.1:2526", "where the local next hop listens")
	flag.BoolVar(&t.once, "once", false, "end after the table; exit code 0 where every sample met its expected fate")
	flag.Parse()
	if err := t.run(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "trial: %v\n", err)
		os.Exit(1)
	}
}

type trial struct {
	setup   harness.Setup
	samples string
	hop     string
	once    bool
	sandbox *harness.Simulator
}

// queryDelay is when the sandbox is first asked: long enough to look at the queue before.
const queryDelay = "8s"

// patience bounds the start of the gateway, and each wait for a mail's fate.
const patience = 60 * time.Second

// errFates says that some sample fared otherwise than expected; the table tells which.
var errFates = errors.New("not every sample met its expected fate")

func (t *trial) run(ctx context.Context) (err error) {
	samples, err := readSamples(t.samples)
	if err != nil {
		return err
	}
	if t.setup.State, err = filepath.Abs(t.setup.State); err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(t.setup.State), os.MkdirAll(t.setup.State, 0o700)); err != nil {
		return fmt.Errorf("prepare state folder: %w", err)
	}
	sink, err := harness.NewSink(t.hop)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sink.Close()) }()
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	// What is analysed is told when the queue has been shown; the first query comes after that.
	if t.sandbox, err = harness.StartSimulator(limited, t.setup.Bin, t.setup.State, "* none fault=never\n"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.sandbox.Stop()) }()
	t.setup.Env = append(t.setup.Env, append(t.sandbox.Environment(), "SANDBOX_QUERY_DELAY="+queryDelay)...)
	if err := t.setup.Pin(limited); err != nil {
		return err
	}
	gateway, err := harness.Start(limited, t.setup)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, gateway.Stop()) }()
	address := gateway.Address("inbound")
	fmt.Printf("The gateway listens on %s and relays to %s.\n\n", address, sink.Addr())

	asExpected, err := t.sendAll(ctx, samples, address, sink)
	if err != nil {
		return err
	}
	if t.once {
		if !asExpected {
			return errFates
		}
		return nil
	}
	fmt.Printf("\nServing until Ctrl-C. Send mail to %s; look with POSTERN_STATE=%s %s log query --config %s\n",
		address, t.setup.State, filepath.Join(t.setup.Bin, "postern"), t.setup.Config)
	<-ctx.Done()
	return nil
}
