package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postern-mail/postern/core/e2e/harness"
)

// failoverEvery is the interval of the proof's synchronisations.
const failoverEvery = 5 * time.Second

// syncFailover kills the gateway of two that synchronises, and sends mail with listed domains through both.
func syncFailover(ctx context.Context, e *env) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*patience)
	defer cancel()
	servers, err := harness.StartObjectServers(ctx, e.bin, e.scratch, "domain,first.example,block\n", 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, servers.Stop()) }()
	c, err := startCluster(ctx, e, 2, "objectlist.hcl", "OBJECTS_URL="+servers.URL+"/feed/", "OBJECTS_CA="+servers.CAFile, "OBJECTS_EVERY="+failoverEvery.String())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	short := false
	if err := c.waitForObjects(ctx, "feed", 1); err != nil {
		return err
	}
	for i := range c.sites {
		kept, err := c.keeps(ctx, i, fmt.Sprint("first", i), "http://www.first.example/")
		if err != nil {
			return err
		}
		e.printf("    gateway %d quarantines a link to what was listed: %v", i, kept)
		short = short || !kept
	}
	// Each round of synchronisation is one gateway's: the list changes, and one of them says that it wrote it.
	if err := servers.Replace("domain,first.example,block\ndomain,second.example,block\n"); err != nil {
		return err
	}
	if err := c.waitForObjects(ctx, "feed", 2); err != nil {
		return err
	}
	var writers []int
	for i, log := range c.logs() {
		if n := strings.Count(log, `"list synchronised"`); n > 0 {
			writers = append(writers, i)
			e.printf("    gateway %d has synchronised %d change(s)", i, n)
		}
	}
	total := 0
	for _, log := range c.logs() {
		total += strings.Count(log, `"list synchronised"`)
	}
	short = short || total != 2
	// The one that wrote last is killed, while the list changes again.
	last := writers[len(writers)-1]
	other := 1 - last
	c.sites[last].Gateway.Kill()
	c.sites[last].Gateway = nil
	killed := time.Now()
	if err := servers.Replace("domain,first.example,block\ndomain,second.example,block\ndomain,third.example,block\n"); err != nil {
		return err
	}
	survivor := c.sites[other]
	err = harness.Eventually(ctx, "the other takes over", func() (bool, error) {
		lists, err := survivor.ObjectLists(ctx)
		return lists["feed"].Objects == 3, err
	})
	if err != nil {
		return err
	}
	lists, err := survivor.ObjectLists(ctx)
	if err != nil {
		return err
	}
	took := lists["feed"].Synced.Sub(killed)
	if err := survivor.WaitForList(ctx, "feed", lists["feed"].Generation); err != nil {
		return err
	}
	kept, err := c.keeps(ctx, other, "third", "http://third.example/")
	if err != nil {
		return err
	}
	const tick = 2 * time.Second // until it is looked whether one is due, and for the fetch
	e.printf("    gateway %d was killed; gateway %d synchronised %.1f s later (claimed: within the interval of %s and a moment), and quarantines what is new: %v",
		last, other, took.Seconds(), failoverEvery, kept)
	if short || !kept || took > failoverEvery+tick {
		return errShort
	}
	return nil
}

// keeps sends a mail with the link through one gateway and says whether it was quarantined by the rule about URLs.
func (c *cluster) keeps(ctx context.Context, gateway int, id, link string) (bool, error) {
	s := c.sites[gateway]
	client, err := s.Dial()
	if err != nil {
		return false, err
	}
	reply, err := client.Send("alice@outside.example", []string{"bob@example.org"}, fmt.Appendf(nil,
		"From: alice@outside.example\r\nTo: bob@example.org\r\nSubject: %s\r\nMessage-ID: <%s@outside.example>\r\n\r\n%s\r\n", id, id, link))
	if err := errors.Join(err, client.Close()); err != nil || !reply.Accepted() {
		return false, errors.Join(fmt.Errorf("send: %s", reply), err)
	}
	events, err := s.Events(ctx, "--id", `"`+id+`@outside.example"`)
	return len(events) == 1 && events[0].Rule == urlRule && events[0].Action == "Quarantined", err
}
