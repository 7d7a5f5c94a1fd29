package harness

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strings"
	"time"
)

// Reply is how a mail was answered: 250, or the code that refused it.
type Reply struct {
	Code int
	Text string
}

// Accepted reports whether the mail was taken.
func (r Reply) Accepted() bool { return r.Code/100 == 2 }

func (r Reply) String() string { return fmt.Sprintf("%d %s", r.Code, r.Text) }

// Client sends over one connection, mail after mail. It writes the very bytes it is given.
type Client struct {
	conn net.Conn
	text *textproto.Conn
}

// Dial connects to the listener.
func Dial(address string) (*Client, error) { return dial(address, time.Time{}) }

// DialWithin connects to a listener that may not greet.
func DialWithin(address string, d time.Duration) (*Client, error) {
	return dial(address, time.Now().Add(d))
}

func dial(address string, deadline time.Time) (*Client, error) {
	conn, err := (&net.Dialer{Deadline: deadline}).Dial("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connect to gateway: %w", err)
	}
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, errors.Join(fmt.Errorf("connect to gateway: %w", err), conn.Close())
	}
	c := &Client{conn: conn, text: textproto.NewConn(conn)}
	greeting, err := c.reply()
	if err == nil && greeting.Accepted() {
		greeting, err = c.Command("EHLO client.example")
	}
	if err == nil && !greeting.Accepted() {
		err = errors.New(greeting.String())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("greet gateway: %w", err), conn.Close())
	}
	return c, nil
}

// Command sends a line and returns its reply. An error is the connection's.
func (c *Client) Command(line string) (Reply, error) {
	if err := c.text.PrintfLine("%s", line); err != nil {
		return Reply{}, err
	}
	return c.reply()
}

func (c *Client) reply() (Reply, error) {
	code, text, err := c.text.ReadResponse(0)
	return Reply{Code: code, Text: text}, err
}

// Send sends one mail, whose lines end with CRLF; dots are stuffed here. A refusal is a reply and no error; the session goes on.
func (c *Client) Send(from string, to []string, data []byte) (Reply, error) {
	commands := []string{"MAIL FROM:<" + from + ">"}
	for _, address := range to {
		commands = append(commands, "RCPT TO:<"+address+">")
	}
	for _, command := range append(commands, "DATA") {
		reply, err := c.Command(command)
		if err != nil {
			return reply, fmt.Errorf("send %s: %w", strings.Fields(command)[0], err)
		}
		if reply.Code == 421 {
			return reply, nil // the server closes
		}
		if reply.Code/100 > 3 {
			_, err = c.Command("RSET")
			return reply, err
		}
	}
	if err := c.writeData(data); err != nil {
		return Reply{}, fmt.Errorf("send content: %w", err)
	}
	reply, err := c.reply()
	if err != nil {
		return reply, fmt.Errorf("wait for the reply: %w", err)
	}
	return reply, nil
}

func (c *Client) writeData(data []byte) error {
	w := c.text.W
	for line := range bytes.Lines(data) {
		if line[0] == '.' {
			if err := w.WriteByte('.'); err != nil {
				return err
			}
		}
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(w, ".\r\n"); err != nil {
		return err
	}
	return w.Flush()
}

// Within bounds all that is sent and read from now on.
func (c *Client) Within(d time.Duration) error { return c.conn.SetDeadline(time.Now().Add(d)) }

// Close ends the session.
func (c *Client) Close() error {
	_, err := c.Command("QUIT")
	return errors.Join(err, c.conn.Close())
}

// HangUp ends the connection without a word.
func (c *Client) HangUp() error { return c.conn.Close() }

// Lines gives every line the CRLF that SMTP asks for; a bare CR stays.
func Lines(mail []byte) []byte {
	var b bytes.Buffer
	b.Grow(len(mail) + len(mail)/32)
	for line := range bytes.Lines(mail) {
		b.Write(bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r")))
		b.WriteString("\r\n")
	}
	return b.Bytes()
}
