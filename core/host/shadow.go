package host

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/postern-mail/postern/core/inspect"
	"github.com/postern-mail/postern/core/pluginpool"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// Shadow starts another version of a scanner beside the one that serves, gives it copies of so many messages, and tells in what their
// reports differ. Nothing that it says is acted on. It ends early with ctx, or when the policy is swapped.
func (h *Host) Shadow(ctx context.Context, name, file string, messages int) (text string, seen inspect.Comparison, err error) {
	generation, pool, err := h.startShadow(ctx, name, file)
	if err != nil {
		return "", seen, fmt.Errorf("try plugin %s: %w", name, err)
	}
	defer generation.Release()
	defer pool.Stop()
	shadow := inspect.NewShadow(name, pool, messages)
	if !generation.inspector.Shadow.CompareAndSwap(nil, shadow) {
		return "", seen, fmt.Errorf("try plugin %s: another version is being tried already", name)
	}
	ticks := time.NewTicker(time.Second)
	defer ticks.Stop()
	for waiting := true; waiting; {
		select {
		case <-shadow.Done():
			waiting = false
		case <-ctx.Done():
			waiting = false
		case <-h.life.Done():
			waiting = false
		case <-ticks.C:
			waiting = h.current.Load() == generation
		}
	}
	generation.inspector.Shadow.Store(nil)
	seen = shadow.End()
	var out strings.Builder
	for _, line := range seen.Differences {
		fmt.Fprintln(&out, line)
	}
	fmt.Fprintf(&out, "%s: %d of %d messages compared: %d the same, %d differ, %d failed\n", name, seen.Messages, messages, seen.Same, seen.Differ, seen.Failed)
	h.log.Info("another version of a plugin was tried", "plugin", name, "messages", seen.Messages, "same", seen.Same, "differ", seen.Differ,
		"failed", seen.Failed)
	return out.String(), seen, nil
}

// startShadow starts the other version with the configuration of the one that serves.
func (h *Host) startShadow(ctx context.Context, name, file string) (g *Generation, pool *pluginpool.Pool, err error) {
	h.changing.Lock()
	defer h.changing.Unlock()
	now, err := h.served(name)
	if err != nil {
		return nil, nil, err
	}
	if !now.HasRole(pluginv1.Role_ROLE_SCANNER) {
		return nil, nil, errors.New("only scanners can be tried: the others' answers are acted on")
	}
	if file, err = filepath.Abs(file); err != nil {
		return nil, nil, err
	}
	other, err := describeFile(ctx, file, h.options.Stage, h.builder.RunDir, h.log.Named("plugin").Named(name+"-shadow"))
	if err != nil {
		return nil, nil, err
	}
	if !sameButVersion(other.Description, now.Description) {
		return nil, nil, fmt.Errorf("%s describes itself otherwise than what serves, by more than its version", file)
	}
	other.File = file
	spec, err := h.builder.spec(h.plugin(name), other)
	if err != nil {
		return nil, nil, err
	}
	spec.Process.Log = h.log.Named("plugin").Named(name + "-shadow")
	if pool, err = pluginpool.New(ctx, spec); err != nil {
		return nil, nil, err
	}
	return h.acquire(), pool, nil
}
