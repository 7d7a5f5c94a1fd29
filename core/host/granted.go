package host

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/postern-mail/postern/core/plugincatalog"
)

// followEvery is how soon a granted file that was replaced is a plugin's again.
const followEvery = 5 * time.Second

// granted are the files and folders that a plugin was granted, as they were when its instances were started. The kernel grants what a name
// stands for at that time: a file that is replaced by renaming another onto it, as most programs write files, is out of reach.
type granted map[string]fileID

type fileID struct{ device, inode uint64 }

func grantedBy(reach plugincatalog.Reach) granted {
	g := granted{}
	for _, list := range [][]string{reach.Read, reach.Write} {
		for _, path := range list {
			g[path] = idOf(path)
		}
	}
	return g
}

// idOf is zero where there is nothing of that name.
func idOf(path string) fileID {
	info, err := os.Stat(path)
	if err != nil {
		return fileID{}
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fileID{}
	}
	return fileID{device: stat.Dev, inode: stat.Ino}
}

// list is in a fixed order, for a key.
func (g granted) list() (out []string) {
	for _, path := range slices.Sorted(maps.Keys(g)) {
		out = append(out, fmt.Sprint(path, g[path]))
	}
	return out
}

// replaced returns a name that stands for another file now. One that stands for none yet is waited for.
func (g granted) replaced() (path string, now fileID) {
	for path, then := range g {
		if now := idOf(path); now != then && now != (fileID{}) {
			return path, now
		}
	}
	return "", fileID{}
}

// followGrants starts a plugin's instances anew, as a swap does, when a file that they were granted is another one. What was refused once
// is tried again when the file changes again.
func (h *Host) followGrants() {
	ticks := time.NewTicker(followEvery)
	defer ticks.Stop()
	refused := granted{}
	for {
		select {
		case <-h.life.Done():
			return
		case <-ticks.C:
		}
		path, now := h.replacedGrant()
		if path == "" || refused[path] == now {
			continue
		}
		if err := h.renew(h.life); err != nil {
			refused[path] = now
			h.log.Error("a plugin goes on without a file that was replaced", "file", path, "error", err)
			continue
		}
		h.log.Info("plugin started anew: a file that it is granted was replaced", "file", path)
	}
}

func (h *Host) replacedGrant() (path string, now fileID) {
	g := h.acquire()
	defer g.Release()
	for _, shared := range g.shared {
		if path, now := shared.granted.replaced(); path != "" {
			return path, now
		}
	}
	return "", fileID{}
}

// renew builds what serves once more; only what it depends on decides which instances are started. What a rollback goes back to stays.
func (h *Host) renew(ctx context.Context) error {
	h.changing.Lock()
	defer h.changing.Unlock()
	former := h.former
	if _, err := h.change(ctx, h.serving.with(maps.Clone(h.serving.Catalog)), nil); err != nil {
		return fmt.Errorf("start plugins anew: %w", err)
	}
	h.former = former
	return nil
}
