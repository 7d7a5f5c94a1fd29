package harness

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ObjectsKey is the key of ObjectServers.
const ObjectsKey = "key-of-the-object-servers"

// ObjectServers are running servers of lists of suspicious objects.
type ObjectServers struct {
	URL, CAFile string
	control     string
	command     *exec.Cmd
}

// StartObjectServers starts them with the lines of a list, and so many made-up digests.
func StartObjectServers(ctx context.Context, bin, scratch, lines string, generate int) (*ObjectServers, error) {
	list := filepath.Join(scratch, "objects.csv")
	s := &ObjectServers{CAFile: filepath.Join(scratch, "objects-ca.pem")}
	if err := os.WriteFile(list, []byte(lines), 0o600); err != nil {
		return nil, fmt.Errorf("start object servers: %w", err)
	}
	// They stand for servers elsewhere, and have to leave the processors to the gateway.
	s.command = exec.Command("nice", "-n", "19", filepath.Join(bin, "object-servers"), "-listen", "127.0.0.1:0", "-control", "127.0.0.1:0", "-ca", s.CAFile,
		"-objects", list, "-generate", fmt.Sprint(generate), "-key", ObjectsKey)
	s.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	s.command.Stderr = os.Stderr
	out, err := s.command.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start object servers: %w", err)
	}
	if err := s.command.Start(); err != nil {
		return nil, fmt.Errorf("start object servers: %w", err)
	}
	for lines := bufio.NewScanner(out); s.control == "" && ctx.Err() == nil && lines.Scan(); {
		switch name, value, _ := strings.Cut(lines.Text(), " "); name {
		case "lists":
			s.URL = value
		case "control":
			s.control = value
		}
	}
	if s.control == "" {
		return nil, errors.Join(errors.New("start object servers: they do not say where they listen"), s.Stop())
	}
	return s, nil
}

// Replace makes the lines the list.
func (s *ObjectServers) Replace(lines string) error { return s.post("objects", lines) }

// Generate adds made-up digests to the list.
func (s *ObjectServers) Generate(n int) error { return s.post(fmt.Sprint("generate?n=", n), "") }

// Fault makes one protocol misbehave, or all: "500", "redirect", "garbage", "half", "empty", "large", "expired", or "" for none.
func (s *ObjectServers) Fault(protocol, kind string) error {
	return s.post("fault?protocol="+protocol+"&kind="+kind, "")
}

func (s *ObjectServers) post(path, body string) error {
	response, err := http.Post(s.control+path, "text/plain", strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("tell object servers: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("tell object servers %s: %s", path, response.Status)
	}
	return nil
}

// Stop ends them.
func (s *ObjectServers) Stop() error {
	if err := s.command.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop object servers: %w", err)
	}
	_ = s.command.Wait() // they were killed
	return nil
}

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
