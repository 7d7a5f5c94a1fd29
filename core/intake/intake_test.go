package intake

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/postern-mail/postern/core/gate"
	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/policy"
	"github.com/postern-mail/postern/core/spool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// arrival is what the gate was given.
type arrival struct {
	envelope message.Envelope
	data     string
	tls      bool
	client   string
}

// recorder is the gate of these tests: it remembers what arrives and answers with reply.
type recorder struct {
	mu       sync.Mutex
	arrivals []arrival
	reply    message.Reply
	entered  chan struct{} // gets a value when a message is there; nil: nobody waits
	proceed  chan struct{} // a message is answered when this gives one
}

func (r *recorder) Internal(address string) bool {
	return strings.HasSuffix(strings.ToLower(address), "@example.org")
}

func (r *recorder) Receive(ctx context.Context, a *gate.Arrival) message.Reply {
	if r.entered != nil {
		r.entered <- struct{}{}
		select {
		case <-r.proceed:
		case <-ctx.Done():
			return message.TryLater(a.ID)
		}
	}
	body, err := a.Data.Open()
	if err != nil {
		return message.TryLater(a.ID)
	}
	data, err := io.ReadAll(body)
	if err := errors.Join(err, body.Close()); err != nil {
		return message.TryLater(a.ID)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.arrivals = append(r.arrivals, arrival{envelope: a.Envelope, data: string(data), tls: a.Session.TLS, client: a.Session.Client.Addr().String()})
	return r.reply
}

// take returns what has arrived since it was last asked.
func (r *recorder) take() []arrival {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.arrivals
	r.arrivals = nil
	return out
}

func defaultListener() policy.Listener {
	return policy.Listener{
		Name: "in", Address: "127.0.0.1:0", MaxMessageSize: 1 << 20, MaxRecipients: 5, BareNewlines: "reject", MaxConnections: 10,
		MaxConnectionsPerClient: 10, MaxBadCommands: 5, MaxRefusedRecipients: 3, CommandTimeout: 20 * time.Second, DataTimeout: 20 * time.Second,
		IdleTimeout: 20 * time.Second,
	}
}

// newServer starts a listener whose messages go to the recorder. It is shut down when the test ends.
func newServer(t testing.TB, listener policy.Listener, handler Handler, config *tls.Config) *Server {
	t.Helper()
	spooled, err := spool.Open(t.TempDir(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	var serial atomic.Int64
	next := func() string { return strconv.FormatInt(serial.Add(1), 10) }
	server, err := Listen(Options{
		Hostname: "gw.example.org", Listener: listener, TLS: config, Handler: handler, Spool: spooled, Now: time.Now, NewID: next, NewQueueID: next,
		Log: hclog.NewNullLogger(),
	})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := errors.Join(server.Shutdown(ctx), <-served); err != nil {
			t.Error(err)
		}
	})
	return server
}

// selfSigned is a certificate for gw.example.org.
func selfSigned(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"gw.example.org"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// TestDialogues plays every testdata/*.smtp against a listener. The lines of such a file:
//
//	set NAME VALUE      a setting of the listener, before the first other line
//	> TEXT              the client sends the line
//	>> "GO STRING"      the client sends the bytes; * N repeats them
//	< CODE TEXT         the server answers so; what is sent before is on its way already
//	< closed            the server ends the connection
//	starttls            the client shakes hands
//	half-close          the client sends no more
//	got FROM TO,TO "GO STRING"   the gate has been given this message next; \x20 is a blank in an address
//
// In the end the gate has been given no other message.
func TestDialogues(t *testing.T) {
	files, err := filepath.Glob("testdata/*.smtp")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dialogues: %v", err)
	}
	config := selfSigned(t)
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".smtp"), func(t *testing.T) {
			t.Parallel()
			script, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			play(t, string(script), config)
		})
	}
}

type player struct {
	listener policy.Listener
	reply    message.Reply
	recorder *recorder
	conn     net.Conn
	replies  *bufio.Reader
	arrivals []arrival
	tls      *tls.Config
}

func play(t *testing.T, script string, config *tls.Config) {
	p := &player{listener: defaultListener(), reply: message.Reply{Code: 250, Enhanced: [3]int{2, 0, 0}, Text: "OK: queued"}, tls: config}
	for number, line := range strings.Split(script, "\n") {
		verb, rest, _ := strings.Cut(line, " ")
		if verb == "" || verb == "#" {
			continue
		}
		var err error
		if verb == "set" {
			err = p.set(rest)
		} else {
			if p.conn == nil {
				p.dial(t)
			}
			err = p.line(verb, rest)
		}
		if err != nil {
			t.Fatalf("line %d, %s: %v", number+1, line, err)
		}
	}
	if err := p.conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Log(err)
	}
	if rest := append(p.arrivals, p.recorder.take()...); len(rest) > 0 {
		t.Errorf("the gate was given %+v too", rest)
	}
}

