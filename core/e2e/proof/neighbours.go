package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postern-mail/postern/core/e2e/harness"
	"github.com/postern-mail/postern/core/robustness"
)

const (
	neighbourClients = 4
	neighbourPause   = 200 * time.Millisecond
	toxicLasts       = 5 * time.Second
	// neighboursSettle is how long what was under way may take: a sandbox that failed is left alone for up to two minutes, and then asked each
	// minute.
	neighboursSettle = 5 * time.Minute
)

// neighbour is a server that the gateway depends on.
type neighbour struct {
	name, store string
	// sent and received are numbers of bytes after which a connection is cut, so that it hits greeting, data and replies.
	sent, received []int
	// atOnce is how many gateways are run side by side: most of the time is spent waiting until all is settled.
	atOnce int
	// attach puts the line between the gateway and the neighbour.
	attach func(ctx context.Context, c *neighbourCase, through func(upstream string) (address string, err error)) error
}

func neighbourList() []neighbour {
	return []neighbour{
		{"hop", "sqlite", []int{10, 60, 400, 1000}, []int{10, 60, 140, 400}, 3, attachHop},
		{"postgres", "postgres", []int{20, 4_000, 60_000}, []int{20, 2_000, 20_000}, 3, attachDatabase},
		{"analyzer", "sqlite", []int{100, 1_200, 2_500}, []int{100, 1_000, 2_000}, 5, attachAnalyzer},
	}
}

// toxics are what is done to the neighbour's line.
func (n *neighbour) toxics() []toxic {
	list := []toxic{
		{down, "", nil},
		{"latency", "downstream", map[string]int{"latency": 500, "jitter": 250}},
		{"bandwidth", "upstream", map[string]int{"rate": 2}}, // KB/s
		{"bandwidth", "downstream", map[string]int{"rate": 1}},
		{"slow_close", "downstream", map[string]int{"delay": 2000}},
		{"slicer", "upstream", map[string]int{"average_size": 8, "size_variation": 4, "delay": 200}},
		{"slicer", "downstream", map[string]int{"average_size": 3, "size_variation": 2, "delay": 2000}},
	}
	for _, stream := range []string{"upstream", "downstream"} {
		list = append(list, toxic{"timeout", stream, map[string]int{"timeout": 0}}, toxic{"reset_peer", stream, map[string]int{"timeout": 0}})
	}
	for _, bytes := range n.sent {
		list = append(list, toxic{"limit_data", "upstream", map[string]int{"bytes": bytes}})
	}
	for _, bytes := range n.received {
		list = append(list, toxic{"limit_data", "downstream", map[string]int{"bytes": bytes}})
	}
	return list
}

// neighbourCase is one kind of trouble with one neighbour.
type neighbourCase struct {
	*neighbour
	toxic   toxic
	ground  *ground
	sandbox *harness.Simulator // nil but for the analyzer
	// starting is held while a gateway starts: it has to in time, which several at once would not.
	starting *sync.Mutex
}

// neighbours makes the line to each neighbour bad in many ways under load of every kind: nothing is lost, doubled without a reply that may have been
// lost, refused for good or let through, and mail is taken again soon after. NEIGHBOUR and TOXIC choose.
func neighbours(ctx context.Context, e *env) (err error) {
	proxies, err := startToxiproxy(ctx, e.scratch)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, proxies.stop()) }()
	only, kind := e.setting("NEIGHBOUR", ""), e.setting("TOXIC", "")
	var short error
	ran := 0
	for _, n := range neighbourList() {
		if only != "" && only != n.name {
			continue
		}
		var (
			running  sync.WaitGroup
			mu       sync.Mutex // of what is printed
			starting sync.Mutex
			places   = make(chan struct{}, n.atOnce)
		)
		for number, t := range n.toxics() {
			if !strings.HasPrefix(t.String(), kind) {
				continue
			}
			ran++
			places <- struct{}{}
			running.Go(func() {
				defer func() { <-places }()
				c := &neighbourCase{neighbour: &n, toxic: t, starting: &starting}
				lines, err := c.run(ctx, e, proxies, fmt.Sprintf("%s%d", n.name, number))
				mu.Lock()
				defer mu.Unlock()
				if err != nil && !errors.Is(err, errShort) {
					err = fmt.Errorf("%s, %s: %w", n.name, t, err)
				}
				short = errors.Join(short, err)
				e.printf("%s", strings.Join(lines, "\n"))
			})
		}
		running.Wait()
	}
	if ran == 0 {
		return fmt.Errorf("there is no neighbour %q with a toxic %q", only, kind)
	}
	return short
}

