// Package pgtest runs a PostgreSQL server for tests: its own cluster in a temporary folder, reached by a socket only, ended with the
// test. A machine without PostgreSQL fails the test, unless POSTERN_NO_POSTGRES=1 says that this is known.
package pgtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// Test is what a *testing.T has of what is needed here.
type Test interface {
	Helper()
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Skip(args ...any)
	Cleanup(func())
}

// Server is a running server.
type Server struct {
	socket    string
	address   string // of TCP; "": none
	bin       string
	as        *syscall.SysProcAttr
	command   *exec.Cmd
	read      <-chan struct{} // closed when all of its output is read
	databases atomic.Int64
}

const (
	owner       = "postern"
	defaultPort = "5432"
)

// Start makes a cluster and starts it.
func Start(t Test) *Server {
	t.Helper()
	return startAt(t, "")
}

// StartTCP makes a cluster that a free port of the loopback interface reaches too, without a password.
func StartTCP(t Test) *Server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return startAt(t, address)
}

// Address is where it listens for TCP, "" where it does not.
func (s *Server) Address() string { return s.address }

func startAt(t Test, address string) *Server {
	t.Helper()
	bin := binaries(t)
	dir, err := os.MkdirTemp("", "pg") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	as := unprivileged(t, dir)
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", owner, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = as, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v: %s", err, out)
	}
	s := &Server{socket: dir, address: address, bin: bin, as: as}
	s.start(t)
	t.Cleanup(func() { s.stop(t) })
	return s
}

// Restart ends the server, which breaks every connection, and starts it again.
func (s *Server) Restart(t Test) {
	t.Helper()
	s.Away(t, func() {})
}

// Away ends the server, which breaks every connection, and starts it again when meanwhile has returned.
func (s *Server) Away(t Test, meanwhile func()) {
	t.Helper()
	s.stop(t)
	meanwhile()
	s.start(t)
}

// Signal sends a signal to the server's processes, those of the connections first.
func (s *Server) Signal(signal syscall.Signal) error {
	children, err := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", s.command.Process.Pid))
	if err != nil {
		return err
	}
	for _, field := range strings.Fields(string(children)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			return err
		}
		if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return s.command.Process.Signal(signal)
}

func (s *Server) start(t Test) {
	t.Helper()
	host, port := "", defaultPort
	if s.address != "" {
		var err error
		if host, port, err = net.SplitHostPort(s.address); err != nil {
			t.Fatal(err)
		}
	}
	s.command = exec.Command(filepath.Join(s.bin, "postgres"), "-D", filepath.Join(s.socket, "data"), "-k", s.socket, "-p", port,
		"-c", "listen_addresses="+host, "-c", "log_min_messages=log")
	s.command.SysProcAttr, s.command.Dir = s.as, s.socket
	stderr, err := s.command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.command.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	if said := readUntilReady(lines); said != "" {
		t.Fatalf("postgres did not start: %v: %s", s.command.Wait(), said)
	}
	rest := make(chan struct{})
	go func() {
		defer close(rest)
		for lines.Scan() { // read away
		}
	}()
	s.read = rest
}

func (s *Server) stop(t Test) {
	t.Helper()
	if err := s.command.Process.Signal(syscall.SIGINT); err != nil { // fast shutdown
		t.Error(err)
	}
	<-s.read
	if err := s.command.Wait(); err != nil {
		t.Errorf("postgres ended: %v", err)
	}
}

// readUntilReady returns "" when the server is ready, or everything it said until it ended.
func readUntilReady(lines *bufio.Scanner) string {
	var said strings.Builder
	for lines.Scan() {
		if strings.Contains(lines.Text(), "ready to accept connections") {
			return ""
		}
		fmt.Fprintln(&said, lines.Text())
	}
	return said.String() + "(it ended)"
}

func binaries(t Test) string {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		t.Fatal(err)
	}
	if len(found) > 0 {
		return filepath.Dir(found[len(found)-1])
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path)
	}
	if os.Getenv("POSTERN_NO_POSTGRES") == "1" {
		t.Skip("POSTERN_NO_POSTGRES=1: not tested with PostgreSQL")
	}
	t.Fatal("PostgreSQL is not installed: install Debian's package postgresql, as `make test` does, or set POSTERN_NO_POSTGRES=1")
	return ""
}

// unprivileged is the user that the server runs as: PostgreSQL refuses root, so that is Debian's user postgres then.
func unprivileged(t Test, dir string) *syscall.SysProcAttr {
	t.Helper()
	as := &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
	if os.Getuid() != 0 {
		return as
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		t.Fatal(err)
	}
	uid, uidErr := strconv.Atoi(account.Uid)
	gid, gidErr := strconv.Atoi(account.Gid)
	if err := errors.Join(uidErr, gidErr, os.Chown(dir, uid, gid)); err != nil {
		t.Fatal(err)
	}
	as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return as
}

// Database makes a new database and returns its URL.
func (s *Server) Database(t Test) string {
	t.Helper()
	name := fmt.Sprintf("test%d", s.databases.Add(1))
	conn, err := pgx.Connect(context.Background(), s.url("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = conn.Exec(context.Background(), "CREATE DATABASE "+name)
	if err := errors.Join(err, conn.Close(context.Background())); err != nil {
		t.Fatal(err)
	}
	return s.url(name)
}

func (s *Server) url(database string) string {
	values := url.Values{"host": {s.socket}, "user": {owner}}
	if _, port, err := net.SplitHostPort(s.address); err == nil {
		values.Set("port", port) // a part of the socket's name
	}
	return "postgres:///" + database + "?" + values.Encode()
}

// Through is the URL of a database by an address of TCP, as that of a proxy before Address.
func (s *Server) Through(database, address string) (string, error) {
	u, err := url.Parse(database)
	if err != nil {
		return "", err
	}
	u.Host, u.RawQuery = address, url.Values{"user": {owner}, "sslmode": {"disable"}}.Encode()
	return u.String(), nil
}
