package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/postern-mail/postern/core/conform"
)

// Conform runs `postern plugin conform` on a plugin. with is the file with its block and rules, "" where it needs none; env is added to the
// environment.
func Conform(ctx context.Context, bin, plugin, with string, env ...string) (*conform.Report, error) {
	arguments := []string{"plugin", "conform", "--json", plugin}
	if with != "" {
		arguments = append(arguments, "--with", with)
	}
	command := exec.CommandContext(ctx, filepath.Join(bin, "postern"), arguments...)
	command.Env = append(os.Environ(), env...)
	var out, errOut bytes.Buffer
	command.Stdout, command.Stderr = &out, &errOut
	failed := command.Run()
	var report conform.Report
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		return nil, fmt.Errorf("postern plugin conform %s: %w: %s", plugin, errors.Join(failed, err), errOut.String())
	}
	var exit *exec.ExitError
	if report.Conforms() != (failed == nil) || failed != nil && !errors.As(failed, &exit) {
		return nil, fmt.Errorf("postern plugin conform %s: the rows say %v, the exit code %w", plugin, report.Conforms(), failed)
	}
	return &report, nil
}
