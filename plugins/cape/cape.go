package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/postern-mail/postern/sdk/analyzer"
)

// cape is the interface of CAPEv2, /apiv2/.
type cape struct{ *sandbox }

func (c *cape) check(ctx context.Context) error {
	err := c.get(ctx, "/apiv2/tasks/search/sha256/"+strings.Repeat("0", 64)+"/", &json.RawMessage{})
	var r *refusal
	if errors.As(err, &r) && r.status == http.StatusNotFound {
		return nil // it answers, and has no such sample
	}
	return err
}

// find takes the newest task of the sample that did not fail.
func (c *cape) find(ctx context.Context, sample *analyzer.Sample) (string, error) {
	if sample.Kind == analyzer.URL {
		return "", errCannotAsk
	}
	var answer struct {
		Error bool            `json:"error"`
		Data  json.RawMessage `json:"data"`
	}
	err := c.get(ctx, "/apiv2/tasks/search/sha256/"+url.PathEscape(sample.SHA256)+"/", &answer)
	if r := (*refusal)(nil); errors.As(err, &r) && r.status == http.StatusNotFound {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("search sample: %w", err)
	}
	var tasks []struct {
		ID     int    `json:"id"`
		Status string `json:"status"`
	}
	if answer.Error || len(answer.Data) == 0 || answer.Data[0] != '[' { // a sample that it has not is an error or a text
		return "", nil
	}
	if err := json.Unmarshal(answer.Data, &tasks); err != nil {
		return "", fmt.Errorf("search sample: %w", err)
	}
	newest := 0
	for _, task := range tasks {
		if capeState(task.Status) != analyzer.Failed {
			newest = max(newest, task.ID)
		}
	}
	if newest == 0 {
		return "", nil
	}
	return strconv.Itoa(newest), nil
}

func (c *cape) submit(ctx context.Context, sample *analyzer.Sample) (string, error) {
	path, fields := "/apiv2/tasks/create/file/", map[string]string{}
	switch {
	case sample.Kind == analyzer.URL:
		path = "/apiv2/tasks/create/url/"
	case !sample.AskFirst: // otherwise it was asked, and has none that is of use
		fields["unique"] = "true"
	}
	body, err := formOf(sample, fields)
	if err != nil {
		return "", fmt.Errorf("submit sample: %w", err)
	}
	var answer struct {
		Error  bool   `json:"error"`
		Value  string `json:"error_value"`
		Errors []any  `json:"errors"`
		Data   struct {
			Tasks []int `json:"task_ids"`
		} `json:"data"`
	}
	err = c.exchange(ctx, http.MethodPost, path, body, shortAnswer, func(r io.Reader) error { return readJSON(r, &answer) })
	if err != nil {
		return "", fmt.Errorf("submit sample: %w", err)
	}
	if len(answer.Data.Tasks) > 0 {
		// An archive is taken apart there: each of its files is a task.
		var ids []string
		for _, id := range answer.Data.Tasks {
			ids = append(ids, strconv.Itoa(id))
		}
		return strings.Join(ids, ","), nil
	}
	why := oneLine(fmt.Sprint(answer.Value, " ", answer.Errors))
	if !strings.Contains(strings.ToLower(why), "duplicate") {
		const most = 200
		return "", fmt.Errorf("submit sample: %w", &refusal{status: http.StatusOK, text: why[:min(len(why), most)]})
	}
	id, err := c.find(ctx, sample)
	if err == nil && id == "" {
		err = errors.New("the sandbox knows the sample and has no result of it")
	}
	return id, err
}

// capeState is what a task's state means. What is not known is no end of it.
func capeState(status string) analyzer.State {
	switch {
	case status == "reported":
		return analyzer.Done
	case strings.HasPrefix(status, "failed_"), status == "banned":
		return analyzer.Failed
	}
	return analyzer.Pending
}

// report asks for all tasks of a submission: all have to be done, and the worst counts.
func (c *cape) report(ctx context.Context, submission analyzer.Submission) (*report, error) {
	ids := strings.Split(submission.Submission, ",")
	var whole *report
	for _, id := range ids {
		one, err := c.task(ctx, id)
		if err != nil || one.state != analyzer.Done {
			return one, err
		}
		if !one.isURL && len(ids) == 1 && !one.about(submission.SHA256) {
			return nil, errOther
		}
		if whole == nil {
			whole = one
			continue
		}
		whole.add(one)
	}
	return whole, nil
}

func (c *cape) task(ctx context.Context, id string) (*report, error) {
	var answer struct {
		Error bool   `json:"error"`
		Data  string `json:"data"`
	}
	if err := c.get(ctx, "/apiv2/tasks/status/"+url.PathEscape(id)+"/", &answer); err != nil {
		return nil, fmt.Errorf("ask for status: %w", err)
	}
	if answer.Error {
		return nil, errors.New("ask for status: the sandbox does not know the task")
	}
	if state := capeState(answer.Data); state != analyzer.Done {
		return &report{state: state, detail: answer.Data}, nil
	}
	var r *report
	path := "/apiv2/tasks/get/report/" + url.PathEscape(id) + "/json/"
	err := c.exchange(ctx, http.MethodGet, path, nil, largestReport, func(answer io.Reader) (err error) {
		r, err = readCape(answer)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ask for report: %w", err)
	}
	return r, nil
}
