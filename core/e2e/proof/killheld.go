package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/postern-mail/postern/core/e2e/harness"
)

const (
	heldKills    = 50
	heldKillSeed = 7
)

// killHeld kills the gateway again and again while messages are held and their samples are handed over and asked for, and then lets the
// sandbox speak: every message that was taken is decided once.
func killHeld(ctx context.Context, e *env) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 6*patience)
	defer cancel()
	sandbox, err := harness.StartSimulator(ctx, e.bin, e.scratch, "* none fault=never\n")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sandbox.Stop()) }()
	c, err := startCluster(ctx, e, 0, "sandbox.hcl", append(sandbox.Environment(), "PROOF_QUERY_DELAY=1s")...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	site := c.sites[0]
	random := rand.New(rand.NewPCG(heldKillSeed, heldKillSeed))
	var taken []string
	for round := range heldKills {
		sent, err := sendRound(site, round, random)
		if err != nil {
			return err
		}
		taken = append(taken, sent...)
		// Every other time while samples are on their way, between upload and commit too; else while they are asked for.
		longest := 400
		if round%2 == 0 {
			longest = 30
		}
		wait := time.NewTimer(time.Duration(random.IntN(longest)) * time.Millisecond)
		select {
		case <-wait.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		site.Gateway.Kill()
		if err := site.Start(ctx); err != nil {
			return err
		}
	}
	_, doubled, err := sandbox.Uploads()
	if err != nil {
		return err
	}
	if err := sandbox.Set("* high name=Bad"); err != nil {
		return err
	}
	var lost, twice int
	err = harness.Eventually(ctx, "nothing waits any more", func() (bool, error) {
		waiting, err := site.Waiting(ctx)
		return len(waiting) == 0, err
	})
	if err != nil {
		return err
	}
	kept, err := site.Copies(ctx, "quarantine")
	if err != nil {
		return err
	}
	arrived := site.Sink.Mails()
	for _, recipient := range taken {
		n := 0
		for i := range kept {
			if slices.Contains(kept[i].Recipients, recipient) {
				n++
			}
		}
		for i := range arrived {
			if slices.Contains(arrived[i].To, recipient) {
				n++
			}
		}
		switch {
		case n == 0:
			lost++
		case n > 1:
			twice++
		}
	}
	unanalysed := 0
	for i := range kept {
		if kept[i].Area != "scripts" {
			unanalysed++
		}
	}
	uploads, _, err := sandbox.Uploads()
	if err != nil {
		return err
	}
	e.printf("%d kills (seed %d), %d messages taken, %d samples submitted: %d lost, %d doubled, %d second live submissions, %d not decided by their verdict",
		heldKills, heldKillSeed, len(taken), len(uploads), lost, twice, doubled, unanalysed)
	if lost+twice+doubled+unanalysed > 0 || len(taken) == 0 {
		return errShort
	}
	return nil
}

// sendRound sends a few mails, two of which share a sample with the rounds around, and returns the recipients of those that were taken.
func sendRound(site *harness.Site, round int, random *rand.Rand) ([]string, error) {
	client, err := site.Dial()
	if err != nil {
		return nil, err
	}
	var taken []string
	for i := range 4 {
		id := fmt.Sprintf("round%d.%d", round, i)
		content := fmt.Appendf(nil, "// %s", id)
		if i > 1 {
			content = fmt.Appendf(nil, "// shared %d", round/10)
		}
		recipient := id + "@example.org"
		reply, err := client.Send("alice@outside.example", []string{recipient}, harness.Document(id, fmt.Sprintf("file%d.js", random.IntN(3)), content))
		if err != nil {
			return taken, err
		}
		if reply.Accepted() {
			taken = append(taken, recipient)
		}
	}
	return taken, client.Close()
}
