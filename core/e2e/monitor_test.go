package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/postern-mail/postern/core/e2e/harness"
)

// collector takes what an OTLP exporter sends.
type collector struct {
	mu   sync.Mutex
	sent bytes.Buffer
}

func (c *collector) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Fprintf(&c.sent, "%s %s\n", r.URL.Path, body)
}

func (c *collector) has(word string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Contains(c.sent.String(), word)
}

// TestMonitor: figures count what happened, readiness follows the plugins, and the spans of a message are sent.
func TestMonitor(t *testing.T) {
	t.Parallel()
	spans := &collector{}
	receiver := httptest.NewServer(spans)
	defer receiver.Close()
	site := newSite(t, "outbox")
	write(t, site, "store.hcl", "store \"sqlite\" { path = env(\"POSTERN_STATE\") }\n")
	config := fmt.Sprintf("monitor {\n  listen = \"127.0.0.1:0\"\n  traces = %q\n}\n", receiver.URL) +
		"rule \"No programs\" {\n  scan \"filename\" { names = [\"*.exe\"] }\n  action \"quarantine\" {}\n}\n"
	write(t, site, "rules/20.hcl", config)
	start(t, site)
	address := regexp.MustCompile(`monitor listening.*"address":"([0-9.:]+)"`).FindStringSubmatch(site.Gateway.Log())
	if address == nil {
		t.Fatal("the log does not say where the monitor listens")
	}
	get := func(path string) (int, string) {
		t.Helper()
		answer, err := http.Get("http://" + address[1] + path)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(body)
	}
	figure := func(series string) float64 {
		t.Helper()
		_, text := get("/metrics")
		for line := range strings.Lines(text) {
			if value, found := strings.CutPrefix(line, series+" "); found {
				n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
		}
		return 0
	}
	for _, name := range []string{"plain.txt", "other.txt", "bad.exe"} {
		if reply := send(t, site, outside, []string{"bob@example.org"}, document("m", name)); !reply.Accepted() {
			t.Fatal(reply)
		}
	}
	for series, want := range map[string]float64{
		`postern_messages_total{result="relayed"}`:                          2,
		`postern_messages_total{result="committed"}`:                        1,
		`postern_copies_total{state="quarantined"}`:                         1,
		`postern_matches_total{exception="",rule="No programs"}`:            1,
		`postern_stage_seconds_count{stage="relay"}`:                        2,
		`postern_stage_seconds_count{stage="inspect"}`:                      3,
		`postern_plugin_instances{plugin="filename",what="ready"}`:          1,
		`postern_smtp_connections_total{listener="in"}`:                     3,
		`postern_plugin_restarts_total{plugin="filename"}`:                  0,
		`postern_plugin_call_seconds_count{outcome="ok",plugin="filename"}`: 3,
	} {
		if got := figure(series); got != want {
			t.Errorf("%s is %v, want %v", series, got, want)
		}
	}
	err := harness.Eventually(limited(t), "the quarantined copy is counted", func() (bool, error) {
		return figure(`postern_queue_copies{state="quarantined"}`) == 1, nil
	})
	if err != nil {
		t.Error(err)
	}
	if code, body := get("/livez"); code != http.StatusOK {
		t.Errorf("/livez is %d %s", code, body)
	}
	if code, body := get("/readyz"); code != http.StatusOK {
		t.Errorf("/readyz is %d %s", code, body)
	}
	if err := site.Gateway.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	err = harness.Eventually(limited(t), "spans are sent", func() (bool, error) {
		return spans.has("/v1/traces ") && spans.has("plugin filename") && spans.has("inspect") && spans.has("message"), nil
	})
	if err != nil {
		t.Error(err)
	}
}
