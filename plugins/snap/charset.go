package main

import (
	"io"
	"mime"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
)

// decodeText makes text of a charset UTF-8. It never fails: text of an unknown charset is taken for UTF-8, or else Windows-1252.
func decodeText(charset, text string) string {
	charset = strings.ToLower(strings.TrimSpace(charset))
	if charset != "" && charset != "utf-8" && charset != "us-ascii" {
		if e := encodingOf(charset); e != nil {
			if decoded, err := e.NewDecoder().String(text); err == nil {
				return decoded
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

// encodingOf is nil for a charset nobody knows.
func encodingOf(charset string) encoding.Encoding {
	if e, err := htmlindex.Get(charset); err == nil {
		return e
	}
	if e, err := ianaindex.MIME.Encoding(charset); err == nil {
		return e
	}
	return nil
}

// decodeWords decodes the encoded words of a header field (RFC 2047), also where they stand in quotes or touch other text. The charsets
// that they name are added to used.
func decodeWords(value string, used map[string]bool) string {
	if !strings.Contains(value, "=?") {
		return decodeText("", value)
	}
	decoder := mime.WordDecoder{CharsetReader: func(charset string, r io.Reader) (io.Reader, error) {
		raw, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		return strings.NewReader(decodeText(charset, string(raw))), nil
	}}
	for _, piece := range strings.Split(value, "=?")[1:] {
		if charset, _, found := strings.Cut(piece, "?"); found && used != nil && len(charset) < 40 {
			charset, _, _ = strings.Cut(strings.ToLower(charset), "*")
			used[charset] = true
		}
	}
	// Words that touch are told apart by a blank, which the standard's own reader wants.
	decoded, err := decoder.DecodeHeader(strings.ReplaceAll(value, "?==?", "?= =?"))
	if err != nil {
		return decodeText("", value)
	}
	return decodeText("", decoded)
}
