package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/postern-mail/postern/core/e2e/harness"
)

const (
	manyConnections = 100
	largeMail       = 25 << 20
	// What one process may have in memory of its own; all mails together are 2500 MiB.
	coreLimit, pluginLimit = 512 << 20, 256 << 20
)

// memory sends large mails over many connections at once and watches the processes.
func memory(ctx context.Context, e *env) (err error) {
	next, err := newDiscard()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, next.close()) }()
	s, err := newSite(ctx, e, "corpora.hcl")
	if err != nil {
		return err
	}
	s.Hop(next.addr())
	if err := s.Start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	watched := map[string]int{"postern": s.Gateway.Pid()}
	for _, plugin := range []string{"unpack", "atse", "filetype", "filename", "actions"} {
		if watched[plugin], err = harness.ChildNamed(s.Gateway.Pid(), "postern-"+plugin); err != nil {
			return err
		}
	}
	mail := mixed(rand.New(rand.NewPCG(1, 1)), 0, largeMail)
	watching, stop := context.WithCancel(ctx)
	peaks := make(chan map[string]int64, 1)
	go func() { peaks <- watch(watching, watched) }()
	replies, sendErr := sendTogether(ctx, s, mail)
	stop()
	peak := <-peaks
	if sendErr != nil {
		return sendErr
	}
	e.printf("%d connections, each with a mail of %d MiB at the same time: %v", manyConnections, len(mail)>>20, replies)
	short := false
	for _, name := range []string{"postern", "unpack", "atse", "filetype", "filename", "actions"} {
		limit := int64(pluginLimit)
		if name == "postern" {
			limit = coreLimit
		}
		e.printf("    %-9s peak %4d MiB of its own memory (claimed: below %d)", name, peak[name]>>20, limit>>20)
		short = short || peak[name] == 0 || peak[name] >= limit
	}
	if short || next.taken.Load() != manyConnections {
		return fmt.Errorf("%d mails arrived: %w", next.taken.Load(), errShort)
	}
	return nil
}

// sendTogether has every connection open before the first mail is sent, and counts the replies by code.
func sendTogether(ctx context.Context, s *harness.Site, mail []byte) (replies map[int]int, err error) {
	var (
		open, sending sync.WaitGroup
		mu            sync.Mutex
	)
	replies = map[int]int{}
	open.Add(manyConnections)
	for range manyConnections {
		sending.Go(func() {
			client, sendErr := s.Dial()
			open.Done()
			open.Wait()
			var reply harness.Reply
			if sendErr == nil {
				reply, sendErr = client.Send("alice@outside.example", []string{"bob@example.org"}, mail)
				sendErr = errors.Join(sendErr, client.Close())
			}
			mu.Lock()
			defer mu.Unlock()
			replies[reply.Code]++
			err = errors.Join(err, sendErr)
		})
	}
	sending.Wait()
	return replies, errors.Join(err, ctx.Err())
}

// watch reads the processes' own memory (RssAnon: pages of mapped files are the system's to drop) until ctx ends, and returns the peaks.
func watch(ctx context.Context, pids map[string]int) map[string]int64 {
	peaks := map[string]int64{}
	ticks := time.NewTicker(20 * time.Millisecond)
	defer ticks.Stop()
	for {
		for name, pid := range pids {
			if own, err := anonymous(pid); err == nil {
				peaks[name] = max(peaks[name], own)
			}
		}
		select {
		case <-ctx.Done():
			return peaks
		case <-ticks.C:
		}
	}
}

func anonymous(pid int) (int64, error) {
	f, err := os.Open(filepath.Join("/proc", fmt.Sprint(pid), "status"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if rest, is := strings.CutPrefix(lines.Text(), "RssAnon:"); is {
			var kib int64
			_, err := fmt.Sscanf(rest, "%d kB", &kib)
			return kib << 10, err
		}
	}
	return 0, errors.Join(lines.Err(), errors.New("no RssAnon"))
}
