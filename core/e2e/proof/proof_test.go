package main

import (
	"os"
	"testing"
)

// TestQuickProofs runs the proofs that take less than a minute on what `make build` built.
func TestQuickProofs(t *testing.T) {
	const bin = "../../../bin"
	if _, err := os.Stat(bin + "/postern"); err != nil {
		t.Fatalf("the programs are not built: run `make test`, which builds them (%v)", err)
	}
	for _, p := range proofs() {
		if !p.quick {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			if err := run(t.Context(), &env{bin: bin, out: t.Output()}, p); err != nil {
				t.Error(err)
			}
		})
	}
}
