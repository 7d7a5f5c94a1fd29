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
func Pin(ctx context.Context, folder, stage string, executables []string, log hclog.Logger) ([]plugincatalog.Entry, error) {
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
		entry, err := describeFile(ctx, executable, stage, runDir, log)
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

func describeFile(ctx context.Context, executable, stage, runDir string, log hclog.Logger) (entry plugincatalog.Entry, err error) {
	if executable, err = filepath.Abs(executable); err != nil {
		return entry, err
	}
	image, err := pluginprocess.Seal(executable, "")
	if err != nil {
		return entry, err
	}
	defer image.Close()
	return describe(ctx, executable, image, stage, runDir, log)
}

// describe runs the executable in a sandbox without any grant and asks it what it is.
func describe(
	ctx context.Context, executable string, image *pluginprocess.Image, stage, runDir string, log hclog.Logger,
) (entry plugincatalog.Entry, err error) {
	ctx, cancel := context.WithTimeout(ctx, pinTimeout)
	defer cancel()
	process, err := pluginprocess.Start(ctx, pluginprocess.Spec{
		Name: filepath.Base(executable), Executable: executable, Image: image, Stage: stage, StartTimeout: pinTimeout, RunDir: runDir,
		Memory: describeMemory, Log: log,
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
	entry.Name, entry.Digest = entry.Description.GetName(), image.Digest()
	return entry, nil
}

// describeMemory is enough for a plugin that only says what it is.
const describeMemory = 1 << 30
