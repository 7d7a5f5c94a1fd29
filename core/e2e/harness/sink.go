// Package harness runs a real gateway for proofs and tests: built binaries and a configuration folder go in; a gateway process, a next
// hop that remembers what it was given, and a client come out.
package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/emersion/go-smtp"
)

// Mail is one message that a sink took.
type Mail struct {
	From string
	To   []string
	Data []byte
}

// Sink is a next hop. It takes everything that Refuse lets through.
type Sink struct {
	server   *smtp.Server
	listener net.Listener
	done     sync.WaitGroup

	// Refuse answers RCPT; nil or a nil answer takes the recipient. Set it before the first mail.
	Refuse func(to string) *smtp.SMTPError

	mu      sync.Mutex
	mails   []Mail
	arrived chan struct{} // closed and replaced with every mail
}

// NewSink listens on the address.
func NewSink(address string) (*Sink, error) {
	s := &Sink{arrived: make(chan struct{})}
	s.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &sinkSession{sink: s}, nil }))
	s.server.Domain = "sink.example"
	s.server.EnableSMTPUTF8 = true
	s.server.MaxLineLength = 1 << 20
	var err error
	if s.listener, err = net.Listen("tcp", address); err != nil {
		return nil, fmt.Errorf("start sink: %w", err)
	}
	s.done.Go(func() { _ = s.server.Serve(s.listener) })
	return s, nil
}

// Addr is where the sink listens.
func (s *Sink) Addr() string { return s.listener.Addr().String() }

// Mails returns what has arrived so far.
func (s *Sink) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Mail(nil), s.mails...)
}

// Wait returns when the mails so far satisfy the condition, or with the error of ctx.
func (s *Sink) Wait(ctx context.Context, enough func([]Mail) bool) error {
	for {
		s.mu.Lock()
		ok, next, n := enough(s.mails), s.arrived, len(s.mails)
		s.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return fmt.Errorf("wait for mail at the sink, which has %d: %w", n, ctx.Err())
		}
	}
}

// Forget drops what has arrived.
func (s *Sink) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mails = nil
}

// Close ends the sink.
func (s *Sink) Close() error {
	err := s.server.Close()
	s.done.Wait()
	if errors.Is(err, smtp.ErrServerClosed) {
		return nil
	}
	return err
}

type sinkSession struct {
	sink *Sink
	mail Mail
}

func (s *sinkSession) Mail(from string, _ *smtp.MailOptions) error {
	s.mail = Mail{From: from}
	return nil
}

func (s *sinkSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if s.sink.Refuse != nil {
		if refusal := s.sink.Refuse(to); refusal != nil {
			return refusal
		}
	}
	s.mail.To = append(s.mail.To, to)
	return nil
}

func (s *sinkSession) Data(r io.Reader) error {
	var b bytes.Buffer
	if _, err := b.ReadFrom(r); err != nil {
		return err
	}
	s.mail.Data = b.Bytes()
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	s.sink.mails = append(s.sink.mails, s.mail)
	close(s.sink.arrived)
	s.sink.arrived = make(chan struct{})
	return nil
}

func (s *sinkSession) Reset()        { s.mail = Mail{} }
func (s *sinkSession) Logout() error { return nil }
