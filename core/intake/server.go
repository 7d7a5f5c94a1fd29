// Package intake takes mail in by SMTP: network connections go in, whole and well-framed messages come out to the gate, whose reply
// is the client's. go-smtp speaks the protocol; the framer before it guards what go-smtp leaves open.
package intake

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/hashicorp/go-hclog"
	proxyproto "github.com/pires/go-proxyproto"

	"github.com/postern-mail/postern/core/gate"
	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/observe"
	"github.com/postern-mail/postern/core/policy"
	"github.com/postern-mail/postern/core/spool"
)

// Handler is what intake asks about recipients and gives messages to.
type Handler interface {
	// Internal reports whether mail to the address is ours to take from anybody.
	Internal(address string) bool
	Receive(ctx context.Context, arrival *gate.Arrival) message.Reply
}

// Options is what a server is made of.
type Options struct {
	Hostname string
	Listener policy.Listener
	TLS      *tls.Config // nil: STARTTLS is not offered
	Handler  Handler
	Spool    *spool.Spool
	// Authenticate checks SPF, DKIM and DMARC of mail from clients that are not trusted; nil: nothing is checked.
	Authenticate func(ctx context.Context, arrival *gate.Arrival) (message.Auth, string)
	Now          func() time.Time
	NewID        func() string
	NewQueueID   func() string
	Log          hclog.Logger
	Telemetry    *observe.Telemetry // may be nil
}

// Server is one listener.
type Server struct {
	hostname     string
	listener     policy.Listener
	tls          *tls.Config
	handler      Handler
	spool        *spool.Spool
	authenticate func(context.Context, *gate.Arrival) (message.Auth, string)
	now          func() time.Time
	newID        func() string
	newQueueID   func() string
	log          hclog.Logger
	telemetry    *observe.Telemetry
	buffers      sync.Pool // of *[copyBuffer]byte

	life context.Context // ends when the server must end, drained or not
	kill context.CancelFunc

	socket    net.Listener
	plain     *feed // connections for the go-smtp server that offers STARTTLS
	encrypted *feed // connections that are inside TLS
	serving   sync.WaitGroup
	// connections counts those that were let in, through STARTTLS too.
	connections sync.WaitGroup

	mu        sync.Mutex
	framers   map[*framer]netip.Addr
	perClient map[netip.Addr]int
	total     int
	stopping  bool
}

// Listen opens the listener's address. Nothing is accepted before Serve.
func Listen(o Options) (*Server, error) {
	socket, err := net.Listen("tcp", o.Listener.Address)
	if err != nil {
		return nil, fmt.Errorf("listen for SMTP %q: %w", o.Listener.Name, err)
	}
	if len(o.Listener.Proxy) > 0 {
		socket = withProxy(socket, o.Listener.Proxy)
	}
	life, kill := context.WithCancel(context.Background())
	return &Server{
		hostname: o.Hostname, listener: o.Listener, tls: o.TLS, handler: o.Handler, spool: o.Spool, authenticate: o.Authenticate,
		now: o.Now, newID: o.NewID, newQueueID: o.NewQueueID, log: o.Log, telemetry: o.Telemetry,
		life: life, kill: kill, socket: socket, plain: newFeed(socket.Addr()), encrypted: newFeed(socket.Addr()),
		framers: map[*framer]netip.Addr{}, perClient: map[netip.Addr]int{},
		buffers: sync.Pool{New: func() any { return new([copyBuffer]byte) }},
	}, nil
}

// proxyHeaderTimeout is how long a trusted proxy has to send its header.
const proxyHeaderTimeout = 5 * time.Second

// withProxy reads the PROXY protocol header of connections from the networks named, which must send one; others may not.
func withProxy(socket net.Listener, networks []netip.Prefix) net.Listener {
	return &proxyproto.Listener{
		Listener: socket, ReadHeaderTimeout: proxyHeaderTimeout,
		ConnPolicy: func(o proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
			if tcp, ok := o.Upstream.(*net.TCPAddr); ok && within(networks, tcp.AddrPort().Addr().Unmap()) {
				return proxyproto.REQUIRE, nil
			}
			return proxyproto.REJECT, nil
		},
	}
}

func within(networks []netip.Prefix, address netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(address) {
			return true
		}
	}
	return false
}

// Addr is the address the server listens on.
func (s *Server) Addr() net.Addr { return s.socket.Addr() }

// Serve accepts connections until Shutdown.
func (s *Server) Serve() error {
	plain, encrypted := s.smtpServer(true), s.smtpServer(false)
	s.serving.Go(func() { s.report(plain.Serve(s.plain)) })
	s.serving.Go(func() { s.report(encrypted.Serve(s.encrypted)) })
	for {
		conn, err := s.socket.Accept()
		if err != nil {
			s.mu.Lock()
			stopping := s.stopping
			s.mu.Unlock()
			if stopping {
				return nil
			}
			if isTemporary(err) {
				s.log.Warn("accepting a connection failed", "error", err)
				time.Sleep(50 * time.Millisecond) // out of descriptors: give some the time to close
				continue
			}
			return fmt.Errorf("accept SMTP connections: %w", err)
		}
		// A PROXY header is read when the address is first asked for, which must not keep others waiting.
		s.serving.Go(func() { s.admit(conn) })
	}
}

