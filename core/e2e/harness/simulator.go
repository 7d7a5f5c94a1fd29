package harness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/postern-mail/postern/sdk/plugintest/program"
)

// SimulatorKey is the API key of a Simulator.
const SimulatorKey = "0E1D2C3B-4A59-6877-8695-A4B3C2D1E0F1"

// Simulator is a running sandbox simulator.
type Simulator struct {
	Port, Fingerprint string
	program           *program.Program
}

// StartSimulator starts it with lines of verdicts, which it keeps below scratch.
func StartSimulator(ctx context.Context, bin, scratch, verdicts string) (*Simulator, error) {
	file := filepath.Join(scratch, "verdicts.txt")
	if err := os.WriteFile(file, []byte(verdicts), 0o600); err != nil {
		return nil, fmt.Errorf("start simulator: %w", err)
	}
	return StartSimulatorOn(ctx, bin, file)
}

// StartSimulatorOn starts it with a file of verdicts, which is read again when it has changed.
func StartSimulatorOn(ctx context.Context, bin, file string) (*Simulator, error) {
	p, err := program.Start(ctx, filepath.Join(bin, "sandbox-simulator"), "-listen", "127.0.0.1:0", "-control", "127.0.0.1:0", "-verdicts", file,
		"-key", SimulatorKey)
	if err != nil {
		return nil, err
	}
	s := &Simulator{Fingerprint: p.Printed["fingerprint"], program: p}
	if _, s.Port, err = net.SplitHostPort(p.Printed["sandbox"]); err != nil {
		return nil, errors.Join(fmt.Errorf("start simulator: %w", err), s.Stop())
	}
	return s, nil
}

// Environment tells a gateway where the sandbox is.
func (s *Simulator) Environment() []string {
	return []string{"SANDBOX_PORT=" + s.Port, "SANDBOX_KEY=" + SimulatorKey, "SANDBOX_FINGERPRINT=" + s.Fingerprint}
}

// Uploads returns how often each sample was uploaded, by SHA-1, and how many of these uploads came while it was being analysed already.
func (s *Simulator) Uploads() (uploads map[string]int, doubled int, err error) {
	var counters struct {
		Uploads map[string]int
		Doubled int
	}
	err = s.program.Ask("counters", &counters)
	return counters.Uploads, counters.Doubled, err
}

// Set puts lines before the verdicts that the simulator has.
func (s *Simulator) Set(lines string) error { return s.program.Tell("verdicts", lines) }

// Fault makes the simulator misbehave; its README tells how.
func (s *Simulator) Fault(what string) error { return s.program.Tell("fault?"+what, "") }

// Forget makes it lose its samples or clients.
func (s *Simulator) Forget(what string) error { return s.program.Tell("forget?what="+what, "") }

// Stop ends it.
func (s *Simulator) Stop() error { return s.program.Stop() }
