package robustness

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Edit is a change of one source file that a build is made with and the tree never sees (`go build -overlay`).
type Edit struct {
	File string // below the root of the module, or below GOROOT where it begins with InGoroot
	// Old stands in the file exactly once; New takes its place.
	Old, New string
}

// InGoroot begins the name of a file of Go's own.
const InGoroot = "GOROOT/"

// located is the path of a file that an edit names.
func located(root, file string) (string, error) {
	name, own := strings.CutPrefix(file, InGoroot)
	if !own {
		return filepath.Join(root, file), nil
	}
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("find GOROOT: %w", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), name), nil
}

// Build builds the gateway with the edits into the folder, beside links to everything that was built already.
func Build(ctx context.Context, built, folder string, added map[string]string, edits []Edit) error {
	root, err := Root(ctx)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("build with edits: %w", err)
	}
	overlay, err := writeOverlay(root, folder, added, edits)
	if err != nil {
		return fmt.Errorf("build with edits: %w", err)
	}
	if err := linkOthers(built, folder); err != nil {
		return fmt.Errorf("build with edits: %w", err)
	}
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-overlay", overlay, "-o", filepath.Join(folder, "postern"), "./core/cmd/postern")
	command.Dir = root
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("build with edits: %w: %s", err, out)
	}
	return nil
}

// Root is the folder of the module that the working directory is in.
func Root(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}

// Apply makes the edits on the files below root and returns their new texts by name.
func Apply(root string, edits []Edit) (map[string]string, error) {
	texts := map[string]string{}
	for _, e := range edits {
		text, read := texts[e.File]
		if !read {
			path, err := located(root, e.File)
			if err != nil {
				return nil, err
			}
			content, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			text = string(content)
		}
		if n := strings.Count(text, e.Old); n != 1 {
			return nil, fmt.Errorf("%s holds what is to be replaced %d times, not once; bring the edit up to date with the source: %q", e.File, n, e.Old)
		}
		texts[e.File] = strings.Replace(text, e.Old, e.New, 1)
	}
	return texts, nil
}

// writeOverlay writes the changed and added files and the list of them that `go build` reads.
func writeOverlay(root, folder string, added map[string]string, edits []Edit) (string, error) {
	texts, err := Apply(root, edits)
	if err != nil {
		return "", err
	}
	for name, text := range added {
		texts[name] = text
	}
	var overlay struct{ Replace map[string]string }
	overlay.Replace = map[string]string{}
	for name, text := range texts {
		changed := filepath.Join(folder, "source", name)
		if err := os.MkdirAll(filepath.Dir(changed), 0o700); err != nil {
			return "", err
		}
		if err := os.WriteFile(changed, []byte(text), 0o600); err != nil {
			return "", err
		}
		path, err := located(root, name)
		if err != nil {
			return "", err
		}
		overlay.Replace[path] = changed
	}
	content, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	path := filepath.Join(folder, "overlay.json")
	return path, os.WriteFile(path, content, 0o600)
}

// linkOthers puts links to the plugins and other programs beside the gateway.
func linkOthers(built, folder string) error {
	built, err := filepath.Abs(built)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(built)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.Name() == "postern" || entry.IsDir() {
			continue
		}
		if err := os.Link(filepath.Join(built, entry.Name()), filepath.Join(folder, entry.Name())); err != nil {
			if err := os.Symlink(filepath.Join(built, entry.Name()), filepath.Join(folder, entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
