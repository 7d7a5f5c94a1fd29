package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/postern-mail/postern/sdk/analyzer"
)

// cuckoo is the interface of Cuckoo3.
type cuckoo struct{ *sandbox }

const (
	// A sample that may have got there is among the newest analyses: so many are looked through.
	analysesAtOnce = 100
	analysesPages  = 10
)

// analysis is one as Cuckoo3 shows it.
type analysis struct {
	ID        string          `json:"id"`
	State     string          `json:"state"`
	Score     json.RawMessage `json:"score"`
	Families  []string        `json:"families"`
	Target    target          `json:"target"`
	Submitted target          `json:"submitted"`
}

type target struct {
	Category string `json:"category"`
	SHA256   string `json:"sha256"`
}

func (a *analysis) state() analyzer.State {
	switch {
	case a.State == "finished":
		return analyzer.Done
	case strings.Contains(a.State, "error"), strings.Contains(a.State, "fail"), strings.Contains(a.State, "timeout"):
		return analyzer.Failed
	}
	return analyzer.Pending
}

func (c *cuckoo) check(ctx context.Context) error {
	return c.get(ctx, "/analyses/?limit=1", &json.RawMessage{})
}

func (c *cuckoo) find(ctx context.Context, sample *analyzer.Sample) (string, error) {
	if sample.Kind == analyzer.URL {
		return "", errCannotAsk
	}
	for page := range analysesPages {
		var answer struct {
			Analyses []analysis `json:"analyses"`
		}
		path := fmt.Sprintf("/analyses/?limit=%d&offset=%d&desc=true", analysesAtOnce, page*analysesAtOnce)
		if err := c.get(ctx, path, &answer); err != nil {
			return "", fmt.Errorf("search sample: %w", err)
		}
		for _, a := range answer.Analyses {
			if a.about(sample.SHA256) && a.ID != "" && a.state() != analyzer.Failed {
				return a.ID, nil
			}
		}
		if len(answer.Analyses) < analysesAtOnce {
			break
		}
	}
	return "", nil
}

// about reports whether the analysis is of the file, or of one selected in it.
func (a *analysis) about(hash string) bool {
	return strings.EqualFold(a.Target.SHA256, hash) || strings.EqualFold(a.Submitted.SHA256, hash)
}

func (c *cuckoo) submit(ctx context.Context, sample *analyzer.Sample) (string, error) {
	path, fields := "/submit/file", map[string]string{"settings": `{"orig_filename": true}`}
	if sample.Kind == analyzer.URL {
		path, fields = "/submit/url", nil
	}
	body, err := formOf(sample, fields)
	if err != nil {
		return "", fmt.Errorf("submit sample: %w", err)
	}
	var answer struct {
		ID string `json:"analysis_id"`
	}
	err = c.exchange(ctx, http.MethodPost, path, body, shortAnswer, func(r io.Reader) error { return readJSON(r, &answer) })
	var r *refusal
	switch {
	case errors.As(err, &r) && r.status == http.StatusServiceUnavailable:
		// The analysis was made, and waits for Cuckoo to be started.
		return "", fmt.Errorf("submit sample: not known whether it was taken: %s", r.Error())
	case err != nil:
		return "", fmt.Errorf("submit sample: %w", err)
	case answer.ID == "":
		return "", errors.New("submit sample: the answer names no analysis")
	}
	return answer.ID, nil
}

func (c *cuckoo) report(ctx context.Context, submission analyzer.Submission) (*report, error) {
	var a analysis
	if err := c.get(ctx, "/analysis/"+url.PathEscape(submission.Submission), &a); err != nil {
		return nil, fmt.Errorf("ask for analysis: %w", err)
	}
	return a.read(submission)
}

// read makes a report of the analysis that was asked for.
func (a *analysis) read(submission analyzer.Submission) (*report, error) {
	if a.ID != submission.Submission || a.Target.Category != "url" && !a.about(submission.SHA256) {
		return nil, errOther
	}
	r := &report{state: a.state(), detail: a.State}
	if r.state == analyzer.Done {
		r.score = scoreOf(a.Score)
		for _, family := range a.Families {
			r.name(family)
		}
	}
	return r, nil
}
