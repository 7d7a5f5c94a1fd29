package intake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/postern-mail/postern/core/gate"
	"github.com/postern-mail/postern/core/message"
)

// session is one SMTP session's transactions. go-smtp calls Data on a goroutine of its own for chunked mail, also beside a RSET, so
// each transaction is an object that Data takes at its entry and never looks back from.
type session struct {
	server  *Server
	framer  *framer
	conn    *smtp.Conn
	client  netip.AddrPort
	trusted bool
	refused int

	mu          sync.Mutex
	transaction *transaction
}

type transaction struct {
	envelope message.Envelope
	entered  chan struct{} // closed when Data has been called
	data     io.Reader     // what Data was called with
}

func smtpError(r message.Reply) error {
	return &smtp.SMTPError{Code: r.Code, EnhancedCode: smtp.EnhancedCode(r.Enhanced), Message: r.Text}
}

// Mail begins a transaction; there is one at a time (RFC 5321 section 4.1.4).
func (s *session) Mail(from string, options *smtp.MailOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.transaction != nil {
		return smtpError(message.Reply{Code: 503, Enhanced: [3]int{5, 5, 1}, Text: "A transaction is under way; RSET ends it"})
	}
	if from != "" {
		var ok bool
		if from, ok = canonicalAddress(from, options.UTF8); !ok {
			return smtpError(message.Reply{Code: 553, Enhanced: [3]int{5, 1, 7}, Text: "The sender's address is not valid"})
		}
	}
	s.transaction = &transaction{
		envelope: message.Envelope{From: from, EightBit: options.Body == smtp.Body8BitMIME, UTF8: options.UTF8},
		entered:  make(chan struct{}),
	}
	return nil
}

// Rcpt takes a recipient whom mail may be relayed to: an internal one, or anybody from the listener's own networks.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.transaction
	if t == nil {
		return smtpError(message.Reply{Code: 503, Enhanced: [3]int{5, 5, 1}, Text: "MAIL comes first"})
	}
	var refusal *message.Reply
	to, ok := canonicalAddress(to, t.envelope.UTF8)
	switch {
	case !ok:
		refusal = &message.Reply{Code: 553, Enhanced: [3]int{5, 1, 3}, Text: "The recipient's address is not valid"}
	case !s.trusted && !s.server.handler.Internal(to):
		refusal = &message.Reply{Code: 550, Enhanced: [3]int{5, 7, 1}, Text: "Relaying denied"}
	}
	if refusal == nil {
		t.envelope.To = append(t.envelope.To, to)
		return nil
	}
	s.refused++
	s.server.log.Info("recipient refused", "client", s.client, "recipient", to, "reply", refusal.Code)
	if limit := s.server.listener.MaxRefusedRecipients; limit > 0 && s.refused > limit {
		s.framer.breakOff("421 4.7.0 Too many refused recipients\r\n")
	}
	return smtpError(*refusal)
}

// Data takes the message in. Every error that leaves it is an SMTP reply of ours: anything else would become a 554 with the error's
// own text.
func (s *session) Data(r io.Reader) error {
	s.mu.Lock()
	t := s.transaction
	if t != nil && t.data == nil {
		t.data = r
		close(t.entered)
	}
	s.mu.Unlock()
	id := s.server.newID()
	if t == nil || len(t.envelope.To) == 0 {
		return smtpError(message.Reply{Code: 503, Enhanced: [3]int{5, 5, 1}, Text: "No valid recipients"})
	}
	reply, err := s.receive(id, t, r)
	if err != nil {
		var known *smtp.SMTPError
		if errors.As(err, &known) {
			return known
		}
		s.server.log.Error("receiving a message failed", "message", id, "client", s.client, "error", err)
		return smtpError(message.TryLater(id))
	}
	return smtpError(reply)
}

// copyBuffer is what is read at once.
const copyBuffer = 32 << 10

// bodyMemory is how much of a message is kept in memory before it goes to a file.
const bodyMemory = 1 << 20

func (s *session) receive(id string, t *transaction, r io.Reader) (reply message.Reply, err error) {
	scope := s.server.spool.NewScope()
	defer func() { err = errors.Join(err, scope.Release()) }()
	spooled := scope.Create(bodyMemory)
	check := &lineCheck{to: spooled, normalize: s.server.listener.BareNewlines == "normalize"}
	buffer := s.server.buffers.Get().(*[copyBuffer]byte)
	_, err = io.CopyBuffer(struct{ io.Writer }{check}, r, buffer[:])
	s.server.buffers.Put(buffer)
	if err != nil {
		return message.Reply{}, fmt.Errorf("read data: %w", err)
	}
	if err := check.finish(); err != nil {
		return message.Reply{}, fmt.Errorf("read data: %w", err)
	}
	if refusal := check.refusal(); refusal != "" {
		s.server.log.Info("message refused", "message", id, "client", s.client, "reason", refusal)
		return message.Reply{Code: 550, Enhanced: [3]int{5, 6, 0}, Text: refusal}, nil
	}
	body, err := spooled.Finish()
	if err != nil {
		return message.Reply{}, err
	}
	arrival := &gate.Arrival{
		ID: id, QueueID: s.server.newQueueID(), Envelope: t.envelope, Data: body, Scope: scope, Received: s.server.now(),
		Session: message.Session{
			Client: s.client, Helo: s.conn.Hostname(), TLS: s.framer.tls, Trusted: s.trusted, Listen: s.server.listener.Name,
		},
	}
	// The client may go away while its message is judged; the judgement then goes on, and the sender tries again if it heard
	// nothing. Only the end of the server ends it.
	ctx, cancel := context.WithTimeout(s.server.life, s.server.listener.DataTimeout)
	defer cancel()
	if s.server.authenticate != nil && !s.trusted {
		arrival.Auth, arrival.AuthResults = s.server.authenticate(ctx, arrival)
	}
	return s.server.handler.Receive(ctx, arrival), nil
}