// run returns what is to be printed.
func (c *neighbourCase) run(ctx context.Context, e *env, proxies *toxiproxy, name string) (said []string, err error) {
	g, err := newGround(ctx, e, e.bin, c.store)
	if err != nil {
		return nil, err
	}
	c.ground = g
	defer func() { err = errors.Join(err, g.end()) }()
	var l *line
	err = c.attach(ctx, c, func(upstream string) (string, error) {
		l, err = proxies.before(name, upstream)
		return l.address, err
	})
	if c.sandbox != nil {
		defer func() { err = errors.Join(err, c.sandbox.Stop()) }()
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.remove()) }()
	c.starting.Lock()
	err = g.start(ctx)
	c.starting.Unlock()
	if err != nil {
		return nil, err
	}
	load := g.load("n", 1, robustness.Kinds())
	load.Pause, load.VerdictLine = neighbourPause, c.verdictLine()
	load.Start(ctx, neighbourClients)
	if err := sleep(ctx, beforeFault); err != nil {
		return nil, err
	}
	begin := time.Now()
	err = errors.Join(l.spoil(c.toxic), sleep(ctx, toxicLasts), l.heal(c.toxic))
	over := time.Now()
	g.ledger.Troubled(begin, over)
	if err != nil {
		return nil, err
	}
	served, err := c.untilServed(ctx, over)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(load.Stop(), g.settled(ctx, neighboursSettle)); err != nil {
		return nil, err
	}
	if c.store == "postgres" {
		if err := g.idle(ctx); err != nil {
			return nil, err
		}
	}
	settled := time.Since(over)
	log := g.site.Gateway.Log()
	r, err := g.check(ctx)
	if err != nil {
		return nil, err
	}
	said, err = c.judge(r, log)
	said = append([]string{fmt.Sprintf("%s, %s: answered %s while it lasted; served again %s after its end, all settled after %s; %s", c.name, c.toxic,
		counted(g.ledger.Answers(begin, over)), served.Round(10*time.Millisecond), settled.Round(time.Second), r)}, said...)
	if served > backWithin {
		err = errors.Join(err, errShort)
	}
	return said, err
}

// counted writes answers by code.
func counted(codes map[int]int) string {
	var words []string
	for _, code := range slices.Sorted(maps.Keys(codes)) {
		words = append(words, fmt.Sprintf("%d x %d", codes[code], code))
	}
	if len(words) == 0 {
		return "nothing"
	}
	return strings.Join(words, ", ")
}

// judge says what is wrong.
func (c *neighbourCase) judge(r *robustness.Report, log string) (wrong []string, err error) {
	for i, violation := range r.Violations() {
		if i == 10 {
			wrong = append(wrong, "    and more")
			break
		}
		wrong = append(wrong, "    "+violation)
	}
	if r.Taken == 0 {
		wrong = append(wrong, "    nothing was taken")
	}
	if n := c.ground.ledger.BrokenAttempts(); n > 0 {
		wrong = append(wrong, fmt.Sprintf("    %d sessions of clients ended without a reply", n))
	}
	if c.sandbox != nil {
		uploads, doubled, err := c.sandbox.Uploads()
		if err != nil {
			return wrong, err
		}
		again := 0
		for _, n := range uploads {
			again += n - 1
		}
		if len(uploads) == 0 || again+doubled > 0 {
			wrong = append(wrong, fmt.Sprintf("    %d samples uploaded, %d a second time, %d of them while it was analysed", len(uploads), again, doubled))
		}
		if strings.Contains(log, harness.SimulatorKey) {
			wrong = append(wrong, "    the sandbox's key is in the log")
		}
	}
	if len(wrong) > 0 {
		return wrong, errShort
	}
	return nil, nil
}

// untilServed sends letters until one is taken, and has arrived where the neighbour is the next hop, and says how long that took.
func (c *neighbourCase) untilServed(ctx context.Context, since time.Time) (time.Duration, error) {
	g := c.ground
	for n := 0; ; n++ {
		letter := keptLetter(fmt.Sprintf("again%d", n))
		if c.name == "hop" {
			letter = robustness.NewLetter(fmt.Sprintf("again%d", n), robustness.Kinds()[0])
		}
		reply, err := g.once(letter)
		if err != nil {
			return 0, err
		}
		if reply.Accepted() && c.name == "hop" {
			ctx, cancel := context.WithTimeout(ctx, 2*backWithin)
			defer cancel()
			err = harness.Eventually(ctx, "mail arrives at the next hop again", func() (bool, error) {
				return slices.ContainsFunc(g.hop.Arrivals(), func(a robustness.Arrival) bool { return slices.Equal(a.To, letter.To) }), nil
			})
		}
		if err != nil || reply.Accepted() {
			return time.Since(since), err
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return 0, err
		}
	}
}

func (c *neighbourCase) verdictLine() string {
	if c.sandbox == nil {
		return ""
	}
	return "%s %s name=Made delay=500ms\n"
}

func attachHop(_ context.Context, c *neighbourCase, through func(string) (string, error)) error {
	address, err := through(c.ground.hop.Addr())
	if err != nil {
		return err
	}
	c.ground.site.Hop(address)
	return nil
}

func attachDatabase(_ context.Context, c *neighbourCase, through func(string) (string, error)) error {
	g := c.ground
	address, err := through(g.server.Address())
	if err != nil {
		return err
	}
	database, err := g.server.Through(g.place, address)
	if err != nil {
		return err
	}
	g.site.Setup.Env = append(g.site.Setup.Env, "PROOF_STORE="+database)
	return nil
}

// attachAnalyzer puts the sandbox simulator in the place of the plugin `verdicts`.
func attachAnalyzer(ctx context.Context, c *neighbourCase, through func(string) (string, error)) error {
	g := c.ground
	config, err := configs.ReadFile("config/appliance.hcl")
	if err != nil {
		return err
	}
	if err := g.site.WriteConfig("appliance.hcl", config); err != nil {
		return err
	}
	if c.sandbox, err = harness.StartSimulatorOn(ctx, g.site.Setup.Bin, g.verdicts); err != nil {
		return err
	}
	address, err := through(net.JoinHostPort("127.0.0.1", c.sandbox.Port))
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(address)
	g.site.Setup.Levels = "debug" // its key must not be in there either
	g.site.Setup.Env = append(append(g.site.Setup.Env, c.sandbox.Environment()...), "SANDBOX_PORT="+port, "PROOF_ANALYZER=ddan")
	return err
}
