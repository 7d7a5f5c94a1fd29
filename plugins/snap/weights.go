package main

import (
	_ "embed"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
)

// weightsFile holds the thresholds and what each reason weighs. The command ./train writes it.
//
//go:embed data/weights.tsv
var weightsFile string

// weights is what reasons are worth.
type weights struct {
	conservative, aggressive float64
	of                       map[string]float64
	sum                      string
}

var errWeights = errors.New("the file does not fit the reasons")

// readWeights reads lines of reason, prior, most and weight, split by tabs, and the two lines that begin "threshold". It refuses a file that
// leaves a reason out or names one that does not exist: a score with holes would still look like one.
func readWeights(text string) (*weights, error) {
	w := &weights{of: map[string]float64{}}
	for number, line := range strings.Split(text, "\n") {
		fields := strings.Split(line, "\t")
		if strings.HasPrefix(line, "#") || line == "" {
			continue
		}
		value, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number+1, err)
		}
		switch {
		case len(fields) == 3 && fields[0] == "threshold" && fields[1] == modeConservative:
			w.conservative = value
		case len(fields) == 3 && fields[0] == "threshold" && fields[1] == modeAggressive:
			w.aggressive = value
		case len(fields) == 4 && known(fields[0]):
			w.of[fields[0]] = value
		default:
			return nil, fmt.Errorf("%w: line %d %q", errWeights, number+1, line)
		}
	}
	for _, id := range reasonNames() {
		if _, found := w.of[id]; !found {
			return nil, fmt.Errorf("%w: no weight for %q", errWeights, id)
		}
	}
	if w.aggressive <= 0 || w.conservative < w.aggressive {
		return nil, fmt.Errorf("%w: thresholds %.2f and %.2f", errWeights, w.aggressive, w.conservative)
	}
	h := fnv.New32a()
	h.Write([]byte(text))
	w.sum = fmt.Sprintf("%08x", h.Sum32())
	return w, nil
}

// version names the weights in logs.
func (w *weights) version() string { return "weights " + w.sum }
