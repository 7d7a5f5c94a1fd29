package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/postern-mail/postern/core/conform"
	"github.com/postern-mail/postern/core/e2e/harness"
)

// TestConformanceFindsWhatIsWrong: each way to misbehave fails its own rows of the conformance suite, and no other.
func TestConformanceFindsWhatIsWrong(t *testing.T) {
	tests := []struct{ start, mode, rows string }{
		{"", "good", ""},
		{"no-handshake", "good", "handshake"},
		{"exits-early", "good", "handshake"},
		{"outside-address", "good", "handshake"},
		{"changes", "good", "describe"},
		{"refuses", "good", "configure"},
		{"self-check", "good", "health"},
		{"careless", "good", "bad_configuration"},
		{"vague", "good", "bad_configuration"},
		{"", "foreign-call", "calls"},
		{"", "foreign-query", "calls"},
		{"", "crashes", "calls"},
		{"trusting", "good", "broken_calls"},
		{"deaf", "good", "cancel"},
		{"no-files", "good", "body_file"},
		{"no-chunks", "good", "body_chunks"},
		{"", "alone", "concurrent"},
		{"drains-early", "good", "drain"},
		{"litters", "good", "files"},
		{"", "chatty", "stdout"},
		{"stays", "good", "host_gone"},
	}
	for _, test := range tests {
		t.Run(test.start+"+"+test.mode, func(t *testing.T) {
			t.Parallel()
			report, err := harness.Conform(limited(t), bin, filepath.Join(bin, "hostile-plugin"), "testdata/conform/hostile.hcl", "START="+test.start, "MODE="+test.mode)
			if err != nil {
				t.Fatal(err)
			}
			var failed []string
			for _, row := range report.Rows {
				if row.Outcome == conform.Failed {
					failed = append(failed, row.Check)
					if row.Detail == "" || row.Do == "" {
						t.Errorf("%s does not say what was seen and what to do: %+v", row.Check, row)
					}
					t.Logf("%s: %s", row.Check, row.Detail)
				}
			}
			if want := strings.Fields(test.rows); !slices.Equal(failed, want) {
				t.Errorf("failed are %v, want %v", failed, want)
			}
		})
	}
}
