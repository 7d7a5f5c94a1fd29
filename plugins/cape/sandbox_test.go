package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/sdk/analyzer"
	"github.com/postern-mail/postern/sdk/plugintest/program"
	"github.com/postern-mail/postern/sdk/serve"
)

// testToken is the simulator's; no log line and no error may hold it.
const testToken = "token-that-nobody-tells"

// simulator is a running examples/sandbox-simulator, asked in the clear.
type simulator struct {
	t       *testing.T
	url     string
	program *program.Program
}

func newSimulator(t *testing.T, verdicts string) *simulator {
	t.Helper()
	file := filepath.Join(t.TempDir(), "verdicts.txt")
	if err := os.WriteFile(file, []byte(verdicts), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := program.Start(t.Context(), "../../bin/sandbox-simulator", "-plain", "-listen", "127.0.0.1:0", "-control", "127.0.0.1:0", "-verdicts", file,
		"-token", testToken, "-delay", "0s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop() }) // it is killed
	return &simulator{t: t, url: "http://" + p.Printed["sandbox"], program: p}
}

// fault makes the simulator misbehave; "kind=none" ends it.
func (s *simulator) fault(what string) {
	s.t.Helper()
	if err := s.program.Tell("fault?"+what, ""); err != nil {
		s.t.Fatal(err)
	}
}

// uploads is how many samples were taken, those that it knew too.
func (s *simulator) uploads() (n int) {
	s.t.Helper()
	var counters struct{ Uploads map[string]int }
	if err := s.program.Ask("counters", &counters); err != nil {
		s.t.Fatal(err)
	}
	for _, count := range counters.Uploads {
		n += count
	}
	return n
}

// rig is the plugin with a clock that can be moved.
type rig struct {
	analyzer.Analyzer
	connector *connector
	t         *testing.T
	ahead     atomic.Int64
	problems  []serve.Problem
}

func newRig(t *testing.T, config map[string]any) *rig {
	t.Helper()
	r := &rig{t: t}
	r.connector = &connector{now: func() time.Time { return time.Now().Add(time.Duration(r.ahead.Load())) }}
	p := plugin(r.connector)
	r.Analyzer = p.Analyzer
	raw, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	configured, err := p.Configure(t.Context(), &serve.Configuration{Config: raw, Log: hclog.NewNullLogger()})
	if err != nil {
		t.Fatal(err)
	}
	r.problems = configured.Problems
	return r
}

func (s *simulator) config(flavor string, changes ...any) map[string]any {
	server := map[string]any{"name": "lab", "url": s.url, "token": testToken, "preference": 10, "enabled": true, "insecure": false}
	for i := 0; i < len(changes); i += 2 {
		server[changes[i].(string)] = changes[i+1]
	}
	return map[string]any{"flavor": flavor, "server": []any{server}}
}

func sampleOf(name, content string) *analyzer.Sample {
	sum := sha256.Sum256([]byte(content))
	return &analyzer.Sample{
		SHA256: hex.EncodeToString(sum[:]), Kind: analyzer.File, Name: name, Size: int64(len(content)), Content: strings.NewReader(content), Server: "lab",
	}
}

// submit returns the receipt, with state 0 where it is not known what became of the sample.
func (r *rig) submit(sample *analyzer.Sample, askFirst bool) analyzer.Receipt {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 3*time.Second)
	defer cancel()
	sample.AskFirst = askFirst
	receipt, err := r.Submit(ctx, sample)
	if err != nil {
		receipt = &analyzer.Receipt{Detail: err.Error()}
	}
	if strings.Contains(receipt.Detail, testToken) {
		r.t.Error("the token is told")
	}
	return *receipt
}

func (r *rig) result(sample *analyzer.Sample, submission string) (analyzer.Result, error) {
	r.t.Helper()
	results, err := r.Results(r.t.Context(), []analyzer.Submission{{SHA256: sample.SHA256, Server: "lab", Submission: submission}})
	if err != nil {
		return analyzer.Result{}, err
	}
	if len(results) != 1 || results[0].SHA256 != sample.SHA256 {
		r.t.Fatalf("results are %+v", results)
	}
	return results[0], nil
}
