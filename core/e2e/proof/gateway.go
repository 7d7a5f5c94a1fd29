package main

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/postern-mail/postern/core/e2e/harness"
	"github.com/postern-mail/postern/core/store"
)

//go:embed config/*.hcl
var configs embed.FS

// site is a gateway with its next hop.
type site struct {
	setup   harness.Setup
	gateway *harness.Gateway
	sink    *harness.Sink
}

// newSite prepares a gateway with the common configuration and the proof's own rules; start starts it.
func newSite(ctx context.Context, e *env, rules string) (*site, error) {
	s := &site{setup: harness.Setup{Bin: e.bin, Config: filepath.Join(e.scratch, "config"), State: filepath.Join(e.scratch, "state")}}
	if err := errors.Join(os.MkdirAll(filepath.Join(s.setup.Config, "rules"), 0o700), os.Mkdir(s.setup.State, 0o700)); err != nil {
		return nil, err
	}
	for from, to := range map[string]string{"postern.hcl": "postern.hcl", rules: "rules/10.hcl"} {
		text, err := configs.ReadFile("config/" + from)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(s.setup.Config, to), text, 0o600); err != nil {
			return nil, err
		}
	}
	if err := s.setup.Pin(ctx); err != nil {
		return nil, err
	}
	sink, err := harness.NewSink("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.sink = sink
	s.hop(sink.Addr())
	return s, nil
}

// hop makes the address the next hop.
func (s *site) hop(address string) { s.setup.Env = append(s.setup.Env, "PROOF_HOP="+address) }

func (s *site) start(ctx context.Context) (err error) {
	s.gateway, err = harness.Start(ctx, s.setup)
	return err
}

func startSite(ctx context.Context, e *env, rules string) (*site, error) {
	s, err := newSite(ctx, e, rules)
	if err != nil {
		return nil, err
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.sink.Close())
	}
	return s, nil
}

func (s *site) stop() error {
	var err error
	if s.gateway != nil {
		err = s.gateway.Stop()
	}
	return errors.Join(err, s.sink.Close())
}

func (s *site) dial() (*harness.Client, error) { return harness.Dial(s.gateway.Address("in")) }

// events returns every policy event.
func (s *site) events(ctx context.Context) ([]store.Event, error) {
	return jsonLines[store.Event](s.setup.Run(ctx, "log", "query", "--json", "--limit", "100000", "--log-level", "warn"))
}

// copies lists an area.
func (s *site) copies(ctx context.Context, area string) ([]store.CopyRow, error) {
	return jsonLines[store.CopyRow](s.setup.Run(ctx, area, "list", "--json", "--limit", "100000", "--log-level", "warn"))
}

func jsonLines[T any](text string, err error) ([]T, error) {
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

// relayed reports whether the mail at the sink is the one that was sent, byte for byte behind the trace, which stands in front or,
// where the mail begins with a mailbox's "From " line, behind that.
func relayed(arrived, sent []byte) bool {
	head := ""
	if bytes.HasPrefix(sent, []byte("From ")) {
		line, rest, _ := bytes.Cut(sent, []byte("\r\n"))
		head, sent = string(line)+"\r\n", rest
	}
	return bytes.HasPrefix(arrived, []byte(head+"Received: ")) && bytes.HasSuffix(arrived, sent)
}
