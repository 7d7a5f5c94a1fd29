//go:build !yara

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWithoutYARA says what to do where rules are given to a build that cannot read them.
func TestWithoutYARA(t *testing.T) {
	file := filepath.Join(t.TempDir(), "own.yar")
	if err := os.WriteFile(file, []byte("rule Any { condition: true }"), 0o600); err != nil {
		t.Fatal(err)
	}
	e, done := configured(t, map[string]any{"signatures": []string{file}})
	if len(done.Problems) != 1 || !done.Problems[0].Warning || !strings.Contains(done.Problems[0].Detail, "make build TAGS=yara") {
		t.Errorf("problems %+v", done.Problems)
	}
	if report := scan(t, e, part("attachment", []byte("anything"))); len(report.Findings) > 0 {
		t.Errorf("found %v", names(report))
	}
}
