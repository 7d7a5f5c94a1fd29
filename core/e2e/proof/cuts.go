package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-mail/postern/core/robustness"
)

const (
	cutsAtOnce = 8
	// cutPatience is how long a session that is cut may take.
	cutPatience = 30 * time.Second
)

// cuts ends a session of two letters, one by DATA and one by BDAT, after each of its bytes. STEP looks at every so many of them only.
func cuts(ctx context.Context, e *env) error {
	step, err := e.number("STEP", 1)
	if err != nil {
		return err
	}
	return cutEvery(ctx, e, int(step))
}

func cutEvery(ctx context.Context, e *env, step int) (err error) {
	g, err := newGround(ctx, e, e.bin, "sqlite")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.end()) }()
	if err := g.start(ctx); err != nil {
		return err
	}
	c := &cutter{ground: g, whole: map[string]bool{}, taken: map[string]bool{}}
	length := len(bytes.Join(c.session(0).pieces, nil))
	var (
		next    atomic.Int64
		cutting sync.WaitGroup
		failed  error
	)
	for range cutsAtOnce {
		cutting.Go(func() {
			for ctx.Err() == nil {
				at := int(next.Add(int64(step))) - step
				if at > length {
					return
				}
				if err := c.cut(at); err != nil {
					c.mu.Lock()
					failed = errors.Join(failed, fmt.Errorf("cut after %d bytes: %w", at, err))
					c.mu.Unlock()
					return
				}
			}
		})
	}
	cutting.Wait()
	if err := errors.Join(failed, ctx.Err()); err != nil {
		return err
	}
	if err := g.settled(ctx, time.Minute); err != nil {
		return err
	}
	partial, desynchronised, lost := c.judge()
	e.printf("a session of %d bytes with two letters, cut at %d places (by FIN, half-close and RST in turn): %d letters sent whole, %d of them answered 250, "+
		"%d arrived; %d partial, %d desynchronised, %d lost", length, length/step+1, len(c.whole), len(c.taken), len(g.hop.Arrivals()), partial, desynchronised, lost)
	r, err := g.check(ctx)
	if err != nil {
		return err
	}
	if partial+desynchronised+lost > 0 || len(r.Altered) > 0 || len(c.whole) == 0 {
		return errShort
	}
	return nil
}

// cutter cuts sessions and remembers what was sent whole and what was answered 250.
type cutter struct {
	ground       *ground
	mu           sync.Mutex
	whole, taken map[string]bool
}

// cutSession is what a client sends in pieces, waiting for so many replies after each; a piece may end a letter.
type cutSession struct {
	pieces  [][]byte
	replies []int
	ends    []string // ids
	letters []*robustness.Letter
}

// session is the same for each cut but for the ids, which are of one length.
func (c *cutter) session(at int) *cutSession {
	s := &cutSession{}
	for n := range 2 {
		s.letters = append(s.letters, robustness.NewLetter(fmt.Sprintf("cut%06d.%d", at, n),
			robustness.Kind{Name: "cut", Extension: "txt", Size: 1900, To: []robustness.To{{Domain: "example.org", Fate: robustness.Delivered}}}))
	}
	add := func(piece string, replies int, ends string) {
		s.pieces, s.replies, s.ends = append(s.pieces, []byte(piece)), append(s.replies, replies), append(s.ends, ends)
	}
	envelope := func(l *robustness.Letter) string {
		return "MAIL FROM:<" + l.From + ">\r\nRCPT TO:<" + l.To[0] + ">\r\n"
	}
	first, second := s.letters[0], s.letters[1]
	add("EHLO client.example\r\n", 1, "")
	add(envelope(first)+"DATA\r\n", 3, "")
	add(string(stuffed(first.Data))+".\r\n", 1, first.ID)
	add(envelope(second), 2, "")
	half := len(second.Data) / 2
	add(fmt.Sprintf("BDAT %d\r\n%s", half, second.Data[:half]), 1, "")
	add(fmt.Sprintf("BDAT %d LAST\r\n%s", len(second.Data)-half, second.Data[half:]), 1, second.ID)
	add("QUIT\r\n", 1, "")
	return s
}

