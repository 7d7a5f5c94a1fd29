package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
)

const binHexMark = "(This file must be converted with BinHex"

// encodedMarks are what encoded files are known by in text, wherever they stand. The core pushes texts that have one of them.
func encodedMarks() []string {
	return []string{"begin 6", "begin 7", "begin-base64 ", "=ybegin ", binHexMark, ";base64,", "atob(", "Uint8Array", "createObjectURL", "msSaveOrOpenBlob"}
}

func isEncodedText(f file) bool {
	start := head(f)
	for _, mark := range encodedMarks()[:5] {
		if bytes.Contains(start, []byte(mark)) {
			return true
		}
	}
	return false
}

// encodedText emits the files that stand encoded in a text: uuencoded (POSIX), yEnc, BinHex 4.0 (RFC 1741).
func (j *job) encodedText(f file) error {
	if i := bytes.Index(f.data, []byte(binHexMark)); i >= 0 {
		if err := j.binHex(f, f.data[i:]); err != nil {
			return err
		}
	}
	d := &textDecoder{}
	lines := bufio.NewScanner(f.reader())
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if !d.line(lines.Bytes()) {
			continue
		}
		if err := j.bytes(f, d.name, d.content); err != nil {
			return err
		}
		d.content = nil
	}
	if d.mode != "" && len(d.content) > 0 {
		if err := j.bytes(f, d.name, d.content); err != nil {
			return err
		}
		return io.ErrUnexpectedEOF
	}
	return lines.Err()
}

// textDecoder reads uuencoded, base64 and yEnc files line by line.
type textDecoder struct {
	mode    string // "", "uu", "base64", "yenc"
	name    string
	content []byte
}

// line takes a line and reports whether it ended a file.
func (d *textDecoder) line(line []byte) (ended bool) {
	text := string(bytes.TrimRight(line, "\r"))
	fields := strings.SplitN(text, " ", 3)
	switch {
	case len(fields) == 3 && (fields[0] == "begin" || fields[0] == "begin-base64") && isMode(fields[1]):
		d.mode, d.name, d.content = "uu", strings.TrimSpace(fields[2]), nil
		if fields[0] != "begin" {
			d.mode = "base64"
		}
		return false
	case strings.HasPrefix(text, "=ybegin "):
		_, name, _ := strings.Cut(text, "name=")
		d.mode, d.name, d.content = "yenc", strings.TrimSpace(name), nil
		return false
	case d.mode == "uu" && text == "end", d.mode == "base64" && text == "====", d.mode == "yenc" && strings.HasPrefix(text, "=yend"):
		d.mode = ""
		return true
	}
	if len(d.content) > maxStream {
		return false
	}
	switch d.mode {
	case "uu":
		d.content = append(d.content, uuBytes(text)...)
	case "base64":
		decoded, _ := base64.StdEncoding.DecodeString(text) // as far as it goes
		d.content = append(d.content, decoded...)
	case "yenc":
		if !strings.HasPrefix(text, "=ypart ") {
			d.content = append(d.content, yencBytes(text)...)
		}
	}
	return false
}

func isMode(s string) bool { return len(s) >= 3 && len(s) <= 4 && strings.Trim(s, "01234567") == "" }

func uuBytes(line string) []byte {
	if line == "" || line[0] < ' ' || line[0] > '`' {
		return nil
	}
	want := int(line[0]-' ') & 0x3f
	var out []byte
	var bits, have uint
	for i := 1; i < len(line) && len(out) < want; i++ {
		bits, have = bits<<6|uint(line[i]-' ')&0x3f, have+6
		if have >= 8 {
			have -= 8
			out = append(out, byte(bits>>have))
		}
	}
	return out
}

func yencBytes(line string) []byte {
	out := make([]byte, 0, len(line))
	for escaped, i := false, 0; i < len(line); i++ {
		c := line[i]
		switch {
		case escaped:
			out, escaped = append(out, c-64-42), false
		case c == '=':
			escaped = true
		default:
			out = append(out, c-42)
		}
	}
	return out
}

// binHex emits both forks of a BinHex file.
func (j *job) binHex(f file, text []byte) error {
	const alphabet = "!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr"
	colon := bytes.IndexByte(text, ':')
	if colon < 0 {
		return io.ErrUnexpectedEOF
	}
	var raw []byte
	var bits, have uint
	escaped := false
	for _, c := range text[colon+1:] {
		v := strings.IndexByte(alphabet, c)
		if c == ':' || len(raw) > maxStream {
			break
		}
		if v < 0 {
			continue
		}
		bits, have = bits<<6|uint(v), have+6
		if have < 8 {
			continue
		}
		have -= 8
		switch b := byte(bits >> have); {
		case escaped && b == 0:
			raw, escaped = append(raw, 0x90), false
		case escaped:
			if len(raw) > 0 {
				raw = append(raw, bytes.Repeat(raw[len(raw)-1:], int(b)-1)...)
			}
			escaped = false
		case b == 0x90:
			escaped = true
		default:
			raw = append(raw, b)
		}
	}
	// A counted name, a zero, type, creator and flags, the lengths of both forks, a checksum; the forks, each with a checksum.
	const fixed = 1 + 10 + 8 + 2
	if len(raw) == 0 || len(raw) < 1+int(raw[0])+fixed {
		return io.ErrUnexpectedEOF
	}
	name, rest := string(raw[1:1+raw[0]]), raw[1+int(raw[0]):]
	length := func(at int) uint64 {
		return uint64(rest[at])<<24 | uint64(rest[at+1])<<16 | uint64(rest[at+2])<<8 | uint64(rest[at+3])
	}
	data, resource := length(11), length(15)
	body := rest[fixed:]
	if err := j.bytes(f, name, body[:min(data, uint64(len(body)))]); err != nil {
		return err
	}
	if uint64(len(body)) < data {
		return io.ErrUnexpectedEOF
	}
	body = body[min(uint64(len(body)), data+2):]
	if resource == 0 || len(body) == 0 {
		return nil
	}
	return j.bytes(f, name+".rsrc", body[:min(resource, uint64(len(body)))])
}

// isMbox knows a mailbox by its first line and the header behind it (RFC 4155).
func isMbox(f file) bool {
	if !begins("From ")(f) {
		return false
	}
	first, rest, found := bytes.Cut(head(f), []byte("\n"))
	colon := bytes.IndexByte(rest[:min(len(rest), 80)], ':')
	return found && len(first) < 300 && colon > 0 && !bytes.ContainsAny(rest[:colon], " \t\r\n<")
}

// mbox emits the messages of a mailbox, which the core reads.
func (j *job) mbox(f file) error {
	number := 0
	for rest := f.data; len(rest) > 0; {
		_, message, _ := bytes.Cut(rest, []byte("\n"))
		end := bytes.Index(message, []byte("\nFrom "))
		if end < 0 {
			rest = nil
		} else {
			message, rest = message[:end+1], message[end+1:]
		}
		number++
		if err := j.bytes(f, fmt.Sprintf("message-%d.eml", number), message); err != nil {
			return err
		}
	}
	return nil
}
