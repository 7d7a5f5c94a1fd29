// Package program runs a server that stands for one that a plugin talks to, as examples/sandbox-simulator and examples/object-servers: its path
// and arguments go in, what it printed and a way to steer it come out.
package program

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Program is a running one.
type Program struct {
	// Printed is what it said at its start, a name and a value a line. The last is "control", the address that it is steered by, with a slash
	// at its end.
	Printed map[string]string
	name    string
	command *exec.Cmd
}

// Start starts the command line and returns when the program has printed its control address. It ends with the process that started it.
func Start(ctx context.Context, line ...string) (*Program, error) {
	p := &Program{Printed: map[string]string{}, name: filepath.Base(line[0]), command: exec.Command(line[0], line[1:]...)}
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.command.Stderr = os.Stderr
	out, err := p.command.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("start %s, which `make build` builds: %w", p.name, err)
	}
	for lines := bufio.NewScanner(out); p.Printed["control"] == "" && ctx.Err() == nil && lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		p.Printed[name] = value
	}
	if p.Printed["control"] == "" {
		return nil, errors.Join(fmt.Errorf("start %s: it does not say where it listens", p.name), p.Stop())
	}
	return p, nil
}

// Tell posts a body to a path of the control address.
func (p *Program) Tell(path, body string) error {
	response, err := http.Post(p.Printed["control"]+path, "text/plain", strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("tell %s: %w", p.name, err)
	}
	_, err = io.Copy(io.Discard, response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return fmt.Errorf("tell %s: %w", p.name, err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("tell %s %s %q: %s", p.name, path, body, response.Status)
	}
	return nil
}

// Ask gets a path of the control address and reads the JSON into a value.
func (p *Program) Ask(path string, into any) error {
	response, err := http.Get(p.Printed["control"] + path)
	if err != nil {
		return fmt.Errorf("ask %s: %w", p.name, err)
	}
	if err := errors.Join(json.NewDecoder(response.Body).Decode(into), response.Body.Close()); err != nil {
		return fmt.Errorf("ask %s %s: %w", p.name, path, err)
	}
	return nil
}

// Stop kills it and waits for its end.
func (p *Program) Stop() error {
	if err := p.command.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	_ = p.command.Wait() // it was killed
	return nil
}