func stuffed(data []byte) []byte {
	var b bytes.Buffer
	for line := range bytes.Lines(data) {
		if line[0] == '.' {
			b.WriteByte('.')
		}
		b.Write(line)
	}
	return b.Bytes()
}

// cut plays the session up to that many bytes and ends it.
func (c *cutter) cut(at int) error {
	conn, err := net.DialTimeout("tcp", c.ground.site.Gateway.Address("in"), cutPatience)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(cutPatience)); err != nil {
		return err
	}
	s, r, left := c.session(at), bufio.NewReader(conn), at
	for _, letter := range s.letters {
		c.ground.ledger.Sending(letter)
	}
	if err := replies(r, 1, "220"); err != nil {
		return err
	}
	for i, piece := range s.pieces {
		if _, err := conn.Write(piece[:min(left, len(piece))]); err != nil {
			return err
		}
		if left < len(piece) {
			break
		}
		left -= len(piece)
		if s.ends[i] != "" {
			c.note(c.whole, s.ends[i])
		}
		if left == 0 {
			break // cut before the reply
		}
		if err := replies(r, s.replies[i], ""); err != nil {
			return err
		}
		if s.ends[i] != "" {
			c.note(c.taken, s.ends[i])
		}
	}
	return hangUp(conn.(*net.TCPConn), r, at)
}

func (c *cutter) note(in map[string]bool, id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	in[id] = true
}

// replies reads that many, each of which has to be good.
func replies(r *bufio.Reader, n int, prefix string) error {
	for n > 0 {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		if line[0] > '3' || !strings.HasPrefix(line, prefix) {
			return fmt.Errorf("the gateway said %q", line)
		}
		if len(line) > 3 && line[3] == ' ' {
			n--
		}
	}
	return nil
}

// hangUp ends the connection in one of three ways.
func hangUp(conn *net.TCPConn, r *bufio.Reader, way int) error {
	switch way % 3 {
	case 0: // both directions at once
		return conn.Close()
	case 1: // RST
		return errors.Join(conn.SetLinger(0), conn.Close())
	}
	// Half-close: what the gateway still says is read; it has to end the session itself.
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	for {
		if _, err := r.ReadString('\n'); err != nil {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				return fmt.Errorf("the session goes on after its end: %w", err)
			}
			return nil
		}
	}
}

// judge compares what arrived with what was sent whole.
func (c *cutter) judge() (partial, desynchronised, lost int) {
	arrived := map[string]bool{}
	for _, a := range c.ground.hop.Arrivals() {
		id, _, _ := strings.Cut(strings.Join(a.To, ","), "@")
		arrived[id] = true
		switch {
		case a.From != "alice@outside.example" || len(a.To) != 1:
			desynchronised++
		case !c.whole[id]:
			partial++
		}
	}
	for id := range c.taken {
		if !arrived[id] {
			lost++
		}
	}
	return partial, desynchronised, lost
}

// endings are bytes that some server takes, or took, for the end of data (Postfix CVE-2023-51764, Sendmail -51765, Exim -51766 and others).
func endings() []string {
	return []string{
		"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\n", "\n.\r", "\r.\r\n", "\r\n.\r",
		"\r\n\x00.\r\n", "\r\n.\x00\r\n", "\r\x00\n.\r\n", "\r\n.\r\x00\n", "\r\r\n.\r\n", "\r\n.\r\r\n", "\r\r\n.\r\r\n",
	}
}

// evil is what follows: were the bytes before it the end, it would be a second mail.
const evil = "MAIL FROM:<evil@outside.example>\r\nRCPT TO:<victim@example.org>\r\nDATA\r\nSubject: smuggled\r\n\r\nsmuggled\r\n.\r\n"

