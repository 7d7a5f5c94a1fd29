// Command postern-verdicts is a small sandbox connector to begin one of your own from: verdicts stand in a text file, one per line,
// "SHA256 level name", where level is none, low, medium or high, or failed or unsupported. A sample that the file does not name is still being analysed. The
// file is read at every question, so a line added later releases the mail that waits for it.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/postern-mail/postern/sdk/analyzer"
	"github.com/postern-mail/postern/sdk/schema"
	"github.com/postern-mail/postern/sdk/serve"
)

func main() {
	v := &verdicts{}
	serve.Main(serve.Plugin{
		Name: "verdicts", Version: "1.0.0", Summary: "Takes verdicts from a text file.",
		Config: schema.Of(options{}), Configure: v.configure, Analyzer: v,
	})
}

// options is what an operator may write in the plugin's block.
type options struct {
	File string `summary:"the file of verdicts" type:"path" required:"true"`
}

type verdicts struct{ file string }

func (v *verdicts) configure(_ context.Context, c *serve.Configuration) (*serve.Configured, error) {
	var config options
	if err := c.Decode(&config); err != nil {
		return nil, err
	}
	v.file = config.File
	if _, err := v.read(); err != nil {
		return &serve.Configured{Problems: []serve.Problem{{
			Path: []string{"config", "file"}, Summary: "The verdicts cannot be read", Detail: err.Error(),
		}}}, nil
	}
	return &serve.Configured{}, nil
}

// Choose has one place to name.
func (v *verdicts) Choose(_ context.Context, exclude []string) (string, error) {
	if len(exclude) > 0 {
		return "", nil
	}
	return "file", nil
}

// Submit has nowhere to send the sample: that it is known is all.
func (v *verdicts) Submit(_ context.Context, sample *analyzer.Sample) (*analyzer.Receipt, error) {
	return &analyzer.Receipt{State: analyzer.Pending, Submission: sample.SHA256}, nil
}

// Results looks every submission up.
func (v *verdicts) Results(_ context.Context, submissions []analyzer.Submission) ([]analyzer.Result, error) {
	known, err := v.read()
	if err != nil {
		return nil, err
	}
	var results []analyzer.Result
	for _, s := range submissions {
		result, done := known[s.SHA256]
		if !done {
			result = analyzer.Result{State: analyzer.Pending}
		}
		result.SHA256 = s.SHA256
		results = append(results, result)
	}
	return results, nil
}

func (v *verdicts) read() (map[string]analyzer.Result, error) {
	f, err := os.Open(v.file)
	if err != nil {
		return nil, fmt.Errorf("read verdicts: %w", err)
	}
	defer f.Close()
	words := map[string]analyzer.Result{
		"none": {State: analyzer.Done, Risk: analyzer.NoRisk}, "low": {State: analyzer.Done, Risk: analyzer.Low},
		"medium": {State: analyzer.Done, Risk: analyzer.Medium}, "high": {State: analyzer.Done, Risk: analyzer.High},
		"failed": {State: analyzer.Failed}, "unsupported": {State: analyzer.Unsupported},
	}
	known := map[string]analyzer.Result{}
	lines := bufio.NewScanner(f)
	for number := 1; lines.Scan(); number++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 {
			continue
		}
		var result analyzer.Result
		if len(fields) > 1 {
			result = words[fields[1]]
		}
		if result.State == 0 {
			return nil, fmt.Errorf("read verdicts: line %d is not \"SHA256 none|low|medium|high|failed|unsupported name\"", number)
		}
		result.Name = strings.Join(fields[2:], " ")
		known[strings.ToLower(fields[0])] = result
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read verdicts: %w", err)
	}
	return known, nil
}
