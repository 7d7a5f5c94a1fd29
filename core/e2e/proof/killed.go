package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/postern-mail/postern/core/e2e/harness"
)

// pluginKilled stops each plugin in turn, waits until it has been asked about a message, and kills it.
func pluginKilled(ctx context.Context, e *env) (err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s, err := newSite(ctx, e, "killed.hcl")
	if err != nil {
		return err
	}
	calls := &watcher{}
	s.Setup.Levels, s.Setup.Tee = "info,inspect=debug,actions=debug", calls
	if err := s.Start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	for _, plugin := range []string{"unpack", "atse", "filetype", "filename", "actions"} {
		if err := killOne(ctx, e, s, calls, plugin); err != nil {
			return fmt.Errorf("kill %s: %w", plugin, err)
		}
	}
	return nil
}

// watcher sees the log and tells when a plugin is asked.
type watcher struct {
	mu     sync.Mutex
	plugin string
	since  time.Time
	asked  chan struct{}
}

// expect returns a channel that is closed when the plugin is asked from now on. Lines written before may still be read after: the log
// comes through a pipe.
func (w *watcher) expect(plugin string) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.plugin, w.since, w.asked = plugin, time.Now().Truncate(time.Millisecond), make(chan struct{}) // as exact as the log
	return w.asked
}

func (w *watcher) Write(line []byte) (int, error) {
	var entry struct {
		Message string `json:"@message"`
		At      string `json:"@timestamp"`
		Plugin  string `json:"plugin"`
	}
	if json.Unmarshal(line, &entry) != nil || entry.Message != "plugin call" {
		return len(line), nil
	}
	at, err := time.Parse(time.RFC3339Nano, entry.At)
	if err != nil {
		return 0, fmt.Errorf("read time of a log line: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.asked != nil && entry.Plugin == w.plugin && !at.Before(w.since) {
		close(w.asked)
		w.asked = nil
	}
	return len(line), nil
}

func killOne(ctx context.Context, e *env, s *harness.Site, calls *watcher, plugin string) (err error) {
	pid, err := harness.ChildNamed(s.Gateway.Pid(), "postern-"+plugin)
	if err != nil {
		return err
	}
	archive, err := zipped("plan.txt", []byte("a plan"))
	if err != nil {
		return err
	}
	mail := harness.Document("killed-"+plugin, "plan.zip", archive)
	client, err := s.Dial()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()

	s.Sink.Forget()
	asked := calls.expect(plugin)
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	type answer struct {
		reply harness.Reply
		err   error
	}
	answered := make(chan answer, 1)
	go func() {
		reply, err := client.Send("alice@outside.example", []string{"bob@example.org"}, mail)
		answered <- answer{reply, err}
	}()
	select {
	case <-asked:
	case <-ctx.Done():
		return fmt.Errorf("the plugin was not asked: %w", ctx.Err())
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return err
	}
	first := <-answered
	if first.err != nil {
		return first.err
	}
	met, err := metException(ctx, s, plugin, first.reply)
	if err != nil {
		return err
	}
	relayedMeanwhile := len(s.Sink.Mails())

	next := bytes.Replace(mail, []byte("Subject: killed"), []byte("Subject: next"), 1)
	second, err := client.Send("alice@outside.example", []string{"bob@example.org"}, next)
	if err != nil {
		return err
	}
	served := slices.ContainsFunc(s.Sink.Mails(), func(m harness.Mail) bool {
		return bytes.Contains(m.Data, []byte("Subject: [archive] next-"+plugin))
	})
	e.printf("%-9s killed while it was asked: answered %s, %s; the next message: %s, relayed %v", plugin, first.reply, met, second, served)
	if met == "" || plugin != "actions" && relayedMeanwhile > 0 || !served {
		return errShort
	}
	return nil
}

// metException says how the message was kept from passing as if nothing had been: by the exception, or, where the plugin was to change
// it, by being delivered later with the change.
func metException(ctx context.Context, s *harness.Site, plugin string, reply harness.Reply) (string, error) {
	subject := "killed-" + plugin
	events, err := s.Events(ctx)
	if err != nil {
		return "", err
	}
	for i := range events {
		if events[i].Subject == subject && events[i].Rule == "plugin_unavailable" && reply.Accepted() {
			return "kept by the exception plugin_unavailable", nil
		}
	}
	if plugin != "actions" || !reply.Accepted() {
		return "", nil
	}
	err = s.Sink.Wait(ctx, func(mails []harness.Mail) bool {
		return slices.ContainsFunc(mails, func(m harness.Mail) bool { return bytes.Contains(m.Data, []byte("Subject: [archive] "+subject)) })
	})
	return "delivered from the outbox with its change", err
}

func zipped(name string, content []byte) ([]byte, error) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.Create(name)
	if err != nil {
		return nil, err
	}
	if _, err := f.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
