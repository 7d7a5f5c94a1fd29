package host

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/core/analysis"
	"github.com/postern-mail/postern/core/compose"
	"github.com/postern-mail/postern/core/delivery"
	"github.com/postern-mail/postern/core/gate"
	"github.com/postern-mail/postern/core/intake"
	"github.com/postern-mail/postern/core/mailauth"
	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/observe"
	"github.com/postern-mail/postern/core/policy"
	"github.com/postern-mail/postern/core/store"
	"github.com/postern-mail/postern/core/store/postgres"
	"github.com/postern-mail/postern/core/store/sqlite"
)

func equal(a, b any) bool { return reflect.DeepEqual(a, b) }

// OpenStore opens the store that the policy names. node names the gateway that works with it, "" where nothing but rows is looked at.
func OpenStore(ctx context.Context, p *policy.Policy, node string, now func() time.Time, log hclog.Logger) (store.Store, error) {
	options := store.Options{Clock: now, Log: observe.Slog(log.Named("store")), Node: node}
	if p.Store.URL != "" {
		return opened(postgres.Open(ctx, p.Store.URL, options))
	}
	return opened(sqlite.Open(ctx, filepath.Join(p.Store.Path, storeFile), options))
}

// opened keeps a store that was not opened from looking like one: a nil pointer in an interface is not nil.
func opened[S store.Store](s S, err error) (store.Store, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

// storeFile is SQLite's file in the folder of the store.
const storeFile = "postern.db"

// nodeFile holds the name of the gateway, which stays the same as long as its state folder.
const nodeFile = "node"

// nodeName reads the gateway's name, and makes one up where there is none.
func nodeName(stateDir string) (string, error) {
	path := filepath.Join(stateDir, nodeFile)
	text, err := os.ReadFile(path)
	if err == nil && len(text) > 0 {
		return string(text), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read name of the gateway: %w", err)
	}
	name := newID()
	if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
		return "", fmt.Errorf("write name of the gateway: %w", err)
	}
	return name, nil
}

// makeParts makes gate and desk, which know each other by callbacks only.
func (h *Host) makeParts() {
	composer := &compose.Composer{Now: h.options.Now, NewID: newID}
	h.delivery = &delivery.Delivery{
		Store: h.store, Acquire: func() delivery.Generation { return h.acquire() }, Composer: composer, Spool: h.spool,
		Load: h.builder.bodies.load, Now: h.options.Now, Log: h.log.Named("delivery"), Telemetry: h.telemetry,
	}
	h.gate = &gate.Gate{
		Acquire: func() gate.Generation { return h.acquire() }, Store: h.store, Spool: h.spool, Relayer: h.delivery, Composer: composer,
		Journal: h.journal, Now: h.options.Now, NewID: newID, Log: h.log.Named("gate"), MaxUndecided: maxUndecided,
		Telemetry: h.telemetry,
	}
	h.desk = &analysis.Desk{
		Store: h.store, Now: h.options.Now, Log: h.log.Named("analysis"), Telemetry: h.telemetry,
		Acquire: func() analysis.Generation { return h.acquire() },
		Wake:    func(ctx context.Context, copyID string) { h.gate.Wake(ctx, copyID) },
		Learned: h.objects.learn,
	}
	h.desk.Init()
	h.gate.Analysis = h.desk.Request
	h.gate.Init()
}

// newID is an internal id.
func newID() string { return strings.ToUpper(uuid.NewString()) }

// newQueueID is the short id that clients and headers are shown.
func newQueueID() string {
	var b [6]byte
	rand.Read(b[:]) // never fails
	return strings.ToUpper(hex.EncodeToString(b[:]))
}

// handler is what intake asks.
type handler struct{ host *Host }

func (s handler) Internal(address string) bool {
	g := s.host.acquire()
	defer g.Release()
	return g.policy.Internal(address)
}

func (s handler) Receive(ctx context.Context, arrival *gate.Arrival) message.Reply {
	return s.host.gate.Receive(ctx, arrival)
}

