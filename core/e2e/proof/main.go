// Command proof shows that a claim of the project holds: it runs the built gateway, prints figures, and fails when they fall short.
// `make proofs` lists the claims, `make proof NAME=...` runs one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"text/tabwriter"

	"github.com/postern-mail/postern/core/pluginprocess"
)

// proof is one claim.
type proof struct {
	name  string
	claim string
	// corpora says that it needs mail that is not in the repository.
	corpora bool
	// quick ones are part of the tests.
	quick bool
	run   func(ctx context.Context, e *env) error
}

func proofs() []proof {
	return []proof{
		{"relay-corpora", "real mail is relayed byte for byte, quarantined or refused for a stated reason; none lost or doubled; below 0.5 % of ham malformed", true, false, relayCorpora},
		{"mime-hiding", "no hidden EICAR zip that a listed reader opens is relayed as clean; hidden names are matched", true, false, mimeHiding},
		{"containers", "the program inside is found, as a file by its hash, in at least 50 of 60 kinds of containers", true, false, containers},
		{"bombs", "no bomb passes as clean, crashes, takes 10 s, makes the core 64 MiB larger or writes a file outside", true, false, bombs},
		{"encrypted", "sealed files are opened with a password of the mail and an exception without; TNEF gives the files of the baselines", true, false, encrypted},
		{"types", "the category told by content is right in 97 % of the labelled files, and in 95 % of the scripts", true, false, types},
		{"snap", "aggressive catches 90 % of phishing with 1 % of ham, conservative 60 % with 0.1 %, on mail the weights were not fitted on", true, false, snap},
		{"false-alarms", "plugin atse makes no possible detection in honest mail", true, false, falseAlarms},
		{"fuzz", "no fuzz target of the tree crashes or hangs in 10 s (FUZZTIME for another time), and every package that reads from outside has one", false, false, fuzz},
		{"split", "three recipients, three fates, two copies at most on the wire; one held, the others served at once", false, true, split},
		{"commit-before-250", "what is kept is synced to disk before the client is told 250", false, true, commitBefore250},
		{"throughput", "at 8 connections at least 0.7 of the throughput of a bare go-smtp relay", false, false, throughput},
		{"memory", "memory stays bounded at 100 connections with mails of 25 MiB", false, false, memory},
		{"analyzer-table", "every trigger, security level, verdict and mode has the fate, event, notification and next rule that the guide gives it", false, true, analyzerTable},
		{"held-10k", "10,000 held messages: below 5 KiB of memory each, other mail not slowed by more than 10 %, all decided within 60 s of their verdicts; on SQLite and on PostgreSQL with two gateways", false, false, held10k},
		{"coalesce", "1,000 messages with one attachment through two gateways at once: one submission", false, false, coalesce},
		{"kill-held", "50 kills while messages are held, submitted and asked for: none lost, none doubled, no second live submission", false, false, killHeld},
		{"held-clock", "an hour of held mail: the first query at 60 s, then each minute, the end at 1,260 s or at max_wait, as Expiration showed", false, false, goTest("./core/gate", "TestHeldClock")},
		{"objects-table", "every type, action, place and depth of a listed object has the rule, fate and event that the guide gives it, whatever protocol listed it", false, true, objectsTable},
		{"objects-million", "a list of 1,000,000 objects: there within 2 minutes, 128 bytes of memory each, 10 microseconds a lookup, and the p99 of mail not doubled while it is fetched and swapped", false, false, objectsMillion},
		{"feed-trouble", "a source that fails, breaks off, is empty or ten times as long, has an expired certificate or leads to a metadata service, for an hour: the last good list serves", false, true, feedTrouble},
		{"sync-failover", "two gateways with one PostgreSQL: one synchronises, both match; when it is killed the other takes over within one interval", false, true, syncFailover},
		{"hostile-plugin", "24 ways to misbehave: each meets plugin_unavailable or is refused in time, no verdict passes to another message, the host grows by 64 MiB at most", false, true, hostilePlugin},
		{"hot-swap", "1,000 hot swaps under load (50 in the tests): no message failed, deferred, doubled or judged by two generations; p99 grows by less than 50 ms; every old process is gone", false, true, hotSwap},
		{"bad-swap", "a swap that is wrong in any of eight ways is refused with the reason, and the old version serves on, no message touched", false, true, badSwap},
		{"orphans", "the gateway is killed 20 times: after 5 s none of its processes is left", false, true, orphans},
		{"conform", "every plugin of the tree and both example scanners, Go and Node, pass all checks of the conformance suite that apply", false, true, conformance},
		{"newcomer", "from `postern plugin new` to a finding in `postern scan` by the commands of its README, in Go and in Node, within 2 minutes each", false, true, newcomer},
		{"sandbox", "as root and as an unprivileged user: no forbidden file, environment, network, ptrace or signal", false, false, goTest("./core/pluginprocess", "(TestSandbox|TestGrantedPort|TestUnprivileged|TestStartTime)")},
		{"call-cost", "a call through the pool takes at most 1.5 times as long as a bare gRPC call on a unix socket", false, false, callCost},
		{"kills", "1,000 kills at random times under load of every kind (KILLS for another number, SEED, STORES), on SQLite and on PostgreSQL: none lost, no duplicate that no kill explains, ready again within 2 s", false, false, kills},
		{"failpoints", "ended at each of the named points, 20 times each (ROUNDS, POINT, SEED), under load of every kind: no violation", false, false, points},
		{"client-cuts", "a session of two letters, by DATA and BDAT, cut at every byte (STEP for fewer): no partial message, none desynchronised, none lost", false, false, cuts},
		{"end-of-data", "what any server takes for the end of data: refused, or relayed as one mail that holds none of it", false, true, endOfData},
		{"mixed", "mail of every kind without a fault: none lost, doubled, altered or let through", false, false, mixedLoad},
		{"controls", "builds with a planted bug are caught, each by the proof that is to catch it", false, true, controls},
		{"drain", "SIGTERM under load, again and again (ROUNDS): no message broken off, none lost or doubled", false, false, drained},
		{"faults", "disk full, I/O errors, read-only, no descriptors, the database locked, gone, hanging or out of connections (FAULT for one), under load: only 4xx, nothing lost or bounced, mail taken again within 30 s", false, false, faults},
		{"clock-jumps", "the clock jumps by 5 s, 1 h and 1 day, ahead and back, under load of every kind (STORES; CONTROL=1 shows a gateway that goes by the clock): held mail ends at its limit, no sooner and within 60 s, deliveries are in time, nothing is lost or doubled", false, false, clockJumps},
		{"hops", "a next hop that misbehaves in every way at every point: 4xx and 5xx are passed on, the rest is delivered later; nothing lost, doubled only where the end of data was not answered", false, false, hops},
		{"upgrade", "this build takes the place of an older one (FROM, a revision) under load, by SIGTERM and by a kill, with mail held, retried and kept: nothing lost or doubled, and the old one refuses the new store", false, false, upgrade},
		{"neighbours", "the line to the next hop, PostgreSQL or the sandbox is slow, cut, reset, silent or down (NEIGHBOUR, TOXIC for one), under load: nothing lost or bounced or let through, doubled only where a reply may have been lost, mail taken again within 30 s", false, false, neighbours},
		{"soak", "MINUTES (20) at half load: memory, goroutines and descriptors stay level; nothing lost or doubled", false, false, soak},
		{"plugin-killed", "a plugin killed while it looks at a message leads to the exception, and the next message is served", false, true, pluginKilled},
	}
}

