// Package analyzer is what the author of a sandbox connector implements: samples go in, verdicts come out. The core decides what is
// a sample, remembers what was submitted, and asks at intervals.
package analyzer

import (
	"context"
	"io"
)

// Analyzer gives samples to a sandbox. Its methods are called concurrently.
type Analyzer interface {
	// Choose names the server that a sample is to go to, none of those in exclude, which could not be reached with it; "" where none
	// is left. The core commits the name before it submits.
	Choose(ctx context.Context, exclude []string) (server string, err error)
	// Submit hands over one sample to its server. An error means that it is not known whether the sandbox has it.
	Submit(ctx context.Context, sample *Sample) (*Receipt, error)
	// Results asks for many submissions at once; the answer has one Result for each, in any order.
	Results(ctx context.Context, submissions []Submission) ([]Result, error)
}

// Kind says what a sample is.
type Kind int

// The kinds of samples.
const (
	File Kind = iota + 1
	URL
	Mail
)

// Sample is what is to be analysed.
type Sample struct {
	SHA1, SHA256 string
	Kind         Kind
	Name         string
	Size         int64
	Content      io.Reader
	Server       string // as Choose named it
	// AskFirst says that the server may have the sample from an earlier attempt: it is asked before anything is sent.
	AskFirst bool
}

// State is where an analysis stands.
type State int

// The states. Unreachable lets the core try another server; the others are about the sample.
const (
	Pending State = iota + 1
	Done
	Failed
	Unsupported
	Unreachable
)

// Risk is a verdict's level. NoLevel is an answer without one, which is never "no risk".
type Risk int

// The risk levels.
const (
	NoLevel Risk = iota
	NoRisk
	Low
	Medium
	High
)

// Receipt says what became of a submission.
type Receipt struct {
	State      State
	Submission string // the sandbox's own id
	Detail     string
}

// Submission is one sample on its way.
type Submission struct{ SHA1, SHA256, Server, Submission string }

// Result is the state of one submission.
type Result struct {
	SHA256 string
	State  State
	Risk   Risk
	Name   string
	Detail string
}
