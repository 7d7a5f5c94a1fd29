package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/postern-mail/postern/sdk/analyzer"
	"github.com/postern-mail/postern/sdk/servers"
)

const (
	// attempts bounds how often one call tries; between two it waits firstPause and then twice as long.
	attempts   = 3
	firstPause = 300 * time.Millisecond
)

// Submit hands a sample over. An error says that it is not known whether the sandbox has it: the next attempt asks first.
func (c *connector) Submit(ctx context.Context, sample *analyzer.Sample) (*analyzer.Receipt, error) {
	b := c.sandboxes[sample.Server]
	if b == nil {
		// It was taken out of the configuration after it was chosen.
		if sample.AskFirst {
			return &analyzer.Receipt{State: analyzer.Failed, Detail: "the server that may have it is no longer in the configuration"}, nil
		}
		return &analyzer.Receipt{State: analyzer.Unreachable, Detail: "the server is no longer in the configuration"}, nil
	}
	if sample.AskFirst {
		var id string
		err := again(ctx, isTransient, func() (err error) {
			id, err = b.protocol.find(ctx, sample)
			return err
		})
		switch {
		case errors.Is(err, errCannotAsk):
			return &analyzer.Receipt{State: analyzer.Failed, Detail: err.Error()}, nil
		case err != nil:
			c.failed(b, err)
			return nil, err
		case id != "":
			c.pool.Served(b.name)
			return &analyzer.Receipt{State: analyzer.Pending, Submission: id, Detail: "the sandbox had it"}, nil
		}
	}
	var id string
	// Only what was not sent can be sent again: the sample is read once.
	err := again(ctx, func(err error) bool { return errors.Is(err, servers.ErrNotSent) }, func() (err error) {
		id, err = b.protocol.submit(ctx, sample)
		return err
	})
	var r *refusal
	switch {
	case err == nil:
		c.pool.Served(b.name)
		return &analyzer.Receipt{State: analyzer.Pending, Submission: id}, nil
	case errors.Is(err, errSample):
		return nil, err
	case errors.Is(err, servers.ErrNotSent), errors.Is(err, errQuiet):
	case !errors.As(err, &r):
		c.failed(b, err)
		return nil, err
	case r.unsupported():
		return &analyzer.Receipt{State: analyzer.Unsupported, Detail: r.Error()}, nil
	case r.aboutSample():
		return &analyzer.Receipt{State: analyzer.Failed, Detail: r.Error()}, nil
	case r.status/100 == 5 && !r.busy():
		c.failed(b, err)
		return nil, err
	}
	c.failed(b, err)
	c.log.Warn("the sandbox could not be given a sample", "server", b.name, "error", err)
	return &analyzer.Receipt{State: analyzer.Unreachable, Detail: err.Error()}, nil
}

// failed notes that a sandbox could not be used.
func (c *connector) failed(b *sandbox, err error) {
	var wait time.Duration
	var r *refusal
	if errors.As(err, &r) {
		wait = r.wait
	}
	c.pool.Failed(b.name, wait)
}

// unsupported says that the sandbox does not take this kind of file. The text does not count: it may quote the file's name, which its sender
// chose.
func (r *refusal) unsupported() bool { return r.status == http.StatusUnsupportedMediaType }

// aboutSample says that another server would say the same. CAPE refuses with 200.
func (r *refusal) aboutSample() bool {
	switch r.status {
	case http.StatusOK, http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// isTransient says that the same question may be answered a moment later.
func isTransient(err error) bool {
	var r *refusal
	if errors.As(err, &r) {
		return r.status/100 == 5 && !r.busy()
	}
	return !errors.Is(err, errQuiet) && !errors.Is(err, errCannotAsk)
}

// again does something until it goes well, as often and as long as it may.
func again(ctx context.Context, worthwhile func(error) bool, do func() error) error {
	pause := firstPause
	for attempt := 1; ; attempt++ {
		err := do()
		if err == nil || attempt == attempts || !worthwhile(err) {
			return err
		}
		if !servers.Sleep(ctx, pause) {
			return err
		}
		pause *= 2
	}
}
