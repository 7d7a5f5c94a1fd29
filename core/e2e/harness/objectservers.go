package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/postern-mail/postern/sdk/plugintest/program"
)

// ObjectsKey is the key of ObjectServers.
const ObjectsKey = "key-of-the-object-servers"

// ObjectServers are running servers of lists of suspicious objects.
type ObjectServers struct {
	URL, CAFile string
	program     *program.Program
}

// StartObjectServers starts them with the lines of a list, and so many made-up digests.
func StartObjectServers(ctx context.Context, bin, scratch, lines string, generate int) (*ObjectServers, error) {
	list := filepath.Join(scratch, "objects.csv")
	s := &ObjectServers{CAFile: filepath.Join(scratch, "objects-ca.pem")}
	if err := os.WriteFile(list, []byte(lines), 0o600); err != nil {
		return nil, fmt.Errorf("start object servers: %w", err)
	}
	// They stand for servers elsewhere, and have to leave the processors to the gateway.
	var err error
	s.program, err = program.Start(ctx, "nice", "-n", "19", filepath.Join(bin, "object-servers"), "-listen", "127.0.0.1:0", "-control", "127.0.0.1:0",
		"-ca", s.CAFile, "-objects", list, "-generate", fmt.Sprint(generate), "-key", ObjectsKey)
	if err != nil {
		return nil, fmt.Errorf("start object servers: %w", err)
	}
	s.URL = s.program.Printed["lists"]
	return s, nil
}

// Replace makes the lines the list.
func (s *ObjectServers) Replace(lines string) error { return s.program.Tell("objects", lines) }

// Generate adds made-up digests to the list.
func (s *ObjectServers) Generate(n int) error {
	return s.program.Tell(fmt.Sprint("generate?n=", n), "")
}

// Fault makes one protocol misbehave, or all: "500", "redirect", "garbage", "half", "empty", "large", "expired", or "" for none.
func (s *ObjectServers) Fault(protocol, kind string) error {
	return s.program.Tell("fault?protocol="+protocol+"&kind="+kind, "")
}

// Stop ends them.
func (s *ObjectServers) Stop() error { return s.program.Stop() }

// ObjectList is what `postern objects status` tells of a list.
type ObjectList struct {
	Name       string    `json:"name"`
	Generation int64     `json:"generation"`
	Objects    int64     `json:"objects"`
	Skipped    int64     `json:"skipped"`
	Synced     time.Time `json:"synced"`
	Error      string    `json:"error"`
}

// ObjectLists are the site's lists by name.
func (s *Site) ObjectLists(ctx context.Context) (map[string]ObjectList, error) {
	lists, err := JSONLines[ObjectList](s.Setup.Run(ctx, "objects", "status", "--json", "--log-level", "warn"))
	out := map[string]ObjectList{}
	for _, l := range lists {
		out[l.Name] = l
	}
	return out, err
}

// WaitForList waits until the gateway matches by the list of that generation, or a later one.
func (s *Site) WaitForList(ctx context.Context, list string, generation int64) error {
	return Eventually(ctx, fmt.Sprintf("generation %d of %s is loaded", generation, list), func() (bool, error) {
		for line := range strings.SplitSeq(s.Gateway.Log(), "\n") {
			var entry struct {
				Message    string `json:"@message"`
				List       string `json:"list"`
				Generation int64  `json:"generation"`
			}
			if strings.Contains(line, `"list loaded"`) && json.Unmarshal([]byte(line), &entry) == nil && entry.List == list && entry.Generation >= generation {
				return true, nil
			}
		}
		return false, nil
	})
}
