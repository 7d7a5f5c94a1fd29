package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/hcl/v2"
	"golang.org/x/sys/unix"

	"github.com/postern-mail/postern/core/host"
	"github.com/postern-mail/postern/core/policy"
)

func (e *examination) configuration(c *host.Configuration) {
	const area = "configuration"
	errorsSeen, warnings := 0, 0
	for _, d := range c.Diags {
		what := d.Summary + ": " + d.Detail
		if d.Subject != nil {
			what = fmt.Sprintf("%s:%d: %s", d.Subject.Filename, d.Subject.Start.Line, what)
		}
		if d.Severity == hcl.DiagError {
			errorsSeen++
			e.fail(area, what, "correct it; `postern validate` shows it with its source")
			continue
		}
		warnings++
		e.warn(area, what, "")
	}
	if errorsSeen == 0 {
		e.ok(area, fmt.Sprintf("%s: %d rules, %d plugins, %d warnings", e.options.Folder, len(c.Policy.Rules), len(c.Policy.Plugins), warnings))
	}
}

// host looks at the name that other machines see.
func (e *examination) host(ctx context.Context) {
	name := e.policy.Gateway.Hostname
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(limited, name)
	if err != nil {
		e.warn("host", fmt.Sprintf("gateway.hostname %s has no address: %v", name, err),
			"give it one in DNS: many servers refuse mail from a name that they cannot look up")
	} else {
		e.ok("host", name+" is "+strings.Join(addresses, ", "))
	}
	if os.Geteuid() == 0 {
		e.warn("host", "this runs as root, whose plugins may start any number of processes", "run the gateway as a user of its own; the systemd unit does, with the right to open port 25")
	}
}

// listeners opens each listener's address for a moment, and asks who has it where it is taken. It reports whether a gateway runs here.
func (e *examination) listeners() (running bool) {
	for i := range e.policy.Listeners {
		l := &e.policy.Listeners[i]
		area := "listener " + l.Name
		switch socket, err := net.Listen("tcp", l.Address); {
		case err == nil:
			_ = socket.Close()
			e.ok(area, l.Address+" is free: no gateway runs here now")
		case errors.Is(err, syscall.EADDRINUSE):
			if greeting, err := greet(dialable(l.Address)); err != nil || !strings.Contains(greeting, e.policy.Gateway.Hostname) {
				e.fail(area, fmt.Sprintf("%s is taken by another program, which says %q", l.Address, greeting), "end that program, or give the listener another address")
			} else {
				running = true
				e.ok(area, l.Address+" answers: the gateway runs")
			}
		case errors.Is(err, syscall.EACCES):
			e.fail(area, fmt.Sprintf("%s must not be opened by this user", l.Address),
				"give the gateway CAP_NET_BIND_SERVICE, as the systemd unit does, or another port")
		default:
			e.fail(area, err.Error(), "give the listener an address of this machine")
		}
		if l.TLS != nil {
			e.certificate(area, l.TLS)
		}
	}
	return running
}

// dialable is an address to reach a listener at.
func dialable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err == nil && (host == "" || host == "0.0.0.0" || host == "::") {
		return net.JoinHostPort("localhost", port)
	}
	return address
}

func greet(address string) (string, error) {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	line := make([]byte, 512)
	n, err := conn.Read(line)
	_, _ = conn.Write([]byte("QUIT\r\n"))
	return strings.TrimSpace(string(line[:n])), err
}

// certificateSoon is how early an end of a certificate is told.
const certificateSoon = 14 * 24 * time.Hour

func (e *examination) certificate(area string, files *policy.TLSFiles) {
	pair, err := tls.LoadX509KeyPair(files.CertFile, files.KeyFile)
	if err != nil {
		e.fail(area, "certificate: "+err.Error(), "correct tls.cert and tls.key: the gateway does not start without them")
		return
	}
	leaf := pair.Leaf
	switch left := leaf.NotAfter.Sub(e.options.Now()); {
	case left <= 0:
		e.fail(area, "the certificate ended on "+leaf.NotAfter.Format(time.DateOnly), "renew it")
	case left < certificateSoon:
		e.warn(area, "the certificate ends on "+leaf.NotAfter.Format(time.DateOnly), "renew it")
	default:
		e.ok(area, "the certificate is good until "+leaf.NotAfter.Format(time.DateOnly))
	}
	if err := leaf.VerifyHostname(e.policy.Gateway.Hostname); err != nil {
		e.warn(area, err.Error(), "clients that check names will not trust it")
	}
}

const (
	// leastSpace and leastShare of the file system should be free for the state.
	leastSpace = 1 << 30
	leastShare = 5 // percent
)

// state looks at the folder that mail under way is in: whether it can be written durably, and how full it is.
func (e *examination) state(running bool) {
	const area = "state"
	dir := host.StateDir(e.options.StateDir, e.policy)
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, os.ErrNotExist) && !running:
		e.warn(area, dir+" is not there yet", "the gateway makes it at the start, where its user may")
		return
	case err != nil:
		e.fail(area, err.Error(), "let the gateway's user read it")
		return
	case info.Mode().Perm()&0o007 != 0:
		e.warn(area, fmt.Sprintf("%s has mode %v: others can read mail", dir, info.Mode().Perm()), "chmod o-rwx "+dir)
	}
	if err := writeDurably(dir); err != nil {
		e.fail(area, err.Error(), "see that the file system is writable for the gateway's user and has space")
		return
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		e.fail(area, fmt.Sprintf("look at the file system of %s: %v", dir, err), "")
		return
	}
	free, all := fs.Bavail*uint64(fs.Bsize), fs.Blocks*uint64(fs.Bsize)
	what := fmt.Sprintf("%s: %d MiB free of %d", dir, free>>20, all>>20)
	if free < leastSpace || free*100 < all*leastShare {
		e.warn(area, what, "make space: a full disk makes the gateway answer 452")
		return
	}
	e.ok(area, what)
}

// writeDurably writes a file, to the disk, and removes it.
func writeDurably(dir string) (err error) {
	f, err := os.CreateTemp(dir, "doctor-*")
	if err != nil {
		return fmt.Errorf("write to %s: %w", dir, err)
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(filepath.Clean(f.Name()))) }()
	if _, err := f.WriteString("written"); err != nil {
		return fmt.Errorf("write to %s: %w", dir, err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("write to %s: %w", dir, err)
	}
	return nil
}
