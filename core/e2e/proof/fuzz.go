package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	fuzzTime = 10 * time.Second
	// fuzzMinimize is how many tries an input that reaches new code is made smaller in: without a bound that takes all of the time, and
	// they count as one input where it is looked what one takes.
	fuzzMinimize = "10x"
	// fuzzGrace is how long building and minimising may take beyond the time for trying.
	fuzzGrace = 3 * time.Minute
	// fuzzAttempts is how often a target is tried where the tool failed, not the target.
	fuzzAttempts = 3
	// seedTimes is how many times as long a target has whose seeds alone took all of it.
	seedTimes    = 4
	nothingTried = "NOTHING WAS TRIED"
	crashes      = "CRASHES"
	takesLong    = "TAKES MORE THAN"
)

// readerPackages are those that read bytes from outside, below the module's root. Each has to have a target.
func readerPackages() []string {
	return []string{"core/content", "core/delivery", "core/inspect", "core/intake", "core/mailauth", "core/plugincatalog", "core/pluginprocess", "core/policy",
		"core/rewrite", "core/store", "core/objects", "plugins/atse", "plugins/cape", "plugins/ctd", "plugins/ddan", "plugins/filename", "plugins/filetype", "plugins/snap", "plugins/unpack"}
}

// fuzzPackage is a package with targets, whose tests are built once for all of them.
type fuzzPackage struct {
	path, folder string
	targets      []string
	binary       string
	cache        string // of inputs that reached new code
}

type fuzzTarget struct {
	pkg    *fuzzPackage
	name   string
	limits fuzzLimits
}

func (t fuzzTarget) String() string { return t.pkg.path + " " + t.name }

// fuzzed is what became of a target.
type fuzzed struct {
	executions string
	crash      string // the file of the input, where there is one
	failed     string // in words, "" where it went well
}