// env is what a proof works with.
type env struct {
	bin, corpora string
	scratch      string // an empty folder
	short        bool   // it is one of many tests
	out          io.Writer
	// given is the value of a setting of a proof, "" where it is not given; programs have it from their environment.
	given func(name string) string
}

// setting is what a setting was given as, or fallback.
func (e *env) setting(name, fallback string) string {
	if text := e.given(name); text != "" {
		return text
	}
	return fallback
}

// number is a setting that is a number.
func (e *env) number(name string, fallback int64) (int64, error) {
	text := e.given(name)
	if text == "" {
		return fallback, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read the setting %s: %w", name, err)
	}
	return n, nil
}

func (e *env) printf(format string, args ...any) { fmt.Fprintf(e.out, format+"\n", args...) }

// goTest is a proof that a test of the tree gives.
func goTest(pkg, name string) func(context.Context, *env) error {
	return func(ctx context.Context, e *env) error {
		command := exec.CommandContext(ctx, "go", "test", "-count=1", "-v", "-run", "^"+name+"$", pkg)
		command.Stdout, command.Stderr = e.out, os.Stderr
		return command.Run()
	}
}

// errShort says that the figures fall short of the claim.
var errShort = errors.New("the figures fall short of the claim")

func main() {
	pluginprocess.RunStage()
	e := &env{out: os.Stdout, given: os.Getenv}
	flag.StringVar(&e.bin, "bin", "bin", "folder of the built programs")
	flag.StringVar(&e.corpora, "corpora", "", "folder of mail corpora")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	switch {
	case flag.NArg() == 0:
		list()
	case flag.Arg(0) == bareServer:
		exit(runBareServer(flag.Arg(1)))
	case flag.Arg(0) == bareRelay:
		exit(runBareRelay(ctx, flag.Arg(1)))
	default:
		exit(runNamed(ctx, e, flag.Arg(0)))
	}
}

func exit(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "proof: %v\n", err)
		os.Exit(1)
	}
}

func list() {
	table := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	for _, p := range proofs() {
		needs := ""
		if p.corpora {
			needs = "CORPORA="
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", p.name, needs, p.claim)
	}
	table.Flush()
}

func runNamed(ctx context.Context, e *env, name string) error {
	for _, p := range proofs() {
		if p.name != name {
			continue
		}
		if p.corpora && e.corpora == "" {
			return fmt.Errorf("%s needs mail: give its folder, as in make proof NAME=%s CORPORA=folder", name, name)
		}
		return run(ctx, e, p)
	}
	return fmt.Errorf("there is no proof %q: `make proofs` lists them", name)
}

func run(ctx context.Context, e *env, p proof) (err error) {
	if e.scratch, err = os.MkdirTemp("", "proof"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(e.scratch)) }()
	e.printf("%s: %s", p.name, p.claim)
	return p.run(ctx, e)
}
