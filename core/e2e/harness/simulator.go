package harness

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// SimulatorKey is the API key of a Simulator.
const SimulatorKey = "0E1D2C3B-4A59-6877-8695-A4B3C2D1E0F1"

// Simulator is a running sandbox simulator.
type Simulator struct {
	Port, Fingerprint string
	control           string
	command           *exec.Cmd
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
	s := &Simulator{command: exec.Command(filepath.Join(bin, "sandbox-simulator"), "-listen", "127.0.0.1:0", "-control", "127.0.0.1:0",
		"-verdicts", file, "-key", SimulatorKey)}
	s.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	s.command.Stderr = os.Stderr
	out, err := s.command.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start simulator: %w", err)
	}
	if err := s.command.Start(); err != nil {
		return nil, fmt.Errorf("start simulator: %w", err)
	}
	for lines := bufio.NewScanner(out); s.control == "" && ctx.Err() == nil && lines.Scan(); {
		switch name, value, _ := strings.Cut(lines.Text(), " "); name {
		case "fingerprint":
			s.Fingerprint = value
		case "sandbox":
			if _, s.Port, err = net.SplitHostPort(value); err != nil {
				return nil, errors.Join(fmt.Errorf("start simulator: %w", err), s.Stop())
			}
		case "control":
			s.control = value
		}
	}
	if s.control == "" {
		return nil, errors.Join(errors.New("start simulator: it does not say where it listens"), s.Stop())
	}
	return s, nil
}

// Environment tells a gateway where the sandbox is.
func (s *Simulator) Environment() []string {
	return []string{"SANDBOX_PORT=" + s.Port, "SANDBOX_KEY=" + SimulatorKey, "SANDBOX_FINGERPRINT=" + s.Fingerprint}
}

// Uploads returns how often each sample was uploaded, by SHA-1, and how many of these uploads came while it was being analysed already.
func (s *Simulator) Uploads() (uploads map[string]int, doubled int, err error) {
	response, err := http.Get(s.control + "counters")
	if err != nil {
		return nil, 0, fmt.Errorf("ask simulator: %w", err)
	}
	defer response.Body.Close()
	var counters struct {
		Uploads map[string]int
		Doubled int
	}
	if err := json.NewDecoder(response.Body).Decode(&counters); err != nil {
		return nil, 0, fmt.Errorf("ask simulator: %w", err)
	}
	return counters.Uploads, counters.Doubled, nil
}

// Set puts lines before the verdicts that the simulator has.
func (s *Simulator) Set(lines string) error { return s.post("verdicts", lines) }

// Fault makes the simulator misbehave; its README tells how.
func (s *Simulator) Fault(what string) error { return s.post("fault?"+what, "") }

// Forget makes it lose its samples or clients.
func (s *Simulator) Forget(what string) error { return s.post("forget?what="+what, "") }

func (s *Simulator) post(path, body string) error {
	response, err := http.Post(s.control+path, "text/plain", strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("tell simulator: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("tell simulator %s %q: %s", path, body, response.Status)
	}
	return nil
}

// Stop ends it.
func (s *Simulator) Stop() error {
	if err := s.command.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop simulator: %w", err)
	}
	_ = s.command.Wait() // it was killed
	return nil
}
