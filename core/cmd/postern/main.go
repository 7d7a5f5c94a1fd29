// Command postern is the mail gateway and everything an operator does with it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"github.com/postern-mail/postern/core/host"
	"github.com/postern-mail/postern/core/observe"
	"github.com/postern-mail/postern/core/pluginprocess"
	"github.com/postern-mail/postern/core/store"
)

// The exit codes, as the help texts say them.
// version is set when a release is built.
var version = "unknown"

const (
	exitFailure  = 1 // something could not be done
	exitUsage    = 2 // the command line is wrong
	exitPolicy   = 3 // the policy has errors
	exitNotFound = 4 // there is no such message or copy
)

// stage is this program, which begins as the sandbox of a plugin where it is told so.
const stage = "/proc/self/exe"

// gcPercent lets the heap grow more between collections than Go does by itself: what lives is small, what passes through is not.
const gcPercent = 400

func main() {
	pluginprocess.RunStage()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	a := &app{out: os.Stdout, errOut: os.Stderr}
	err := newRoot(a).ExecuteContext(ctx)
	if err != nil && !a.running {
		err = usageError{err} // no command had begun
	}
	if err != nil && !errors.Is(err, errSilent) {
		fmt.Fprintf(os.Stderr, "postern: %v\n", err)
	}
	stop()
	os.Exit(exitCode(err))
}

// errSilent ends a command whose output has told already what is wrong.
var errSilent = errors.New("told already")

// usageError is a wrong command line.
type usageError struct{ error }

func exitCode(err error) int {
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage), errors.Is(err, store.ErrCursor):
		return exitUsage
	case errors.Is(err, host.ErrPolicy):
		return exitPolicy
	case errors.Is(err, store.ErrNotFound):
		return exitNotFound
	}
	return exitFailure
}

// app is what all commands share.
type app struct {
	out, errOut io.Writer
	config      string
	stateDir    string
	pluginDir   string
	logLevel    string
	logJSON     bool
	running     bool // a command has begun
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "postern",
		Short: "A mail gateway whose plugins look at every message and whose rules decide",
		Long: `Postern takes mail in by SMTP, lets plugins look at it, judges it by rules written in HCL, and relays, holds,
quarantines, changes or refuses it.

Exit codes: 0 done, 1 failed, 2 wrong command line, 3 the policy has errors, 4 no such message or copy.`,
		Version:      version,
		SilenceUsage: true, SilenceErrors: true,
	}
	root.SetOut(a.out)
	root.SetErr(a.errOut)
	flags := root.PersistentFlags()
	flags.StringVarP(&a.config, "config", "c", fromEnv("POSTERN_CONFIG", "/etc/postern"), "configuration folder (POSTERN_CONFIG)")
	flags.StringVar(&a.stateDir, "state", os.Getenv("POSTERN_STATE"), "folder for spool and journal; by default the store's (POSTERN_STATE)")
	flags.StringVar(&a.pluginDir, "plugins", fromEnv("POSTERN_PLUGINS", besideExecutable()), "folder of plugins (POSTERN_PLUGINS)")
	flags.StringVar(&a.logLevel, "log-level", fromEnv("POSTERN_LOG", "info"),
		"level, also by subsystem: info,intake=debug,plugin.atse=trace (POSTERN_LOG)")
	flags.BoolVar(&a.logJSON, "log-json", os.Getenv("POSTERN_LOG_FORMAT") == "json", "write diagnostics as JSON (POSTERN_LOG_FORMAT=json)")
	root.AddCommand(
		newServe(a), newValidate(a), newScan(a), newLog(a), newTrack(a), newExplain(a), newQueue(a), newPolicy(a), newPlugin(a),
		newCache(a), newAnalyzer(a), newObjects(a), newHunt(a), newDoctor(a), newReload(a), newRollback(a),
	)
	for _, area := range areas() {
		root.AddCommand(newArea(a, area))
	}
	a.watch(root)
	return root
}

// watch notes when a command begins: until then an error is about the command line.
func (a *app) watch(cmd *cobra.Command) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			a.running = true
			return run(cmd, args)
		}
	}
	for _, below := range cmd.Commands() {
		a.watch(below)
	}
}

func fromEnv(name, otherwise string) string {
	if value, set := os.LookupEnv(name); set {
		return value
	}
	return otherwise
}

// besideExecutable is the folder of this program, where its plugins are installed too.
func besideExecutable() string {
	path, err := os.Executable()
	if err != nil {
		return "/usr/lib/postern"
	}
	return filepath.Dir(path)
}

func (a *app) logger() (hclog.Logger, error) {
	log, err := observe.New(observe.Settings{Levels: a.logLevel, JSON: a.logJSON, Output: a.errOut})
	if err != nil {
		return nil, usageError{err}
	}
	return log, nil
}

// terminal reports whether the writer is a terminal.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// configuration reads the policy and prints what is said about it. The policy is never nil where the error is.
func (a *app) configuration() (*host.Configuration, error) {
	c, err := host.ReadConfiguration(a.config)
	if err != nil {
		return nil, err
	}
	if err := c.Write(a.errOut, terminal(a.errOut)); err != nil {
		return nil, err
	}
	if c.Policy == nil {
		return nil, fmt.Errorf("%s: %w", a.config, host.ErrPolicy)
	}
	return c, nil
}

// withStore opens the store that the policy names, for the time of one command.
func (a *app) withStore(ctx context.Context, use func(store.Store) error) error {
	c, err := host.ReadConfiguration(a.config)
	if err != nil {
		return err
	}
	if c.Policy == nil {
		return errors.Join(fmt.Errorf("%s: %w", a.config, host.ErrPolicy), c.Write(a.errOut, terminal(a.errOut)))
	}
	log, err := a.logger()
	if err != nil {
		return err
	}
	s, err := host.OpenStore(ctx, c.Policy, "", time.Now, log)
	if err != nil {
		return err
	}
	return errors.Join(use(s), s.Close())
}
