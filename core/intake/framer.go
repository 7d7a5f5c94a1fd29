package intake

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Sizes of the framer.
const (
	maxCommandLine = 4096      // RFC 5321 section 4.5.3.1.4 asks for 512 and extensions for more
	frameBuffer    = 128 << 10 // what is read at once, and the largest piece that go-smtp is given
)

// errBroken is why a connection gives no more bytes. It is never io.EOF, which go-smtp takes for the good end of a message.
var errBroken = errors.New("connection broken off")

// errUpgrade ends a plain session because TLS follows.
var errUpgrade = errors.New("connection goes over to TLS")

// framer is the one place that decides where commands end and message data begins and ends. It stands between the network and
// go-smtp, which is given one command line at a time and all message data as BDAT chunks of exact size. With that a connection that
// stalls or ends in the midst of data is never read on for commands, a short chunk is never a whole message, and only CRLF.CRLF
// ends DATA, whatever go-smtp itself would make of the bytes (it has open faults in each of these, and reads DATA byte by byte).
type framer struct {
	net.Conn
	client    netip.AddrPort
	limits    frameLimits
	tls       bool // the connection is inside TLS already
	offersTLS bool
	// awaitData returns when go-smtp has begun to take the message that an empty chunk opened.
	awaitData func()

	// Of the goroutine that reads, which also writes all replies.
	state      frameState
	buffer     []byte // bytes read from the network
	start, end int    // the unread part of buffer
	pending    []byte // what go-smtp gets next
	payload    []byte // what it gets after that, in buffer
	chunks     bool   // the client sent a BDAT chunk that was not the last
	lineStart  bool   // DATA: the next byte begins a line
	chunkLeft  int64
	discarding bool   // DATA was refused: its rest is read and dropped
	refusal    []byte // the reply that follows the final dot then
	ending     bool   // DATA: the final dot has been seen
	lastByte   byte   // DATA: of the data so far
	doubtful   bool   // DATA: the line before the final dot ends in CR CR LF
	deadline   time.Time
	skipReply  bool // the next reply (the greeting after STARTTLS) is not sent
	bad        int

	waiting  atomic.Bool // blocked for the begin of a command
	draining atomic.Bool // the listener is being shut down

	mu       sync.Mutex
	broken   error
	upgraded bool
	closed   bool
	onClose  func(f *framer, upgraded bool)
}

type frameLimits struct {
	command time.Duration // for a whole command line to come
	data    time.Duration // for a whole message
	idle    time.Duration // between two pieces of data
	bad     int           // commands that were answered 50x
}

type frameState int

const (
	inCommand frameState = iota
	dataAsked            // DATA was passed on as an empty chunk; go-smtp's reply decides
	inData
	inChunk
)

func newFramer(conn net.Conn, limits frameLimits, tls, offersTLS bool, onClose func(*framer, bool)) *framer {
	return &framer{
		Conn: conn, limits: limits, tls: tls, offersTLS: offersTLS, onClose: onClose, buffer: make([]byte, frameBuffer),
	}
}

// Read gives go-smtp its next bytes.
func (f *framer) Read(p []byte) (int, error) {
	for len(f.pending) == 0 {
		if f.pending, f.payload = f.payload, nil; len(f.pending) > 0 {
			break
		}
		if err := f.failed(); err != nil {
			return 0, err
		}
		if f.state == inChunk {
			return f.readChunk(p)
		}
		var err error
		switch f.state {
		case inData:
			err = f.nextData()
		default:
			err = f.nextCommand()
		}
		if err != nil {
			return 0, f.fail(err)
		}
	}
	n := copy(p, f.pending)
	f.pending = f.pending[n:]
	return n, nil
}

