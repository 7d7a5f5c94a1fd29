package robustness

import (
	"go/parser"
	"go/token"
	"testing"
)

// TestEditsFitTheSource: what the builds with faults replace is there, once, and leaves Go behind. A change of the source that moves one of
// these places is told here, not when the proofs run.
func TestEditsFitTheSource(t *testing.T) {
	root, err := Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, points := PointBuild()
	_, jumps := JumpBuild()
	builds := map[string][]Edit{"points": points, "jumps": append(jumps, JumpControl()...)}
	for _, bug := range Bugs() {
		builds[bug.Name] = bug.Edits
	}
	for name, edits := range builds {
		texts, err := Apply(root, edits)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for file, text := range texts {
			if _, err := parser.ParseFile(token.NewFileSet(), file, text, parser.SkipObjectResolution); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
