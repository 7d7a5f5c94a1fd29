package delivery

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/postern-mail/postern/core/message"
)

// Bounds of a server's reply. RFC 5321 section 4.5.3.1.5 says 512 bytes a line; real ones are longer.
const (
	longestReplyLine = 4 << 10
	mostReplyLines   = 100
	longestReplyText = 1 << 10
)

var errReply = errors.New("the server's reply is not SMTP")

// readReply reads one reply, all of its lines (RFC 5321 section 4.2). lines are their texts.
func readReply(r *bufio.Reader) (reply message.Reply, lines []string, err error) {
	for len(lines) < mostReplyLines {
		line, err := readLine(r)
		if err != nil {
			return reply, nil, err
		}
		if len(line) < 3 || len(line) > 3 && line[3] != ' ' && line[3] != '-' {
			return reply, nil, fmt.Errorf("%w: %q", errReply, line)
		}
		code, err := strconv.Atoi(line[:3])
		if err != nil || code < 200 || code > 599 || len(lines) > 0 && code != reply.Code {
			return reply, nil, fmt.Errorf("%w: %q", errReply, line)
		}
		reply.Code = code
		text := ""
		if len(line) > 4 {
			text = line[4:]
		}
		lines = append(lines, text)
		if len(line) == 3 || line[3] == ' ' {
			reply.Enhanced, reply.Text = textOf(code, lines)
			return reply, lines, nil
		}
	}
	return reply, nil, fmt.Errorf("%w: more than %d lines", errReply, mostReplyLines)
}

func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) || len(line) > longestReplyLine {
		return "", fmt.Errorf("%w: a line of more than %d bytes", errReply, longestReplyLine)
	}
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return "", err
	}
	return strings.TrimRight(string(line), "\r\n"), nil
}

// textOf joins the lines and takes the enhanced code (RFC 2034) off each. What a server says is shown to clients and operators, so it
// is made printable.
func textOf(code int, lines []string) (enhanced [3]int, text string) {
	var words []string
	for _, line := range lines {
		first, rest, _ := strings.Cut(line, " ")
		if e, ok := parseEnhanced(first); ok && e[0] == code/100 {
			enhanced, line = e, rest
		}
		if line = clean(line); line != "" {
			words = append(words, line)
		}
	}
	text = strings.Join(words, " ")
	if len(text) > longestReplyText {
		text = strings.TrimSpace(strings.ToValidUTF8(text[:longestReplyText], ""))
	}
	return enhanced, text
}

func parseEnhanced(word string) (e [3]int, ok bool) {
	fields := strings.Split(word, ".")
	if len(fields) != 3 {
		return e, false
	}
	for i, f := range fields {
		n, err := strconv.Atoi(f)
		if err != nil || n < 0 || n > 999 {
			return e, false
		}
		e[i] = n
	}
	return e, true
}

func clean(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text, "?")))
}
