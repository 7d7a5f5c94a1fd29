package content

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// decode undoes a transfer encoding (RFC 2045 section 6) as most mail clients do, and notes what others do otherwise.
func (r *reader) decode(encoding string, body []byte) []byte {
	switch encoding {
	case "", "7bit", "8bit", "binary":
		return body
	case "base64":
		decoded, clean := decodeBase64(body)
		if !clean {
			r.odd[oddBase64] = true
		}
		return decoded
	case "quoted-printable":
		decoded, clean := decodeQuoted(body)
		if !clean {
			r.odd[oddQuoted] = true
		}
		return decoded
	case "uuencode", "x-uuencode", "uue", "x-uue", "x-uu":
		if files := decodeUU(body, true); len(files) > 0 {
			return files[0].content
		}
		return body
	}
	r.odd[oddEncoding] = true
	switch {
	case strings.Contains(encoding, "64"):
		decoded, _ := decodeBase64(body)
		return decoded
	case strings.Contains(encoding, "quoted"), strings.Contains(encoding, "qp"):
		decoded, _ := decodeQuoted(body)
		return decoded
	}
	return body
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

// decodeBase64 skips what is not in the alphabet, as RFC 2045 section 6.8 has it, and starts afresh after padding. clean is false
// where readers are known to differ: other characters, padding before the end, a last group that is not whole.
func decodeBase64(body []byte) (decoded []byte, clean bool) {
	clean = true
	group := make([]byte, 0, len(body))
	decoded = make([]byte, 0, base64.StdEncoding.DecodedLen(len(body)))
	padded := false
	flush := func() {
		if rest := len(group) % 4; rest != 0 {
			if rest == 1 {
				group = group[:len(group)-1]
			}
			if !padded {
				clean = false
			}
		}
		n := base64.RawStdEncoding.DecodedLen(len(group))
		at := len(decoded)
		decoded = append(decoded, make([]byte, n)...)
		n, err := base64.RawStdEncoding.Decode(decoded[at:], group)
		if err != nil {
			clean = false
		}
		decoded = decoded[:at+n]
		group = group[:0]
	}
	for len(body) > 0 {
		// Whole clean lines are the rule: they are copied at once.
		end := bytes.IndexByte(body, '\n') + 1
		if end == 0 {
			end = len(body)
		}
		line := bytes.TrimRight(body[:end], "\r\n")
		body = body[end:]
		for len(line) > 0 {
			n := alphabetRun(line)
			if n > 0 && padded {
				flush()
				padded, clean = false, false
			}
			group = append(group, line[:n]...)
			if n == len(line) {
				break
			}
			switch base64Class(line[n]) {
			case isPad:
				if len(group)%4 == 0 && !padded || len(group)%4 == 1 {
					clean = false
				}
				padded = true
			case notBase64:
				clean = false
			}
			line = line[n+1:]
		}
	}
	flush()
	return decoded, clean
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

// decodeQuoted decodes quoted-printable; what is no escape stays as it is (RFC 2045 section 6.7). clean is false where it met such.
func decodeQuoted(body []byte) (decoded []byte, clean bool) {
	clean = true
	out := make([]byte, 0, len(body))
	for len(body) > 0 {
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
	return out, clean
}
