package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/postern-mail/postern/sdk/analyzer"
	"github.com/postern-mail/postern/sdk/servers"
)

const (
	// attempts bounds how often one call tries; between two it waits firstPause and then twice as long.
	attempts   = 3
	firstPause = 500 * time.Millisecond
)

// submission is one sample on its way to one appliance.
type submission struct {
	connector *connector
	server    *appliance
	sample    *analyzer.Sample
	// uncertain says that the appliance may have the sample from before: until it says no, nobody else may be given it.
	uncertain bool
	packed    *archive
}

// Submit hands a sample over. An error says that it is not known whether the appliance has it: the next attempt asks first.
func (c *connector) Submit(ctx context.Context, sample *analyzer.Sample) (receipt *analyzer.Receipt, err error) {
	server := c.appliances[sample.Server]
	if server == nil {
		// It was taken out of the configuration after it was chosen.
		if sample.AskFirst {
			return &analyzer.Receipt{State: analyzer.Failed, Detail: "the server that may have it is no longer in the configuration"}, nil
		}
		return &analyzer.Receipt{State: analyzer.Unreachable, Detail: "the server is no longer in the configuration"}, nil
	}
	u := &submission{connector: c, server: server, sample: sample, uncertain: sample.AskFirst}
	defer func() {
		if u.packed != nil {
			if failed := u.packed.remove(); failed != nil {
				c.log.Warn("removing an archive failed", "error", failed)
			}
		}
	}()
	pause := c.pause
	for attempt := 1; ; attempt++ {
		receipt, err = u.try(ctx)
		if err == nil {
			c.pool.Served(server.name)
			return receipt, nil
		}
		wait, again := u.worthwhile(err, pause)
		if !again || attempt == attempts || !servers.Sleep(ctx, wait) {
			break
		}
		pause *= 2
	}
	if errors.Is(err, errNotReady) {
		return nil, err
	}
	var r *refusal
	var asked time.Duration
	if errors.As(err, &r) {
		asked = r.wait
	}
	c.pool.Failed(server.name, asked)
	if u.uncertain {
		return nil, err
	}
	c.log.Warn("the appliance could not be given a sample", "server", server.name, "error", err)
	return &analyzer.Receipt{State: analyzer.Unreachable, Detail: err.Error()}, nil
}

// errNotReady says that the sample could not be made ready here, which is not the appliance's doing.
var errNotReady = errors.New("the sample could not be made ready")

// try asks whether the sample is known and uploads it where it is not.
func (u *submission) try(ctx context.Context) (*analyzer.Receipt, error) {
	known, err := u.server.known(ctx, u.sample.SHA1)
	if err != nil {
		return nil, err
	}
	if known {
		return u.taken("the appliance knew it"), nil
	}
	u.uncertain = false
	if u.packed == nil {
		if u.packed, err = pack(u.connector.scratch, u.sample, u.server.id, u.connector.now()); err != nil {
			return nil, fmt.Errorf("%w: %w", errNotReady, err)
		}
	}
	_, err = u.server.call(ctx, http.MethodPut, "upload_sample", []field{
		{"SourceID", sourceID}, {"SourceName", product}, {"Archive-SHA1", u.packed.sha1}, {"Archive-Filename", u.packed.name},
	}, u.packed.content(), shortAnswer)
	var r *refusal
	switch {
	case err == nil:
		return u.taken(""), nil
	case errors.Is(err, errNotRegistered), errors.Is(err, servers.ErrNotSent), errors.Is(err, errQuiet):
		return nil, err
	case !errors.As(err, &r):
		// It was sent, and there was no answer.
		u.uncertain = true
		return nil, err
	case r.unsupported():
		return &analyzer.Receipt{State: analyzer.Unsupported, Detail: r.Error()}, nil
	case r.aboutSample():
		return &analyzer.Receipt{State: analyzer.Failed, Detail: r.Error()}, nil
	}
	// A server that fails inside may have stored the sample before; one that is busy or wants another key has not.
	u.uncertain = r.status/100 != 4 && !r.busy()
	return nil, err
}

func (u *submission) taken(detail string) *analyzer.Receipt {
	return &analyzer.Receipt{State: analyzer.Pending, Submission: strings.ToLower(u.sample.SHA1), Detail: detail}
}

// unsupported says that the appliance does not take this kind of file. The text does not count: it may quote the file's name, which its sender
// chose.
func (r *refusal) unsupported() bool { return r.status == http.StatusUnsupportedMediaType }

// aboutSample says that another server would say the same. A wrong key or clock shows before anything is uploaded.
func (r *refusal) aboutSample() bool {
	switch r.status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	}
	return r.status/100 == 4
}

// worthwhile says whether the same may go well a moment later. What was sent and not answered is left to the next call: the appliance may
// still be at work on it, and would say now that it does not know the sample.
func (u *submission) worthwhile(err error, pause time.Duration) (wait time.Duration, again bool) {
	var r *refusal
	unanswered := u.uncertain && u.packed != nil
	switch {
	case errors.Is(err, errNotReady), errors.Is(err, errQuiet):
		return 0, false
	case errors.As(err, &r):
		return max(pause, r.wait), r.status/100 == 5 && !unanswered
	}
	return pause, !unanswered
}

// serverOf is the appliance with the submission's name.
func (c *connector) serverOf(name string) (*appliance, error) {
	if a := c.appliances[name]; a != nil {
		return a, nil
	}
	return nil, fmt.Errorf("server %s is not in the configuration", name)
}
