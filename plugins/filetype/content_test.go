package main

import (
	"io"
	"strings"
)

// content is a body in memory.
type content string

func (c content) Bytes() ([]byte, error) { return []byte(c), nil }

func (c content) Open() (io.ReadSeekCloser, error) {
	return struct {
		io.ReadSeeker
		io.Closer
	}{strings.NewReader(string(c)), io.NopCloser(nil)}, nil
}