// nextCommand waits for a whole line and makes it pending.
func (f *framer) nextCommand() error {
	if f.doubtful {
		// To a sender that takes no CR CR LF for a line's end what comes now is still the message, and it has stuffed no dot there.
		return f.say("421 4.7.0 The end of data was in doubt, closing the connection\r\n")
	}
	f.deadline = time.Now().Add(f.limits.command)
	if err := f.SetReadDeadline(f.deadline); err != nil {
		return err
	}
	for {
		unread := f.buffer[f.start:f.end]
		if i := bytes.IndexByte(unread, '\n'); i >= 0 && i < maxCommandLine {
			f.start += i + 1
			return f.command(unread[:i+1])
		}
		if len(unread) >= maxCommandLine {
			return f.say("500 5.5.2 Line too long\r\n")
		}
		f.waiting.Store(true)
		if f.draining.Load() {
			return f.say("421 4.3.2 Shutting down\r\n")
		}
		err := f.fill()
		f.waiting.Store(false)
		if err != nil {
			return err
		}
	}
}

// drain makes the connection end at its next command. A message under way is finished first.
func (f *framer) drain() {
	f.draining.Store(true)
	if f.waiting.Load() {
		_ = f.SetReadDeadline(time.Now())
	}
}

// command looks at one line for what changes the framing.
func (f *framer) command(line []byte) error {
	verb, arg, _ := strings.Cut(strings.TrimRight(string(line), "\r\n"), " ")
	if strings.ContainsAny(string(line), "\x00") || !bytes.HasSuffix(line, []byte("\r\n")) || bytes.IndexByte(line, '\r') != len(line)-2 {
		return f.say("500 5.5.2 Commands end in CRLF and hold no control characters\r\n")
	}
	switch strings.ToUpper(verb) {
	case "STARTTLS":
		if f.offersTLS && !f.tls && arg == "" {
			return f.upgrade()
		}
		return f.reply("502 5.5.1 TLS is not available here\r\n")
	case "RSET", "EHLO", "HELO", "MAIL":
		f.chunks = false
	case "DATA":
		if f.chunks {
			return f.say("503 5.5.1 DATA may not follow BDAT\r\n")
		}
		if strings.TrimSpace(arg) == "" {
			f.state = dataAsked
			f.pending = []byte("BDAT 0\r\n")
			return nil
		}
	case "BDAT":
		size, err := chunkSize(arg)
		if err != nil {
			// What follows the command may be a chunk of any length: it must not be read as commands.
			return f.say("501 5.5.4 " + err.Error() + "\r\n")
		}
		f.chunks = !strings.HasSuffix(strings.ToUpper(arg), "LAST")
		if size == 0 && f.chunks {
			f.pending = []byte("NOOP\r\n") // go-smtp would begin a message, and nothing tells when it has
			return nil
		}
		if size > 0 {
			f.state, f.chunkLeft = inChunk, size
			f.deadline = time.Now().Add(f.limits.data)
		}
	}
	f.pending = append([]byte(nil), line...)
	return nil
}

// chunkSize reads the arguments of BDAT (RFC 3030 section 2).
func chunkSize(arg string) (int64, error) {
	words := strings.Fields(arg)
	if len(words) == 0 || len(words) > 2 || len(words) == 2 && !strings.EqualFold(words[1], "LAST") {
		return 0, errors.New("BDAT takes a size and LAST")
	}
	size, err := strconv.ParseUint(words[0], 10, 32)
	if err != nil {
		return 0, errors.New("malformed chunk size")
	}
	return int64(size), nil
}

// upgrade answers STARTTLS and ends the plain session. Bytes that came with the command are an injection (RFC 3207 section 4.2).
func (f *framer) upgrade() error {
	if f.start != f.end {
		return f.say("501 5.5.1 Nothing may follow STARTTLS before its reply\r\n")
	}
	if err := f.send([]byte("220 2.0.0 Ready to start TLS\r\n")); err != nil {
		return err
	}
	f.mu.Lock()
	f.upgraded = true
	f.mu.Unlock()
	return f.fail(errUpgrade)
}

