package delivery

import (
	"bufio"
	"bytes"
)

// dataWriter writes a message after DATA (RFC 5321 section 4.5.2): dots stuffed, every line ended by CRLF, and no bare CR or LF,
// whatever comes in, so that no reader can see an end of data before the end (SMTP smuggling).
type dataWriter struct {
	w         *bufio.Writer
	inLine    bool // something of the current line is written
	pendingCR bool // the last byte was CR, which is written with what follows
}

func (d *dataWriter) Write(p []byte) (int, error) {
	written := len(p)
	for len(p) > 0 {
		if d.pendingCR {
			d.pendingCR = false
			if p[0] == '\n' {
				p = p[1:]
			}
			d.endLine()
			continue
		}
		i := bytes.IndexByte(p, '\n')
		line := p
		if i >= 0 {
			line = p[:i]
		}
		if cr := bytes.IndexByte(line, '\r'); cr >= 0 {
			d.text(line[:cr])
			d.pendingCR = true
			p = p[cr+1:]
			continue
		}
		d.text(line)
		if i < 0 {
			break
		}
		d.endLine()
		p = p[i+1:]
	}
	// bufio keeps the first error and returns it with every later write.
	_, err := d.w.Write(nil)
	return written, err
}

func (d *dataWriter) text(line []byte) {
	if len(line) == 0 {
		return
	}
	if !d.inLine && line[0] == '.' {
		_ = d.w.WriteByte('.')
	}
	d.inLine = true
	_, _ = d.w.Write(line)
}

func (d *dataWriter) endLine() {
	_, _ = d.w.WriteString("\r\n")
	d.inLine = false
}

// finish ends the last line where it has no end, and leaves the end of data to be written.
func (d *dataWriter) finish() {
	if d.pendingCR || d.inLine {
		d.endLine()
	}
	d.pendingCR = false
}

// endOfData is what comes after the last line.
const endOfData = ".\r\n"
