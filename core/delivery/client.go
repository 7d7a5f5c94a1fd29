package delivery

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/policy"
)

// Times to wait for a server (RFC 5321 section 4.5.3.2), where the caller's context ends no earlier.
const (
	dialTimeout    = 30 * time.Second
	commandTimeout = 5 * time.Minute
	writeTimeout   = 3 * time.Minute // for each piece of data
	finalTimeout   = 5 * time.Minute // for the reply to the end of data
)

// client is one SMTP session with a next hop.
type client struct {
	host string
	conn net.Conn
	r    *bufio.Reader
	w    *bufio.Writer
	ext  map[string]string // extensions of EHLO, upper case, with their parameters
	uses int
	// letGo ends what until began.
	letGo func()
}

// until makes the end of ctx end also what the session waits for, until letGo is called. A gateway that stops is not kept by a server that
// says nothing.
func (c *client) until(ctx context.Context) {
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		_ = c.conn.SetDeadline(time.Unix(1, 0))
	})
	c.letGo = sync.OnceFunc(func() {
		if !stop() {
			<-ended
		}
	})
}

// refusal is a reply where another was needed.
type refusal struct {
	doing string
	reply message.Reply
}

func (r *refusal) Error() string { return fmt.Sprintf("%s: the server said %s", r.doing, r.reply) }

// dial connects, greets, and secures the session as the relay asks for. Where opportunistic TLS fails the session is begun anew
// without it.
func dial(ctx context.Context, host, hostname string, relay *policy.Relay) (*client, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*dialTimeout)
	defer cancel()
	c, err := connect(ctx, host, hostname)
	if err != nil || relay.TLS == "none" {
		return c, err
	}
	if _, offered := c.ext["STARTTLS"]; !offered {
		if relay.TLS == "verify" {
			c.close()
			return nil, fmt.Errorf("connect to %s: TLS is required and not offered", host)
		}
		return c, nil
	}
	err = c.startTLS(ctx, hostname, relay)
	if err == nil {
		return c, nil
	}
	c.close()
	if relay.TLS == "verify" {
		return nil, fmt.Errorf("connect to %s: %w", host, err)
	}
	return connect(ctx, host, hostname)
}

func connect(ctx context.Context, host, hostname string) (*client, error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", host, err)
	}
	c := &client{host: host, conn: conn}
	c.buffer()
	c.until(ctx)
	defer c.letGo()
	if err := c.greet(ctx, hostname); err != nil {
		c.close()
		return nil, fmt.Errorf("connect to %s: %w", host, err)
	}
	return c, nil
}

const ioBuffer = 64 << 10

func (c *client) buffer() {
	c.r, c.w = bufio.NewReaderSize(c.conn, longestReplyLine), bufio.NewWriterSize(c.conn, ioBuffer)
}

func (c *client) greet(ctx context.Context, hostname string) error {
	reply, _, err := c.read(ctx, commandTimeout)
	if err != nil {
		return fmt.Errorf("read greeting: %w", err)
	}
	if reply.Code != 220 {
		return &refusal{"greet", reply}
	}
	return c.hello(ctx, hostname)
}

func (c *client) hello(ctx context.Context, hostname string) error {
	c.ext = map[string]string{}
	reply, lines, err := c.command(ctx, "EHLO "+hostname)
	if err != nil {
		return err
	}
	if reply.Code != 250 {
		if reply, _, err = c.command(ctx, "HELO "+hostname); err != nil {
			return err
		}
		if reply.Code != 250 {
			return &refusal{"say hello", reply}
		}
		return nil
	}
	for _, line := range lines[1:] {
		name, parameters, _ := strings.Cut(line, " ")
		c.ext[strings.ToUpper(name)] = parameters
	}
	return nil
}

func (c *client) startTLS(ctx context.Context, hostname string, relay *policy.Relay) error {
	reply, _, err := c.command(ctx, "STARTTLS")
	if err != nil {
		return err
	}
	if reply.Code != 220 {
		return &refusal{"start TLS", reply}
	}
	if c.r.Buffered() > 0 {
		return errors.New("start TLS: the server said more before the handshake, which nobody may believe")
	}
	config, err := tlsConfig(c.host, relay)
	if err != nil {
		return err
	}
	secured := tls.Client(c.conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("start TLS: %w", err)
	}
	c.conn = secured
	c.buffer()
	c.until(ctx)
	defer c.letGo()
	return c.hello(ctx, hostname)
}

