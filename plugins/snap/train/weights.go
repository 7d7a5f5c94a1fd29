package main

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
)

// reason is one line of the file.
type reason struct {
	name                string
	prior, most, weight float64
}

// weights is the file of weights.
type weights struct {
	reasons                  []reason
	of                       map[string]int
	conservative, aggressive float64
}

func readWeights(file string) (*weights, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read weights: %w", err)
	}
	w := &weights{of: map[string]int{}}
	for number, line := range strings.Split(string(text), "\n") {
		fields := strings.Split(line, "\t")
		if line == "" || line[0] == '#' || fields[0] == "threshold" {
			continue
		}
		if len(fields) != 4 {
			return nil, fmt.Errorf("read weights: %s:%d: %d fields, want 4", file, number+1, len(fields))
		}
		r := reason{name: fields[0]}
		for i, to := range []*float64{&r.prior, &r.most, &r.weight} {
			if *to, err = strconv.ParseFloat(fields[i+1], 64); err != nil {
				return nil, fmt.Errorf("read weights: %s:%d: %w", file, number+1, err)
			}
		}
		w.of[r.name] = len(w.reasons)
		w.reasons = append(w.reasons, r)
	}
	return w, nil
}

func (w *weights) write(file string) error {
	var out strings.Builder
	out.WriteString("# What each reason weighs. prior: what it would without any mail to learn from; most: what it may at most; weight: as fitted.\n" +
		"# Written by ./train; priors and bounds are set by hand.\n" +
		"# reason\tprior\tmost\tweight\n")
	fmt.Fprintf(&out, "threshold\tconservative\t%.2f\nthreshold\taggressive\t%.2f\n", w.conservative, w.aggressive)
	for _, r := range w.reasons {
		fmt.Fprintf(&out, "%s\t%g\t%g\t%.2f\n", r.name, r.prior, r.most, r.weight)
	}
	if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
		return fmt.Errorf("write weights: %w", err)
	}
	return nil
}

// score is that of the plugin.
func (w *weights) score(m *mail) float64 {
	sum := 0.0
	for _, name := range m.reasons {
		if i, found := w.of[name]; found {
			sum += w.reasons[i].weight
		}
	}
	return math.Round(sum*100) / 100
}
