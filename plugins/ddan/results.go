package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/postern-mail/postern/sdk/analyzer"
)

const (
	// briefBatch bounds the samples in one request for brief reports, reportsAtOnce the full reports that are fetched side by side.
	briefBatch    = 100
	reportsAtOnce = 8
)

// Results asks every appliance for the samples that it was given. What could not be learnt is left as it is: it is asked for again.
func (c *connector) Results(ctx context.Context, submissions []analyzer.Submission) ([]analyzer.Result, error) {
	byServer := map[string][]analyzer.Submission{}
	for _, submission := range submissions {
		byServer[submission.Server] = append(byServer[submission.Server], submission)
	}
	var (
		asking  sync.WaitGroup
		mu      sync.Mutex
		results []analyzer.Result
		trouble []error
	)
	for name, list := range byServer {
		asking.Go(func() {
			some, err := c.ask(ctx, name, list)
			mu.Lock()
			defer mu.Unlock()
			results = append(results, some...)
			if err != nil {
				trouble = append(trouble, fmt.Errorf("server %s: %w", name, err))
			}
		})
	}
	asking.Wait()
	err := errors.Join(trouble...)
	if len(trouble) == len(byServer) {
		return nil, err
	}
	if err != nil {
		c.log.Warn("asking for results failed", "error", err)
	}
	return results, nil
}

// ask asks one appliance. An error means that nothing was learnt.
func (c *connector) ask(ctx context.Context, name string, list []analyzer.Submission) ([]analyzer.Result, error) {
	a, err := c.serverOf(name)
	if err != nil {
		return nil, err
	}
	var (
		results = make([]analyzer.Result, 0, len(list)) // never grown: others write into it
		reading sync.WaitGroup
		places  = make(chan struct{}, reportsAtOnce)
	)
	for batch := range slices.Chunk(list, briefBatch) {
		briefs, failed := a.briefs(ctx, batch)
		if failed != nil {
			err = errors.Join(err, failed)
		}
		for _, submission := range batch {
			results = append(results, analyzer.Result{SHA256: submission.SHA256, State: analyzer.Pending})
		}
		answers := results[len(results)-len(batch):]
		for i, submission := range batch {
			b, answered := briefs[strings.ToLower(submission.SHA1)]
			if !answered {
				continue
			}
			places <- struct{}{}
			reading.Go(func() {
				defer func() { <-places }()
				answers[i] = c.judge(ctx, a, submission, b)
			})
		}
	}
	reading.Wait()
	if err != nil && !slices.ContainsFunc(results, func(r analyzer.Result) bool { return r.State != analyzer.Pending }) {
		return nil, err
	}
	if err != nil {
		c.log.Warn("asking for some results failed", "server", name, "error", err)
		return results, nil
	}
	c.pool.Served(name)
	return results, nil
}

// briefs asks for brief reports and returns them by SHA-1 in lower case; who asks looks for its own, and others are nobody's.
func (a *appliance) briefs(ctx context.Context, batch []analyzer.Submission) (map[string]brief, error) {
	reports, err := a.brief(ctx, batch)
	if err != nil {
		return nil, err
	}
	out := map[string]brief{}
	unnamed := false
	for _, report := range reports {
		hash := report.hash()
		if hash == "" {
			unnamed = true
			continue
		}
		if earlier, twice := out[hash]; twice && (earlier.Status != report.Status || earlier.RiskLevel != report.RiskLevel) {
			report.Status = "" // it says two things of one sample: neither counts
		}
		out[hash] = report
	}
	if !unnamed {
		return out, nil
	}
	// A build that does not say which sample a report is about is asked for one at a time.
	if len(batch) == 1 {
		if len(reports) == 1 {
			out[strings.ToLower(batch[0].SHA1)] = reports[0]
		}
		return out, nil
	}
	for i := range batch {
		one, err := a.briefs(ctx, batch[i:i+1])
		if err != nil {
			return out, err
		}
		for hash, report := range one {
			out[hash] = report
		}
	}
	return out, nil
}

func (a *appliance) brief(ctx context.Context, batch []analyzer.Submission) ([]brief, error) {
	var hashes []string
	for _, submission := range batch {
		hashes = append(hashes, submission.SHA1)
	}
	raw, err := a.call(ctx, http.MethodPut, "get_brief_report", nil, text(strings.Join(hashes, ";")), largestBrief)
	if err != nil {
		return nil, err
	}
	return parseBrief(raw)
}

// judge makes a result of a brief report. Where the analysis is done the full report is asked for; it is never asked for earlier, since the
// appliance answers then with a status that HTTP knows as no end of an answer.
func (c *connector) judge(ctx context.Context, a *appliance, submission analyzer.Submission, b brief) analyzer.Result {
	result := analyzer.Result{SHA256: submission.SHA256, State: analyzer.Pending}
	switch statusOf(b.Status) {
	case done:
	case failed:
		result.State, result.Detail = analyzer.Failed, "the appliance failed to analyse the sample"
		return result
	case timedOut:
		result.State, result.Detail = analyzer.Failed, "the analysis timed out in the appliance"
		return result
	default:
		return result
	}
	first := ratingOf(b.RiskLevel, c.unsupported)
	switch {
	case first.unsupported:
		result.State, result.Detail = analyzer.Unsupported, "the appliance does not take samples of this kind"
		return result
	case first.risk == analyzer.NoLevel:
		result.State, result.Detail = analyzer.Failed, fmt.Sprintf("the appliance gave the rating %q", b.RiskLevel)
		return result
	}
	report, err := a.report(ctx, submission.SHA1)
	if err != nil {
		c.log.Warn("the full report could not be had", "server", a.name, "sha1", submission.SHA1, "error", err)
	}
	return settle(result, first, report, err, c.unsupported)
}

// settle weighs brief and full report. The full report's level is the one that counts, but never takes back a risk that the brief report
// told of; without a full report there can be a risk and never none.
func settle(result analyzer.Result, first rating, report *full, err error, unsupported int) analyzer.Result {
	if err != nil {
		if first.risk > analyzer.NoRisk {
			result.State, result.Risk, result.Detail = analyzer.Done, first.risk, "the full report could not be had"
		}
		return result
	}
	second := ratingOf(report.level, unsupported)
	result.Name, result.Detail = strings.Join(report.names, ", "), strings.Join(report.violations, "; ")
	if second.risk == analyzer.NoLevel && first.risk == analyzer.NoRisk {
		result.State, result.Detail = analyzer.Failed, fmt.Sprintf("the full report gives the rating %q", report.level)
		return result
	}
	result.State, result.Risk = analyzer.Done, max(first.risk, second.risk)
	return result
}

// errOther says that a report is about another sample.
var errOther = errors.New("the report is about another sample")

// report asks for the full report of a sample whose analysis is done.
func (a *appliance) report(ctx context.Context, hash string) (*full, error) {
	const oneImage = "0"
	raw, err := a.call(ctx, http.MethodGet, "get_report", []field{{"SHA1", hash}, {"ReportType", oneImage}}, nil, largestReport)
	if err != nil {
		return nil, err
	}
	report, err := parseFull(raw)
	if err != nil {
		return nil, err
	}
	if report.hash != strings.ToLower(hash) {
		return nil, errOther
	}
	return report, nil
}
