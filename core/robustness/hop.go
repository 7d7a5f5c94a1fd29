package robustness

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Arrival is one mail that a hop took.
type Arrival struct {
	At   time.Time
	From string
	To   []string
	Data []byte
	// Unanswered says that the sender did not get a proper reply to it: nobody can blame it for sending again.
	Unanswered bool
	// Heard says that the sender went on with the session after the reply, so that it has read it.
	Heard bool
	// Raw is what came after DATA, with its dots and its end; nil after BDAT.
	Raw []byte
}

// Act is what a hop does at one point of a session. The zero Act is what a server that is well does.
type Act struct {
	// Reply is said in place of the usual one, its lines ended by "|"; what is not 2xx at the end of data refuses the mail.
	Reply string
	// Cut ends the connection, after Reply where there is one. At the end of data the mail is taken before.
	Cut bool
	// Wait holds the answer back until it is closed or the hop is.
	Wait <-chan struct{}
}

// The points of a session that are no commands.
const (
	AtConnect   = "connect"
	AtEndOfData = "end of data"
)

// Hop is a next hop that remembers what it took, with the time, and misbehaves where it is told to.
type Hop struct {
	Offers []string // extensions
	// Answer is asked at each point: a command's verb, AtConnect or AtEndOfData. It may be called by several sessions at once.
	Answer func(point, argument string) Act

	address  string
	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]bool
	arrivals []Arrival
	stop     chan struct{}
	sessions sync.WaitGroup
}

// StartHop listens on a port of its own.
func StartHop(offers []string, answer func(point, argument string) Act) (*Hop, error) {
	h := &Hop{Offers: offers, Answer: answer, conns: map[net.Conn]bool{}}
	return h, h.listen("127.0.0.1:0")
}

func (h *Hop) listen(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("start next hop: %w", err)
	}
	h.mu.Lock()
	h.listener, h.address, h.stop = listener, listener.Addr().String(), make(chan struct{})
	stop := h.stop
	h.mu.Unlock()
	h.sessions.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			h.mu.Lock()
			h.conns[conn] = true
			h.mu.Unlock()
			h.sessions.Go(func() {
				h.serve(conn, stop)
				h.mu.Lock()
				delete(h.conns, conn)
				h.mu.Unlock()
				_ = conn.Close()
			})
		}
	})
	return nil
}

// Addr is where it listens, or did before it went down.
func (h *Hop) Addr() string { return h.address }

// Down ends it with all of its sessions; Up brings it back to the same port.
func (h *Hop) Down() {
	h.mu.Lock()
	close(h.stop)
	_ = h.listener.Close()
	for conn := range h.conns {
		_ = conn.Close()
	}
	h.mu.Unlock()
	h.sessions.Wait()
}

// Up listens again.
func (h *Hop) Up() error { return h.listen(h.address) }

// Arrivals are the mails so far.
func (h *Hop) Arrivals() []Arrival {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Arrival(nil), h.arrivals...)
}

// Forget drops them.
func (h *Hop) Forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.arrivals = nil
}

// hopSession is one connection.
type hopSession struct {
	hop  *Hop
	conn net.Conn
	r    *bufio.Reader
	stop <-chan struct{}
	mail Arrival
	// replied is the place of the arrival whose reply was said last and that nothing has followed yet, -1 where there is none.
	replied int
}

func (h *Hop) serve(conn net.Conn, stop <-chan struct{}) {
	s := &hopSession{hop: h, conn: conn, r: bufio.NewReaderSize(conn, 64<<10), stop: stop, replied: -1}
	for on := s.answer(AtConnect, "", "220 hop.example ESMTP"); on; {
		line, err := s.r.ReadString('\n')
		if err != nil {
			return
		}
		s.heard()
		verb, argument, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		on = s.command(strings.ToUpper(verb), argument)
	}
}

// heard notes that the sender has gone on after the reply to its last mail. Nobody pipelines behind the end of data (RFC 2920).
func (s *hopSession) heard() {
	if s.replied < 0 {
		return
	}
	s.hop.mu.Lock()
	defer s.hop.mu.Unlock()
	if s.replied < len(s.hop.arrivals) { // not forgotten meanwhile
		s.hop.arrivals[s.replied].Heard = true
	}
	s.replied = -1
}

