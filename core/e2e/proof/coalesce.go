package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/postern-mail/postern/core/e2e/harness"
)

const alikeMails = 1000

// coalesce sends messages with one attachment through two gateways at once and counts what the sandbox is given.
func coalesce(ctx context.Context, e *env) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*patience)
	defer cancel()
	sandbox, err := harness.StartSimulator(ctx, e.bin, e.scratch, "* none fault=never\n")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sandbox.Stop()) }()
	c, err := startCluster(ctx, e, 2, "sandbox.hcl", append(sandbox.Environment(), "PROOF_QUERY_DELAY=30s")...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	if err := sendAlike(ctx, c); err != nil {
		return err
	}
	if err := c.waitFor(ctx, "the sample is submitted", func() bool { return strings.Contains(strings.Join(c.logs(), ""), `"sample submitted"`) }); err != nil {
		return err
	}
	if err := sandbox.Set("* high name=Alike"); err != nil {
		return err
	}
	kept := 0
	err = harness.Eventually(ctx, "all are quarantined", func() (bool, error) {
		copies, err := c.sites[0].Copies(ctx, "quarantine", "--area", "scripts")
		kept = len(copies)
		return kept >= alikeMails, err
	})
	if err != nil {
		return err
	}
	uploads, doubled, err := sandbox.Uploads()
	if err != nil {
		return err
	}
	sum := 0
	for _, n := range uploads {
		sum += n
	}
	e.printf("%d messages with one attachment through %d gateways: %d submission(s), %d while one was live; %d quarantined by its verdict",
		alikeMails, len(c.sites), sum, doubled, kept)
	if sum != 1 || doubled != 0 || kept != alikeMails {
		return errShort
	}
	return nil
}

func (c *cluster) waitFor(ctx context.Context, what string, yes func() bool) error {
	return harness.Eventually(ctx, what, func() (bool, error) { return yes(), nil })
}

func sendAlike(ctx context.Context, c *cluster) error {
	var sending sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for w := range 2 * sendersAtOnce {
		sending.Go(func() {
			err := func() error {
				client, err := c.sites[w%len(c.sites)].Dial()
				if err != nil {
					return err
				}
				for i := w; i < alikeMails && ctx.Err() == nil; i += 2 * sendersAtOnce {
					id := fmt.Sprint("alike", i)
					reply, err := client.Send("alice@outside.example", []string{id + "@example.org"}, harness.Document(id, "file.js", []byte("// one and the same")))
					if err != nil || !reply.Accepted() {
						return errors.Join(fmt.Errorf("send %s: %s", id, reply), err, client.Close())
					}
				}
				return client.Close()
			}()
			mu.Lock()
			defer mu.Unlock()
			failed = errors.Join(failed, err)
		})
	}
	sending.Wait()
	return errors.Join(failed, ctx.Err())
}