// tlsConfig verifies where the relay asks for it. Opportunistic TLS takes any certificate: without TLS nobody would be asked either.
func tlsConfig(host string, relay *policy.Relay) (*tls.Config, error) {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		return nil, fmt.Errorf("start TLS: %w", err)
	}
	if relay.ServerName != "" {
		name = relay.ServerName
	}
	config := &tls.Config{ServerName: name, MinVersion: tls.VersionTLS12, InsecureSkipVerify: relay.TLS != "verify"}
	if relay.CAFile == "" {
		return config, nil
	}
	pem, err := os.ReadFile(relay.CAFile)
	if err != nil {
		return nil, fmt.Errorf("start TLS: read CA file: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("start TLS: %s holds no certificate", relay.CAFile)
	}
	return config, nil
}

// command sends one command and reads its reply.
func (c *client) command(ctx context.Context, line string) (message.Reply, []string, error) {
	if err := c.send(ctx, line); err != nil {
		return message.Reply{}, nil, err
	}
	return c.flushRead(ctx)
}

func (c *client) flushRead(ctx context.Context) (message.Reply, []string, error) {
	if err := c.flush(ctx); err != nil {
		return message.Reply{}, nil, err
	}
	return c.read(ctx, commandTimeout)
}

// send buffers a command. What would break out of its line is refused: addresses come from outside.
func (c *client) send(ctx context.Context, line string) error {
	if strings.ContainsAny(line, "\r\n\x00") {
		return fmt.Errorf("send %q: it holds a line end", line)
	}
	if err := c.deadline(ctx, writeTimeout); err != nil {
		return err
	}
	_, err := c.w.WriteString(line + "\r\n")
	if err != nil {
		return fmt.Errorf("send command: %w", err)
	}
	return nil
}

func (c *client) flush(ctx context.Context) error {
	if err := c.deadline(ctx, writeTimeout); err != nil {
		return err
	}
	if err := c.w.Flush(); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

func (c *client) read(ctx context.Context, patience time.Duration) (message.Reply, []string, error) {
	reply, lines, err := c.readAny(ctx, patience)
	if err == nil && reply.Code/100 == 3 {
		// To pass it on would make the client wait for something, or send it.
		return message.Reply{}, nil, fmt.Errorf("read reply: %w: %s asks for more where nothing follows", errReply, reply)
	}
	return reply, lines, err
}

// readAny takes the go-ahead to DATA too.
func (c *client) readAny(ctx context.Context, patience time.Duration) (message.Reply, []string, error) {
	if err := c.deadline(ctx, patience); err != nil {
		return message.Reply{}, nil, err
	}
	reply, lines, err := readReply(c.r)
	if err != nil {
		return reply, nil, fmt.Errorf("read reply: %w", err)
	}
	return reply, lines, nil
}

// deadline bounds the next step by patience and by the context.
func (c *client) deadline(ctx context.Context, patience time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	end := time.Now().Add(patience)
	if limit, ok := ctx.Deadline(); ok && limit.Before(end) {
		end = limit
	}
	if err := c.conn.SetDeadline(end); err != nil {
		return fmt.Errorf("set deadline: %w", err)
	}
	return ctx.Err() // it may have ended just before the deadline was set
}

func (c *client) close() { _ = c.conn.Close() }

// quit ends the session politely and without waiting.
func (c *client) quit() {
	_ = c.conn.SetDeadline(time.Now().Add(time.Second))
	_, _ = c.conn.Write([]byte("QUIT\r\n"))
	_ = c.conn.Close()
}

func (c *client) offers(extension string) bool {
	_, offered := c.ext[extension]
	return offered
}

// sizeLimit is the largest message that the server takes, 0: it does not say.
func (c *client) sizeLimit() int64 {
	limit, err := strconv.ParseInt(strings.TrimSpace(c.ext["SIZE"]), 10, 64)
	if err != nil {
		return 0
	}
	return limit
}
