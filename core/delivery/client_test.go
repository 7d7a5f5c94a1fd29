package delivery

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/policy"
	"github.com/postern-mail/postern/core/spool"
)

// hop is a next hop that plays a script, line by line, on each connection in turn:
//
//	TEXT        it says the line
//	< TEXT      it expects a command that begins so
//	data        it takes a message up to its end and keeps it
//	chunk       it expects BDAT, takes its bytes and keeps them
//	starttls    it shakes hands
//	wait        it waits until the test ends
//	pause       it waits until the test closes pause
//	end         it closes; so does the end of the script
type hop struct {
	t        *testing.T
	listener net.Listener
	config   *tls.Config
	stop     chan struct{}
	pause    chan struct{}
	done     sync.WaitGroup

	mu    sync.Mutex
	mails []string
	heard []string
}

func newHop(t *testing.T, config *tls.Config, scripts ...string) *hop {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &hop{t: t, listener: listener, config: config, stop: make(chan struct{}), pause: make(chan struct{})}
	h.done.Go(func() {
		for _, script := range scripts {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			h.done.Go(func() {
				if err := h.play(conn, script); err != nil {
					t.Errorf("next hop: %v", err)
				}
			})
		}
	})
	t.Cleanup(func() {
		close(h.stop)
		_ = listener.Close()
		h.done.Wait()
	})
	return h
}

func (h *hop) address() string { return h.listener.Addr().String() }

func (h *hop) play(conn net.Conn, script string) error {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	r := bufio.NewReader(conn)
	for _, line := range strings.Split(strings.TrimSpace(script), "\n") {
		line = strings.TrimSpace(line)
		switch {
		case line == "data":
			if err := h.data(r); err != nil {
				return err
			}
		case line == "chunk":
			if err := h.chunk(r); err != nil {
				return err
			}
		case line == "starttls":
			secured := tls.Server(conn, h.config)
			if err := secured.Handshake(); err != nil {
				return nil // the client does not like it, which the test sees
			}
			conn, r = secured, bufio.NewReader(secured)
		case line == "wait":
			<-h.stop
		case line == "pause":
			<-h.pause
		case line == "end":
			return nil
		case strings.HasPrefix(line, "< "):
			got, err := r.ReadString('\n')
			if err != nil {
				return fmt.Errorf("wait for %q: %w", line, err)
			}
			if !strings.HasPrefix(got, line[2:]) {
				return fmt.Errorf("%q where %q was due", got, line)
			}
			h.mu.Lock()
			h.heard = append(h.heard, strings.TrimSpace(got))
			h.mu.Unlock()
		default:
			if _, err := io.WriteString(conn, strings.ReplaceAll(line, "|", "\r\n")+"\r\n"); err != nil {
				return nil
			}
		}
	}
	return nil
}

func (h *hop) data(r *bufio.Reader) error {
	var b strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		b.WriteString(line)
		if strings.HasSuffix(b.String(), "\r\n.\r\n") || b.String() == ".\r\n" {
			h.keep(b.String())
			return nil
		}
	}
}

func (h *hop) chunk(r *bufio.Reader) error {
	line, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	words := strings.Fields(line)
	if len(words) < 2 || words[0] != "BDAT" {
		return fmt.Errorf("%q where BDAT was due", line)
	}
	n, err := strconv.Atoi(words[1])
	if err != nil {
		return err
	}
	content := make([]byte, n)
	if _, err := io.ReadFull(r, content); err != nil {
		return err
	}
	h.keep(strings.TrimSpace(line) + "\n" + string(content))
	return nil
}

func (h *hop) keep(mail string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mails = append(h.mails, mail)
}

func (h *hop) got() (mails, heard []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mails, h.heard
}

// bytesContent is content in memory.
type bytesContent struct{ message.Body }

func (b bytesContent) Open() (io.ReadCloser, error) { return b.Body.Open() }

func contentOf(text string) content { return bytesContent{spool.FromBytes([]byte(text))} }

func newDelivery(t *testing.T) *Delivery {
	d := &Delivery{Now: time.Now, Log: hclog.NewNullLogger()}
	t.Cleanup(d.Close)
	return d
}

func plainRelay(hosts ...string) *policy.Relay {
	return &policy.Relay{Name: "mailstore", Hosts: hosts, TLS: "none"}
}

const letter = "Subject: x\r\n\r\n.dot\r\n"

