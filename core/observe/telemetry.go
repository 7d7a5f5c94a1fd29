package observe

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Telemetry takes figures (Prometheus) and spans (OpenTelemetry) as the gateway works. Labels have few values: names from the policy and
// fixed words, never anything that a sender chose; spans carry the message's id besides. A nil *Telemetry takes nothing.
type Telemetry struct {
	registry    *prometheus.Registry
	tracer      trace.Tracer
	connections *prometheus.CounterVec
	sessions    *prometheus.GaugeVec
	messages    *prometheus.CounterVec
	bytes       prometheus.Counter
	copies      *prometheus.CounterVec
	matches     *prometheus.CounterVec
	stages      *prometheus.HistogramVec
	calls       *prometheus.HistogramVec
	deliveries  *prometheus.CounterVec
	samples     *prometheus.CounterVec
}

// buckets go from a plugin call on a small mail to a mail that is given up, in seconds.
func buckets() []float64 {
	return []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}
}

// NewTelemetry makes the figures, with those of the Go runtime and the process. Spans go to the provider; nil: there are none.
func NewTelemetry(version string, spans trace.TracerProvider) *Telemetry {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets()}, labels)
	}
	if spans == nil {
		spans = noop.NewTracerProvider()
	}
	m := &Telemetry{
		registry:    prometheus.NewRegistry(),
		tracer:      spans.Tracer("postern", trace.WithInstrumentationVersion(version)),
		connections: counter("postern_smtp_connections_total", "SMTP connections taken.", "listener"),
		sessions: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "postern_smtp_sessions", Help: "SMTP sessions open now."},
			[]string{"listener"}),
		messages: counter("postern_messages_total", "Messages received, by what the client was answered: relayed, committed, refused, deferred, failed.",
			"result"),
		bytes:  prometheus.NewCounter(prometheus.CounterOpts{Name: "postern_message_bytes_total", Help: "Bytes of the messages received."}),
		copies: counter("postern_copies_total", "Copies of messages that came into a state.", "state"),
		matches: counter("postern_matches_total", "Matches of rules and exceptions; the label exception is empty where a rule itself matched.",
			"rule", "exception"),
		stages: histogram("postern_stage_seconds", "Time for one message in each stage: inspect, evaluate, relay, commit.", "stage"),
		calls: histogram("postern_plugin_call_seconds", "Time of plugin calls by outcome: ok, skipped, or why the plugin did not answer.",
			"plugin", "outcome"),
		deliveries: counter("postern_deliveries_total", "Recipients' deliveries from the outbox by what became of them.", "kind", "result"),
		samples:    counter("postern_samples_total", "Samples by what the sandbox did: submitted, or the state or level it reported.", "result"),
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "postern_build_info", Help: "1, with the version."}, []string{"version"})
	build.WithLabelValues(version).Set(1)
	m.registry.MustRegister(m.connections, m.sessions, m.messages, m.bytes, m.copies, m.matches, m.stages, m.calls, m.deliveries, m.samples, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Registry is what is scraped.
func (m *Telemetry) Registry() *prometheus.Registry { return m.registry }

// Connected counts a connection of a listener, until Disconnected.
func (m *Telemetry) Connected(listener string) {
	if m != nil {
		m.connections.WithLabelValues(listener).Inc()
		m.sessions.WithLabelValues(listener).Inc()
	}
}

// Disconnected counts its end.
func (m *Telemetry) Disconnected(listener string) {
	if m != nil {
		m.sessions.WithLabelValues(listener).Dec()
	}
}

// Received counts a message by what its client was answered.
func (m *Telemetry) Received(result string, size int64) {
	if m != nil {
		m.messages.WithLabelValues(result).Inc()
		m.bytes.Add(float64(size))
	}
}

// Copy counts a copy that came into a state.
func (m *Telemetry) Copy(state string) {
	if m != nil {
		m.copies.WithLabelValues(state).Inc()
	}
}

// Match counts a rule that matched, or an exception that took its place.
func (m *Telemetry) Match(rule, exception string) {
	if m != nil {
		m.matches.WithLabelValues(rule, exception).Inc()
	}
}

// Message begins the span of one message, which all others are in. The returned func ends it.
func (m *Telemetry) Message(ctx context.Context, id string) (context.Context, func()) {
	if m == nil {
		return ctx, func() {}
	}
	ctx, span := m.tracer.Start(ctx, "message", trace.WithAttributes(attribute.String("message.id", id)))
	return ctx, func() { span.End() }
}

// Stage begins a stage of one message. The returned func ends it, with what went wrong.
func (m *Telemetry) Stage(ctx context.Context, stage string) (context.Context, func(error)) {
	if m == nil {
		return ctx, func(error) {}
	}
	began := time.Now()
	ctx, span := m.tracer.Start(ctx, stage)
	return ctx, func(err error) {
		m.stages.WithLabelValues(stage).Observe(time.Since(began).Seconds())
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
		}
		span.End()
	}
}

// Call begins a call of a plugin. The returned func ends it, with the outcome.
func (m *Telemetry) Call(ctx context.Context, plugin string) (context.Context, func(outcome string)) {
	if m == nil {
		return ctx, func(string) {}
	}
	began := time.Now()
	ctx, span := m.tracer.Start(ctx, "plugin "+plugin, trace.WithSpanKind(trace.SpanKindClient))
	return ctx, func(outcome string) {
		m.calls.WithLabelValues(plugin, outcome).Observe(time.Since(began).Seconds())
		span.SetAttributes(attribute.String("outcome", outcome))
		span.End()
	}
}

// Delivered counts recipients of an attempt to deliver.
func (m *Telemetry) Delivered(kind, result string, recipients int) {
	if m != nil {
		m.deliveries.WithLabelValues(kind, result).Add(float64(recipients))
	}
}

// Sample counts a sample that was submitted, or answered for.
func (m *Telemetry) Sample(result string) {
	if m != nil {
		m.samples.WithLabelValues(result).Inc()
	}
}
