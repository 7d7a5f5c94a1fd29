package observe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Check is one thing that has to be well for the gateway to be ready.
type Check struct {
	Name string
	// Run returns what is wrong, in words for an operator.
	Run func(ctx context.Context) error
}

// Monitor serves /metrics (Prometheus), /livez (the process answers) and /readyz (every check passes, or 503 and a list of what is wrong).
type Monitor struct {
	socket net.Listener
	server *http.Server
}

const (
	monitorTimeout = 10 * time.Second
	// checkTimeout is how long one check may take before it counts as failed.
	checkTimeout = 5 * time.Second
)

// Listen opens the monitor's address; Serve serves it.
func Listen(address string, t *Telemetry, checks []Check, log hclog.Logger) (*Monitor, error) {
	socket, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for the monitor: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{
		ErrorLog: log.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Warn}), ErrorHandling: promhttp.ContinueOnError,
	}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { answer(w, log, nil) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { answer(w, log, failing(r.Context(), checks)) })
	return &Monitor{socket: socket, server: &http.Server{
		Handler: mux, ReadTimeout: monitorTimeout, WriteTimeout: 2 * monitorTimeout, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: log.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
	}}, nil
}

// failing runs the checks and returns those that fail, "name: what is wrong".
func failing(ctx context.Context, checks []Check) (wrong []string) {
	for _, c := range checks {
		limited, cancel := context.WithTimeout(ctx, checkTimeout)
		if err := c.Run(limited); err != nil {
			wrong = append(wrong, c.Name+": "+err.Error())
		}
		cancel()
	}
	return wrong
}

func answer(w http.ResponseWriter, log hclog.Logger, wrong []string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	status := struct {
		Status string   `json:"status"`
		Wrong  []string `json:"wrong,omitempty"`
	}{"ok", wrong}
	if len(wrong) > 0 {
		status.Status = "not ready"
		log.Debug("not ready", "wrong", strings.Join(wrong, "; "))
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	if err := json.NewEncoder(w).Encode(status); err != nil {
		log.Debug("answering failed", "error", err)
	}
}

// Addr is where the monitor listens.
func (m *Monitor) Addr() net.Addr { return m.socket.Addr() }

// Serve answers until Close.
func (m *Monitor) Serve() error {
	if err := m.server.Serve(m.socket); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the monitor: %w", err)
	}
	return nil
}

// Close ends the monitor.
func (m *Monitor) Close() error { return m.server.Close() }
