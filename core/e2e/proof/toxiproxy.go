package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/postern-mail/postern/core/e2e/harness"
)

// toxiproxyServer is the proxy that breaks connections in many ways (MIT). It is a tool and no dependency: pinned here, built by the Go command.
const toxiproxyServer = "github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0"

// toxiproxyStarts is how long it may take to answer.
const toxiproxyStarts = 20 * time.Second

// toxiproxy is a running server of proxies.
type toxiproxy struct {
	api     string
	client  http.Client
	command *exec.Cmd
}

// startToxiproxy installs and starts it.
func startToxiproxy(ctx context.Context, scratch string) (*toxiproxy, error) {
	install := exec.CommandContext(ctx, "go", "install", toxiproxyServer)
	install.Env = append(os.Environ(), "GOBIN="+scratch)
	install.Dir = scratch // outside of the module
	if said, err := install.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("install toxiproxy: %w: %s", err, said)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("find a port for toxiproxy: %w", err)
	}
	host, port, err := net.SplitHostPort(listener.Addr().String())
	if err := errors.Join(err, listener.Close()); err != nil {
		return nil, fmt.Errorf("find a port for toxiproxy: %w", err)
	}
	t := &toxiproxy{
		api: "http://" + net.JoinHostPort(host, port) + "/", client: http.Client{Timeout: toxiproxyStarts},
		command: exec.Command(filepath.Join(scratch, "server"), "-host", host, "-port", port),
	}
	t.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := t.command.Start(); err != nil {
		return nil, fmt.Errorf("start toxiproxy: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, toxiproxyStarts)
	defer cancel()
	err = harness.Eventually(ctx, "toxiproxy answers", func() (bool, error) { return t.do(http.MethodGet, "version", nil, nil) == nil, nil })
	if err != nil {
		return nil, errors.Join(err, t.stop())
	}
	return t, nil
}

func (t *toxiproxy) stop() error {
	if err := t.command.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop toxiproxy: %w", err)
	}
	_ = t.command.Wait() // it was killed
	return nil
}

// do asks the API; answer may be nil.
func (t *toxiproxy) do(method, path string, question, answer any) error {
	var body bytes.Buffer
	if question != nil {
		if err := json.NewEncoder(&body).Encode(question); err != nil {
			return fmt.Errorf("ask toxiproxy for %s: %w", path, err)
		}
	}
	request, err := http.NewRequest(method, t.api+path, &body)
	if err != nil {
		return fmt.Errorf("ask toxiproxy for %s: %w", path, err)
	}
	response, err := t.client.Do(request)
	if err != nil {
		return fmt.Errorf("ask toxiproxy for %s: %w", path, err)
	}
	defer response.Body.Close()
	said, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %s", response.Status, said)
	}
	if err == nil && answer != nil {
		err = json.Unmarshal(said, answer)
	}
	if err != nil {
		return fmt.Errorf("ask toxiproxy for %s: %w", path, err)
	}
	return nil
}

// line is a proxy before one server.
type line struct {
	toxiproxy     *toxiproxy
	name, address string
}

// before puts a proxy before the server at the address.
func (t *toxiproxy) before(name, upstream string) (*line, error) {
	var made struct{ Listen string }
	err := t.do(http.MethodPost, "proxies", map[string]any{"name": name, "listen": "127.0.0.1:0", "upstream": upstream, "enabled": true}, &made)
	return &line{toxiproxy: t, name: name, address: made.Listen}, err
}

// toxic is one way in which a line is bad. Its attributes are those of toxiproxy's documentation.
type toxic struct {
	kind       string // "down" is no toxic of toxiproxy's: the proxy refuses connections
	stream     string // "upstream" is what the gateway sends
	attributes map[string]int
}

const down = "down"

func (t toxic) String() string {
	if t.kind == down {
		return t.kind
	}
	text := t.kind + " " + t.stream
	for _, name := range []string{"latency", "rate", "delay", "timeout", "average_size", "bytes"} {
		if value, is := t.attributes[name]; is {
			return fmt.Sprintf("%s %s=%d", text, name, value)
		}
	}
	return text
}

// spoil makes the line bad for every connection there is and comes; heal ends that.
func (l *line) spoil(t toxic) error {
	if t.kind == down {
		return l.enable(false)
	}
	return l.toxiproxy.do(http.MethodPost, "proxies/"+l.name+"/toxics",
		map[string]any{"name": "trouble", "type": t.kind, "stream": t.stream, "attributes": t.attributes}, nil)
}

func (l *line) heal(t toxic) error {
	if t.kind == down {
		return l.enable(true)
	}
	return l.toxiproxy.do(http.MethodDelete, "proxies/"+l.name+"/toxics/trouble", nil, nil)
}

func (l *line) enable(enabled bool) error {
	return l.toxiproxy.do(http.MethodPost, "proxies/"+l.name, map[string]any{"enabled": enabled}, nil)
}

// remove ends the proxy with its connections.
func (l *line) remove() error { return l.toxiproxy.do(http.MethodDelete, "proxies/"+l.name, nil, nil) }