// TestRelay: what a next hop says becomes an outcome, and what is sent is what was to be sent.
func TestRelay(t *testing.T) {
	const greeting = "220 hop.example\n< EHLO gw.example.org\n"
	tests := []struct {
		name   string
		script string
		mail   mail
		want   string // replies to the recipients; the final reply; what arrived
	}{
		{"plain", greeting + `250 hop
			< MAIL FROM:<a@outside.example>
			250 ok
			< RCPT TO:<b@example.org>
			250 2.1.5 ok
			< DATA
			354 go on
			data
			250 2.0.0 taken as 17
			wait`, mail{}, `[250 2.1.5 ok] 250 2.0.0 taken as 17 ["Subject: x\r\n\r\n..dot\r\n.\r\n"]`},
		{"pipelining, size, chunks", greeting + `250-hop|250-PIPELINING|250-SIZE 1000|250 CHUNKING
			< MAIL FROM:<a@outside.example> SIZE=20
			< RCPT TO:<b@example.org>
			250 ok
			250 ok
			chunk
			250 taken
			wait`, mail{}, `[250 ok] 250 taken ["BDAT 20 LAST\nSubject: x\r\n\r\n.dot\r\n"]`},
		{"HELO for an old server", `220 hop
			< EHLO gw.example.org
			502 what
			< HELO gw.example.org
			250 hop
			< MAIL
			250 ok
			< RCPT
			250 ok
			< DATA
			354 go on
			data
			250 ok
			wait`, mail{}, `[250 ok] 250 ok ["Subject: x\r\n\r\n..dot\r\n.\r\n"]`},
		{"sender refused", greeting + `250 hop
			< MAIL
			550 5.7.1 not you
			< RSET
			250 ok
			wait`, mail{}, `[550 5.7.1 not you] 0  []`},
		{"one of two recipients refused", greeting + `250 hop
			< MAIL
			250 ok
			< RCPT TO:<b@example.org>
			250 ok
			< RCPT TO:<c@example.org>
			450 4.2.1 later
			< DATA
			354 go on
			data
			250 ok
			wait`, mail{to: []string{"b@example.org", "c@example.org"}}, `[250 ok 450 4.2.1 later] 250 ok ["Subject: x\r\n\r\n..dot\r\n.\r\n"]`},
		{"one of two recipients refused, all or none", greeting + `250 hop
			< MAIL
			250 ok
			< RCPT TO:<b@example.org>
			250 ok
			< RCPT TO:<c@example.org>
			550 5.1.1 nobody
			< RSET
			250 ok
			wait`, mail{to: []string{"b@example.org", "c@example.org"}, all: true}, `[250 ok 550 5.1.1 nobody] 0  []`},
		{"DATA refused", greeting + `250 hop
			< MAIL
			250 ok
			< RCPT
			250 ok
			< DATA
			451 4.3.0 not now
			< RSET
			250 ok
			wait`, mail{}, `[250 ok] 451 4.3.0 not now []`},
		{"message refused", greeting + `250 hop
			< MAIL
			250 ok
			< RCPT
			250 ok
			< DATA
			354 go on
			data
			554-5.6.0 first|554 5.6.0 second
			wait`, mail{}, `[250 ok] 554 5.6.0 first second ["Subject: x\r\n\r\n..dot\r\n.\r\n"]`},
		{"cut after the end of data", greeting + `250 hop
			< MAIL
			250 ok
			< RCPT
			250 ok
			< DATA
			354 go on
			data
			end`, mail{}, `[250 ok] ended without a reply: wait for the reply to the message: read reply: unexpected EOF`},
		{"garbage for a reply", greeting + `250 hop
			< MAIL
			what?
			end`, mail{}, `relay to mailstore: no host could be spoken to`},
		{"a go-ahead to a recipient", greeting + `250 hop
			< MAIL
			250 ok
			< RCPT
			354 go on
			end`, mail{}, `relay to mailstore: no host could be spoken to`},
		{"a go-ahead after the end of data", greeting + `250 hop
			< MAIL
			250 ok
			< RCPT
			250 ok
			< DATA
			354 go on
			data
			354 go on
			end`, mail{}, `[250 ok] ended without a reply: wait for the reply to the message: read reply: the server's reply is not SMTP: 354 go on`},
		{"too large for it", greeting + `250-hop|250 SIZE 5
			wait`, mail{}, `[552 5.3.4 Message is larger than the 5 bytes that HOST takes] 0  []`},
		{"no 8BITMIME", greeting + `250 hop
			wait`, mail{eightBit: true}, `[550 5.6.3 HOST does not take 8-bit mail] 0  []`},
		{"no SMTPUTF8", greeting + `250-hop|250 8BITMIME
			wait`, mail{utf8: true}, `[550 5.6.7 HOST does not take internationalized mail] 0  []`},
		{"8BITMIME and SMTPUTF8", greeting + `250-hop|250-8BITMIME|250 SMTPUTF8
			< MAIL FROM:<a@outside.example> BODY=8BITMIME SMTPUTF8
			250 ok
			< RCPT
			250 ok
			< DATA
			354 go on
			data
			250 ok
			wait`, mail{utf8: true, eightBit: true}, `[250 ok] 250 ok ["Subject: x\r\n\r\n..dot\r\n.\r\n"]`},
		{"busy", `421 4.3.2 shutting down
			end`, mail{}, `relay to mailstore: no host could be spoken to`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHop(t, nil, test.script)
			m := test.mail
			m.from, m.content = "a@outside.example", contentOf(letter)
			if len(m.to) == 0 {
				m.to = []string{"b@example.org"}
			}
			got := outcomeText(newDelivery(t), h, &m)
			if got = strings.ReplaceAll(got, h.address(), "HOST"); !strings.HasPrefix(got, test.want) {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func outcomeText(d *Delivery, h *hop, m *mail) string {
	o, _, err := d.relay(context.Background(), plainRelay(h.address()), "gw.example.org", m)
	switch {
	case o.ended && o.final.Code == 0:
		return fmt.Sprintf("%v ended without a reply: %v", o.recipients, err)
	case err != nil:
		return err.Error()
	}
	mails, _ := h.got()
	return fmt.Sprintf("%v %v %q", o.recipients, o.final, mails)
}

const takes = `220 hop
	< EHLO
	250 hop
	< MAIL
	250 ok
	< RCPT
	250 ok
	< DATA
	354 go on
	data
	250 ok
	`

func simpleMail() *mail {
	return &mail{from: "a@outside.example", to: []string{"b@example.org"}, content: contentOf(letter)}
}

// TestEnvelopeInjection: an address that holds a line end is never sent.
func TestEnvelopeInjection(t *testing.T) {
	h := newHop(t, nil, "220 hop\n< EHLO\n250 hop\nwait")
	m := simpleMail()
	m.to = []string{"b@example.org>\r\nRCPT TO:<evil@outside.example"}
	m.from = "a@outside.example>\r\nRSET"
	if o, _, err := newDelivery(t).relay(context.Background(), plainRelay(h.address()), "gw.example.org", m); err == nil {
		t.Errorf("sent: %+v", o)
	}
}

// TestContextEndsBeforeData: a hop that is slow before the end of data is given up, and the mail is still ours.
func TestContextEndsBeforeData(t *testing.T) {
	h := newHop(t, nil, "220 hop\n< EHLO\n250 hop\n< MAIL\n250 ok\n< RCPT\nwait")
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	o, _, err := newDelivery(t).relay(ctx, plainRelay(h.address()), "gw.example.org", simpleMail())
	if err == nil || o.ended {
		t.Errorf("%+v, %v", o, err)
	}
}

// TestCancelled: a gateway that stops does not wait for a hop that says nothing; where the end of data was sent it does, since who owns the
// mail hangs on that.
func TestCancelled(t *testing.T) {
	for name, script := range map[string]string{
		"greeting": "wait", "EHLO": "220 hop\n< EHLO\nwait", "MAIL": "220 hop\n< EHLO\n250 hop\n< MAIL\nwait",
		"DATA": "220 hop\n< EHLO\n250 hop\n< MAIL\n250 ok\n< RCPT\n250 ok\n< DATA\nwait",
	} {
		t.Run(name, func(t *testing.T) {
			h := newHop(t, nil, script)
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(50*time.Millisecond, cancel)
			if o, _, err := newDelivery(t).relay(ctx, plainRelay(h.address()), "gw.example.org", simpleMail()); err == nil || o.ended {
				t.Errorf("%+v, %v", o, err)
			}
		})
	}
	t.Run("end of data", func(t *testing.T) {
		h := newHop(t, nil, strings.Replace(takes, "data\n\t250 ok", "data\n\tpause\n\t250 ok", 1)+"wait")
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(50*time.Millisecond, func() { cancel(); close(h.pause) })
		if o, _, err := newDelivery(t).relay(ctx, plainRelay(h.address()), "gw.example.org", simpleMail()); err != nil || !o.final.Accepted() {
			t.Errorf("%+v, %v", o, err)
		}
	})
}
