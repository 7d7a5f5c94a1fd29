package content

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"io"
	"strings"
)

// source writes a body's content. It may be asked more than once.
type source func(w io.Writer) error

func literal(content []byte) source {
	return func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	}
}

// decoding undoes a transfer encoding (RFC 2045 section 6) as most mail clients do, and notes what others do otherwise.
func (r *reader) decoding(encoding string, body []byte) source {
	note := func(o oddity, write func(io.Writer, []byte) (clean bool, err error)) source {
		return func(w io.Writer) error {
			clean, err := write(w, body)
			if !clean {
				r.odd[o] = true
			}
			return err
		}
	}
	switch encoding {
	case "", "7bit", "8bit", "binary":
		return literal(body)
	case "base64":
		return note(oddBase64, writeBase64)
	case "quoted-printable":
		return note(oddQuoted, writeQuoted)
	case "uuencode", "x-uuencode", "uue", "x-uue", "x-uu":
		if files := decodeUU(body, true); len(files) > 0 {
			return literal(files[0].content)
		}
		return literal(body)
	}
	r.odd[oddEncoding] = true
	switch {
	case strings.Contains(encoding, "64"):
		return note(oddEncoding, writeBase64)
	case strings.Contains(encoding, "quoted"), strings.Contains(encoding, "qp"):
		return note(oddEncoding, writeQuoted)
	}
	return literal(body)
}

const (
	notBase64 = 0xff
	isBlank   = 0xfe
	isPad     = 0xfd
)

func base64Class(c byte) byte {
	switch {
	case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '+', c == '/':
		return 0
	case c == ' ', c == '\t', c == '\r', c == '\n':
		return isBlank
	case c == '=':
		return isPad
	}
	return notBase64
}

// block is how much is decoded at once; a multiple of 12.
const block = 48 << 10

// base64Decoder collects characters of the alphabet and writes what they stand for.
type base64Decoder struct {
	w     io.Writer
	group []byte // made when a line is not of whole groups, as few are
	n     int    // of group
	out   []byte
	o     int // of out
	clean bool
}

// line decodes a line that is nothing but whole groups, as nearly all are; false where it is not, and nothing was done.
func (d *base64Decoder) line(line []byte) (done bool, err error) {
	size := len(line) / 4 * 3
	if d.n != 0 || len(line)%4 != 0 || size > len(d.out) {
		return false, nil
	}
	if d.o+size > len(d.out) {
		if err := d.flush(); err != nil {
			return false, err
		}
	}
	// A line feed within would be skipped by it: then the size tells.
	if n, err := base64.RawStdEncoding.Decode(d.out[d.o:], line); err != nil || n != size {
		return false, nil
	}
	d.o += size
	return true, nil
}

func (d *base64Decoder) add(text []byte) error {
	if d.group == nil && len(text) > 0 {
		d.group = make([]byte, len(d.out))
	}
	for len(text) > 0 {
		n := copy(d.group[d.n:], text)
		d.n, text = d.n+n, text[n:]
		if d.n == len(d.group) {
			if err := d.decode(); err != nil {
				return err
			}
		}
	}
	return nil
}

// end decodes what is left before padding or the end. A single character stands for nothing.
func (d *base64Decoder) end(padded bool) error {
	if rest := d.n % 4; rest != 0 {
		if rest == 1 {
			d.n--
		}
		if !padded {
			d.clean = false
		}
	}
	return d.decode()
}

func (d *base64Decoder) decode() error {
	if err := d.flush(); err != nil {
		return err
	}
	n, err := base64.RawStdEncoding.Decode(d.out, d.group[:d.n])
	if err != nil {
		d.clean = false
	}
	d.n, d.o = 0, n
	return nil
}

func (d *base64Decoder) flush() error {
	_, err := d.w.Write(d.out[:d.o])
	d.o = 0
	return err
}

