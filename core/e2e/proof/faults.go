package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/postern-mail/postern/core/e2e/harness"
	"github.com/postern-mail/postern/core/robustness"
)

const (
	faultClients = 6
	beforeFault  = time.Second
	// backWithin is how soon mail is taken again when a fault is over.
	backWithin = 30 * time.Second
	// settleTime is how long what was under way may take.
	settleTime = 2 * time.Minute
)

// fault is trouble that begins, and is over some time later.
type fault struct {
	name, store string
	lasts       time.Duration
	// begin makes the trouble and returns what ends it.
	begin func(ctx context.Context, g *ground) (end func() error, err error)
}

func faultList() []fault {
	return []fault{
		{"disk full", "sqlite", 6 * time.Second, fillDisk},
		{"I/O errors", "sqlite", 6 * time.Second, inject("pwrite64,fsync,fdatasync:error=EIO")},
		{"read-only", "sqlite", 6 * time.Second, inject("pwrite64,fsync,fdatasync,mkdirat,renameat,linkat,unlinkat:error=EROFS")},
		{"database gone", "postgres", 10 * time.Second, databaseAway},
		{"database hangs", "postgres", 10 * time.Second, databaseHangs},
	}
}

// faults makes trouble under load of every kind: what cannot be kept is answered 4xx, nothing is refused for good or lost, and mail is taken
// again soon after.
func faults(ctx context.Context, e *env) error {
	only := setting("FAULT", "")
	var short error
	for _, f := range faultList() {
		if only != "" && only != f.name {
			continue
		}
		err := inOwnMounts(func() error { return f.run(ctx, e) })
		if err != nil && !errors.Is(err, errShort) {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		short = errors.Join(short, err)
	}
	return short
}

func (f *fault) run(ctx context.Context, e *env) (err error) {
	g, err := newGround(ctx, e, e.bin, f.store)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.end()) }()
	if f.store == "sqlite" {
		unmount, err := mountState(g.site.Setup.State)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, unmount()) }()
	}
	if err := g.start(ctx); err != nil {
		return err
	}
	load := g.load("f", 1, robustness.Kinds())
	load.Pause = 20 * time.Millisecond
	load.Start(ctx, faultClients)
	if err := sleep(ctx, beforeFault); err != nil {
		return err
	}
	end, err := f.begin(ctx, g)
	if err != nil {
		return err
	}
	// A client of its own asks what mail that is to be kept is told.
	told, err := g.ask(ctx, f.lasts)
	if err := errors.Join(err, end()); err != nil {
		return err
	}
	over := time.Now()
	back, err := g.untilTaken(ctx)
	if err != nil {
		return err
	}
	served := back.Sub(over)
	if err := errors.Join(load.Stop(), g.settled(ctx, settleTime)); err != nil {
		return err
	}
	settled := time.Since(over)
	r, err := g.check(ctx)
	if err != nil {
		return err
	}
	e.printf("%s (%s): mail to be kept was answered %v while it lasted; taken again %s after its end, all settled after %s; %d sudden ends",
		f.name, f.store, told, served.Round(10*time.Millisecond), settled.Round(time.Second), g.ledger.BrokenAttempts())
	err = e.report(f.name, r)
	if served > backWithin || len(told) == 0 || g.ledger.BrokenAttempts() > 0 {
		err = errors.Join(err, errShort)
	}
	for code := range told {
		if code/100 == 5 {
			err = errors.Join(err, errShort)
		}
	}
	return err
}

// keptLetter is one that has to be committed.
func keptLetter(id string) *robustness.Letter {
	return robustness.NewLetter(id, robustness.Kind{Name: "asked", Extension: "kept", To: []robustness.To{{Domain: "example.org", Fate: robustness.Kept}}})
}

// ask sends letters that have to be kept for the time, and counts the answers by code.
func (g *ground) ask(ctx context.Context, lasts time.Duration) (map[int]int, error) {
	told := map[int]int{}
	end := time.Now().Add(lasts)
	for n := 0; time.Now().Before(end); n++ {
		reply, err := g.once(keptLetter(fmt.Sprintf("asked%d", n)))
		if err != nil {
			return told, err
		}
		told[reply.Code]++
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return told, err
		}
	}
	return told, nil
}

