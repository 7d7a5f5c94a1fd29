package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/sdk/analyzer"
	"github.com/postern-mail/postern/sdk/serve"
)

// testToken is the simulator's; no log line and no error may hold it.
const testToken = "token-that-nobody-tells"

// simulator is a running examples/sandbox-simulator, asked in the clear.
type simulator struct {
	t              *testing.T
	url, controlAt string
}

func newSimulator(t *testing.T, verdicts string) *simulator {
	t.Helper()
	s := &simulator{t: t}
	file := filepath.Join(t.TempDir(), "verdicts.txt")
	if err := os.WriteFile(file, []byte(verdicts), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.Command("../../bin/sandbox-simulator", "-plain", "-listen", "127.0.0.1:0", "-control", "127.0.0.1:0", "-verdicts", file,
		"-token", testToken, "-delay", "0s")
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatalf("the simulator is not built: run `make test`, which builds it (%v)", err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	for lines := bufio.NewScanner(out); s.controlAt == "" && lines.Scan(); {
		switch name, value, _ := strings.Cut(lines.Text(), " "); name {
		case "sandbox":
			s.url = "http://" + value
		case "control":
			s.controlAt = value
		}
	}
	return s
}

// fault makes the simulator misbehave; "kind=none" ends it.
func (s *simulator) fault(what string) {
	s.t.Helper()
	response, err := http.Post(s.controlAt+"fault?"+what, "", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %s", what, response.Status)
	}
}

// uploads is how many samples were taken, those that it knew too.
func (s *simulator) uploads() (n int) {
	s.t.Helper()
	response, err := http.Get(s.controlAt + "counters")
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	var counters struct{ Uploads map[string]int }
	if err := json.NewDecoder(response.Body).Decode(&counters); err != nil {
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
