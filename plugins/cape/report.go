package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/postern-mail/postern/sdk/analyzer"
)

// report is how far an analysis is, and what was found.
type report struct {
	state  analyzer.State // Pending, Done or Failed
	score  *float64       // nil: none, which is no level
	hashes []string       // of the file and of what it was taken from
	isURL  bool
	names  []string
	detail string
}

// errOther says that a report is about another sample.
var errOther = errors.New("the report is about another sample")

func (r *report) about(hash string) bool {
	return slices.ContainsFunc(r.hashes, func(h string) bool { return strings.EqualFold(h, hash) })
}

// name adds a threat's name, within bounds.
func (r *report) name(name string) {
	const mostNames, longest = 20, 200
	name = oneLine(name)
	name = strings.ToValidUTF8(name[:min(len(name), longest)], "")
	if name != "" && len(r.names) < mostNames && !slices.Contains(r.names, name) {
		r.names = append(r.names, name)
	}
}

// add joins the report of another task: the highest score counts, and none is none for all.
func (r *report) add(one *report) {
	switch {
	case r.score == nil || one.score == nil:
		r.score = nil
	case *one.score > *r.score:
		r.score = one.score
	}
	for _, name := range one.names {
		r.name(name)
	}
}

// scoreOf reads a score; nil for everything that is no number.
func scoreOf(raw json.RawMessage) *float64 {
	var score *float64
	if len(raw) == 0 || json.Unmarshal(raw, &score) != nil {
		return nil
	}
	return score
}

// readCape reads what counts of CAPE's report as it streams by: the rest can be large.
func readCape(r io.Reader) (*report, error) {
	out := &report{state: analyzer.Done}
	decoder := json.NewDecoder(r)
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return nil, errors.Join(errors.New("read report: it is no object"), err)
	}
	seen := map[string]bool{}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return nil, fmt.Errorf("read report: %w", err)
		}
		key, _ := token.(string)
		into := map[string]any{"malscore": &json.RawMessage{}, "malstatus": &json.RawMessage{}, "target": &capeTarget{}, "info": &capeInfo{}, "detections": &json.RawMessage{}}[key]
		if into == nil {
			if err := skip(decoder); err != nil {
				return nil, fmt.Errorf("read report: %w", err)
			}
			continue
		}
		if seen[key] {
			return nil, fmt.Errorf("read report: %q stands in it twice", key)
		}
		seen[key] = true
		if err := decoder.Decode(into); err != nil {
			return nil, fmt.Errorf("read report: %s: %w", key, err)
		}
		out.take(key, into)
	}
	if _, err := decoder.Token(); err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("read report: something follows it")
	}
	return out, nil
}

type capeTarget struct {
	Category string `json:"category"`
	File     struct {
		SHA256 string `json:"sha256"`
	} `json:"file"`
}

type capeInfo struct {
	Parent struct {
		SHA256 string `json:"sha256"`
	} `json:"parent_sample"`
}

// take notes one value of CAPE's report.
func (r *report) take(key string, value any) {
	switch value := value.(type) {
	case *capeTarget:
		r.isURL = value.Category == "url"
		r.hashes = append(r.hashes, value.File.SHA256)
	case *capeInfo:
		if value.Parent.SHA256 != "" {
			r.hashes = append(r.hashes, value.Parent.SHA256)
		}
	case *json.RawMessage:
		var text string
		isText := json.Unmarshal(*value, &text) == nil
		switch {
		case key == "malscore":
			r.score = scoreOf(*value)
		case key == "malstatus" && isText:
			r.detail = oneLine(text)
			if text == "Failed" {
				r.state = analyzer.Failed
			}
		case key == "detections" && isText: // older versions
			r.name(text)
		case key == "detections":
			var list []struct {
				Family string `json:"family"`
			}
			if json.Unmarshal(*value, &list) == nil {
				for _, detection := range list {
					r.name(detection.Family)
				}
			}
		}
	}
}

// deepest bounds what is passed over, as encoding/json does for what is decoded.
const deepest = 10_000

// skip passes one value over.
func skip(decoder *json.Decoder) error {
	for depth := 0; ; {
		token, err := decoder.Token()
		if err != nil {
			return err
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			if depth++; depth > deepest {
				return errors.New("it is nested too deeply")
			}
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

// reportsAtOnce bounds what one sandbox is asked side by side.
const reportsAtOnce = 4

// Results asks for every submission. What could not be learnt is left as it is: it is asked for again.
func (c *connector) Results(ctx context.Context, submissions []analyzer.Submission) ([]analyzer.Result, error) {
	results := make([]analyzer.Result, len(submissions))
	troubles := make([]error, len(submissions))
	var asking sync.WaitGroup
	places := make(chan struct{}, reportsAtOnce)
	for i, submission := range submissions {
		places <- struct{}{}
		asking.Go(func() {
			defer func() { <-places }()
			results[i], troubles[i] = c.ask(ctx, submission)
		})
	}
	asking.Wait()
	failures := 0
	for i, err := range troubles {
		if err == nil {
			continue
		}
		if failures++; failures == 1 { // the others say the same, mostly
			c.log.Warn("asking for a result failed", "server", submissions[i].Server, "submission", submissions[i].Submission, "error", err)
		}
	}
	if failures > 0 && failures == len(submissions) {
		return nil, troubles[0]
	}
	return results, nil
}

func (c *connector) ask(ctx context.Context, submission analyzer.Submission) (analyzer.Result, error) {
	result := analyzer.Result{SHA256: submission.SHA256, State: analyzer.Pending}
	b := c.sandboxes[submission.Server]
	if b == nil {
		return result, fmt.Errorf("server %s is not in the configuration", submission.Server)
	}
	r, err := b.protocol.report(ctx, submission)
	if err != nil {
		return result, err
	}
	c.pool.Served(b.name)
	result.State, result.Name, result.Detail = r.state, strings.Join(r.names, ", "), r.detail
	if r.state != analyzer.Done {
		return result, nil
	}
	if r.score == nil {
		result.State, result.Detail = analyzer.Failed, "the sandbox gave no score"
		return result, nil
	}
	if result.Risk = c.thresholds.level(*r.score); result.Risk == analyzer.NoLevel {
		result.State, result.Detail = analyzer.Failed, fmt.Sprintf("the sandbox gave the score %v", *r.score)
		return result, nil
	}
	result.Detail = strings.TrimSpace(fmt.Sprintf("score %v %s", *r.score, r.detail))
	return result, nil
}
