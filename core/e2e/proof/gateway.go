package main

import (
	"context"
	"embed"
	"errors"

	"github.com/postern-mail/postern/core/e2e/harness"
)

//go:embed config/*.hcl
var configs embed.FS

// newSite prepares a gateway with the common configuration, SQLite, and the proof's own rules.
func newSite(ctx context.Context, e *env, rules string) (*harness.Site, error) {
	return newSiteOn(ctx, e, "sqlite.hcl", rules)
}

// newSiteOn is newSite with the store of that file.
func newSiteOn(ctx context.Context, e *env, store, rules string) (*harness.Site, error) {
	files := map[string][]byte{}
	for from, to := range map[string]string{"postern.hcl": "postern.hcl", store: "store.hcl", rules: "rules/10.hcl"} {
		text, err := configs.ReadFile("config/" + from)
		if err != nil {
			return nil, err
		}
		files[to] = text
	}
	return harness.NewSite(ctx, e.bin, e.scratch, files)
}

func startSite(ctx context.Context, e *env, rules string) (*harness.Site, error) {
	s, err := newSite(ctx, e, rules)
	if err != nil {
		return nil, err
	}
	if err := s.Start(ctx); err != nil {
		return nil, errors.Join(err, s.Sink.Close())
	}
	return s, nil
}
