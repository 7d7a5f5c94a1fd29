package host

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/postern-mail/postern/core/observe"
	"github.com/postern-mail/postern/core/policy"
	"github.com/postern-mail/postern/core/store"
)

// startTelemetry prepares figures and spans. They are what the policy says at the start.
func (h *Host) startTelemetry(ctx context.Context, p *policy.Policy) error {
	var spans trace.TracerProvider
	if p.Monitor.Traces != "" {
		sent, err := observe.NewSpans(ctx, strings.TrimSuffix(p.Monitor.Traces, "/"), p.Monitor.Percent, p.Gateway.Hostname, h.options.Version)
		if err != nil {
			return err
		}
		h.spans, spans = sent, sent
	}
	if p.Monitor.Listen == "" && spans == nil {
		return nil
	}
	h.telemetry = observe.NewTelemetry(h.options.Version, spans)
	h.telemetry.Registry().MustRegister(&figures{host: h})
	return nil
}

// startMonitor serves the figures once there is something to serve.
func (h *Host) startMonitor(p *policy.Policy) (err error) {
	if p.Monitor.Listen == "" {
		return nil
	}
	if h.monitor, err = observe.Listen(p.Monitor.Listen, h.telemetry, h.checks(), h.log.Named("monitor")); err != nil {
		return err
	}
	h.log.Info("monitor listening", "address", h.monitor.Addr().String())
	h.workers.Go(func() {
		if err := h.monitor.Serve(); err != nil {
			h.log.Error("the monitor ended", "error", err)
		}
	})
	return nil
}

// stopMonitor ends monitor and spans. That spans could not be sent is no reason to fail.
func (h *Host) stopMonitor(ctx context.Context) error {
	if h.spans != nil {
		if err := h.spans.Shutdown(ctx); err != nil {
			h.log.Warn("sending the last traces failed", "error", err)
		}
	}
	if h.monitor == nil {
		return nil
	}
	return h.monitor.Close()
}

// checks say whether the gateway is ready to take mail.
func (h *Host) checks() []observe.Check {
	return []observe.Check{
		{Name: "life", Run: func(context.Context) error {
			if h.draining.Load() {
				return errors.New("the gateway is stopping")
			}
			return nil
		}},
		{Name: "store", Run: func(ctx context.Context) error {
			_, err := h.store.Setting(ctx, "ready")
			return err
		}},
		{Name: "plugins", Run: func(context.Context) error {
			g := h.acquire()
			defer g.Release()
			var down []string
			for _, s := range g.Status() {
				if s.Ready == 0 {
					down = append(down, s.Name)
				}
			}
			if len(down) > 0 {
				return fmt.Errorf("no instance is ready of %s", strings.Join(down, ", "))
			}
			return nil
		}},
	}
}

// figures are read when they are asked for: what is kept, and the plugins' instances.
type figures struct{ host *Host }

func kept() *prometheus.Desc {
	return prometheus.NewDesc("postern_queue_copies", "Copies of messages kept now, by state.", []string{"state"}, nil)
}

func keptBytes() *prometheus.Desc {
	return prometheus.NewDesc("postern_queue_bytes", "Bytes of the messages of the copies kept now, by state.", []string{"state"}, nil)
}

func oldest() *prometheus.Desc {
	return prometheus.NewDesc("postern_queue_oldest_seconds", "How long ago the oldest copy in the state came into it.", []string{"state"}, nil)
}

func owed() *prometheus.Desc {
	return prometheus.NewDesc("postern_outbox_due", "Deliveries owed: relays, notifications and bounces, by recipient.", nil, nil)
}

func owedSince() *prometheus.Desc {
	return prometheus.NewDesc("postern_outbox_late_seconds", "How long ago the oldest delivery was due; 0 where none is late.", nil, nil)
}

func instances() *prometheus.Desc {
	return prometheus.NewDesc("postern_plugin_instances", "Instances of plugins, ready and wanted.", []string{"plugin", "what"}, nil)
}

func restarts() *prometheus.Desc {
	return prometheus.NewDesc("postern_plugin_restarts_total", "Restarts of a plugin's instances since its pool was made.", []string{"plugin"}, nil)
}

// Describe sends the descriptions.
func (*figures) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{kept(), keptBytes(), oldest(), owed(), owedSince(), instances(), restarts()} {
		out <- d
	}
}

// Collect sends the figures. Those of the store are the gate's, which looks every few seconds: a scrape costs the store nothing.
func (f *figures) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	g := f.host.acquire()
	for _, s := range g.Status() {
		gauge(instances(), float64(s.Ready), s.Name, "ready")
		gauge(instances(), float64(s.Wanted), s.Name, "wanted")
		out <- prometheus.MustNewConstMetric(restarts(), prometheus.CounterValue, float64(s.Restarts), s.Name)
	}
	g.Release()
	usage := f.host.gate.Usage()
	if usage == nil {
		return
	}
	since := func(now, t time.Time) float64 {
		if t.IsZero() {
			return 0
		}
		return max(0, now.Sub(t).Seconds())
	}
	now := f.host.options.Now()
	for _, state := range store.KeptStates() {
		gauge(kept(), float64(usage.Copies[state]), string(state))
		gauge(keptBytes(), float64(usage.Bytes[state]), string(state))
		gauge(oldest(), since(now, usage.Oldest[state]), string(state))
	}
	gauge(owed(), float64(usage.Due))
	gauge(owedSince(), since(f.host.store.Steady(), usage.OldestDue))
}
