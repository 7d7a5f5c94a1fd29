package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/sdk/analyzer"
	"github.com/postern-mail/postern/sdk/plugintest/program"
	"github.com/postern-mail/postern/sdk/serve"
)

// testKey is the simulator's; no log line and no error may hold it.
const testKey = "5D1F0A77-KEY-THAT-NOBODY-TELLS"

// simulator is a running examples/sandbox-simulator.
type simulator struct {
	t                        *testing.T
	port                     int
	fingerprint, certificate string
	program                  *program.Program
}

func newSimulator(t *testing.T, verdicts string, arguments ...string) *simulator {
	t.Helper()
	folder := t.TempDir()
	s := &simulator{t: t, certificate: filepath.Join(folder, "certificate.pem")}
	file := filepath.Join(folder, "verdicts.txt")
	if err := os.WriteFile(file, []byte(verdicts), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	s.program, err = program.Start(t.Context(), append([]string{"../../bin/sandbox-simulator", "-listen", "127.0.0.1:0", "-control", "127.0.0.1:0",
		"-verdicts", file, "-key", testKey, "-certificate", s.certificate, "-delay", "0s"}, arguments...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.program.Stop() }) // it is killed
	s.fingerprint = s.program.Printed["fingerprint"]
	address := s.program.Printed["sandbox"]
	if s.port, err = strconv.Atoi(address[strings.LastIndex(address, ":")+1:]); err != nil {
		t.Fatal(err)
	}
	return s
}

// control steers the simulator.
func (s *simulator) control(what string) {
	s.t.Helper()
	path, body, _ := strings.Cut(what, " ")
	if err := s.program.Tell(path, body); err != nil {
		s.t.Fatal(err)
	}
}

type counters struct {
	Requests, Uploads map[string]int
	Doubled, Clients  int
}

func (s *simulator) counters() (c counters) {
	s.t.Helper()
	if err := s.program.Ask("counters", &c); err != nil {
		s.t.Fatal(err)
	}
	return c
}

// block is a server block of the policy, as the core sends it.
func (s *simulator) block(changes ...any) map[string]any {
	block := map[string]any{
		"host": "127.0.0.1", "port": s.port, "api_key": testKey, "preference": 10, "enabled": true, "insecure": false, "fingerprint": s.fingerprint,
	}
	for i := 0; i < len(changes); i += 2 {
		block[changes[i].(string)] = changes[i+1]
	}
	return block
}

// rig is the plugin with a clock that can be moved and a log that is kept.
type rig struct {
	analyzer.Analyzer
	connector *connector
	t         *testing.T
	ahead     atomic.Int64
	log       *safeBuffer
	problems  []serve.Problem
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func newRig(t *testing.T, blocks ...map[string]any) *rig {
	t.Helper()
	r := &rig{t: t, log: &safeBuffer{}}
	r.connector = &connector{environment: environment{
		now:      func() time.Time { return time.Now().Add(time.Duration(r.ahead.Load())) },
		hostname: func() (string, error) { return "mx1.example.org", nil }, random: rand.Reader, scratch: t.TempDir(), pause: time.Millisecond,
	}}
	p := plugin(r.connector)
	r.Analyzer = p.Analyzer
	config, err := json.Marshal(map[string]any{"unsupported_rating": -1, "server": blocks})
	if err != nil {
		t.Fatal(err)
	}
	configured, err := p.Configure(t.Context(), &serve.Configuration{
		Config: config, Log: hclog.New(&hclog.LoggerOptions{Output: r.log, Level: hclog.Trace}),
	})
	if err != nil {
		t.Fatal(err)
	}
	r.problems = configured.Problems
	t.Cleanup(func() {
		if strings.Contains(r.log.String(), testKey) {
			t.Error("the key is in the log")
		}
		left, err := os.ReadDir(r.connector.scratch)
		if err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
	return r
}

func sampleOf(name, content string) *analyzer.Sample {
	short, long := sha1.Sum([]byte(content)), sha256.Sum256([]byte(content))
	return &analyzer.Sample{
		SHA1: hex.EncodeToString(short[:]), SHA256: hex.EncodeToString(long[:]), Kind: analyzer.File, Name: name, Size: int64(len(content)),
		Content: strings.NewReader(content), Server: "127.0.0.1",
	}
}

// submit returns the state, 0 where it is not known.
func (r *rig) submit(sample *analyzer.Sample, askFirst bool) (analyzer.State, string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 3*time.Second)
	defer cancel()
	sample.AskFirst = askFirst
	receipt, err := r.Submit(ctx, sample)
	if err != nil {
		if strings.Contains(err.Error(), testKey) {
			r.t.Error("the key is in an error")
		}
		return 0, err.Error()
	}
	if strings.Contains(receipt.Detail, testKey) {
		r.t.Error("the key is in a receipt")
	}
	return receipt.State, receipt.Detail
}

func (r *rig) result(sample *analyzer.Sample) (analyzer.Result, error) {
	r.t.Helper()
	results, err := r.Results(r.t.Context(), []analyzer.Submission{{SHA1: sample.SHA1, SHA256: sample.SHA256, Server: "127.0.0.1", Submission: sample.SHA1}})
	if err != nil {
		return analyzer.Result{}, err
	}
	if len(results) != 1 || results[0].SHA256 != sample.SHA256 {
		r.t.Fatalf("results are %+v", results)
	}
	return results[0], nil
}