// listen opens every listener of the policy.
func (h *Host) listen(p *policy.Policy) error {
	resolver := mailauth.NewCache(net.DefaultResolver, h.options.Now)
	for _, l := range p.Listeners {
		o := intake.Options{
			Hostname: p.Gateway.Hostname, Listener: l, Handler: handler{h}, Spool: h.spool, Now: h.options.Now, NewID: newID,
			NewQueueID: newQueueID, Log: h.log.Named("intake").With("listener", l.Name), Telemetry: h.telemetry,
		}
		if l.TLS != nil {
			pair, err := tls.LoadX509KeyPair(l.TLS.CertFile, l.TLS.KeyFile)
			if err != nil {
				return fmt.Errorf("listener %q: load certificate: %w", l.Name, err)
			}
			o.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
		}
		if l.AuthChecks {
			checker := &mailauth.Checker{Hostname: p.Gateway.Hostname, Resolver: resolver, Log: h.log.Named("mailauth")}
			if l.Upstream != nil {
				checker.Upstream = &mailauth.Upstream{Networks: l.Upstream.Networks, AuthservID: l.Upstream.AuthservID}
			}
			o.Authenticate = func(ctx context.Context, a *gate.Arrival) (message.Auth, string) {
				return checker.Check(ctx, a.Session, a.Envelope, a.Data)
			}
		}
		server, err := intake.Listen(o)
		if err != nil {
			return err
		}
		h.listeners = append(h.listeners, server)
	}
	return nil
}

const (
	drainJournalEvery = 2 * time.Second
	retainEvery       = time.Hour
	reconcileEvery    = 5 * time.Minute
	deliveriesAtOnce  = 16
)

// work starts everything that runs beside the listeners, and then the listeners.
func (h *Host) work(ctx context.Context) error {
	err := h.store.Start(h.life, store.Workers{
		Deliver: h.delivery.Deliver, Concurrency: deliveriesAtOnce,
		Periodic: []store.Periodic{
			{Name: "retain", Every: retainEvery, Run: h.retain},
			{Name: "reconcile", Every: reconcileEvery, Run: h.reconcile},
		},
	})
	if err != nil {
		return err
	}
	if err := h.reconcile(ctx); err != nil {
		return err
	}
	h.workers.Go(func() { h.gate.Run(h.life) })
	h.workers.Go(func() { h.desk.Run(h.life) })
	h.workers.Go(h.drainJournal)
	h.workers.Go(h.followGrants)
	h.workers.Go(func() { h.objects.refresh(h.life) })
	h.workers.Go(func() { h.objects.synchronise(h.life) })
	if err := h.watch(h.options.WatchDir); err != nil {
		return err
	}
	if h.control, err = h.openControl(); err != nil {
		return err
	}
	for _, l := range h.listeners {
		h.workers.Go(func() {
			if err := l.Serve(); err != nil {
				h.log.Error("listener ended", "error", err)
			}
		})
	}
	return nil
}

func (h *Host) drainJournal() {
	ticks := time.NewTicker(drainJournalEvery)
	defer ticks.Stop()
	for {
		select {
		case <-h.life.Done():
			return
		case <-ticks.C:
		}
		if err := h.journal.Drain(h.life, h.store.AddTracks, h.log.Named("journal")); err != nil && h.life.Err() == nil {
			h.log.Error("moving tracking rows to the store failed; they are kept", "error", err)
		}
	}
}

func (h *Host) retain(ctx context.Context) error {
	g := h.acquire()
	defer g.Release()
	r := g.policy.Retention
	// What is kept is dated by the clock; one that has jumped ahead must not remove it.
	now := h.options.Now()
	if steady := h.store.Steady(); steady.Before(now) {
		now = steady
	}
	removed, err := h.store.Retain(ctx, now, store.Retention{
		Quarantine: r.Quarantine, Archive: r.Archive, Undeliverable: r.Undeliverable, Events: r.Events, Tracking: r.Tracking,
	})
	if err == nil && removed > 0 {
		h.log.Info("what was kept long enough was removed", "rows", removed)
	}
	return err
}

func (h *Host) reconcile(ctx context.Context) error {
	missing, err := h.store.Reconcile(ctx, h.store.Steady())
	if err == nil && missing > 0 {
		h.log.Warn("deliveries without a job were found and given one", "count", missing)
	}
	return err
}
