package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/postern-mail/postern/core/plugincatalog"
	"github.com/postern-mail/postern/core/pluginprocess"
	"github.com/postern-mail/postern/core/policy"
	"github.com/postern-mail/postern/core/store"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// ErrNothingFormer says that there is nothing to go back to.
var ErrNothingFormer = errors.New("there is nothing to go back to")

// Reload reads the configuration again and swaps the generation, or leaves the old one serving and says why. The text tells what became of
// it.
func (h *Host) Reload(ctx context.Context) (text string, err error) {
	h.changing.Lock()
	defer h.changing.Unlock()
	c, err := ReadConfiguration(h.options.Folder)
	if err != nil {
		return "", fmt.Errorf("reload: %w", err)
	}
	c.verify = true
	if text, err = h.change(ctx, c, nil); err != nil {
		return text, fmt.Errorf("reload: %w", err)
	}
	return text, nil
}

// Rollback serves the policy and the plugins again that served before. The configuration folder stays as it is: the next reload reads it.
func (h *Host) Rollback(ctx context.Context) (text string, err error) {
	h.changing.Lock()
	defer h.changing.Unlock()
	if h.former == nil {
		return "", fmt.Errorf("roll back: %w", ErrNothingFormer)
	}
	if text, err = h.change(ctx, h.former.with(h.former.Catalog), nil); err != nil {
		return text, fmt.Errorf("roll back: %w", err)
	}
	return text, nil
}

// SwapPlugin puts another executable in a plugin's place while mail flows. It has to be the same plugin, describe itself as the one it
// replaces but for its version, and have the digest, where one is given. The gateway keeps a copy of its own, and the lock file names it
// from then on.
func (h *Host) SwapPlugin(ctx context.Context, name, file, digest string) (text string, err error) {
	h.changing.Lock()
	defer h.changing.Unlock()
	now, err := h.served(name)
	if err == nil {
		text, err = h.swapIn(ctx, now, file, digest)
	}
	if err != nil {
		return text, fmt.Errorf("swap plugin %s: %w", name, err)
	}
	return text, nil
}

func (h *Host) swapIn(ctx context.Context, now plugincatalog.Entry, file, digest string) (text string, err error) {
	image, err := pluginprocess.Seal(file, digest)
	if err != nil {
		return "", err
	}
	defer image.Close()
	next, err := h.adopt(ctx, now, image, file)
	if err != nil {
		return "", err
	}
	return h.replace(ctx, now, next, image)
}

// RollbackPlugin puts the executable back that was swapped out last.
func (h *Host) RollbackPlugin(ctx context.Context, name string) (text string, err error) {
	h.changing.Lock()
	defer h.changing.Unlock()
	now, err := h.served(name)
	if err == nil && now.Previous == nil {
		err = ErrNothingFormer
	}
	if err == nil {
		text, err = h.replace(ctx, now, *now.Previous, nil)
	}
	if err != nil {
		return text, fmt.Errorf("roll plugin %s back: %w", name, err)
	}
	return text, nil
}

// plugin is what the policy that serves says of a plugin, or nil.
func (h *Host) plugin(name string) *policy.Plugin {
	return h.serving.plugin(name)
}

// served is what is pinned for a plugin of the policy that serves.
func (h *Host) served(name string) (plugincatalog.Entry, error) {
	if h.plugin(name) == nil {
		return plugincatalog.Entry{}, fmt.Errorf("no such plugin serves: %w", store.ErrNotFound)
	}
	return h.serving.Catalog[name], nil
}

// adopt keeps a copy of the executable and learns what it is.
func (h *Host) adopt(ctx context.Context, now plugincatalog.Entry, image *pluginprocess.Image, file string) (next plugincatalog.Entry, err error) {
	next = plugincatalog.Entry{Name: now.Name, Digest: image.Digest()}
	if next.File, err = h.keepCopy(now.Name, image); err != nil {
		return next, err
	}
	for _, known := range []*plugincatalog.Entry{&now, now.Previous} {
		if known != nil && known.Digest == next.Digest {
			next.Description = known.Description
			return next, nil
		}
	}
	ctx, cancel := context.WithTimeout(ctx, h.plugin(now.Name).StartTimeout)
	defer cancel()
	described, err := describe(ctx, next.File, image, h.options.Stage, h.builder.RunDir, h.log.Named("plugin").Named(now.Name))
	if err != nil {
		return next, err
	}
	if described.Name != now.Name {
		return next, fmt.Errorf("%s is the plugin %q", file, described.Name)
	}
	if !sameButVersion(described.Description, now.Description) {
		return next, fmt.Errorf("%s describes itself otherwise than what is pinned, by more than its version: read `postern plugin describe`, "+
			"pin it with `postern plugin pin`, and reload", file)
	}
	next.Description = described.Description
	return next, nil
}

// sameButVersion reports whether a policy that fits one description fits the other.
func sameButVersion(a, b *pluginv1.DescribeResponse) bool {
	a, b = proto.CloneOf(a), proto.CloneOf(b)
	a.Version, b.Version, a.Summary, b.Summary = "", "", "", ""
	return proto.Equal(a, b)
}

