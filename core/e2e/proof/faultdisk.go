package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
)

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
func fillDisk(_ context.Context, g *ground) (ending, error) {
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
	return func() (string, error) { return "", os.Remove(path) }, nil
}

// inject makes system calls of the gateway fail, as a disk that is going bad would.
func inject(what string) func(context.Context, *ground) (ending, error) {
	return func(_ context.Context, g *ground) (ending, error) {
		var said bytes.Buffer
		calls, _, _ := bytes.Cut([]byte(what), []byte(":"))
		command := exec.Command("strace", "-f", "-qq", "-e", "trace="+string(calls), "-e", "inject="+what, "-o", "/dev/null", "-p", fmt.Sprint(g.site.Gateway.Pid()))
		command.Stderr = &said
		command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGINT}
		if err := command.Start(); err != nil {
			return nil, err
		}
		return func() (string, error) {
			if err := command.Process.Signal(syscall.SIGINT); err != nil {
				return "", fmt.Errorf("end strace: %w: %s", err, said.String())
			}
			var exit *exec.ExitError
			if err := command.Wait(); err != nil && !errors.As(err, &exit) {
				return "", err
			}
			return "", nil
		}, nil
	}
}

// lockDatabase writes as another process, in a transaction that lasts longer than the gateway waits for one.
func lockDatabase(ctx context.Context, g *ground) (ending, error) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(g.site.Setup.State, "postern.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		return nil, err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return nil, errors.Join(err, conn.Close(), db.Close())
	}
	return func() (string, error) {
		_, err := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		return "", errors.Join(err, conn.Close(), db.Close())
	}, nil
}
