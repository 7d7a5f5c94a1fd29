package content

import (
	"io"
	"mime"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/emersion/go-message/charset"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode/utf32"
)

// decodeCharset makes text of a charset UTF-8. Text of an unknown charset, or without one, is taken for UTF-8, or else Latin-1.
func decodeCharset(name, text string) string {
	name = strings.ToLower(strings.TrimSpace(name))
	switch {
	case name == "" || name == "utf-8" || name == "us-ascii" || name == "ascii":
	case name == "utf-16" && !strings.HasPrefix(text, "\xfe\xff") && !strings.HasPrefix(text, "\xff\xfe"):
		// Without a mark, the half that is zero tells the order of ASCII.
		if len(text) > 1 && text[1] == 0 {
			return decodeCharset("utf-16le", text)
		}
		return decodeCharset("utf-16be", text)
	case strings.HasPrefix(name, "utf-32"):
		if decoded, err := utf32.UTF32(utf32.BigEndian, utf32.UseBOM).NewDecoder().String(text); err == nil {
			return decoded
		}
	default:
		if r, err := charset.Reader(name, strings.NewReader(text)); err == nil {
			if decoded, err := io.ReadAll(r); err == nil {
				return string(decoded)
			}
		}
	}
	if utf8.ValidString(text) {
		return text
	}
	if decoded, err := charmap.Windows1252.NewDecoder().String(text); err == nil {
		return decoded
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

// decodeWords decodes RFC 2047 encoded words wherever they stand, also in quotes.
func decodeWords(s string) string {
	if !strings.Contains(s, "=?") {
		return decodeCharset("", s)
	}
	decoder := mime.WordDecoder{CharsetReader: func(name string, input io.Reader) (io.Reader, error) {
		raw, err := io.ReadAll(input)
		if err != nil {
			return nil, err
		}
		return strings.NewReader(decodeCharset(name, string(raw))), nil
	}}
	decoded, err := decoder.DecodeHeader(s)
	if err != nil {
		return decodeCharset("", s)
	}
	return decodeCharset("", decoded)
}

// DecodeText makes a header field's value readable: encoded words decoded, folds and control characters removed.
func DecodeText(value string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || isBidi(r) {
			return -1
		}
		return r
	}, decodeWords(unfold(value))))
}

// isBidi reports whether the rune changes the direction of text, which makes names look other than they are.
func isBidi(r rune) bool {
	return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x200e || r == 0x200f
}