// readChunk passes the bytes of the client's own BDAT chunk through.
func (f *framer) readChunk(p []byte) (int, error) {
	if f.start == f.end {
		if err := f.dataDeadline(); err != nil {
			return 0, f.fail(err)
		}
		if err := f.fill(); err != nil {
			return 0, f.fail(err)
		}
	}
	n := copy(p, f.buffer[f.start:f.end])
	if int64(n) > f.chunkLeft {
		n = int(f.chunkLeft)
	}
	f.start += n
	f.chunkLeft -= int64(n)
	if f.chunkLeft == 0 {
		f.state = inCommand
	}
	return n, nil
}

// nextData makes the next piece of DATA pending, as a chunk without dot-stuffing.
func (f *framer) nextData() error {
	if f.ending {
		return f.endData()
	}
	for {
		piece := f.takeData()
		switch {
		case len(piece) > 0 && !f.discarding:
			f.pending = append(strconv.AppendInt([]byte("BDAT "), int64(len(piece)), 10), "\r\n"...)
			f.payload = piece
			return nil
		case f.ending:
			return f.endData()
		case len(piece) > 0:
			continue
		}
		if err := f.dataDeadline(); err != nil {
			return err
		}
		if err := f.fill(); err != nil {
			return err
		}
	}
}

// takeData takes all that can be told to be data off the buffer, without its dot-stuffing. The bytes move together in place, so
// that stuffed lines do not make many small chunks.
func (f *framer) takeData() []byte {
	read, write := f.start, f.start
	for !f.ending {
		piece, used, end := splitData(f.buffer[read:f.end], f.lineStart)
		if used == 0 {
			break
		}
		f.ending = end
		f.lineStart = bytes.HasSuffix(piece, []byte("\r\n"))
		f.note(piece)
		read += used
		if write+len(piece) == read {
			write = read
		} else {
			write += copy(f.buffer[write:], piece)
		}
	}
	piece := f.buffer[f.start:write]
	f.start = read
	return piece
}

// note looks whether the line that the piece ends is one that servers differ on.
func (f *framer) note(piece []byte) {
	switch n := len(piece); {
	case n == 0:
		return
	case n == 2:
		f.doubtful = f.lineStart && f.lastByte == '\r'
	default:
		f.doubtful = bytes.HasSuffix(piece, []byte("\r\r\n"))
	}
	f.lastByte = piece[len(piece)-1]
}

// endData follows the final dot: the message ends in go-smtp too, or the refusal it gave before is sent.
func (f *framer) endData() error {
	f.ending, f.state = false, inCommand
	if !f.discarding {
		f.pending = []byte("BDAT 0 LAST\r\n")
		return nil
	}
	f.discarding = false
	return f.send(f.refusal)
}

// splitData takes the next piece of DATA off the front of b: bytes up to the next stuffed dot, to the final dot, or to the end. used
// is how many bytes of b that took; what may be the begin of a dot line stays. Only CRLF.CRLF ends (RFC 5321 section 4.1.1.4).
func splitData(b []byte, lineStart bool) (piece []byte, used int, end bool) {
	skip := 0
	if lineStart && len(b) > 0 && b[0] == '.' {
		switch {
		case len(b) >= 3 && b[1] == '\r' && b[2] == '\n':
			return nil, 3, true
		case len(b) < 3 && (len(b) == 1 || b[1] == '\r'):
			return nil, 0, false
		}
		skip = 1
	}
	if i := bytes.Index(b[skip:], []byte("\r\n.")); i >= 0 {
		used = skip + i + 2
		return b[skip:used], used, false
	}
	used = len(b)
	if used > skip && b[used-1] == '\r' {
		used-- // CRLF may follow, and a dot
	}
	if used <= skip {
		return nil, 0, false
	}
	return b[skip:used], used, false
}

// dataDeadline sets the deadline for the next piece of data: the idle time, within the time for the whole message.
func (f *framer) dataDeadline() error {
	next := time.Now().Add(f.limits.idle)
	if f.deadline.Before(next) {
		next = f.deadline
	}
	return f.SetReadDeadline(next)
}

