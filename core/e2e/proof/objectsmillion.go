package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/core/e2e/harness"
	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/objects"
	"github.com/postern-mail/postern/core/store"
	"github.com/postern-mail/postern/core/store/sqlite"
)

const (
	manyObjects    = 1_000_000
	objectMemory   = 128 // bytes for each, what the collector of garbage lets gather included
	objectLookup   = 10 * time.Microsecond
	objectSlowing  = 2.0
	objectSync     = 2 * time.Minute
	swapsMeasured  = 3
	lookupsAtOnce  = 200_000
	longestSwap    = 5 * time.Minute
	mailsInAMoment = 200
)

// objectsMillion has a long list fetched, and changed while mail passes.
func objectsMillion(ctx context.Context, e *env) (err error) {
	servers, err := harness.StartObjectServers(ctx, e.bin, e.scratch, "", 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, servers.Stop()) }()
	c, err := startCluster(ctx, e, 0, "objectlist.hcl", "OBJECTS_URL="+servers.URL+"/feed/", "OBJECTS_CA="+servers.CAFile, "OBJECTS_EVERY=24h", "OBJECTS_KEY=")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	s := c.sites[0]
	if err := c.waitForObjects(ctx, "feed", 1); err != nil {
		return err
	}
	if _, err := s.Setup.Run(ctx, "objects", "accept", "feed"); err != nil {
		return err
	}
	before, err := c.memory()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := c.grow(ctx, servers, manyObjects-1); err != nil {
		return err
	}
	took := time.Since(began)
	idle, err := acceptTimes(ctx, c, 5*mailsInAMoment)
	if err != nil {
		return err
	}
	busy, longest, err := c.swapTimes(ctx, servers)
	if err != nil {
		return err
	}
	after, err := c.memory()
	if err != nil {
		return err
	}
	lookup, err := lookUpObjects(ctx, s)
	if err != nil {
		return err
	}
	each, ratio := max(0, after-before)/manyObjects, float64(busy)/float64(idle)
	e.printf("%d objects fetched, stored and loaded in %.0f s (claimed: at most %.0f)", manyObjects, took.Seconds(), objectSync.Seconds())
	e.printf("    memory of the gateway for each object %d bytes (claimed: at most %d)", each, objectMemory)
	e.printf("    a file and a link looked up in %s of processor time (claimed: at most %s)", lookup, objectLookup)
	e.printf("    p99 of mail %s while nothing changes, %s while the list is fetched and swapped %d times, longest %s: ratio %.2f (claimed: at most %.1f)",
		idle.Round(time.Microsecond), busy.Round(time.Microsecond), swapsMeasured, longest.Round(time.Millisecond), ratio, objectSlowing)
	if each > objectMemory || lookup > objectLookup || ratio > objectSlowing || took > objectSync {
		return errShort
	}
	return nil
}

// waitForObjects waits until a list has so many objects, and the gateways have loaded it.
func (c *cluster) waitForObjects(ctx context.Context, list string, n int64) error {
	ctx, cancel := context.WithTimeout(ctx, longestSwap)
	defer cancel()
	var generation int64
	var said harness.ObjectList
	err := harness.Eventually(ctx, "the list is synchronised", func() (bool, error) {
		lists, err := c.sites[0].ObjectLists(ctx)
		said = lists[list]
		generation = said.Generation
		return said.Objects == n && said.Error == "", err
	})
	if err != nil {
		return fmt.Errorf("%w: the list is %+v", err, said)
	}
	for _, s := range c.sites {
		if err := s.WaitForList(ctx, list, generation); err != nil {
			return err
		}
	}
	return nil
}

// grow adds objects and has them synchronised.
func (c *cluster) grow(ctx context.Context, servers *harness.ObjectServers, n int) error {
	lists, err := c.sites[0].ObjectLists(ctx)
	if err != nil {
		return err
	}
	if err := servers.Generate(n); err != nil {
		return err
	}
	if _, err := c.sites[0].Setup.Run(ctx, "objects", "sync"); err != nil {
		return err
	}
	return c.waitForObjects(ctx, "feed", lists["feed"].Objects+int64(n))
}

// swapTimes measures mail while the list is fetched and swapped again and again.
func (c *cluster) swapTimes(ctx context.Context, servers *harness.ObjectServers) (p99, longest time.Duration, err error) {
	done := make(chan error, 1)
	go func() {
		var failed error
		for range swapsMeasured {
			failed = errors.Join(failed, c.grow(ctx, servers, 1))
		}
		done <- failed
	}()
	client, err := c.sites[0].Dial()
	if err != nil {
		return 0, 0, err
	}
	mail := harness.Document("other", "file.txt", []byte("other mail"))
	var times []time.Duration
	for {
		select {
		case err := <-done:
			if len(times) == 0 {
				err = errors.Join(err, errors.New("no mail passed meanwhile"))
			}
			if err := errors.Join(err, client.Close()); err != nil {
				return 0, 0, err
			}
			slices.Sort(times)
			c.sites[0].Sink.Forget()
			return times[len(times)*99/100], times[len(times)-1], nil
		default:
		}
		began := time.Now()
		reply, err := client.Send("alice@outside.example", []string{"bob@example.org"}, mail)
		if err != nil || !reply.Accepted() {
			return 0, 0, errors.Join(fmt.Errorf("send mail: %s", reply), err, <-done)
		}
		times = append(times, time.Since(began))
	}
}

// lookUpObjects loads the stored list as a gateway does and measures how long a message with one file and one link takes to match.
func lookUpObjects(ctx context.Context, s *harness.Site) (each time.Duration, err error) {
	stored, err := sqlite.Open(ctx, filepath.Join(s.Setup.State, "postern.db"), store.Options{Clock: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, stored.Close()) }()
	keeper := &objects.Keeper{Store: stored, Log: hclog.NewNullLogger()}
	if err := keeper.Refresh(ctx); err != nil {
		return 0, err
	}
	matcher := &objects.Matcher{Name: "ctd", Lists: keeper.Lists, Now: time.Now}
	found := 0
	trees := make([]message.Tree, 1000)
	for i := range trees {
		sum := sha256.Sum256(fmt.Appendf(nil, "made up %d", i*7))
		trees[i].Parts = []message.Part{{Kind: message.PartAttachment, SHA256: hex.EncodeToString(sum[:]), SHA1: hex.EncodeToString(sum[:20])}}
		trees[i].URLs = []message.URL{{URL: fmt.Sprintf("https://www.host%d.example/path?x=%d", i, i)}}
	}
	began, err := processorTime()
	if err != nil {
		return 0, err
	}
	for i := range lookupsAtOnce {
		found += len(matcher.Match(&trees[i%len(trees)]).Findings)
	}
	ended, err := processorTime()
	if err != nil {
		return 0, err
	}
	each = (ended - began) / lookupsAtOnce
	if found != lookupsAtOnce {
		return 0, fmt.Errorf("%d of %d were found", found, lookupsAtOnce)
	}
	return each, nil
}

// processorTime is what this process has had of the processors: a machine that does other work beside makes a clock tell of that.
func processorTime() (time.Duration, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, fmt.Errorf("read processor time: %w", err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), nil
}
