package intake

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/core/message"
)

// converse sends the bytes in pieces over a connection of its own, ends it, and returns what arrived and what was answered.
func converse(t *testing.T, server *Server, gate *recorder, script []byte, piece int) ([]arrival, string) {
	t.Helper()
	conn, err := net.Dial("tcp", server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		for rest := script; len(rest) > 0; {
			n := min(piece, len(rest))
			if _, err := conn.Write(rest[:n]); err != nil {
				return // the server has had enough
			}
			rest = rest[n:]
		}
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	answers, err := io.ReadAll(conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the session hangs after %q", answers)
	}
	<-written
	return gate.take(), string(answers)
}

// FuzzSession: whatever a client sends, the session ends; what arrives is well framed; and it is the same however the network cuts the
// bytes into pieces.
func FuzzSession(f *testing.F) {
	files, err := filepath.Glob("testdata/*.smtp")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range files {
		script, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		var sent bytes.Buffer
		for _, line := range strings.Split(string(script), "\n") {
			if text, isLine := strings.CutPrefix(line, "> "); isLine {
				sent.WriteString(text + "\r\n")
			}
		}
		f.Add(sent.Bytes())
	}
	f.Add([]byte("EHLO c\r\nMAIL FROM:<a@outside.example>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n..a\r\n.\r\nRSET\r\n"))
	f.Add([]byte("EHLO c\r\nMAIL FROM:<a@outside.example>\r\nRCPT TO:<bob@example.org>\r\nBDAT 3\r\na\r\nBDAT 0 LAST\r\nNOOP\r\n"))
	gate := &recorder{reply: message.Reply{Code: 250, Enhanced: [3]int{2, 0, 0}, Text: "OK"}}
	server := newServer(f, defaultListener(), gate, nil)
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 8<<10 || bytes.Contains(bytes.ToUpper(script), []byte("STARTTLS")) {
			return // what may follow STARTTLS depends on the pieces, as it has to
		}
		arrived, _ := converse(t, server, gate, script, len(script)+1)
		for _, a := range arrived {
			plain := strings.ReplaceAll(a.data, "\r\n", "")
			if strings.ContainsAny(plain, "\r\n\x00") {
				t.Errorf("data with bare line ends or NUL was let through: %q", a.data)
			}
			for _, address := range append([]string{a.envelope.From}, a.envelope.To...) {
				if canonical, ok := canonicalAddress(unquoted(address), a.envelope.UTF8); address != "" && (!ok || canonical != address) {
					t.Errorf("the envelope has %q", address)
				}
			}
		}
		for _, piece := range []int{1, 7} {
			again, _ := converse(t, server, gate, script, piece)
			if diff := cmp.Diff(arrived, again, cmp.AllowUnexported(arrival{})); diff != "" {
				t.Errorf("in pieces of %d: %s", piece, diff)
			}
		}
	})
}

// unquoted is an address as go-smtp gives it.
func unquoted(address string) string {
	at := strings.LastIndexByte(address, '@')
	if at < 2 || address[0] != '"' {
		return address
	}
	return strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(address[1:at-1]) + address[at:]
}

// TestDrain: a message under way at shutdown is answered, a client that only waits is told to go, and a new one is not let in.
func TestDrain(t *testing.T) {
	gate := &recorder{
		reply: message.Reply{Code: 250, Enhanced: [3]int{2, 0, 0}, Text: "OK"}, entered: make(chan struct{}), proceed: make(chan struct{}),
	}
	server := newServer(t, defaultListener(), gate, nil)
	busy, idle := dialled(t, server), dialled(t, server)
	busy.must("> EHLO c", "< 250", "> MAIL FROM:<a@outside.example>", "< 250", "> RCPT TO:<bob@example.org>", "< 250", "> DATA", "< 354", "> .")
	<-gate.entered
	stopped := make(chan error, 1)
	go func() { stopped <- server.Shutdown(context.Background()) }()
	idle.must("< 421 4.3.2", "< closed")
	if conn, err := net.Dial("tcp", server.Addr().String()); err == nil {
		// The listener may still be open: who comes then is told to go.
		if reply, err := bufio.NewReader(conn).ReadString('\n'); err == nil && !strings.HasPrefix(reply, "421 ") {
			t.Errorf("a new client was let in: %q", reply)
		}
		_ = conn.Close()
	}
	gate.proceed <- struct{}{}
	busy.must("< 250", "< 421 4.3.2", "< closed")
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// TestConnectionCaps: one connection too many is refused, and a place is free again when one has gone.
func TestConnectionCaps(t *testing.T) {
	listener := defaultListener()
	listener.MaxConnectionsPerClient = 2
	server := newServer(t, listener, &recorder{}, selfSigned(t))
	first, second := dialled(t, server), dialled(t, server)
	// A session that goes over to TLS keeps its place, and no more than that.
	first.must("> EHLO c", "< 250", "> STARTTLS", "< 220", "starttls", "> EHLO c", "< 250")
	third := &client{t: t}
	third.dialTo(server)
	third.must("< 421 4.7.0 Too many connections from your address", "< closed")
	second.must("> QUIT", "< 221", "< closed")
	dialled(t, server).must("> NOOP", "< 250")
	first.must("> NOOP", "< 250")
}

// client plays single lines.
type client struct {
	t *testing.T
	player
}

func (c *client) dialTo(server *Server) {
	c.t.Helper()
	conn, err := net.Dial("tcp", server.Addr().String())
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = c.conn.Close() })
	c.use(conn)
}

// dialled is a client that has been greeted.
func dialled(t *testing.T, server *Server) *client {
	t.Helper()
	c := &client{t: t}
	c.dialTo(server)
	c.must("< 220")
	return c
}

func (c *client) must(lines ...string) {
	c.t.Helper()
	for _, line := range lines {
		verb, rest, _ := strings.Cut(line, " ")
		if err := c.line(verb, rest); err != nil {
			c.t.Fatalf("%s: %v", line, err)
		}
	}
}