func (p *player) dial(t *testing.T) {
	p.recorder = &recorder{reply: p.reply}
	server := newServer(t, p.listener, p.recorder, p.tls)
	conn, err := net.Dial("tcp", server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p.use(conn)
}

// use takes a connection that answers within a bounded time.
func (p *player) use(conn net.Conn) {
	_ = conn.SetDeadline(time.Now().Add(15 * time.Second))
	p.conn, p.replies = conn, bufio.NewReader(conn)
}

func (p *player) set(rest string) error {
	name, value, _ := strings.Cut(rest, " ")
	var err error
	number := func(to *int) { *to, err = strconv.Atoi(value) }
	duration := func(to *time.Duration) { *to, err = time.ParseDuration(value) }
	network := func(to *[]netip.Prefix) {
		var n netip.Prefix
		n, err = netip.ParsePrefix(value)
		*to = append(*to, n)
	}
	switch name {
	case "max_message_size":
		p.listener.MaxMessageSize, err = strconv.ParseInt(value, 10, 64)
	case "max_recipients":
		number(&p.listener.MaxRecipients)
	case "max_bad_commands":
		number(&p.listener.MaxBadCommands)
	case "max_refused_recipients":
		number(&p.listener.MaxRefusedRecipients)
	case "command_timeout":
		duration(&p.listener.CommandTimeout)
	case "data_timeout":
		duration(&p.listener.DataTimeout)
	case "idle_timeout":
		duration(&p.listener.IdleTimeout)
	case "relay_networks":
		network(&p.listener.RelayNetworks)
	case "proxy_networks":
		network(&p.listener.Proxy)
	case "bare_newlines":
		p.listener.BareNewlines = value
	case "reply":
		p.reply = message.Reply{Enhanced: [3]int{5, 7, 1}, Text: "Refused by a rule"}
		p.reply.Code, err = strconv.Atoi(value)
	default:
		err = errors.New("no such setting")
	}
	return err
}

func (p *player) line(verb, rest string) error {
	switch verb {
	case ">":
		_, err := io.WriteString(p.conn, rest+"\r\n")
		return err
	case ">>":
		return p.raw(rest)
	case "<":
		return p.expect(rest)
	case "starttls":
		conn := tls.Client(p.conn, &tls.Config{InsecureSkipVerify: true}) // the certificate is the test's own
		p.conn, p.replies = conn, bufio.NewReader(conn)
		return conn.Handshake()
	case "half-close":
		if c, ok := p.conn.(interface{ CloseWrite() error }); ok {
			return c.CloseWrite()
		}
		return errors.New("not possible")
	case "got":
		return p.got(rest)
	}
	return errors.New("no such line")
}

func (p *player) raw(rest string) error {
	quoted, times, repeated := strings.Cut(rest, " * ")
	text, err := strconv.Unquote(quoted)
	if err != nil {
		return err
	}
	n := 1
	if repeated {
		if n, err = strconv.Atoi(times); err != nil {
			return err
		}
	}
	_, err = io.WriteString(p.conn, strings.Repeat(text, n))
	return err
}

func (p *player) expect(want string) error {
	var answer string
	for {
		line, err := p.replies.ReadString('\n')
		if err != nil {
			// A reset is an end too: the server had bytes of ours that it did not read.
			if want == "closed" && answer == "" && !errors.Is(err, os.ErrDeadlineExceeded) {
				return nil
			}
			return fmt.Errorf("after %q: %w", answer+line, err)
		}
		answer += line
		if len(line) < 4 || line[3] != '-' {
			break
		}
	}
	code, text, _ := strings.Cut(want, " ")
	if !strings.HasPrefix(answer, code) || !strings.Contains(answer, text) {
		return fmt.Errorf("the server says %q", answer)
	}
	return nil
}

func (p *player) got(rest string) error {
	words := strings.SplitN(rest, " ", 3)
	for i := range 2 {
		words[i] = strings.ReplaceAll(words[i], `\x20`, " ")
	}
	data, err := strconv.Unquote(words[2])
	if err != nil {
		return err
	}
	if p.arrivals = append(p.arrivals, p.recorder.take()...); len(p.arrivals) == 0 {
		return errors.New("nothing has arrived")
	}
	a := p.arrivals[0]
	p.arrivals = p.arrivals[1:]
	if a.envelope.From != strings.Trim(words[0], "<>") || strings.Join(a.envelope.To, ",") != words[1] || a.data != data {
		return fmt.Errorf("arrived is %+v", a)
	}
	if _, encrypted := p.conn.(*tls.Conn); encrypted != a.tls {
		return fmt.Errorf("it came over TLS: %v", a.tls)
	}
	return nil
}
