package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postern-mail/postern/core/e2e/harness"
)

// TestTheExampleOfTheContract: the scanner that the contract begins with is at most 40 lines, builds, and conforms.
func TestTheExampleOfTheContract(t *testing.T) {
	text, err := os.ReadFile("../docs/plugin-contract.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```go\n")
	source, _, found := strings.Cut(rest, "```")
	if lines := strings.Count(source, "\n"); !found || lines > 40 {
		t.Fatalf("the example has %d lines", lines)
	}
	folder := t.TempDir()
	main, plugin := filepath.Join(folder, "main.go"), filepath.Join(folder, "postern-empty")
	if err := os.WriteFile(main, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(limited(t), "go", "build", "-o", plugin, main)
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	report, err := harness.Conform(limited(t), bin, plugin, "")
	if err != nil {
		t.Fatal(err)
	}
	if !report.Conforms() || report.Plugin != "empty" {
		t.Errorf("%+v", report)
	}
}
