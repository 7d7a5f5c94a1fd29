package main

import (
	"os"
	"testing"

	"github.com/postern-mail/postern/core/pluginprocess"
)

// TestMain lets the test's program be the stage of the plugins that proofs start by themselves.
func TestMain(m *testing.M) {
	pluginprocess.RunStage()
	os.Exit(m.Run())
}

const bin = "../../../bin"

// TestQuickProofs runs the proofs that take less than a minute on what `make build` built. Most of their time they wait, and so do others beside.
func TestQuickProofs(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(bin + "/postern"); err != nil {
		t.Fatalf("the programs are not built: run `make test`, which builds them (%v)", err)
	}
	for _, p := range proofs() {
		if !p.quick {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			if err := run(t.Context(), &env{bin: bin, out: t.Output(), short: true, given: func(string) string { return "" }}, p); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSmallProofs runs proofs that take long in a small size, one after the other: what they do to the gateway loads the machine, and one
// judges how soon it is back.
func TestSmallProofs(t *testing.T) {
	for _, small := range []struct {
		name     string
		root     bool
		settings map[string]string
	}{
		{"kills", false, map[string]string{"KILLS": "25"}},
		{"client-cuts", false, map[string]string{"STEP": "89"}},
		{"drain", false, map[string]string{"ROUNDS": "3"}},
		{"failpoints", false, map[string]string{"ROUNDS": "1", "POINT": "outbox-sent"}},
		{"faults", true, map[string]string{"FAULT": "disk full"}},
	} {
		t.Run(small.name, func(t *testing.T) {
			if small.root && os.Getuid() != 0 {
				t.Skip("a small disk is mounted, which takes root")
			}
			given := func(name string) string { return small.settings[name] }
			if err := runNamed(t.Context(), &env{bin: bin, out: t.Output(), short: true, given: given}, small.name); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTheOutputOfAFuzzTargetIsRead(t *testing.T) {
	const crashed = `fuzz: elapsed: 0s, gathering baseline coverage: 2/2 completed, now fuzzing with 2 workers
fuzz: elapsed: 1s, execs: 812 (811/sec), new interesting: 1 (total: 3)
fuzz: elapsed: 2s, execs: 1534 (722/sec), new interesting: 2 (total: 4)
--- FAIL: FuzzX (2.01s)
    Failing input written to testdata/fuzz/FuzzX/771e938e4458e983
    To re-run:
    go test -run=FuzzX/771e938e4458e983
`
	if r := readFuzz(crashed); r.executions != "1534" || r.crash != "testdata/fuzz/FuzzX/771e938e4458e983" {
		t.Errorf("%+v", r)
	}
	if r := readFuzz("fuzz: elapsed: 3s, gathering baseline coverage: 85/98 completed\nPASS\n"); r.executions != "" || r.crash != "" {
		t.Errorf("%+v", r)
	}
}

func TestALabelledFileIsRightInOneCategory(t *testing.T) {
	tests := []struct {
		category string
		found    []string
		want     bool
	}{
		{"image", []string{"image"}, true}, {"image", []string{"image", "compressed"}, true}, {"image", []string{"image", "executable"}, false},
		{"image", nil, false}, {"image", []string{"compressed"}, false}, {"", nil, true}, {"", []string{"script"}, false},
		{"", []string{"compressed"}, false}, {"script", []string{"script", "document"}, false},
	}
	for _, test := range tests {
		if got := (&labelled{category: test.category, found: test.found}).right(); got != test.want {
			t.Errorf("%q found as %v is right: %v", test.category, test.found, got)
		}
	}
}
