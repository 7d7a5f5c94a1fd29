package observe

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestReadiness(t *testing.T) {
	log, err := New(Settings{Levels: "info", Output: &bytes.Buffer{}})
	if err != nil {
		t.Fatal(err)
	}
	var wrong error
	m, err := Listen("127.0.0.1:0", NewTelemetry("1.2.3", nil), []Check{
		{Name: "fine", Run: func(context.Context) error { return nil }},
		{Name: "store", Run: func(context.Context) error { return wrong }},
	}, log)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- m.Serve() }()
	get := func(path string) (int, string) {
		t.Helper()
		answer, err := http.Get("http://" + m.Addr().String() + path)
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
	for _, test := range []struct {
		path  string
		wrong error
		code  int
		body  string
	}{
		{"/readyz", nil, 200, `{"status":"ok"}`},
		{"/readyz", errors.New("no answer"), 503, `{"status":"not ready","wrong":["store: no answer"]}`},
		{"/livez", errors.New("no answer"), 200, `{"status":"ok"}`},
		{"/metrics", nil, 200, `postern_build_info{version="1.2.3"} 1`},
		{"/", nil, 404, ""},
	} {
		wrong = test.wrong
		if code, body := get(test.path); code != test.code || !strings.Contains(body, test.body) {
			t.Errorf("%s with %v is %d %.200s", test.path, test.wrong, code, body)
		}
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// TestNoTelemetry: what counts nothing is asked like what does.
func TestNoTelemetry(t *testing.T) {
	var none *Telemetry
	none.Connected("in")
	none.Disconnected("in")
	none.Received("relayed", 1)
	none.Copy("held")
	none.Match("rule", "")
	none.Delivered("relay", "Normal", 1)
	none.Sample("submitted")
	ctx, end := none.Message(t.Context(), "M")
	ctx, stage := none.Stage(ctx, "inspect")
	_, call := none.Call(ctx, "atse")
	call("ok")
	stage(nil)
	end()
}
