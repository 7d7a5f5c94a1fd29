package harness

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/emersion/go-smtp"
)

// Reply is how a mail was answered: 250, or the code that refused it.
type Reply struct {
	Code int
	Text string
}

// Accepted reports whether the mail was taken.
func (r Reply) Accepted() bool { return r.Code/100 == 2 }

// Client sends over one connection, mail after mail.
type Client struct{ *smtp.Client }

// Dial connects to the listener.
func Dial(address string) (*Client, error) {
	c, err := smtp.Dial(address)
	if err != nil {
		return nil, fmt.Errorf("connect to gateway: %w", err)
	}
	if err := c.Hello("client.example"); err != nil {
		return nil, errors.Join(fmt.Errorf("greet gateway: %w", err), c.Close())
	}
	return &Client{c}, nil
}

// Send sends one mail. A refusal is a reply and no error.
func (c *Client) Send(from string, to []string, data []byte) (Reply, error) {
	reply, err := c.send(from, to, data)
	var refused *smtp.SMTPError
	if errors.As(err, &refused) {
		return Reply{Code: refused.Code, Text: refused.Message}, c.Reset()
	}
	return reply, err
}

func (c *Client) send(from string, to []string, data []byte) (Reply, error) {
	if err := c.Mail(from, nil); err != nil {
		return Reply{}, err
	}
	for _, address := range to {
		if err := c.Rcpt(address, nil); err != nil {
			return Reply{}, err
		}
	}
	w, err := c.Data()
	if err != nil {
		return Reply{}, err
	}
	if _, err := bytes.NewReader(data).WriteTo(w); err != nil {
		return Reply{}, errors.Join(err, w.Close())
	}
	response, err := w.CloseWithResponse()
	if err != nil {
		return Reply{}, err
	}
	return Reply{Code: 250, Text: response.StatusText}, nil
}
