package delivery

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/postern-mail/postern/core/message"
)

// content is what is sent; Open may be called again for another host.
type content interface {
	Open() (io.ReadCloser, error)
	Size() int64
}

// mail is one message for one next hop.
type mail struct {
	from     string
	to       []string
	content  content
	eightBit bool // MAIL said BODY=8BITMIME
	utf8     bool // MAIL said SMTPUTF8
	// all: either all recipients are taken or nothing is sent.
	all bool
}

// outcome is how a server answered. recipients has a reply for each recipient. final is the reply to the data, Code 0 where nothing
// was sent or nothing came back.
type outcome struct {
	recipients []message.Reply
	final      message.Reply
	// ended says that the end of data was sent: the server may have the mail, whatever happened afterwards.
	ended bool
}

// accepted is how many recipients were taken at RCPT.
func (o *outcome) accepted() int {
	n := 0
	for _, r := range o.recipients {
		if r.Accepted() {
			n++
		}
	}
	return n
}

// same gives every recipient one reply.
func (m *mail) same(reply message.Reply) *outcome {
	o := &outcome{}
	for range m.to {
		o.recipients = append(o.recipients, reply)
	}
	return o
}

// transact makes one transaction. An error says that the session is broken; the outcome then tells how far it came. begun is false
// while nothing of the transaction was answered, so that a session that had idled too long is told from one that failed.
func (c *client) transact(ctx context.Context, m *mail) (o *outcome, begun bool, err error) {
	if refused := c.unfit(m); refused.Code != 0 {
		return m.same(refused), true, nil
	}
	c.until(ctx)
	defer func() { c.letGo() }()
	reply, replies, err := c.envelope(ctx, m)
	if err != nil {
		return m.same(message.Reply{}), reply.Code != 0, err
	}
	if !reply.Accepted() {
		return m.same(reply), true, c.reset(ctx)
	}
	o = &outcome{recipients: replies}
	if n := o.accepted(); n == 0 || m.all && n < len(m.to) {
		return o, true, c.reset(ctx)
	}
	if c.offers("CHUNKING") {
		return o, true, c.chunks(ctx, m, o)
	}
	return o, true, c.data(ctx, m, o)
}

// unfit is the refusal of mail that the server cannot take as it is. It is not converted.
func (c *client) unfit(m *mail) message.Reply {
	if limit := c.sizeLimit(); limit > 0 && m.content.Size() > limit {
		return message.Reply{Code: 552, Enhanced: [3]int{5, 3, 4}, Text: fmt.Sprintf("Message is larger than the %d bytes that %s takes", limit, c.host)}
	}
	if m.utf8 && !c.offers("SMTPUTF8") {
		return message.Reply{Code: 550, Enhanced: [3]int{5, 6, 7}, Text: c.host + " does not take internationalized mail"}
	}
	if m.eightBit && !c.offers("8BITMIME") {
		return message.Reply{Code: 550, Enhanced: [3]int{5, 6, 3}, Text: c.host + " does not take 8-bit mail"}
	}
	return message.Reply{}
}

// envelope sends MAIL and RCPT, together where the server takes that (RFC 2920).
func (c *client) envelope(ctx context.Context, m *mail) (mailReply message.Reply, recipients []message.Reply, err error) {
	line := "MAIL FROM:<" + m.from + ">"
	if c.offers("SIZE") {
		line += fmt.Sprintf(" SIZE=%d", m.content.Size())
	}
	if m.eightBit {
		line += " BODY=8BITMIME"
	}
	if m.utf8 {
		line += " SMTPUTF8"
	}
	if err := c.send(ctx, line); err != nil {
		return mailReply, nil, err
	}
	together := c.offers("PIPELINING")
	if together {
		for _, to := range m.to {
			if err := c.send(ctx, "RCPT TO:<"+to+">"); err != nil {
				return mailReply, nil, err
			}
		}
	}
	if mailReply, _, err = c.flushRead(ctx); err != nil {
		return message.Reply{}, nil, fmt.Errorf("send MAIL: %w", err)
	}
	if !mailReply.Accepted() && !together {
		return mailReply, nil, nil
	}
	for _, to := range m.to {
		var reply message.Reply
		if together {
			reply, _, err = c.read(ctx, commandTimeout)
		} else {
			reply, _, err = c.command(ctx, "RCPT TO:<"+to+">")
		}
		if err != nil {
			return mailReply, nil, fmt.Errorf("send RCPT: %w", err)
		}
		recipients = append(recipients, reply)
	}
	return mailReply, recipients, nil
}