func isTemporary(err error) bool {
	var temporary interface{ Temporary() bool }
	return errors.As(err, &temporary) && temporary.Temporary()
}

func (s *Server) report(err error) {
	if err != nil && !errors.Is(err, smtp.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		s.log.Error("SMTP server ended", "error", err)
	}
}

// smtpServer is go-smtp for the connections before or inside TLS. Its own limits are off where the framer has better ones.
func (s *Server) smtpServer(plain bool) *smtp.Server {
	server := smtp.NewServer(smtp.BackendFunc(s.newSession))
	server.Domain = s.hostname
	server.MaxRecipients = s.listener.MaxRecipients
	server.MaxMessageBytes = s.listener.MaxMessageSize
	server.MaxLineLength = 0
	server.EnableSMTPUTF8 = true
	server.ErrorLog = s.log.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Error})
	if plain {
		server.TLSConfig = s.tls // it only makes go-smtp offer STARTTLS: the framer carries it out
	}
	return server
}

// admit lets a connection in where the caps allow it.
func (s *Server) admit(conn net.Conn) {
	client := clientOf(conn)
	if why := s.count(client.Addr()); why != "" {
		s.log.Warn("connection refused", "client", client, "reason", why)
		_ = conn.SetDeadline(time.Now().Add(rejectTimeout))
		_, _ = io.WriteString(conn, "421 4.7.0 "+why+"\r\n")
		_ = conn.Close()
		return
	}
	s.hand(conn, client, false)
}

// hand gives a counted connection to go-smtp.
func (s *Server) hand(conn net.Conn, client netip.AddrPort, encrypted bool) {
	l := &s.listener
	limits := frameLimits{command: l.CommandTimeout, data: l.DataTimeout, idle: l.IdleTimeout, bad: l.MaxBadCommands}
	f := newFramer(conn, limits, encrypted, s.tls != nil, s.left)
	f.client = client
	f.skipReply = encrypted // the greeting was given before TLS
	feed := s.plain
	if encrypted {
		feed = s.encrypted
	}
	s.mu.Lock()
	s.framers[f] = client.Addr()
	if s.stopping {
		f.drain()
	}
	s.mu.Unlock()
	if !feed.give(f) {
		_ = f.Close()
	}
}

func (s *Server) count(client netip.Addr) (refusal string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stopping:
		return "Shutting down"
	case s.listener.MaxConnections > 0 && s.total >= s.listener.MaxConnections:
		return "Too many connections"
	case s.listener.MaxConnectionsPerClient > 0 && s.perClient[client] >= s.listener.MaxConnectionsPerClient:
		return "Too many connections from your address"
	}
	s.total++
	s.telemetry.Connected(s.listener.Name)
	s.connections.Add(1)
	s.perClient[client]++
	return ""
}

// left is told of every framer that closed. Where TLS follows, the connection goes on in another.
func (s *Server) left(f *framer, upgraded bool) {
	s.mu.Lock()
	delete(s.framers, f)
	stopping := s.stopping
	s.mu.Unlock()
	if upgraded && !stopping {
		s.serving.Go(func() { s.startTLS(f) })
		return
	}
	if upgraded {
		_ = f.Conn.Close()
	}
	s.uncount(f.client.Addr())
}

func (s *Server) uncount(client netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total--
	s.telemetry.Disconnected(s.listener.Name)
	if s.perClient[client]--; s.perClient[client] <= 0 {
		delete(s.perClient, client)
	}
	s.connections.Done()
}

// startTLS shakes hands and starts the session anew inside TLS (RFC 3207 section 4.2).
func (s *Server) startTLS(f *framer) {
	conn := tls.Server(f.Conn, s.tls)
	ctx, cancel := context.WithTimeout(s.life, s.listener.CommandTimeout)
	defer cancel()
	_ = f.Conn.SetDeadline(time.Time{})
	if err := conn.HandshakeContext(ctx); err != nil {
		s.log.Info("TLS handshake failed", "client", f.client, "error", err)
		_ = f.Conn.Close()
		s.uncount(f.client.Addr())
		return
	}
	s.hand(conn, f.client, true)
}

func (s *Server) newSession(conn *smtp.Conn) (smtp.Session, error) {
	f, ok := conn.Conn().(*framer)
	if !ok {
		return nil, smtpError(message.TryLater("session"))
	}
	session := &session{
		server: s, framer: f, conn: conn, client: f.client, trusted: within(s.listener.RelayNetworks, f.client.Addr()),
	}
	f.awaitData = session.awaitData
	return session, nil
}

// Shutdown stops accepting, lets messages under way finish until ctx ends, and then breaks off what is left. It returns when every
// connection is gone.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.stopping = true
	for f := range s.framers {
		f.drain()
	}
	s.mu.Unlock()
	err := s.socket.Close()
	s.plain.close()
	s.encrypted.close()
	gone := make(chan struct{})
	go func() {
		s.connections.Wait()
		s.serving.Wait()
		close(gone)
	}()
	select {
	case <-gone:
	case <-ctx.Done():
		s.kill()
		s.mu.Lock()
		for f := range s.framers {
			_ = f.Conn.Close()
		}
		s.mu.Unlock()
		<-gone
	}
	s.kill()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close listener %q: %w", s.listener.Name, err)
	}
	return nil
}
