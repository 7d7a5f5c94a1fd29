package main

import (
	"math"
	"slices"
)

// How the weights are fitted. pull is how many mails' worth a prior counts: a reason that is hardly seen keeps it.
const (
	rounds = 3000
	step   = 0.3
	pull   = 3.0
)

// fit finds the weights by logistic regression: the sum of the weights of a mail's reasons, less a bias, is the logarithm of the odds
// that it deceives. Both kinds count alike, however many mails there are of each. Weights stay between nothing, since no reason speaks
// for a mail, and the reason's bound, and are drawn to their priors. The descent is by the whole set in a fixed order.
func fit(w *weights, ham, bad []mail) {
	type sample struct {
		reasons []int
		label   float64
		share   float64
	}
	var samples []sample
	add := func(mails []mail, label float64) {
		for i := range mails {
			s := sample{label: label, share: float64(len(ham)+len(bad)) / 2 / float64(len(mails))}
			for _, name := range mails[i].reasons {
				if n, found := w.of[name]; found {
					s.reasons = append(s.reasons, n)
				}
			}
			samples = append(samples, s)
		}
	}
	add(ham, 0)
	add(bad, 1)
	value, seen := make([]float64, len(w.reasons)), make([]float64, len(w.reasons))
	for i := range w.reasons {
		value[i] = w.reasons[i].prior
	}
	for _, s := range samples {
		for _, n := range s.reasons {
			seen[n] += s.share
		}
	}
	bias, gradient := 3.0, make([]float64, len(value))
	for range rounds {
		clear(gradient)
		slope := 0.0
		for _, s := range samples {
			z := -bias
			for _, n := range s.reasons {
				z += value[n]
			}
			off := (1/(1+math.Exp(-z)) - s.label) * s.share
			slope -= off
			for _, n := range s.reasons {
				gradient[n] += off
			}
		}
		bias -= step * slope / float64(len(samples)) * 4
		for n := range value {
			g := gradient[n] + pull*(value[n]-w.reasons[n].prior)
			value[n] = min(max(value[n]-step*g/(seen[n]/4+pull), 0), w.reasons[n].most)
		}
	}
	for n := range value {
		w.reasons[n].weight = math.Round(value[n]*100) / 100
	}
}

// setThresholds sets the two thresholds by the ham of the half that the weights were fitted on, with room: what was seen once in it will be
// seen a little more often outside of it. Aggressive: what 0.4 to 0.5 % of ham reach, and a tenth of a point more; conservative: what none
// reaches, and 1.8 points more.
func setThresholds(w *weights, ham []mail) {
	scores := make([]float64, 0, len(ham))
	for i := range ham {
		scores = append(scores, w.score(&ham[i]))
	}
	slices.Sort(scores)
	slices.Reverse(scores)
	up := func(v float64) float64 { return math.Ceil(v*10) / 10 }
	few := (scores[len(scores)*4/1000] + scores[len(scores)*5/1000]) / 2
	w.aggressive = up(few + 0.1)
	w.conservative = up(scores[0] + 1.8)
}