// awaitData returns when go-smtp has called Data for the transaction; the framer asks for it where the first chunk is an empty one, so
// that every Data is entered before its transaction can end.
func (s *session) awaitData() {
	s.mu.Lock()
	t := s.transaction
	s.mu.Unlock()
	if t != nil {
		<-t.entered
	}
}

// Reset ends the transaction. It returns when the goroutine on which go-smtp called Data is done: that one hands Data's result over in
// a field that the next transaction sets anew, and the result of a message that was broken off could become the next one's reply.
func (s *session) Reset() {
	s.mu.Lock()
	t := s.transaction
	s.transaction = nil
	s.mu.Unlock()
	if t == nil || t.data == nil {
		return
	}
	// Its last act is to close the pipe that Data reads from; there is nothing to wait on. The pipe's other end is closed already, so
	// that Data does not wait for the client any more.
	for {
		if _, err := t.data.Read(nil); errors.Is(err, io.ErrClosedPipe) {
			return
		}
		runtime.Gosched()
	}
}

// Logout ends the session.
func (s *session) Logout() error { return nil }

// maxLine is the longest line of data, in bytes without its end. RFC 5321 says 1000; real mail has more.
const maxLine = 64 << 10

// lineCheck passes data on and looks for what is not a line: bare CR, bare LF, NUL, lines without end.
type lineCheck struct {
	to        io.Writer
	normalize bool
	lastCR    bool // the last byte was CR, which is held back when normalizing
	length    int  // of the line so far
	bare      bool
	nul       bool
	long      bool
}

func (c *lineCheck) Write(p []byte) (int, error) {
	if bytes.IndexByte(p, 0) >= 0 {
		c.nul = true
	}
	out := p
	if c.inspect(p) && c.normalize {
		out = c.normalized(p)
	}
	if len(p) > 0 {
		c.lastCR = p[len(p)-1] == '\r'
	}
	if c.nul || c.long || c.bare && !c.normalize {
		return len(p), nil // it is refused in the end; its bytes are not needed
	}
	if _, err := c.to.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// inspect notes bare line ends and long lines and reports whether p holds a bare one.
func (c *lineCheck) inspect(p []byte) (bare bool) {
	previousCR := c.lastCR
	if previousCR && (len(p) == 0 || p[0] != '\n') && len(p) > 0 {
		bare = true
	}
	rest := p
	for len(rest) > 0 {
		i := bytes.IndexByte(rest, '\n')
		line := rest
		if i >= 0 {
			line = rest[:i]
		}
		if c.length+len(line) > maxLine {
			c.long = true
		}
		cr := bytes.IndexByte(line, '\r')
		switch {
		case i < 0:
			c.length += len(line)
			bare = bare || cr >= 0 && cr != len(line)-1
			rest = nil
			continue
		case len(line) == 0:
			bare = bare || !previousCR
		default:
			bare = bare || cr != len(line)-1
		}
		c.length, previousCR = 0, false
		rest = rest[i+1:]
	}
	c.bare = c.bare || bare
	return bare
}

// normalized makes every bare CR and bare LF a CRLF. A CR at the end of the piece before has been written; its LF is added where
// it was bare.
func (c *lineCheck) normalized(p []byte) []byte {
	out := make([]byte, 0, len(p)+16)
	previousCR := c.lastCR
	for _, b := range p {
		switch {
		case b == '\n' && !previousCR:
			out = append(out, '\r', '\n')
		case previousCR && b != '\n':
			out = append(out, '\n', b)
		default:
			out = append(out, b)
		}
		previousCR = b == '\r'
	}
	return out
}

// finish ends the data: a CR as the very last byte is bare.
func (c *lineCheck) finish() error {
	if !c.lastCR {
		return nil
	}
	c.bare, c.lastCR = true, false
	if c.normalize {
		_, err := c.to.Write([]byte{'\n'})
		return err
	}
	return nil
}

// refusal is why the message is not taken, or "".
func (c *lineCheck) refusal() string {
	switch {
	case c.nul:
		return "Message holds NUL bytes"
	case c.bare && !c.normalize:
		return "Message holds bare CR or LF; lines end in CRLF"
	case c.long:
		return "Message holds a line of more than 65536 bytes"
	}
	return ""
}

// clientOf is the address of the network connection's other end.
func clientOf(conn net.Conn) netip.AddrPort {
	if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		ap := tcp.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}

// rejectTimeout bounds the writing of a refusal to a client that is one too many.
const rejectTimeout = 2 * time.Second