// writeBase64 skips what is not in the alphabet, as RFC 2045 section 6.8 has it, and starts afresh after padding. clean is false
// where readers are known to differ: other characters, padding before the end, a last group that is not whole.
func writeBase64(w io.Writer, body []byte) (clean bool, err error) {
	d := &base64Decoder{w: w, clean: true, out: make([]byte, min(block, len(body)/4*4+4))}
	padded := false
	for len(body) > 0 {
		end := bytes.IndexByte(body, '\n') + 1
		if end == 0 {
			end = len(body)
		}
		line := withoutEnd(body[:end])
		body = body[end:]
		if !padded {
			done, err := d.line(line)
			if err != nil {
				return d.clean, err
			}
			if done {
				continue
			}
		}
		for len(line) > 0 {
			n := alphabetRun(line)
			if n > 0 && padded {
				if err := d.end(padded); err != nil {
					return d.clean, err
				}
				padded, d.clean = false, false
			}
			if err := d.add(line[:n]); err != nil {
				return d.clean, err
			}
			if n == len(line) {
				break
			}
			switch base64Class(line[n]) {
			case isPad:
				if d.n%4 == 0 && !padded || d.n%4 == 1 {
					d.clean = false
				}
				padded = true
			case notBase64:
				d.clean = false
			}
			line = line[n+1:]
		}
	}
	if err := d.end(padded); err != nil {
		return d.clean, err
	}
	return d.clean, d.flush()
}

// withoutEnd is a line without the line feed and carriage returns that end it.
func withoutEnd(line []byte) []byte {
	for len(line) > 0 && (line[len(line)-1] == '\n' || line[len(line)-1] == '\r') {
		line = line[:len(line)-1]
	}
	return line
}

// decodeBase64 and decodeQuoted decode into memory.
func decodeBase64(body []byte) []byte { return inMemory(body, writeBase64) }
func decodeQuoted(body []byte) []byte { return inMemory(body, writeQuoted) }

func inMemory(body []byte, write func(io.Writer, []byte) (bool, error)) []byte {
	var b bytes.Buffer
	_, _ = write(&b, body) // a buffer in memory does not fail
	return b.Bytes()
}

// alphabetRun is how many bytes at the front are of the base64 alphabet.
func alphabetRun(line []byte) int {
	for i, c := range line {
		if base64Class(c) != 0 {
			return i
		}
	}
	return len(line)
}

// writeQuoted decodes quoted-printable; what is no escape stays as it is (RFC 2045 section 6.7). clean is false where it met such.
func writeQuoted(w io.Writer, body []byte) (clean bool, err error) {
	clean = true
	out := make([]byte, 0, min(len(body), 2*block))
	for len(body) > 0 {
		if len(out) >= block {
			if _, err := w.Write(out); err != nil {
				return clean, err
			}
			out = out[:0]
		}
		end := bytes.IndexByte(body, '\n') + 1
		hasEnd := end > 0
		if !hasEnd {
			end = len(body)
		}
		line := body[:end]
		body = body[end:]
		text := bytes.TrimRight(line, " \t\r\n")
		lineFeed := line[len(bytes.TrimRight(line, "\r\n")):]
		soft := len(text) > 0 && text[len(text)-1] == '='
		if soft {
			text = text[:len(text)-1]
		}
		for len(text) > 0 {
			i := bytes.IndexByte(text, '=')
			if i < 0 {
				out = append(out, text...)
				break
			}
			out = append(out, text[:i]...)
			text = text[i:]
			if len(text) >= 3 {
				var b [1]byte
				if _, err := hex.Decode(b[:], text[1:3]); err == nil {
					out = append(out, b[0])
					text = text[3:]
					continue
				}
			}
			clean = false
			out = append(out, '=')
			text = text[1:]
		}
		if !soft && hasEnd {
			out = append(out, lineFeed...)
		}
	}
	_, err = w.Write(out)
	return clean, err
}