// fuzz tries the fuzz targets of the tree whose package and name match the setting FUZZ, all where there is none, each for FUZZTIME,
// FUZZJOBS of them at once: two for each processor where nothing is said, since starting and ending leave them idle. An input that
// crashes one, or takes too much, stays in the package's testdata/fuzz, where every later `go test` tries it.
func fuzz(ctx context.Context, e *env) error {
	each, err := time.ParseDuration(e.setting("FUZZTIME", fuzzTime.String()))
	if err != nil {
		return fmt.Errorf("read the setting FUZZTIME: %w", err)
	}
	jobs, err := e.number("FUZZJOBS", int64(2*runtime.NumCPU()))
	if err != nil {
		return err
	}
	wanted, err := regexp.Compile(e.setting("FUZZ", ""))
	if err != nil {
		return fmt.Errorf("read the setting FUZZ: %w", err)
	}
	packages, err := fuzzPackages(ctx, e.scratch)
	if err != nil {
		return err
	}
	var targets []fuzzTarget
	for _, p := range packages {
		before := len(targets)
		for _, name := range p.targets {
			if t := (fuzzTarget{p, name, usualLimits()}); wanted.MatchString(t.String()) {
				targets = append(targets, t)
			}
		}
		if len(targets) == before {
			continue
		}
		if err := p.build(ctx); err != nil {
			return err
		}
	}
	short := len(targets) == 0
	for _, reader := range readerPackages() {
		if !slices.ContainsFunc(packages, func(p *fuzzPackage) bool { return strings.HasSuffix(p.path, "/"+reader) }) {
			e.printf("%s reads bytes from outside and has no fuzz target", reader)
			short = true
		}
	}
	e.printf("%d targets, %v each, %d at once", len(targets), each, jobs)
	var workers sync.WaitGroup
	var mu sync.Mutex
	next := 0
	for range jobs {
		workers.Go(func() {
			for {
				mu.Lock()
				if next == len(targets) || ctx.Err() != nil {
					mu.Unlock()
					return
				}
				t := targets[next]
				next++
				mu.Unlock()
				r := t.run(ctx, each)
				mu.Lock()
				e.printf("%-64s %10s executions %s", t, r.executions, r.failed)
				if r.crash != "" {
					e.printf("    the input: %s in that package", r.crash)
				}
				short = short || r.failed != ""
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if short {
		return errShort
	}
	return nil
}

// build builds the tests of a package.
func (p *fuzzPackage) build(ctx context.Context) error {
	if _, err := goCommand(ctx, "test", "-c", "-fuzz=.", "-o", p.binary, p.path); err != nil {
		return fmt.Errorf("build the tests of %s: %w", p.path, err)
	}
	return nil
}

// fuzzPackages lists the packages with targets. `go test -list` prints a package's targets and then the package.
func fuzzPackages(ctx context.Context, scratch string) ([]*fuzzPackage, error) {
	out, err := goCommand(ctx, "test", "-list", "^Fuzz", "./...")
	if err != nil {
		return nil, fmt.Errorf("list fuzz targets: %w", err)
	}
	cache, err := goCommand(ctx, "env", "GOCACHE")
	if err != nil {
		return nil, fmt.Errorf("list fuzz targets: %w", err)
	}
	var packages []*fuzzPackage
	var names []string
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 1 && strings.HasPrefix(fields[0], "Fuzz"):
			names = append(names, fields[0])
		case len(fields) >= 2 && fields[0] == "ok" && len(names) > 0:
			p := &fuzzPackage{path: fields[1], targets: names, binary: filepath.Join(scratch, fmt.Sprint("fuzz", len(packages)))}
			p.cache = filepath.Join(strings.TrimSpace(cache), "fuzz", filepath.FromSlash(p.path))
			folder, err := goCommand(ctx, "list", "-f", "{{.Dir}}", p.path)
			if err != nil {
				return nil, fmt.Errorf("find %s: %w", p.path, err)
			}
			p.folder = strings.TrimSpace(folder)
			packages, names = append(packages, p), nil
		}
	}
	if len(names) > 0 || len(packages) == 0 {
		return nil, errors.New("list fuzz targets: the output of go test is not understood")
	}
	return packages, nil
}

func goCommand(ctx context.Context, arguments ...string) (string, error) {
	command := exec.CommandContext(ctx, "go", arguments...)
	command.Stderr = os.Stderr
	out, err := command.Output()
	return string(out), err
}

// run tries one target. Some failures are the tool's, and it is then tried again: the end of the time itself, without an input; and an
// input that does well alone, but was not done after ten seconds of the clock, whatever the worker had of the processor, or was made smaller.
func (t fuzzTarget) run(ctx context.Context, each time.Duration) fuzzed {
	for attempt := 1; ; attempt++ {
		r, out := t.try(ctx, each)
		switch again := attempt < fuzzAttempts; {
		case again && r.failed == nothingTried: // the time was over before the seeds were read
			each = seedTimes * each
		case again && r.failed != "" && r.crash == "" && strings.Contains(out, "context deadline exceeded") && !strings.Contains(out, "panic"):
		case again && maybeBusy(r, out) && t.doesWell(ctx, out):
			if r.crash == "" { // it was a seed
				continue
			}
			if err := os.Remove(filepath.Join(t.pkg.folder, r.crash)); err != nil {
				r.failed += ": " + err.Error()
				return r
			}
		default:
			if r.failed != "" {
				r.failed += "\n" + indent(out)
			}
			return r
		}
	}
}

// maybeBusy reports whether a failure may be that of a busy machine, or of many tries to make an input smaller.
func maybeBusy(r fuzzed, out string) bool {
	return strings.Contains(out, "hung or terminated unexpectedly") &&
		(r.failed == crashes || strings.HasPrefix(r.failed, takesLong) && strings.Contains(out, "while minimizing"))
}

// doesWell tries the input that failed alone, and reports whether it passes within the limits.
func (t fuzzTarget) doesWell(ctx context.Context, out string) bool {
	failed := regexp.MustCompile(`(?:testdata/fuzz/|seed corpus entry: )(Fuzz\w+)/(\S+)`).FindStringSubmatch(out)
	if failed == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, fuzzGrace)
	defer cancel()
	command := exec.CommandContext(ctx, t.pkg.binary, "-test.v", "-test.run", "^"+failed[1]+"$/^"+regexp.QuoteMeta(failed[2])+"$")
	command.Dir = t.pkg.folder
	command.Env = append(os.Environ(), fuzzCollects)
	said, err := command.Output()
	if err != nil || !strings.Contains(string(said), "--- PASS: "+failed[1]+"/"+failed[2]) {
		return false
	}
	state := command.ProcessState
	usage, known := state.SysUsage().(*syscall.Rusage)
	return known && state.UserTime()+state.SystemTime() < t.limits.slowest && usage.Maxrss<<10 < t.limits.largest
}

func (t fuzzTarget) try(ctx context.Context, each time.Duration) (fuzzed, string) {
	ctx, cancel := context.WithTimeout(ctx, each+fuzzGrace)
	defer cancel()
	out := &fuzzOutput{}
	command := exec.CommandContext(ctx, t.pkg.binary, "-test.run", "^$", "-test.fuzz", "^"+t.name+"$", "-test.fuzztime", each.String(),
		"-test.parallel", "1", "-test.fuzzminimizetime", fuzzMinimize, "-test.fuzzcachedir", t.pkg.cache)
	command.Dir = t.pkg.folder
	command.Stdout, command.Stderr = out, out
	command.Env = append(os.Environ(), fuzzCollects)
	// The workers are the children of a child: they end with it.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.WaitDelay = time.Second
	if err := command.Start(); err != nil {
		return fuzzed{failed: err.Error()}, ""
	}
	watching, watched := context.WithCancel(ctx)
	excess := make(chan string, 1)
	go func() { excess <- out.watch(watching, command.Process.Pid, t.limits) }()
	err := command.Wait()
	watched()
	tooMuch := <-excess
	r := readFuzz(out.String())
	switch {
	case tooMuch != "":
		r.failed = tooMuch
	case err != nil && ctx.Err() != nil:
		r.failed = "HANGS"
	case err != nil:
		r.failed = crashes
	case r.executions == "":
		r.failed = nothingTried
	}
	return r, out.String()
}

// readFuzz reads the last count of executions and the file of a failing input.
func readFuzz(out string) (r fuzzed) {
	counts := regexp.MustCompile(`execs: (\d+) `).FindAllStringSubmatch(out, -1)
	if len(counts) > 0 {
		r.executions = counts[len(counts)-1][1]
	}
	if input := regexp.MustCompile(`(testdata/fuzz/\S+)`).FindString(out); input != "" {
		r.crash = input
	}
	return r
}

// indent is the end of the output, where the reason stands.
func indent(out string) string {
	const lines = 30
	all := strings.Split(strings.TrimSpace(out), "\n")
	return "    " + strings.Join(all[max(0, len(all)-lines):], "\n    ")
}
