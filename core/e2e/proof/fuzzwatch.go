package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// fuzzLimits are what one input may take. Time is that of the processor, so that a busy machine makes no input look slow.
type fuzzLimits struct {
	slowest time.Duration
	largest int64
}

func usualLimits() fuzzLimits { return fuzzLimits{5 * time.Second, 256 << 20} }

const (
	// fuzzCollects is from when on a worker's garbage is collected eagerly: what is in use is to be told from what is left over.
	fuzzCollects = "GOMEMLIMIT=128MiB"
	fuzzLook     = 500 * time.Millisecond
	clockTick    = 10 * time.Millisecond // of /proc/PID/stat on Linux
)

// fuzzOutput is what a target's coordinator has said, which tells every three seconds how far it has come.
type fuzzOutput struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (o *fuzzOutput) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.Write(p)
}

func (o *fuzzOutput) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.String()
}

// progress is the last line that says how far it has come, without the times in it.
func (o *fuzzOutput) progress() string {
	lines := regexp.MustCompile(`fuzz: elapsed: \w+, (\D*[\d/]+)`).FindAllStringSubmatch(o.String(), -1)
	if len(lines) == 0 {
		return ""
	}
	return lines[len(lines)-1][1]
}

// fuzzWorker is what was last seen of the process that runs the inputs.
type fuzzWorker struct {
	pid      int
	progress string
	since    time.Duration // of the processor, when it was first seen at that progress
}

// watch looks at the workers of the coordinator until the context ends. One whose input takes too much is ended in a way that makes the
// coordinator write the input down; what it took too much of is returned.
func (o *fuzzOutput) watch(ctx context.Context, coordinator int, limits fuzzLimits) string {
	ticks := time.NewTicker(fuzzLook)
	defer ticks.Stop()
	var last fuzzWorker
	for {
		select {
		case <-ctx.Done():
			return ""
		case <-ticks.C:
		}
		pid, used, memory, err := fuzzWorkerOf(coordinator)
		if err != nil || pid == 0 {
			continue // it is just starting or ending
		}
		if progress := o.progress(); pid != last.pid || progress != last.progress {
			last = fuzzWorker{pid, progress, used}
		}
		excess := ""
		switch {
		case memory > limits.largest:
			excess = fmt.Sprintf("TAKES %d MiB", memory>>20)
		case used-last.since > limits.slowest+reportEvery:
			excess = fmt.Sprintf("%s %v", takesLong, limits.slowest)
		default:
			continue
		}
		_ = syscall.Kill(pid, syscall.SIGQUIT) // it may have ended
		return excess
	}
}

// reportEvery is how old the coordinator's word may be.
const reportEvery = 3 * time.Second

// fuzzWorkerOf finds the coordinator's child, the time of the processor that it has used, and its own memory.
func fuzzWorkerOf(coordinator int) (pid int, used time.Duration, memory int64, err error) {
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", coordinator))
	if err != nil {
		return 0, 0, 0, err
	}
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			return 0, 0, 0, err
		}
		if fields := strings.Fields(string(text)); len(fields) > 0 {
			if pid, err = strconv.Atoi(fields[0]); err != nil {
				return 0, 0, 0, err
			}
		}
	}
	if pid == 0 {
		return 0, 0, 0, nil
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, 0, err
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // behind the name; the next is field 3 of proc(5)
	fields := strings.Fields(rest)
	const userTime, systemTime = 14 - 3, 15 - 3
	if len(fields) <= systemTime {
		return 0, 0, 0, fmt.Errorf("read /proc/%d/stat: it has %d fields", pid, len(fields))
	}
	for _, field := range []int{userTime, systemTime} {
		n, err := strconv.ParseInt(fields[field], 10, 64)
		if err != nil {
			return 0, 0, 0, err
		}
		used += time.Duration(n) * clockTick
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, 0, err
	}
	if found := regexp.MustCompile(`RssAnon:\s*(\d+) kB`).FindSubmatch(status); found != nil {
		n, err := strconv.ParseInt(string(found[1]), 10, 64)
		if err != nil {
			return 0, 0, 0, err
		}
		memory = n << 10
	}
	return pid, used, memory, nil
}
