package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/emersion/go-smtp"
)

// bareRelay is the argument that makes this program the relay to compare with.
const bareRelay = "bare-relay"

// runBareRelay relays with go-smtp on both sides and nothing between: every session has its connection to the next hop, content is
// streamed. It prints its address.
func runBareRelay(ctx context.Context, next string) error {
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		client, err := smtp.Dial(next)
		if err != nil {
			return nil, err
		}
		return &bareSession{client}, nil
	}))
	server.Domain = "bare.example"
	server.MaxMessageBytes = 64 << 20
	server.MaxLineLength = 64 << 10
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.Serve(listener); !errors.Is(err, smtp.ErrServerClosed) {
		return err
	}
	return nil
}

type bareSession struct{ client *smtp.Client }

func (s *bareSession) Mail(from string, _ *smtp.MailOptions) error { return s.client.Mail(from, nil) }
func (s *bareSession) Rcpt(to string, _ *smtp.RcptOptions) error   { return s.client.Rcpt(to, nil) }
func (s *bareSession) Reset()                                      {}
func (s *bareSession) Logout() error                               { return s.client.Quit() }

func (s *bareSession) Data(r io.Reader) error {
	w, err := s.client.Data()
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, r); err != nil {
		return err
	}
	return w.Close()
}
