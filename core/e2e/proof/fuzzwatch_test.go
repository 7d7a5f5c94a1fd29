package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const greedyTargets = `package greedy

import (
	"os"
	"testing"
)

func FuzzSlow(f *testing.F) {
	f.Add(uint(1))
	f.Fuzz(func(t *testing.T, n uint) {
		for i := uint(0); ; i += 2 * n { // n is never 0 here: it starts as 1, and nothing else is tried
			if i == 3 {
				return
			}
		}
	})
}

func FuzzLarge(f *testing.F) {
	f.Add(byte(1))
	f.Fuzz(func(t *testing.T, n byte) {
		var all [][]byte
		for { // ends with the process
			page := make([]byte, 1<<20)
			for i := range page {
				page[i] = n | 1
			}
			all = append(all, page)
			if len(all) > 4096 {
				t.Fatal("nobody has ended it")
			}
		}
	})
}

func FuzzModest(f *testing.F) {
	f.Add(byte(1))
	f.Fuzz(func(t *testing.T, n byte) {})
}

// FuzzStarved has no processor for a while, once.
func FuzzStarved(f *testing.F) {
	f.Add(byte(1))
	f.Fuzz(func(t *testing.T, n byte) {
		if file, err := os.OpenFile("starved", os.O_CREATE|os.O_EXCL, 0o600); err == nil {
			file.Close()
			select {} // until the tool gives it up
		}
	})
}
`

// TestGreedyFuzzTargetsAreEnded: an input that takes too much time or memory fails its target; one that the machine had no time for does not.
func TestGreedyFuzzTargetsAreEnded(t *testing.T) {
	folder := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module greedy\n\ngo 1.26\n", "greedy_test.go": greedyTargets} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(folder)
	packages, err := fuzzPackages(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	packages[0].cache = t.TempDir()
	if err := packages[0].build(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"FuzzSlow": "TAKES MORE THAN 100ms", "FuzzLarge": "TAKES ", "FuzzModest": "", "FuzzStarved": ""} {
		lasts := time.Minute // which the greedy ones do not see
		slowest := 100 * time.Millisecond
		switch name {
		case "FuzzModest":
			lasts = time.Second
		case "FuzzStarved":
			lasts, slowest = 12*time.Second, time.Minute // the tool waits for ten, and what it tries then does nothing wrong
		}
		limits := fuzzLimits{slowest: slowest, largest: 128 << 20}
		r := fuzzTarget{packages[0], name, limits}.run(t.Context(), lasts)
		if !strings.HasPrefix(r.failed, want) || want == "" && r.failed != "" {
			t.Errorf("%s: %q, want %q", name, r.failed, want)
		}
	}
}
