package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/postern-mail/postern/core/host"
	"github.com/postern-mail/postern/core/message"
)

// dev is one `postern plugin dev`.
type dev struct {
	app    *app
	folder string
	mail   string
	with   string // file with the plugin block and rules
	build  string // shell command
	binary string
	once   bool
	attach bool
}

func newPluginDev(a *app) *cobra.Command {
	d := &dev{app: a}
	cmd := &cobra.Command{
		Use:   "dev FOLDER --mail FILE",
		Short: "Build a plugin, show it a mail in its sandbox, print what it finds, and do so again at every change",
		Long: `Build the plugin in the folder, start it in the sandbox that a gateway would start it in, show it a mail and print what it finds; and do so
again whenever a file of the folder or the mail changes. The file plugin.hcl of the folder has its plugin block, whose command is what the build
makes, and the rules that scan with it.

With --attach the process id is printed, and the mail is shown when Enter is pressed: until then a debugger can attach, as in "dlv attach PID". No
time runs out meanwhile, and plugins in Go are built for debuggers.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if d.folder, err = filepath.Abs(args[0]); err != nil {
				return err
			}
			if d.mail == "" {
				return usageError{errors.New("which mail? give --mail FILE")}
			}
			if d.with == "" {
				d.with = filepath.Join(d.folder, "plugin.hcl")
			}
			command, err := host.TrialCommand(d.with)
			if err != nil {
				return err
			}
			if d.binary = command; !filepath.IsAbs(command) {
				d.binary = filepath.Join(d.folder, command)
			}
			if err := d.chooseBuild(); err != nil {
				return err
			}
			return d.loop(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&d.mail, "mail", "", "the mail to show")
	flags.StringVar(&d.with, "with", "", "file with its plugin block and rules; by default plugin.hcl of the folder")
	flags.StringVar(&d.build, "build", "", "shell command that builds it; by default that of go.mod or package.json")
	flags.BoolVar(&d.once, "once", false, "end after the first time")
	flags.BoolVar(&d.attach, "attach", false, "wait for a debugger before the mail is shown")
	return cmd
}

// chooseBuild takes the usual command for what is in the folder.
func (d *dev) chooseBuild() error {
	has := func(name string) bool { _, err := os.Stat(filepath.Join(d.folder, name)); return err == nil }
	switch {
	case d.build != "":
	case has("go.mod"):
		d.build = "go build -o '" + strings.ReplaceAll(d.binary, "'", `'\''`) + "' ."
		if d.attach {
			d.build = strings.Replace(d.build, "build", "build -gcflags='all=-N -l'", 1)
		}
	case has("package.json"):
		d.build = "npm run --silent build"
	default:
		return fmt.Errorf("%s has neither go.mod nor package.json: give --build COMMAND", d.folder)
	}
	return nil
}

// lookEvery is how often the folder is looked at.
const lookEvery = 300 * time.Millisecond

func (d *dev) loop(ctx context.Context) error {
	for {
		// What changes during the build is built the next time.
		seen := d.state()
		err := d.round(ctx)
		switch {
		case d.once || ctx.Err() != nil && err == nil:
			return err
		case ctx.Err() != nil:
			return nil // ended by the user
		case err != nil:
			fmt.Fprintf(d.app.errOut, "postern: %v\n", err)
		}
		fmt.Fprintln(d.app.out, "waiting for changes; Ctrl-C ends")
		ticks := time.NewTicker(lookEvery)
		for d.state() == seen {
			select {
			case <-ctx.Done():
				ticks.Stop()
				return nil
			case <-ticks.C:
			}
		}
		ticks.Stop()
	}
}

// state changes when a file does that may matter. The executable is made here, and what packages bring along does not change.
func (d *dev) state() string {
	var out strings.Builder
	note := func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil // gone meanwhile: that is a change too
		}
		name := entry.Name()
		if entry.IsDir() && path != d.folder && (strings.HasPrefix(name, ".") || name == "node_modules") {
			return filepath.SkipDir
		}
		info, err := entry.Info()
		if err == nil && !entry.IsDir() && path != d.binary {
			fmt.Fprintln(&out, path, info.ModTime().UnixNano(), info.Size())
		}
		return nil
	}
	_ = filepath.WalkDir(d.folder, note) // note swallows what went away
	if info, err := os.Stat(d.mail); err == nil {
		fmt.Fprintln(&out, info.ModTime().UnixNano(), info.Size())
	}
	return out.String()
}

// round builds the plugin, and shows it the mail.
func (d *dev) round(ctx context.Context) (err error) {
	build := exec.CommandContext(ctx, "/bin/sh", "-c", d.build)
	build.Dir, build.Stdout, build.Stderr = d.folder, d.app.errOut, d.app.errOut
	if err := build.Run(); err != nil {
		return fmt.Errorf("%s: %w", d.build, err)
	}
	scratch, err := os.MkdirTemp("", "postern")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	if err := os.Mkdir(filepath.Join(scratch, "bodies"), 0o700); err != nil {
		return err
	}
	log, err := d.app.logger()
	if err != nil {
		return err
	}
	trial, c, err := host.NewTrial(ctx, host.TrialOptions{Executable: d.binary, File: d.with, Stage: stage, RunDir: scratch, Log: log})
	if err != nil {
		return err
	}
	if trial == nil {
		return errors.Join(c.Write(d.app.errOut, terminal(d.app.errOut)), fmt.Errorf("%s: %w", d.with, host.ErrPolicy))
	}
	if d.attach {
		trial.Unhurried()
	}
	facts, err := trial.Show(ctx, d.mail, func(pid int) error { return d.started(ctx, pid) })
	if err != nil {
		return err
	}
	d.print(trial.Entry.Name, facts)
	return nil
}

// started waits for a debugger, where one is wanted.
func (d *dev) started(ctx context.Context, pid int) error {
	if !d.attach {
		return nil
	}
	fmt.Fprintf(d.app.out, "process %d waits for a debugger (dlv attach %d); press Enter to show it the mail\n", pid, pid)
	line := make(chan error, 1)
	go func() { // it ends with the program: standard input cannot be asked to stop
		_, err := fmt.Fscanln(os.Stdin)
		line <- err
	}()
	select {
	case <-line: // an empty line is an error to Fscanln
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// print shows what the plugin said, and what it was asked about.
func (d *dev) print(name string, facts *message.Facts) {
	out := d.app.out
	fmt.Fprintf(out, "%s: %d parts\n", d.mail, len(facts.Tree.Parts))
	report, asked := facts.Reports[name]
	switch {
	case asked && report.Skipped:
		fmt.Fprintf(out, "  %s is not called: the mail has nothing of what it needs\n", name)
	case asked:
		fmt.Fprintf(out, "  %s answered in %s: %d findings, %d troubles\n", name, report.Took.Round(100*time.Microsecond), len(report.Findings), len(report.Troubles))
	}
	for i := range report.Findings {
		f := &report.Findings[i]
		fmt.Fprintf(out, "  query %d %s %s\n", f.Query, printable(f.Kind), printable(findingText(f, &facts.Tree)))
	}
	for _, t := range slices.Concat(facts.Tree.Troubles, report.Troubles) {
		fmt.Fprintf(out, "  trouble %s: %s %s\n", t.Exception, printable(t.Reason), printable(t.Detail))
	}
	if !asked { // an unpacker's work is the tree itself
		for i := range facts.Tree.Parts {
			p := &facts.Tree.Parts[i]
			fmt.Fprintf(out, "  %s %s %d bytes\n", p.Kind, printable(p.Display), p.Size)
		}
	}
}
