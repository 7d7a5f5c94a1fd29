package host

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/core/plugincatalog"
	"github.com/postern-mail/postern/core/pluginprocess"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// pinTimeout is how long a plugin has to start and describe itself.
const pinTimeout = 20 * time.Second

// Pin starts each executable once, asks it to describe itself and writes digest and description to the lock file of the folder, under
// the name the plugin gives itself. The file is written when all could be asked.
func Pin(ctx context.Context, folder string, executables []string, log hclog.Logger) ([]plugincatalog.Entry, error) {
	lock := filepath.Join(folder, LockFile)
	catalog, err := plugincatalog.Load(lock)
	if err != nil {
		return nil, fmt.Errorf("pin: %w", err)
	}
	runDir, err := os.MkdirTemp("", "postern")
	if err != nil {
		return nil, fmt.Errorf("pin: %w", err)
	}
	defer os.RemoveAll(runDir)
	var pinned []plugincatalog.Entry
	for _, executable := range executables {
		entry, err := describe(ctx, executable, runDir, log)
		if err != nil {
			return nil, fmt.Errorf("pin %s: %w", executable, err)
		}
		catalog[entry.Name] = entry
		pinned = append(pinned, entry)
	}
	if err := plugincatalog.Save(lock, catalog); err != nil {
		return nil, fmt.Errorf("pin: %w", err)
	}
	return pinned, nil
}

func describe(ctx context.Context, executable, runDir string, log hclog.Logger) (entry plugincatalog.Entry, err error) {
	ctx, cancel := context.WithTimeout(ctx, pinTimeout)
	defer cancel()
	if executable, err = filepath.Abs(executable); err != nil {
		return entry, err
	}
	if entry.Digest, err = pluginprocess.Digest(executable); err != nil {
		return entry, err
	}
	process, err := pluginprocess.Start(ctx, pluginprocess.Spec{
		Name: filepath.Base(executable), Executable: executable, Digest: entry.Digest, StartTimeout: pinTimeout, RunDir: runDir, Log: log,
	})
	if err != nil {
		return entry, err
	}
	defer process.Stop()
	entry.Description, err = pluginv1.NewPluginServiceClient(process.Conn()).Describe(ctx, &pluginv1.DescribeRequest{})
	if err != nil {
		return entry, fmt.Errorf("ask for its description: %w", err)
	}
	if err := plugincatalog.Check(entry.Description); err != nil {
		return entry, err
	}
	entry.Name = entry.Description.GetName()
	return entry, nil
}
