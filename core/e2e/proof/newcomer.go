package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// newcomerWithin is how long the way may take, what has to be downloaded included.
const newcomerWithin = 2 * time.Minute

// newcomer goes the way of somebody who writes a first plugin, by the commands that the README of the new folder gives.
func newcomer(ctx context.Context, e *env) error {
	for _, language := range []string{"go", "node"} {
		limited, cancel := context.WithTimeout(ctx, newcomerWithin)
		err := e.firstPlugin(limited, language)
		cancel()
		if err != nil {
			return fmt.Errorf("%s: %w", language, err)
		}
	}
	return nil
}

func (e *env) firstPlugin(ctx context.Context, language string) error {
	bin, err := filepath.Abs(e.bin)
	if err != nil {
		return err
	}
	name := "first" + language
	s := &shell{scratch: e.scratch, folder: e.scratch, bin: bin, config: filepath.Join(e.scratch, "config-"+language)}
	if err := s.gateway(ctx); err != nil {
		return err
	}
	began := time.Now()
	if _, err := s.run(ctx, "postern plugin new "+language+" "+name+map[string]string{"go": " --sdk " + filepath.Dir(bin)}[language]); err != nil {
		return err
	}
	s.folder = filepath.Join(e.scratch, "postern-"+name)
	commands, err := commandsOf(filepath.Join(s.folder, "README.md"))
	if err != nil {
		return err
	}
	found := false
	for _, command := range commands {
		out, err := s.run(ctx, command)
		if err != nil {
			return err
		}
		if strings.HasPrefix(command, "postern scan") {
			found = strings.Contains(out, name) && strings.Contains(out, "invoice")
			if !found {
				return fmt.Errorf("%s found nothing: %s", command, out)
			}
			break // what follows needs a gateway that runs
		}
	}
	if !found {
		return errors.New("the README has no `postern scan`")
	}
	e.printf("%-5s from `plugin new` to the finding: %.1f s (claimed: at most %.0f)", language, time.Since(began).Seconds(), newcomerWithin.Seconds())
	return nil
}

// commandsOf are the lines of the shell blocks, without comments and without the one that goes on until it is told to end.
func commandsOf(readme string) (commands []string, err error) {
	text, err := os.ReadFile(readme)
	if err != nil {
		return nil, err
	}
	inside := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch command, _, _ := strings.Cut(line, " #"); {
		case line == "```sh":
			inside = true
		case line == "```":
			inside = false
		case inside && !strings.HasPrefix(command, "postern plugin dev"):
			commands = append(commands, strings.TrimSpace(command))
		}
	}
	return commands, nil
}

// shell runs commands as somebody at a prompt would, with /etc/postern elsewhere.
type shell struct{ scratch, folder, bin, config string }

func (s *shell) run(ctx context.Context, line string) (string, error) {
	command := exec.CommandContext(ctx, "/bin/sh", "-e", "-c", strings.ReplaceAll(line, "/etc/postern", s.config))
	command.Dir = s.folder
	command.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "POSTERN_") }),
		"PATH="+s.bin+":"+os.Getenv("PATH"), "POSTERN_STATE="+s.scratch, "SITE_HOP=127.0.0.1:25")
	var out bytes.Buffer
	command.Stdout, command.Stderr = &out, &out
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", line, err, out.String())
	}
	return out.String(), nil
}

// gateway makes the configuration of a gateway that is there already.
func (s *shell) gateway(ctx context.Context) error {
	if err := os.Mkdir(s.config, 0o700); err != nil {
		return err
	}
	for _, name := range []string{"postern.hcl", "sqlite.hcl"} {
		text, err := configs.ReadFile("config/" + name)
		if err == nil {
			err = os.WriteFile(filepath.Join(s.config, name), text, 0o600)
		}
		if err != nil {
			return err
		}
	}
	_, err := s.run(ctx, "postern plugin pin -c /etc/postern "+filepath.Join(s.bin, "postern-*"))
	return err
}
