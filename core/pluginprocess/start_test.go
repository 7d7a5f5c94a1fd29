package pluginprocess

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// TestStartTime tells how long a start takes, from the executable to the first answer, and how much of it the copy is.
func TestStartTime(t *testing.T) {
	spec := specOf(t, "good", newRecorded())
	info, err := os.Stat(spec.Executable)
	if err != nil {
		t.Fatal(err)
	}
	var seals, starts, answers, stops []time.Duration
	for range 11 {
		began := time.Now()
		image, err := Seal(spec.Executable, "")
		if err != nil {
			t.Fatal(err)
		}
		seals = append(seals, time.Since(began))
		spec.Image = image
		began = time.Now()
		p, err := Start(context.Background(), spec)
		if err != nil {
			t.Fatal(err)
		}
		starts = append(starts, time.Since(began))
		if _, err := pluginv1.NewPluginServiceClient(p.Conn()).Describe(context.Background(), &pluginv1.DescribeRequest{}); err != nil {
			t.Error(err)
		}
		answers = append(answers, time.Since(began))
		began = time.Now()
		p.Stop()
		stops = append(stops, time.Since(began))
		if err := image.Close(); err != nil {
			t.Error(err)
		}
	}
	median := func(all []time.Duration) time.Duration {
		slices.Sort(all)
		return all[len(all)/2].Round(100 * time.Microsecond)
	}
	t.Logf("median of %d: sealed copy of %d MiB %s, start to handshake %s, to the first answer %s, end %s", len(starts), info.Size()>>20, median(seals),
		median(starts), median(answers), median(stops))
}

// TestSilentStage: what a stage said before it ended without becoming the plugin is told.
func TestSilentStage(t *testing.T) {
	spec := specOf(t, "good", newRecorded())
	spec.Stage = filepath.Join(t.TempDir(), "stage")
	if err := os.WriteFile(spec.Stage, []byte("#!/bin/sh\necho no threads left >&2\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	p, err := Start(context.Background(), spec)
	if err == nil {
		p.Stop()
		t.Fatal("it started")
	}
	for _, word := range []string{"without a word", "exit status 3", "no threads left"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error lacks %q: %v", word, err)
		}
	}
}
