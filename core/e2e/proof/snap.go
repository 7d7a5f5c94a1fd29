package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postern-mail/postern/core/e2e/harness"
	"github.com/postern-mail/postern/core/message"
)

// What plugin snap has to catch, and what it may, in percent.
const (
	aggressivePhishing   = 90.0
	aggressiveHam        = 1.0
	conservativePhishing = 60.0
	conservativeHam      = 0.1
)

// scores are those of one folder's mails that the weights were not fitted on.
type scores struct {
	of             []float64
	possible, sure int // as the plugin itself reports them
	kib            int
	calls          time.Duration // of the plugin, seen from the gateway
	slowest        time.Duration
}

// snap measures on the mails whose names have an odd hash: the weights are fitted on the others (plugins/snap/train).
func snap(ctx context.Context, e *env) (err error) {
	s, err := newSite(ctx, e, "snap.hcl")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	set := map[string]*scores{}
	for _, corpus := range []string{"ham", "phishing", "spam"} {
		mails, err := readCorpus(e.corpora, corpus)
		if err != nil {
			return err
		}
		if set[corpus], err = readScores(ctx, s, otherHalf(mails)); err != nil {
			return err
		}
	}
	e.printf("mails that the weights were not fitted on: %d phishing, %d ham, %d spam",
		len(set["phishing"].of), len(set["ham"].of), len(set["spam"].of))
	e.printf("%10s %10s %10s %10s", "threshold", "phishing", "ham", "spam")
	for threshold := 1.0; threshold <= 12; threshold += 0.5 {
		e.printf("%10.1f %9.1f%% %9.2f%% %9.1f%%", threshold,
			set["phishing"].reach(threshold), set["ham"].reach(threshold), set["spam"].reach(threshold))
	}
	short := false
	judge := func(name string, count func(*scores) int, phishing, ham float64) {
		share := func(corpus string) float64 { return percentOf(count(set[corpus]), len(set[corpus].of)) }
		e.printf("%s: phishing %.1f %% (at least %.0f), ham %.2f %% (at most %.1f), spam %.1f %%", name,
			share("phishing"), phishing, share("ham"), ham, share("spam"))
		short = short || share("phishing") < phishing || share("ham") > ham
	}
	judge("aggressive", func(s *scores) int { return s.possible + s.sure }, aggressivePhishing, aggressiveHam)
	judge("conservative", func(s *scores) int { return s.sure }, conservativePhishing, conservativeHam)
	for _, corpus := range []string{"ham", "phishing", "spam"} {
		c := set[corpus]
		e.printf("%s: %.2f ms for the plugin's answer on a mail of %d KiB, on average; the slowest %.1f ms", corpus,
			milliseconds(c.calls)/float64(len(c.of)), c.kib/len(c.of), milliseconds(c.slowest))
	}
	if short {
		return errShort
	}
	return nil
}

// otherHalf is the mails whose names have an odd hash.
func otherHalf(mails []*mail) []*mail {
	return slices.DeleteFunc(mails, func(m *mail) bool {
		h := fnv.New32a()
		h.Write([]byte(filepath.Base(m.path)))
		return h.Sum32()%2 == 0
	})
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func percentOf(n, of int) float64 { return 100 * float64(n) / float64(max(of, 1)) }

func (s *scores) reach(threshold float64) float64 {
	n := 0
	for _, score := range s.of {
		if score >= threshold {
			n++
		}
	}
	return percentOf(n, len(s.of))
}

// readScores judges the mails with `postern scan` and reads what snap reported to the two rules: at most one finding from the thresholds
// that are shipped, and one with the score.
func readScores(ctx context.Context, s *harness.Site, mails []*mail) (*scores, error) {
	out := &scores{}
	arguments := []string{"scan", "--json", "--log-level", "warn"}
	for _, m := range mails {
		arguments = append(arguments, m.path)
		out.kib += len(m.data) / 1024
	}
	type scanned struct {
		File  string        `json:"file"`
		Facts message.Facts `json:"facts"`
	}
	all, err := harness.JSONLines[scanned](s.Setup.Run(ctx, arguments...))
	if err != nil {
		return nil, err
	}
	if len(all) != len(mails) {
		return nil, fmt.Errorf("%d of %d mails were judged", len(all), len(mails))
	}
	for i := range all {
		report := all[i].Facts.Reports["snap"]
		if len(report.Troubles) > 0 || len(report.Findings) == 0 || len(report.Findings) > 2 {
			return nil, fmt.Errorf("%s: plugin snap answered with %d findings and troubles %v", all[i].File, len(report.Findings), report.Troubles)
		}
		out.calls += report.Took
		out.slowest = max(out.slowest, report.Took)
		scoring := slices.Max(report.Queries)
		for _, f := range report.Findings {
			switch {
			case f.Query == scoring:
				score, err := scoreIn(f.Evidence)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", all[i].File, err)
				}
				out.of = append(out.of, score)
			case f.Certainty == message.Sure:
				out.sure++
			default:
				out.possible++
			}
		}
	}
	if len(out.of) != len(mails) {
		return nil, fmt.Errorf("%d of %d mails have a score", len(out.of), len(mails))
	}
	return out, nil
}

// scoreIn is the score that evidence begins with: "score 3.52 (...".
func scoreIn(evidence string) (float64, error) {
	text, found := strings.CutPrefix(evidence, "score ")
	text, _, _ = strings.Cut(text, " ")
	if !found {
		return 0, fmt.Errorf("no score in %q", evidence)
	}
	return strconv.ParseFloat(text, 64)
}