// once sends a letter over a connection of its own.
func (g *ground) once(letter *robustness.Letter) (reply harness.Reply, err error) {
	client, err := g.site.Dial()
	if err != nil {
		return reply, err
	}
	if err := client.Within(2 * time.Minute); err != nil {
		return reply, err
	}
	g.ledger.Sending(letter)
	if reply, err = client.Send(letter.From, letter.To, letter.Data); err != nil {
		g.ledger.Broken(letter)
		return reply, err
	}
	g.ledger.Answered(letter, reply)
	return reply, client.Close()
}

// untilTaken sends a letter until it is taken and says when that was.
func (g *ground) untilTaken(ctx context.Context) (time.Time, error) {
	for n := 0; ; n++ {
		reply, err := g.once(keptLetter(fmt.Sprintf("again%d", n)))
		if err != nil || reply.Accepted() {
			return time.Now(), err
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return time.Time{}, err
		}
	}
}

// inOwnMounts runs what mounts something where nobody else sees it: on a thread with mounts of its own, which what it starts shares.
func inOwnMounts(run func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine, and its mounts with it
		if err := syscall.Unshare(syscall.CLONE_FS | syscall.CLONE_NEWNS); err != nil {
			done <- fmt.Errorf("make mounts of our own, which takes root: %w", err)
			return
		}
		if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
			done <- fmt.Errorf("make mounts of our own: %w", err)
			return
		}
		done <- run()
	}()
	return <-done
}

const stateSize = "48m"

// mountState puts a small disk of its own under the state folder. What is on it is copied to where it was when it is taken away.
func mountState(folder string) (unmount func() error, err error) {
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size="+stateSize); err != nil {
		return nil, fmt.Errorf("mount a small disk: %w", err)
	}
	return func() error { return syscall.Unmount(folder, syscall.MNT_DETACH) }, nil
}

// fillDisk writes until nothing fits any more.
func fillDisk(_ context.Context, g *ground) (func() error, error) {
	path := filepath.Join(g.site.Setup.State, "filler")
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
	if err := errors.Join(f.Close()); err != nil {
		return nil, err
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return nil, err
	}
	return func() error { return os.Remove(path) }, nil
}

// inject makes system calls of the gateway fail, as a disk that is going bad would.
func inject(what string) func(context.Context, *ground) (func() error, error) {
	return func(_ context.Context, g *ground) (func() error, error) {
		var said bytes.Buffer
		calls, _, _ := bytes.Cut([]byte(what), []byte(":"))
		command := exec.Command("strace", "-f", "-qq", "-e", "trace="+string(calls), "-e", "inject="+what, "-o", "/dev/null", "-p", fmt.Sprint(g.site.Gateway.Pid()))
		command.Stderr = &said
		command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGINT}
		if err := command.Start(); err != nil {
			return nil, err
		}
		return func() error {
			if err := command.Process.Signal(syscall.SIGINT); err != nil {
				return fmt.Errorf("end strace: %w: %s", err, said.String())
			}
			var exit *exec.ExitError
			if err := command.Wait(); err != nil && !errors.As(err, &exit) {
				return err
			}
			return nil
		}, nil
	}
}

// databaseAway ends PostgreSQL.
func databaseAway(_ context.Context, g *ground) (func() error, error) {
	back, returned := make(chan struct{}), make(chan error, 1)
	gone := make(chan struct{})
	go func() {
		returned <- g.scope.do(func() {
			g.server.Away(&g.scope, func() {
				close(gone)
				<-back
			})
		})
	}()
	<-gone
	return func() error { close(back); return <-returned }, nil
}

// databaseHangs stops every process of PostgreSQL where it is.
func databaseHangs(_ context.Context, g *ground) (func() error, error) {
	if err := g.server.Signal(syscall.SIGSTOP); err != nil {
		return nil, err
	}
	return func() error { return g.server.Signal(syscall.SIGCONT) }, nil
}
