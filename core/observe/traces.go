package observe

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
)

// NewSpans sends the spans of some percent of all messages to an OTLP receiver, in batches from a queue of bounded length: a receiver that is
// slow or gone loses spans and keeps no mail waiting. Shutdown sends what is left.
func NewSpans(ctx context.Context, url string, percent int, hostname, version string) (*trace.TracerProvider, error) {
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(url+"/v1/traces"))
	if err != nil {
		return nil, fmt.Errorf("prepare sending traces: %w", err)
	}
	return trace.NewTracerProvider(
		trace.WithBatcher(exporter), trace.WithSampler(trace.ParentBased(trace.TraceIDRatioBased(float64(percent)/100))),
		trace.WithResource(resource.NewSchemaless(attribute.String("service.name", "postern"), attribute.String("service.version", version),
			attribute.String("host.name", hostname))),
	), nil
}