func (c *client) reset(ctx context.Context) error {
	_, _, err := c.command(ctx, "RSET")
	return err
}

// data sends the message after DATA.
func (c *client) data(ctx context.Context, m *mail, o *outcome) error {
	if err := errors.Join(c.send(ctx, "DATA"), c.flush(ctx)); err != nil {
		return fmt.Errorf("send DATA: %w", err)
	}
	reply, _, err := c.readAny(ctx, commandTimeout)
	if err != nil {
		return fmt.Errorf("send DATA: %w", err)
	}
	if reply.Code != 354 {
		o.final = reply
		return c.reset(ctx)
	}
	r, err := m.content.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	d := &dataWriter{w: c.w}
	buffer := make([]byte, ioBuffer)
	for {
		if err := c.deadline(ctx, writeTimeout); err != nil {
			return err
		}
		n, err := r.Read(buffer)
		if _, err := d.Write(buffer[:n]); err != nil {
			return fmt.Errorf("send data: %w", err)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("read message: %w", err)
		}
	}
	d.finish()
	// All but the end of data is on its way before the end is: up to here the mail is still ours for certain.
	if err := c.flush(ctx); err != nil {
		return err
	}
	if _, err := c.w.WriteString(endOfData); err != nil {
		return fmt.Errorf("send end of data: %w", err)
	}
	o.ended = true
	return c.final(o)
}

// chunkSize is the size of a BDAT chunk.
const chunkSize = 1 << 20

// chunks sends the message by BDAT (RFC 3030): it needs no dots and knows no end of data within the data.
func (c *client) chunks(ctx context.Context, m *mail, o *outcome) error {
	r, err := m.content.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	for left := m.content.Size(); ; {
		n := min(left, chunkSize)
		left -= n
		line := fmt.Sprintf("BDAT %d", n)
		if left == 0 {
			line += " LAST"
		}
		if err := c.send(ctx, line); err != nil {
			return err
		}
		if err := c.copyChunk(ctx, r, n, func() { o.ended = left == 0 }); err != nil {
			return err
		}
		if left == 0 {
			return c.final(o)
		}
		reply, _, err := c.flushRead(ctx)
		if err != nil {
			return fmt.Errorf("send BDAT: %w", err)
		}
		if !reply.Accepted() {
			o.final = reply
			return c.reset(ctx)
		}
	}
}

// copyChunk sends n bytes; beforeEnd is called before the last of them can leave.
func (c *client) copyChunk(ctx context.Context, r io.Reader, n int64, beforeEnd func()) error {
	for n > 0 {
		if err := c.deadline(ctx, writeTimeout); err != nil {
			return err
		}
		piece := min(n, ioBuffer)
		if piece == n {
			if err := c.flush(ctx); err != nil {
				return err
			}
			beforeEnd()
		}
		if _, err := io.CopyN(c.w, r, piece); err != nil {
			return fmt.Errorf("send data: %w", err)
		}
		n -= piece
	}
	return nil
}

// final sends what is buffered and reads the reply to the message. It is waited for whatever the caller's context says: who owns the
// mail hangs on it (RFC 5321 section 4.5.3.2.6).
func (c *client) final(o *outcome) error {
	c.letGo()
	ctx, cancel := context.WithTimeout(context.Background(), finalTimeout)
	defer cancel()
	if err := c.flush(ctx); err != nil {
		return err
	}
	reply, _, err := c.read(ctx, finalTimeout)
	if err != nil {
		return fmt.Errorf("wait for the reply to the message: %w", err)
	}
	o.final = reply
	return nil
}
