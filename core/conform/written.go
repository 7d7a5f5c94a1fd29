package conform

import (
	"bytes"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
)

// written is what the plugin wrote and what was said about its process.
type written struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// mostWritten bounds what is kept.
const mostWritten = 1 << 20

func (w *written) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.text.Len() < mostWritten {
		w.text.Write(p)
	}
	return len(p), nil
}

func (w *written) logger() hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Level: hclog.Debug, Output: w, JSONFormat: true})
}

// standardOutput are the lines that came behind the handshake, by the words of pluginprocess.
func (w *written) standardOutput() (lines []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for line := range strings.Lines(w.text.String()) {
		if strings.Contains(line, `"plugin wrote to standard output"`) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// sizeBelow is the number of files below a folder and their bytes together.
func sizeBelow(folder string) (count int, size int64, err error) {
	err = filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if info.Mode().IsRegular() {
			count++
			size += info.Size()
		}
		return nil
	})
	if err != nil {
		return 0, 0, fmt.Errorf("look into the plugin's folder: %w", err)
	}
	return count, size, nil
}
