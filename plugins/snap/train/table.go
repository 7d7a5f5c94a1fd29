package main

import (
	"fmt"
	"io"
	"slices"
)

// printTable shows what share of each kind reaches a threshold, in the half that was fitted and in the other.
func printTable(out io.Writer, w *weights, set map[string][]mail) {
	fmt.Fprintf(out, "%-22s %26s  %26s\n", "", "fitted half", "other half")
	fmt.Fprintf(out, "%-22s %9s %9s %6s  %9s %9s %6s\n", "threshold", "phishing", "ham", "spam", "phishing", "ham", "spam")
	var at []float64
	for t := 1.0; t <= 14; t += 0.5 {
		at = append(at, t)
	}
	at = append(at, w.aggressive, w.conservative)
	slices.Sort(at)
	for _, t := range slices.Compact(at) {
		name := fmt.Sprintf("%.2f", t)
		switch t {
		case w.aggressive:
			name += " aggressive"
		case w.conservative:
			name += " conservative"
		}
		fmt.Fprintf(out, "%-22s", name)
		for _, even := range []bool{true, false} {
			fmt.Fprintf(out, " %8.1f%% %8.2f%% %5.0f%% ", w.share(half(set["phishing"], even), t), w.share(half(set["ham"], even), t),
				w.share(half(set["spam"], even), t))
		}
		fmt.Fprintln(out)
	}
}

// share is the percentage of mails that reach a threshold.
func (w *weights) share(mails []mail, threshold float64) float64 {
	n := 0
	for i := range mails {
		if w.score(&mails[i]) >= threshold {
			n++
		}
	}
	return 100 * float64(n) / float64(max(len(mails), 1))
}

// printReasons shows how often each reason holds in the half that was fitted, and what it weighs.
func printReasons(out io.Writer, w *weights, set map[string][]mail) {
	fmt.Fprintf(out, "%-22s %9s %9s %9s %7s %7s\n", "reason", "phishing", "ham", "spam", "prior", "weight")
	for _, r := range w.reasons {
		fmt.Fprintf(out, "%-22s", r.name)
		for _, kind := range []string{"phishing", "ham", "spam"} {
			mails := half(set[kind], true)
			n := 0
			for i := range mails {
				if slices.Contains(mails[i].reasons, r.name) {
					n++
				}
			}
			fmt.Fprintf(out, " %8.2f%%", 100*float64(n)/float64(max(len(mails), 1)))
		}
		fmt.Fprintf(out, " %7.2f %7.2f\n", r.prior, r.weight)
	}
	fmt.Fprintln(out)
}
