package plugintest

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/sdk/scanner"
)

// update is a flag of the test binary, which can be nothing but package state.
var update = flag.Bool("update", false, "write the golden reports anew; read the difference before you commit it")

// golden is a report as it stands in a file.
type golden struct {
	Findings []goldenFinding `json:"findings,omitempty"`
	Troubles []goldenTrouble `json:"troubles,omitempty"`
}

type goldenFinding struct {
	Query     int    `json:"query"`
	Kind      string `json:"kind"`
	Certainty string `json:"certainty"`
	Name      string `json:"name"`
	Part      int    `json:"part"`
	Evidence  string `json:"evidence,omitempty"`
}

type goldenTrouble struct {
	Kind   string `json:"kind"`
	Reason string `json:"reason"`
	Detail string `json:"detail,omitempty"`
	Part   int    `json:"part"`
	Query  int    `json:"query,omitempty"`
}

// Golden compares a report with the one in the file, and writes the file where the test runs with -update.
func Golden(t testing.TB, file string, report *scanner.Report) {
	t.Helper()
	var got golden
	if report != nil {
		for _, f := range report.Findings {
			certainty := map[scanner.Certainty]string{scanner.Sure: "sure", scanner.Possible: "possible"}[f.Certainty]
			got.Findings = append(got.Findings, goldenFinding{f.Query, f.Kind, certainty, f.Name, f.Part, f.Evidence})
		}
		for _, x := range report.Troubles {
			kind := map[scanner.TroubleKind]string{
				scanner.TroublePlugin: "plugin", scanner.TroubleDownstream: "downstream", scanner.TroubleLimit: "limit",
				scanner.TroubleEncrypted: "encrypted", scanner.TroubleBroken: "broken",
			}[x.Kind]
			got.Troubles = append(got.Troubles, goldenTrouble{kind, x.Reason, x.Detail, x.Part, x.Query})
		}
	}
	text, err := json.MarshalIndent(got, "", "  ")
	if err != nil {
		t.Fatalf("golden report: %v", err)
	}
	text = append(text, '\n')
	if *update {
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatalf("golden report: %v", err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("there is no %s: run the test with -update to write it. The report is\n%s", file, text)
	}
	if err != nil {
		t.Fatalf("golden report: %v", err)
	}
	if !bytes.Equal(want, text) {
		t.Errorf("%s is another report (-want +got; -update writes it anew):\n%s", file, cmp.Diff(string(want), string(text)))
	}
}