// answer says what is usual, or what the hop is told to instead, and reports whether the session goes on.
func (s *hopSession) answer(point, argument, usual string) bool {
	act := s.act(point, argument)
	return s.say(act, usual)
}

func (s *hopSession) act(point, argument string) Act {
	if s.hop.Answer == nil {
		return Act{}
	}
	return s.hop.Answer(point, argument)
}

func (s *hopSession) say(act Act, usual string) bool {
	if act.Wait != nil {
		select {
		case <-act.Wait:
		case <-s.stop:
			return false
		}
	}
	if act.Reply != "" {
		usual = act.Reply
	} else if act.Cut {
		return false
	}
	_, err := io.WriteString(s.conn, strings.ReplaceAll(usual, "|", "\r\n")+"\r\n")
	return err == nil && !act.Cut
}

func (s *hopSession) command(verb, argument string) bool {
	switch verb {
	case "EHLO":
		return s.answer(verb, argument, "250-"+strings.Join(append([]string{"hop.example", "8BITMIME"}, s.hop.Offers...), "|250-")+"|250 SMTPUTF8")
	case "MAIL":
		s.mail = Arrival{From: addressIn(argument)}
		return s.answer(verb, argument, "250 2.1.0 ok")
	case "RCPT":
		act := s.act(verb, argument)
		if act.Reply == "" || strings.HasPrefix(act.Reply, "2") {
			s.mail.To = append(s.mail.To, addressIn(argument))
		}
		return s.say(act, "250 2.1.5 ok")
	case "DATA":
		act := s.act(verb, argument)
		if act.Reply != "" && !strings.HasPrefix(act.Reply, "354") || act.Cut {
			return s.say(act, "")
		}
		return s.say(act, "354 go on") && s.data()
	case "BDAT":
		return s.chunk(argument)
	case "QUIT":
		s.answer(verb, argument, "221 2.0.0 bye")
		return false
	}
	return s.answer(verb, argument, "250 2.0.0 ok")
}

func addressIn(argument string) string {
	_, rest, _ := strings.Cut(argument, "<")
	address, _, _ := strings.Cut(rest, ">")
	return address
}

// data reads to CRLF.CRLF.
func (s *hopSession) data() bool {
	for {
		line, err := s.r.ReadBytes('\n')
		if err != nil {
			return false
		}
		atLineStart := len(s.mail.Raw) == 0 || bytes.HasSuffix(s.mail.Raw, []byte("\r\n"))
		s.mail.Raw = append(s.mail.Raw, line...)
		if atLineStart && bytes.Equal(line, []byte(".\r\n")) {
			return s.end()
		}
		if atLineStart && line[0] == '.' {
			line = line[1:]
		}
		s.mail.Data = append(s.mail.Data, line...)
	}
}

func (s *hopSession) chunk(argument string) bool {
	words := strings.Fields(argument)
	if len(words) == 0 {
		return s.say(Act{}, "501 5.5.4 size?")
	}
	size, err := strconv.Atoi(words[0])
	if err != nil {
		return s.say(Act{}, "501 5.5.4 size?")
	}
	content := make([]byte, size)
	if _, err := io.ReadFull(s.r, content); err != nil {
		return false
	}
	s.mail.Data = append(s.mail.Data, content...)
	if len(words) < 2 {
		return s.answer("BDAT", argument, "250 2.0.0 ok")
	}
	return s.end()
}

// end takes the mail, unless it is to be refused.
func (s *hopSession) end() bool {
	act := s.act(AtEndOfData, s.mail.From)
	if act.Reply == "" || strings.HasPrefix(act.Reply, "2") {
		s.hop.mu.Lock()
		s.mail.At, s.mail.Unanswered = time.Now(), act.Cut || act.Reply != ""
		s.replied = len(s.hop.arrivals)
		s.hop.arrivals = append(s.hop.arrivals, s.mail)
		s.hop.mu.Unlock()
	}
	s.mail = Arrival{}
	return s.say(act, "250 2.0.0 taken")
}