// replace serves with another entry of the catalog. The lock file says so before it is done, so that a restart serves the same.
func (h *Host) replace(ctx context.Context, now, next plugincatalog.Entry, image *pluginprocess.Image) (text string, err error) {
	if next.Digest == now.Digest {
		return fmt.Sprintf("%s %s is the one that serves\n", now.Name, now.Digest), nil
	}
	next = next.Replaced(now)
	catalog := maps.Clone(h.serving.Catalog)
	catalog[next.Name] = next
	lock := filepath.Join(h.options.Folder, LockFile)
	c := h.serving.with(catalog)
	if image != nil {
		c.sealed = map[string]*pluginprocess.Image{image.Digest(): image}
	}
	defer func() { c.sealed = nil }()
	text, err = h.change(ctx, c, func() error {
		// What was pinned meanwhile and waits for a reload stays.
		pinned, err := plugincatalog.Load(lock)
		if err != nil {
			return err
		}
		pinned[next.Name] = next
		return plugincatalog.Save(lock, pinned)
	})
	if err != nil {
		return text, err
	}
	h.dropCopies(next)
	return fmt.Sprintf("%s: %s (%s) serves in place of %s (%s)\n", next.Name, next.Description.GetVersion(), short(strings.TrimPrefix(next.Digest, "sha256:")),
		now.Description.GetVersion(), short(strings.TrimPrefix(now.Digest, "sha256:"))) + text, nil
}

// change builds a generation in full and swaps it in. Where anything is wrong with it the one that serves goes on, and the text says what.
// commit is done when nothing else can fail any more.
func (h *Host) change(ctx context.Context, c *Configuration, commit func() error) (text string, err error) {
	tell := func() string {
		h.options.Diagnosed(c)
		var out strings.Builder
		if err := c.Write(&out, false); err != nil {
			h.log.Error("printing diagnostics failed", "error", err)
		}
		return out.String()
	}
	if c.Policy == nil {
		return tell(), ErrPolicy
	}
	fresh, err := h.builder.Build(ctx, c)
	text = tell()
	if err == nil && commit != nil {
		if err = commit(); err != nil {
			fresh.Stop()
		}
	}
	if err != nil {
		return text, err
	}
	old := h.current.Swap(fresh)
	h.serving, h.former = c, h.serving
	warnFixed(h.log, old.policy, fresh.policy)
	h.log.Info("policy swapped", "from", short(old.policy.Revision), "to", short(fresh.policy.Revision), "rules", len(fresh.policy.Rules),
		"plugins_kept", fresh.kept, "plugins_started", len(fresh.shared)-fresh.kept)
	old.retire()
	h.old.Go(func() {
		<-old.idle
		old.Stop()
		h.log.Info("old policy ended", "revision", short(old.policy.Revision))
	})
	return text + fmt.Sprintf("policy %s serves: %d rules, %d plugins kept, %d started\n", short(fresh.policy.Revision), len(fresh.policy.Rules),
		fresh.kept, len(fresh.shared)-fresh.kept), nil
}

// copies is where the gateway keeps executables that were swapped in.
func (h *Host) copies() string { return filepath.Join(h.stateDir, "plugins") }

func (h *Host) keepCopy(name string, image *pluginprocess.Image) (path string, err error) {
	if err := os.MkdirAll(h.copies(), 0o700); err != nil {
		return "", fmt.Errorf("keep a copy: %w", err)
	}
	path, err = filepath.Abs(filepath.Join(h.copies(), name+"-"+strings.TrimPrefix(image.Digest(), "sha256:")))
	if err != nil {
		return "", fmt.Errorf("keep a copy: %w", err)
	}
	// Its digest is checked whenever it is started from.
	if info, err := os.Stat(path); err == nil && info.Size() == image.Size() {
		return path, nil
	}
	temporary, err := os.CreateTemp(h.copies(), ".new-*")
	if err != nil {
		return "", fmt.Errorf("keep a copy: %w", err)
	}
	_, err = io.Copy(temporary, image.Content())
	err = errors.Join(err, temporary.Chmod(0o700), temporary.Sync(), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		return "", fmt.Errorf("keep a copy: %w", errors.Join(err, os.Remove(temporary.Name())))
	}
	return path, nil
}

// dropCopies removes the copies of the plugin that neither serve nor can be gone back to.
func (h *Host) dropCopies(now plugincatalog.Entry) {
	all, err := filepath.Glob(filepath.Join(h.copies(), now.Name+"-*"))
	if err != nil {
		return // the pattern is a good one
	}
	for _, path := range all {
		absolute, err := filepath.Abs(path)
		digest := strings.TrimPrefix(filepath.Base(path), now.Name+"-")
		// Another plugin's name may begin with this one's.
		if err != nil || len(digest) != 64 || absolute == now.File || now.Previous != nil && absolute == now.Previous.File {
			continue
		}
		if err := os.Remove(path); err != nil {
			h.log.Warn("removing an old plugin's copy failed", "error", err)
		}
	}
}
