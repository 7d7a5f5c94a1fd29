package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postern-mail/postern/core/e2e/harness"
	"github.com/postern-mail/postern/core/store"
)

const (
	heldMails   = 10_000
	otherMails  = 10_000
	heldMemory  = 5 << 10 // claimed for each held message
	heldSlowing = 1.10    // of the p99 of other mail
	heldDecided = 60 * time.Second
)

// held10k holds ten thousand messages, each for a sample of its own, on SQLite and on PostgreSQL with two gateways.
func held10k(ctx context.Context, e *env) error {
	short := false
	for _, gateways := range []int{0, 2} {
		bad, err := holdMany(ctx, e, gateways)
		if err != nil {
			return err
		}
		short = short || bad
	}
	if short {
		return errShort
	}
	return nil
}

func holdMany(ctx context.Context, e *env, gateways int) (short bool, err error) {
	verdicts := filepath.Join(e.scratch, fmt.Sprint("verdicts", gateways))
	if err := os.WriteFile(verdicts, nil, 0o600); err != nil {
		return false, err
	}
	// The first query comes when all are held and the verdicts are written.
	c, err := startCluster(ctx, e, gateways, "held.hcl", "PROOF_VERDICTS="+verdicts, "PROOF_QUERY_DELAY=80s")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	name := map[int]string{0: "SQLite", 2: "PostgreSQL, two gateways"}[gateways]
	if _, err := acceptTimes(ctx, c, 200); err != nil { // what is only slow the first time
		return false, err
	}
	before, err := c.memory()
	if err != nil {
		return false, err
	}
	idle, err := acceptTimes(ctx, c, otherMails)
	if err != nil {
		return false, err
	}
	began := time.Now()
	if err := sendHeld(ctx, c, heldMails); err != nil {
		return false, err
	}
	sent := time.Since(began)
	site := c.sites[0]
	err = harness.Eventually(ctx, "all samples are submitted", func() (bool, error) {
		out, err := site.Setup.Run(ctx, "queue", "list", "virtual-analyzer", "--json", "--limit", "1", "--log-level", "warn")
		return err == nil && strings.Count(strings.Join(c.logs(), ""), `"sample submitted"`) >= heldMails && out != "", err
	})
	if err != nil {
		return false, err
	}
	busy, err := acceptTimes(ctx, c, otherMails)
	if err != nil {
		return false, err
	}
	after, err := c.memory()
	if err != nil {
		return false, err
	}
	var lines strings.Builder
	for i := range heldMails {
		fmt.Fprintf(&lines, "%x %s\n", sha256.Sum256(heldContent(i)), []string{"high", "none"}[i%2])
	}
	if err := os.WriteFile(verdicts, []byte(lines.String()), 0o600); err != nil {
		return false, err
	}
	slowest, quarantined, err := decided(ctx, c)
	if err != nil {
		return false, err
	}
	each := max(0, after-before) / heldMails
	ratio := float64(busy) / float64(idle)
	e.printf("%s: %d held, taken in %.0f s", name, heldMails, sent.Seconds())
	e.printf("    memory of all gateways for each held message %d bytes (claimed: below %d)", each, heldMemory)
	e.printf("    p99 of other mail %s with none held, %s with all: ratio %.2f (claimed: at most %.2f)", idle.Round(time.Microsecond),
		busy.Round(time.Microsecond), ratio, heldSlowing)
	e.printf("    all decided, %d quarantined and %d delivered, the last %.1f s after its verdict (claimed: within %.0f)", quarantined,
		heldMails-quarantined, slowest.Seconds(), heldDecided.Seconds())
	return each >= heldMemory || ratio > heldSlowing || slowest > heldDecided || quarantined != heldMails/2, nil
}

func (c *cluster) logs() []string {
	var out []string
	for _, s := range c.sites {
		out = append(out, s.Gateway.Log())
	}
	return out
}

// memory is what the gateways' own processes hold, after a moment in which they may give back what they do not need.
func (c *cluster) memory() (int64, error) {
	least := int64(-1)
	for range 10 {
		var sum int64
		for _, s := range c.sites {
			own, err := anonymous(s.Gateway.Pid())
			if err != nil {
				return 0, err
			}
			sum += own
		}
		if least < 0 || sum < least {
			least = sum
		}
		time.Sleep(100 * time.Millisecond)
	}
	return least, nil
}

func heldContent(i int) []byte { return fmt.Appendf(nil, "// held %d", i) }

// sendHeld sends the mails that are to be held, over several connections to all gateways.
func sendHeld(ctx context.Context, c *cluster, n int) error {
	var sending sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for w := range sendersAtOnce {
		sending.Go(func() {
			err := func() error {
				client, err := c.sites[w%len(c.sites)].Dial()
				if err != nil {
					return err
				}
				for i := w; i < n && ctx.Err() == nil; i += sendersAtOnce {
					id := fmt.Sprint("held", i)
					reply, err := client.Send("alice@outside.example", []string{id + "@example.org"}, harness.Document(id, "file.js", heldContent(i)))
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

// acceptTimes measures several rounds, of which the median counts: machines have other things to do too.
func acceptTimes(ctx context.Context, c *cluster, n int) (time.Duration, error) {
	const rounds = 20
	if err := c.settle(ctx); err != nil {
		return 0, err
	}
	var p99 []time.Duration
	for range rounds {
		took, err := acceptRound(c, n/rounds)
		if err != nil {
			return 0, err
		}
		p99 = append(p99, took)
	}
	slices.Sort(p99)
	return p99[rounds/2], nil
}

// acceptRound sends mail that is relayed at once, one after the other, and returns the p99 of the time that each took.
func acceptRound(c *cluster, n int) (time.Duration, error) {
	client, err := c.sites[0].Dial()
	if err != nil {
		return 0, err
	}
	var times []time.Duration
	mail := harness.Document("other", "file.txt", []byte("other mail"))
	for range n {
		began := time.Now()
		reply, err := client.Send("alice@outside.example", []string{"bob@example.org"}, mail)
		if err != nil || !reply.Accepted() {
			return 0, errors.Join(fmt.Errorf("send other mail: %s", reply), err)
		}
		times = append(times, time.Since(began))
	}
	c.sites[0].Sink.Forget()
	slices.Sort(times)
	return times[len(times)*99/100], client.Close()
}

// decided waits until nothing is held and returns the longest time between a verdict and what followed from it.
func decided(ctx context.Context, c *cluster) (slowest time.Duration, quarantined int, err error) {
	site := c.sites[0]
	err = harness.Eventually(ctx, "all are decided", func() (bool, error) {
		waiting, err := site.Setup.Run(ctx, "queue", "list", "virtual-analyzer", "--json", "--limit", "1", "--log-level", "warn")
		return err == nil && waiting == "", err
	})
	if err != nil {
		return 0, 0, err
	}
	verdicts, err := harness.JSONLines[store.Submission](site.Setup.Run(ctx, "cache", "list", "--json", "--limit", "100000", "--log-level", "warn"))
	if err != nil {
		return 0, 0, err
	}
	asked := map[string]time.Time{}
	for i := range verdicts {
		asked[verdicts[i].Key.SHA256] = verdicts[i].Asked
	}
	kept, err := site.Copies(ctx, "quarantine")
	if err != nil {
		return 0, 0, err
	}
	for i := range kept {
		for _, v := range kept[i].Fate.Verdicts {
			slowest = max(slowest, kept[i].Changed.Sub(asked[v.Key.SHA256]))
		}
	}
	return slowest, len(kept), nil
}
