package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/postern-mail/postern/core/store"
)

// Site is a gateway with its configuration folder, its state and its next hop.
type Site struct {
	Setup   Setup
	Gateway *Gateway
	Sink    *Sink
}

// NewSite writes the configuration files, by name, below scratch and starts a sink, whose address the configuration finds in SITE_HOP.
// Start starts the gateway, after what is to be changed before.
func NewSite(ctx context.Context, bin, scratch string, files map[string][]byte) (*Site, error) {
	s := &Site{Setup: Setup{Bin: bin, Config: filepath.Join(scratch, "config"), State: filepath.Join(scratch, "state")}}
	if err := os.Mkdir(s.Setup.State, 0o700); err != nil {
		return nil, fmt.Errorf("make site: %w", err)
	}
	for name, content := range files {
		if err := s.WriteConfig(name, content); err != nil {
			return nil, err
		}
	}
	if err := s.Setup.Pin(ctx); err != nil {
		return nil, err
	}
	sink, err := NewSink("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.Sink = sink
	s.Hop(sink.Addr())
	return s, nil
}

// WriteConfig writes one file of the configuration.
func (s *Site) WriteConfig(name string, content []byte) error {
	path := filepath.Join(s.Setup.Config, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, content, 0o600)); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}

// Hop makes the address the next hop of a gateway that is not started yet.
func (s *Site) Hop(address string) { s.Setup.Env = append(s.Setup.Env, "SITE_HOP="+address) }

// Start starts the gateway.
func (s *Site) Start(ctx context.Context) (err error) {
	s.Gateway, err = Start(ctx, s.Setup)
	return err
}

// Stop ends gateway and sink.
func (s *Site) Stop() error {
	var err error
	if s.Gateway != nil {
		err = s.Gateway.Stop()
	}
	return errors.Join(err, s.Sink.Close())
}

// Dial connects to the listener "in".
func (s *Site) Dial() (*Client, error) { return Dial(s.Gateway.Address("in")) }

// Events returns the policy events that match the arguments of `log query`, the newest first.
func (s *Site) Events(ctx context.Context, arguments ...string) ([]store.Event, error) {
	return JSONLines[store.Event](s.list(ctx, append([]string{"log", "query"}, arguments...)))
}

// Copies lists an area.
func (s *Site) Copies(ctx context.Context, area string, arguments ...string) ([]store.CopyRow, error) {
	return JSONLines[store.CopyRow](s.list(ctx, append([]string{area, "list"}, arguments...)))
}

// Waiting lists the queue of the Virtual Analyzer.
func (s *Site) Waiting(ctx context.Context, arguments ...string) ([]store.CopyRow, error) {
	return JSONLines[store.CopyRow](s.list(ctx, append([]string{"queue", "list", "virtual-analyzer"}, arguments...)))
}

// Tracks lists the tracking log.
func (s *Site) Tracks(ctx context.Context, arguments ...string) ([]store.Track, error) {
	return JSONLines[store.Track](s.list(ctx, append([]string{"track"}, arguments...)))
}

func (s *Site) list(ctx context.Context, arguments []string) (string, error) {
	return s.Setup.Run(ctx, append(arguments, "--json", "--limit", "100000", "--log-level", "warn")...)
}

// JSONLines reads what a command printed with --json.
func JSONLines[T any](text string, err error) ([]T, error) {
	if err != nil {
		return nil, err
	}
	var (
		out     []T
		decoder = json.NewDecoder(strings.NewReader(text))
	)
	for decoder.More() {
		var v T
		if err := decoder.Decode(&v); err != nil {
			return nil, fmt.Errorf("read output of postern: %w", err)
		}
		out = append(out, v)
	}
	return out, nil
}
