package pluginprocess

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/hashicorp/go-hclog"
)

const (
	maxHandshake = 4 << 10  // bytes of the handshake line
	maxLine      = 16 << 10 // bytes of a log line; what is longer is cut
	maxFields    = 32       // fields of a log line that are kept
	maxValue     = 1 << 10  // bytes of a field's value
	tailLines    = 5        // last lines kept for error messages
	linesAtOnce  = 500      // lines that may come together
	linesEach    = 100      // lines a second in the long run; what is more is counted and dropped
)

// output reads what a plugin writes. The first line of standard output goes to go-plugin; everything else is untrusted text that
// becomes log lines.
type output struct {
	log       hclog.Logger
	handshake *io.PipeReader
	write     *io.PipeWriter

	mu       sync.Mutex
	last     []string
	panicked bool // last begins with what the process died of
	rate     bucket
}

func newOutput(log hclog.Logger) *output {
	r, w := io.Pipe()
	return &output{log: log, handshake: r, write: w, rate: bucket{left: linesAtOnce}}
}

// bucket lets so many lines through at once, and so many each second.
type bucket struct {
	left    float64
	at      time.Time
	dropped int
}

// take reports whether one more line may pass, and how many were dropped before it.
func (b *bucket) take(now time.Time) (pass bool, dropped int) {
	if !b.at.IsZero() {
		b.left = min(linesAtOnce, b.left+linesEach*now.Sub(b.at).Seconds())
	}
	b.at = now
	if b.left < 1 {
		b.dropped++
		return false, 0
	}
	b.left--
	dropped, b.dropped = b.dropped, 0
	return true, dropped
}

// admit reports whether a line is to be logged, and logs how many were not since the last that was.
func (o *output) admit() bool {
	o.mu.Lock()
	pass, dropped := o.rate.take(time.Now())
	o.mu.Unlock()
	if dropped > 0 {
		o.log.Warn("the plugin wrote more than is logged", "dropped_lines", dropped)
	}
	return pass
}

// finish logs what was dropped at the end.
func (o *output) finish() {
	o.mu.Lock()
	dropped := o.rate.dropped
	o.rate.dropped = 0
	o.mu.Unlock()
	if dropped > 0 {
		o.log.Warn("the plugin wrote more than is logged", "dropped_lines", dropped)
	}
}

// read starts reading both streams; the returned channel is closed when both have ended.
func (o *output) read(stdout, stderr io.Reader) <-chan struct{} {
	var readers sync.WaitGroup
	readers.Add(2)
	go func() {
		defer readers.Done()
		o.readStdout(stdout)
	}()
	go func() {
		defer readers.Done()
		eachLine(bufio.NewReaderSize(stderr, 4096), maxLine, o.logLine)
	}()
	done := make(chan struct{})
	go func() {
		readers.Wait()
		o.finish()
		close(done)
	}()
	return done
}

// close ends go-plugin's reading.
func (o *output) close() { _ = o.write.Close() }

func (o *output) readStdout(stdout io.Reader) {
	first := true
	eachLine(bufio.NewReaderSize(stdout, 4096), maxLine, func(line string, cut bool) {
		if !first {
			if !o.admit() {
				return
			}
			o.log.Info("plugin wrote to standard output", "text", clean(line, maxValue))
			return
		}
		first = false
		if cut || len(line) > maxHandshake {
			line = clean(line, 64) + "... is not a handshake"
		}
		// Where go-plugin has given up and does not read, close ends this write.
		_, _ = io.WriteString(o.write, line+"\n")
	})
}

// eachLine calls fn for every line, cut to limit bytes. It reads to the end whatever the lines' lengths.
func eachLine(r *bufio.Reader, limit int, fn func(line string, cut bool)) {
	var line []byte
	cut := false
	for {
		piece, err := r.ReadSlice('\n')
		if room := limit - len(line); room > 0 {
			line = append(line, piece[:min(room, len(piece))]...)
		}
		cut = cut || len(line) >= limit
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if len(line) > 0 {
			fn(strings.TrimRight(string(line), "\r\n"), cut)
		}
		if err != nil {
			return
		}
		line, cut = line[:0], false
	}
}

// logLine logs one line of standard error: hclog's JSON where it is that, plain text otherwise. No type is taken for granted.
func (o *output) logLine(line string, cut bool) {
	o.remember(line)
	if !o.admit() {
		return
	}
	level, text, fields := parseLine(line)
	if cut {
		fields = append(fields, "truncated", true)
	}
	o.log.Log(level, text, fields...)
}

// parseLine takes a log line apart into level, message and fields, whose names get the prefix "p_".
func parseLine(line string) (hclog.Level, string, []any) {
	var object map[string]any
	if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &object) != nil {
		return plainLevel(line), clean(line, maxLine), nil
	}
	level := hclog.Info
	if word, ok := object["@level"].(string); ok {
		if parsed := hclog.LevelFromString(word); parsed != hclog.NoLevel {
			level = parsed
		}
	}
	text, ok := object["@message"].(string)
	if !ok {
		text = "(no message)"
	}
	names := make([]string, 0, len(object))
	for name := range object {
		if !strings.HasPrefix(name, "@") {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	var fields []any
	for _, name := range names[:min(len(names), maxFields)] {
		fields = append(fields, "p_"+clean(name, 64), clean(fmt.Sprint(object[name]), maxValue))
	}
	return level, clean(text, maxValue), fields
}

// plainLevel is error for what a dying Go or Node process writes, and info for the rest.
func plainLevel(line string) hclog.Level {
	if strings.HasPrefix(line, "panic:") || strings.HasPrefix(line, "fatal error:") || strings.HasPrefix(line, "Error:") {
		return hclog.Error
	}
	return hclog.Info
}

// clean makes untrusted text fit for a log: bounded, and without control characters.
func clean(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit]
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	if strings.IndexFunc(s, func(r rune) bool { return unicode.IsControl(r) }) < 0 {
		return s
	}
	quoted := strconv.Quote(s)
	return quoted[1 : len(quoted)-1]
}

// remember keeps the last lines, or, where the process panics, the first ones of that.
func (o *output) remember(line string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.panicked && len(o.last) == tailLines {
		return
	}
	if !o.panicked && plainLevel(line) == hclog.Error {
		o.panicked, o.last = true, nil
	}
	o.last = append(o.last, clean(line, 256))
	if len(o.last) > tailLines {
		o.last = o.last[1:]
	}
}

func (o *output) tail() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.last, " | ")
}