// endOfData sends mail with every ending in its midst, by DATA and by BDAT, to a listener that refuses bare line ends and to one that makes
// them whole, and looks at every byte that the next hop gets.
func endOfData(ctx context.Context, e *env) (err error) {
	g, err := newGround(ctx, e, e.bin, "sqlite")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.end()) }()
	if err := g.site.WriteConfig("lenient.hcl", []byte("listener \"smtp\" \"lenient\" {\n  address = \"127.0.0.1:0\"\n"+
		"  relay_networks = [\"127.0.0.0/8\"]\n  bare_newlines = \"normalize\"\n}\n")); err != nil {
		return err
	}
	if err := g.start(ctx); err != nil {
		return err
	}
	short := false
	for _, listener := range []string{"in", "lenient"} {
		refused, relayed := 0, 0
		for _, ending := range append(endings(), "\r\n.\r\n") {
			for _, bdat := range []bool{false, true} {
				if ending == "\r\n.\r\n" && !bdat {
					continue // that is the end
				}
				g.hop.Forget()
				code, err := smuggle(g.site.Gateway.Address(listener), "Subject: outer\r\n\r\nhi"+ending+evil, bdat)
				if err != nil {
					return fmt.Errorf("%q: %w", ending, err)
				}
				arrived := g.hop.Arrivals()
				switch {
				case code/100 == 5 && len(arrived) == 0:
					refused++
				case code == 250 && len(arrived) == 1 && arrived[0].From == "a@outside.example" && clean(arrived[0].Raw):
					relayed++
				default:
					short = true
					e.printf("    %s, %q, BDAT %v: answered %d, %d mails arrived: %.300q", listener, ending, bdat, code, len(arrived), arrived)
				}
			}
		}
		e.printf("listener %q: %d refused, %d relayed as one mail without an ending in its midst", listener, refused, relayed)
		if short || refused == 0 || relayed == 0 {
			return errShort
		}
	}
	return nil
}

// smuggle sends the content as one mail and returns the code of the answer. The session is then closed, or answers a NOOP, and nothing else
// before.
func smuggle(address, content string, bdat bool) (code int, err error) {
	conn, err := net.DialTimeout("tcp", address, cutPatience)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(cutPatience)); err != nil {
		return 0, err
	}
	r := bufio.NewReader(conn)
	say := func(text string, good int) error {
		if _, err := conn.Write([]byte(text)); err != nil {
			return err
		}
		return replies(r, good, "")
	}
	if err := errors.Join(replies(r, 1, "220"), say("EHLO c\r\n", 1), say("MAIL FROM:<a@outside.example>\r\n", 1), say("RCPT TO:<b@example.org>\r\n", 1)); err != nil {
		return 0, err
	}
	if bdat {
		err = say(fmt.Sprintf("BDAT %d LAST\r\n%s", len(content), content), 0)
	} else {
		err = errors.Join(say("DATA\r\n", 1), say(content, 0))
	}
	if err != nil {
		return 0, err
	}
	line, err := r.ReadString('\n')
	if err != nil {
		return 0, err
	}
	if _, err := fmt.Sscanf(line, "%d", &code); err != nil {
		return 0, fmt.Errorf("the gateway said %q: %w", line, err)
	}
	if err := say("NOOP\r\n", 0); err != nil {
		return code, err
	}
	after, err := r.ReadString('\n')
	if err == nil && (strings.Contains(after, "done nothing") || strings.HasPrefix(after, "421 ")) {
		return code, nil
	}
	return 0, fmt.Errorf("after %q a NOOP is answered %q (%w): %w", line, after, err, errShort)
}

// clean reports whether what the hop got has no ending but its last, whoever reads it.
func clean(raw []byte) bool {
	body, ended := bytes.CutSuffix(raw, []byte("\r\n.\r\n"))
	bare := bytes.ContainsAny(bytes.ReplaceAll(body, []byte("\r\n"), nil), "\r\n\x00")
	return ended && !bare && !slices.ContainsFunc(append(endings(), "\r\n.\r\n"), func(e string) bool { return bytes.Contains(body, []byte(e)) })
}
