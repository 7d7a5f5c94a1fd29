package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/postern-mail/postern/core/e2e/harness"
)

// hostileSite is a gateway with the plugin that misbehaves as it is told.
type hostileSite struct {
	*harness.Site
	plugin string // the executable
}

const (
	judged = `action "quarantine" { area = "found" }`
	marked = "action \"mark\" {}\n  action \"tag_subject\" { text = \"[@MARK@]\" }"
)

// newHostileSite prepares the gateway with the plugin in the mode "good".
func newHostileSite(ctx context.Context, e *env, actions string, settings ...string) (*hostileSite, error) {
	s := &hostileSite{plugin: filepath.Join(e.scratch, "postern-hostile")}
	program, err := os.ReadFile(filepath.Join(e.bin, "hostile-plugin"))
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(s.plugin, program, 0o700); err != nil {
		return nil, err
	}
	if s.Site, err = newSite(ctx, e, "hostile.hcl"); err != nil {
		return nil, err
	}
	s.Setup.Env = append(append(s.Setup.Env, "HOSTILE_PLUGIN="+s.plugin), settings...)
	if _, err := s.Setup.Run(ctx, "plugin", "pin", s.plugin); err != nil {
		return nil, err
	}
	return s, s.behave(actions, "good", "", "m0")
}

// behave writes how the plugin is to misbehave from the next reload on: in its calls, at its start.
func (s *hostileSite) behave(actions, mode, start, mark string) error {
	text, err := configs.ReadFile("config/hostile.hcl")
	if err != nil {
		return err
	}
	replaced := strings.NewReplacer("@MODE@", mode, "@START@", start, "@ACTIONS@", strings.ReplaceAll(actions, "@MARK@", mark), "@MARK@", mark).Replace(string(text))
	return s.WriteConfig("rules/10.hcl", []byte(replaced))
}

// variant is a copy of the plugin that is another version: what is behind the program tells it.
func (s *hostileSite) variant(name, value string) (path string, err error) {
	program, err := os.ReadFile(s.plugin)
	if err != nil {
		return "", err
	}
	path = s.plugin + "-" + name + "-" + value
	return path, os.WriteFile(path, append(bytes.Clone(program), fmt.Sprintf("trailer %s=%s\n", name, value)...), 0o700)
}

// processes are the process ids below the gateway.
func (s *hostileSite) processes() ([]int, error) { return harness.Descendants(s.Gateway.Pid()) }

// finish ends the site whatever state it is in.
func (s *hostileSite) finish(err *error) { *err = errors.Join(*err, s.Stop()) }

// residentSet and peakSet are a process's memory now and at its most, in bytes.
func residentSet(pid int) (int64, error) { return statusField(pid, "VmRSS:") }
func peakSet(pid int) (int64, error)     { return statusField(pid, "VmHWM:") }

func statusField(pid int, name string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(line, name); found {
			var kilobytes int64
			_, err := fmt.Sscan(rest, &kilobytes)
			return kilobytes << 10, err
		}
	}
	return 0, fmt.Errorf("there is no %s of process %d", name, pid)
}
