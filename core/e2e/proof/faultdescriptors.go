package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// sparedDescriptors is how many more than it has open the gateway may have, and crowd is how many connect at once then and say nothing.
	sparedDescriptors = 3
	crowd             = 50
	// mostProcessor is how much of one processor it may take meanwhile: one that tries to accept all the time takes a whole one.
	mostProcessor = 0.9
)

// exhaustDescriptors leaves the gateway next to none of the descriptors that it has not got yet, and has those taken by clients that say nothing.
func exhaustDescriptors(_ context.Context, g *ground) (ending, error) {
	pid := g.site.Gateway.Pid()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return nil, err
	}
	began := time.Now()
	before, err := processorTimeOf(pid)
	if err != nil {
		return nil, err
	}
	var was unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &was); err != nil {
		return nil, fmt.Errorf("read limit of descriptors: %w", err)
	}
	low := unix.Rlimit{Cur: uint64(len(open) + sparedDescriptors), Max: was.Max}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &low, nil); err != nil {
		return nil, fmt.Errorf("lower limit of descriptors: %w", err)
	}
	var crowded []net.Conn
	leave := func() (err error) {
		for _, conn := range crowded {
			err = errors.Join(err, conn.Close())
		}
		return err
	}
	for range crowd {
		conn, err := net.Dial("tcp", g.site.Gateway.Address("in"))
		if err != nil {
			return nil, errors.Join(err, leave())
		}
		crowded = append(crowded, conn)
	}
	return func() (string, error) {
		after, err := processorTimeOf(pid)
		if err := errors.Join(err, unix.Prlimit(pid, unix.RLIMIT_NOFILE, &was, nil), leave()); err != nil {
			return "", fmt.Errorf("raise limit of descriptors: %w", err)
		}
		share := (after - before).Seconds() / time.Since(began).Seconds()
		if share > mostProcessor {
			err = errShort
		}
		return fmt.Sprintf("%d descriptors, %.2f of a processor used", low.Cur, share), err
	}, nil
}

// tick is the unit of a process's times in /proc, the same for all of Linux's architectures that matter here.
const tick = 10 * time.Millisecond

// processorTimeOf is what a process has used so far.
func processorTimeOf(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // from the state, the third, on
	const user, system = 14 - 3, 15 - 3
	if len(fields) <= system {
		return 0, fmt.Errorf("read times of process %d: %q", pid, text)
	}
	u, userErr := strconv.ParseInt(fields[user], 10, 64)
	s, systemErr := strconv.ParseInt(fields[system], 10, 64)
	return time.Duration(u+s) * tick, errors.Join(userErr, systemErr)
}
