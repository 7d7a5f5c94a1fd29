package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// policy makes the plugin report every mail with all its reasons.
const policy = `
gateway {
  hostname         = "train.example.org"
  internal_domains = ["example.org"]
  admin_address    = "postmaster@example.org"
}
listener "smtp" "in" { address = "127.0.0.1:0" }
relay "none" {
  domains = ["*"]
  hosts   = ["127.0.0.1:9"]
}
store "sqlite" { path = "state" }
plugin "unpack" { command = "postern-unpack" }
plugin "actions" { command = "postern-actions" }
plugin "snap" { command = "postern-snap" }
rule "All" {
  scan "snap" {
    aggressive_score   = -1000
    conservative_score = 1000
  }
  action "pass" {}
}
`

// mail is what the plugin saw of one file.
type mail struct {
	path    string
	reasons []string
}

// inEvidence is a reason's name in a finding's evidence: [name weight].
var inEvidence = regexp.MustCompile(`\[([a-z-]+) -?[0-9.]+\](?:;|$)`)

// look has the gateway scan files and collects the reasons.
func look(ctx context.Context, bin string, paths []string) (mails []mail, err error) {
	folder, err := os.MkdirTemp("", "train")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	config := filepath.Join(folder, "config")
	if err := os.Mkdir(config, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(config, "postern.hcl"), []byte(policy), 0o600); err != nil {
		return nil, err
	}
	plugins := []string{"plugin", "pin"}
	for _, name := range []string{"unpack", "actions", "snap"} {
		plugins = append(plugins, filepath.Join(bin, "postern-"+name))
	}
	postern := func(arguments []string) *exec.Cmd {
		program, _ := filepath.Abs(filepath.Join(bin, "postern"))
		cmd := exec.CommandContext(ctx, program, append([]string{"--config", config, "--plugins", bin}, arguments...)...)
		cmd.Stderr = os.Stderr
		return cmd
	}
	if err := postern(plugins).Run(); err != nil {
		return nil, fmt.Errorf("pin plugins: %w", err)
	}
	cmd := postern(append([]string{"scan", "--json", "--log-level", "warn"}, paths...))
	output, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("scan: %w", err)
	}
	mails, err = readScans(json.NewDecoder(bufio.NewReader(output)))
	if failed := cmd.Wait(); err == nil && failed != nil {
		err = fmt.Errorf("scan: %w", failed)
	}
	return mails, err
}

func readScans(decoder *json.Decoder) ([]mail, error) {
	var mails []mail
	for decoder.More() {
		var scan struct {
			File  string `json:"file"`
			Facts struct {
				Reports map[string]struct {
					Findings []struct {
						Evidence string `json:"evidence"`
					} `json:"findings"`
				} `json:"reports"`
			} `json:"facts"`
		}
		if err := decoder.Decode(&scan); err != nil {
			return nil, fmt.Errorf("read scans: %w", err)
		}
		findings := scan.Facts.Reports["snap"].Findings
		if len(findings) != 1 {
			return nil, fmt.Errorf("%s: plugin snap did not answer", scan.File)
		}
		m := mail{path: scan.File}
		for _, found := range inEvidence.FindAllStringSubmatch(findings[0].Evidence, -1) {
			m.reasons = append(m.reasons, found[1])
		}
		mails = append(mails, m)
	}
	return mails, nil
}

// half is the part of mails whose names have an even, or an odd, hash.
func half(mails []mail, even bool) []mail {
	return slices.DeleteFunc(slices.Clone(mails), func(m mail) bool {
		h := fnv.New32a()
		h.Write([]byte(filepath.Base(m.path)))
		return h.Sum32()%2 == 0 != even
	})
}

// writeSeen writes one line for each mail: kind, file, reasons.
func writeSeen(path string, set map[string][]mail) error {
	var out strings.Builder
	for _, kind := range []string{"ham", "phishing", "spam"} {
		for _, m := range set[kind] {
			fmt.Fprintf(&out, "%s\t%s\t%s\n", kind, filepath.Base(m.path), strings.Join(m.reasons, " "))
		}
	}
	if err := os.WriteFile(path, []byte(out.String()), 0o600); err != nil {
		return fmt.Errorf("write what was seen: %w", err)
	}
	return nil
}
