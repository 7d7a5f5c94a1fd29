package main

import (
	"os"
	"testing"
)

// TestSmallProofs runs proofs that take long in a small size.
func TestSmallProofs(t *testing.T) {
	const bin = "../../../bin"
	for _, small := range []struct {
		name        string
		root        bool
		environment map[string]string
	}{
		{"kills", false, map[string]string{"KILLS": "12", "STORES": "sqlite"}},
		{"client-cuts", false, map[string]string{"STEP": "89"}},
		{"drain", false, map[string]string{"ROUNDS": "3"}},
		{"failpoints", false, map[string]string{"ROUNDS": "1", "POINT": "outbox-sent"}},
		{"faults", true, map[string]string{"FAULT": "disk full"}},
	} {
		t.Run(small.name, func(t *testing.T) {
			if small.root && os.Getuid() != 0 {
				t.Skip("a small disk is mounted, which takes root")
			}
			for name, value := range small.environment {
				t.Setenv(name, value)
			}
			if err := runNamed(t.Context(), &env{bin: bin, out: t.Output()}, small.name); err != nil {
				t.Error(err)
			}
		})
	}
}