// fill reads from the network into the free end of the buffer.
func (f *framer) fill() error {
	if f.start == f.end {
		f.start, f.end = 0, 0
	} else if f.end == len(f.buffer) {
		f.end = copy(f.buffer, f.buffer[f.start:f.end])
		f.start = 0
	}
	n, err := f.Conn.Read(f.buffer[f.end:])
	f.end += n
	if n > 0 {
		return nil
	}
	return err
}

// Write takes go-smtp's replies. Those to the chunks that DATA was turned into are not the client's to see.
func (f *framer) Write(p []byte) (int, error) {
	if f.failed() != nil {
		return len(p), nil // go-smtp's words about a broken connection are replaced by those of fail
	}
	switch {
	case f.skipReply:
		f.skipReply = len(p) > 3 && p[3] == '-'
		return len(p), nil
	case f.state == dataAsked:
		return len(p), f.dataAnswer(p)
	case f.state == inData:
		if !bytes.HasPrefix(p, []byte("250")) {
			f.discarding, f.refusal = true, append([]byte(nil), p...)
		}
		return len(p), nil
	}
	if bytes.HasPrefix(p, []byte("50")) {
		f.bad++
		if f.limits.bad > 0 && f.bad > f.limits.bad {
			_ = f.say("421 4.7.0 Too many bad commands\r\n")
			return len(p), nil
		}
	}
	if err := f.send(p); err != nil {
		return 0, f.fail(err)
	}
	return len(p), nil
}

// dataAnswer turns the reply to the empty first chunk into the one to DATA.
func (f *framer) dataAnswer(p []byte) error {
	if !bytes.HasPrefix(p, []byte("250")) {
		f.state = inCommand
		return f.send(p)
	}
	f.awaitData()
	f.state, f.lineStart, f.discarding, f.ending = inData, true, false, false
	f.lastByte, f.doubtful = 0, false
	f.deadline = time.Now().Add(f.limits.data)
	return f.send([]byte("354 Go ahead; end with <CRLF>.<CRLF>\r\n"))
}

func (f *framer) send(p []byte) error {
	if err := f.SetWriteDeadline(time.Now().Add(f.limits.command)); err != nil {
		return err
	}
	_, err := f.Conn.Write(p)
	return err
}

// reply answers a command that go-smtp is not to see, and goes on.
func (f *framer) reply(text string) error {
	f.bad++
	if f.limits.bad > 0 && f.bad > f.limits.bad {
		return f.say("421 4.7.0 Too many bad commands\r\n")
	}
	return f.send([]byte(text))
}

// say sends last words and breaks the connection off.
func (f *framer) say(text string) error {
	err := f.send([]byte(text))
	return f.fail(errors.Join(errBroken, err))
}

// breakOff makes the connection end after the words, whoever reads or writes next.
func (f *framer) breakOff(text string) { _ = f.say(text) }

// fail makes err the connection's state for good. A client that is still there and was only slow is told so.
func (f *framer) fail(err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken != nil {
		return f.broken
	}
	switch {
	case !errors.Is(err, os.ErrDeadlineExceeded):
	case f.draining.Load():
		_ = f.send([]byte("421 4.3.2 Shutting down\r\n"))
	default:
		_ = f.send([]byte("421 4.4.2 Timeout, closing the connection\r\n"))
	}
	f.broken = fmt.Errorf("%w: %w", net.ErrClosed, err)
	return f.broken
}

func (f *framer) failed() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.broken
}

// Close ends the connection, or hands it over where TLS follows.
func (f *framer) Close() error {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return nil
	}
	f.closed = true
	upgraded := f.upgraded
	f.mu.Unlock()
	// Its place is free before the client can see that the connection has ended, so that one who comes again at once is let in.
	f.onClose(f, upgraded)
	if upgraded {
		return nil
	}
	return f.Conn.Close()
}
