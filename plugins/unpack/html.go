package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/postern-mail/postern/sdk/compound"
)

func isHTML(f file) bool {
	start := head(f)
	if bytes.IndexByte(start[:min(len(start), 512)], 0) >= 0 {
		return false
	}
	start = bytes.ToLower(start)
	for _, tag := range []string{"<html", "<!doctype html", "<script", "<svg", "<body", "<a ", "<iframe", "<meta", "<img", "<div", "<object", "<embed"} {
		if bytes.Contains(start, []byte(tag)) {
			return true
		}
	}
	return false
}

// smuggled are the forms in which pages carry files: data: URIs, long strings of base64 or hexadecimal digits, and arrays of numbers that
// a script makes a file of.
type smuggled struct{ data, quoted, numbers, joint *regexp.Regexp }

func newSmuggled() smuggled {
	return smuggled{
		data:    regexp.MustCompile(`(?i)data:([a-z0-9.+/-]*)((?:;[a-z0-9=."_-]+)*),([^"'<>\s)]+)`),
		quoted:  regexp.MustCompile("[\"'`]([A-Za-z0-9+/_=\\s\\\\-]{48,})[\"'`]"),
		joint:   regexp.MustCompile("[\"'`]\\s*\\+\\s*[\"'`]"),
		numbers: regexp.MustCompile(`\[((?:\s*(?:0x[0-9a-fA-F]{1,2}|[0-9]{1,3})\s*,){16,}\s*(?:0x[0-9a-fA-F]{1,2}|[0-9]{1,3})\s*)\]`),
	}
}

// html emits the files that a page carries in itself.
func (j *job) html(f file) error {
	const most = 16 << 20
	if len(f.data) > most {
		return j.limit("html_size", fmt.Sprintf("%s: a page of more than %d bytes", f.name, most))
	}
	text := f.data
	lower := bytes.ToLower(text)
	hasData, hasScript := bytes.Contains(lower, []byte("data:")), bytes.Contains(lower, []byte("<script"))
	if !hasData && !hasScript {
		return nil
	}
	forms := newSmuggled()
	number := 0
	give := func(kind string, content []byte) error {
		if err := j.inTime(); err != nil {
			return err
		}
		if isPicture(file{data: content}) && len(content) > 4 {
			return j.picture(file{number: f.number, name: f.name, data: content})
		}
		number++
		return j.bytes(f, fmt.Sprintf("%s-%d%s", kind, number, extensionOf(content)), content)
	}
	if hasData {
		for _, m := range forms.data.FindAllSubmatch(text, -1) {
			content, ok := dataURI(string(m[2]), string(m[3]))
			if !ok || len(content) == 0 || isPassiveData(string(m[1]), content) {
				continue
			}
			if err := give("data", content); err != nil {
				return err
			}
		}
	}
	if !hasScript {
		return nil
	}
	// Scripts put a string together from pieces, so that it is not found.
	text = forms.joint.ReplaceAll(text, nil)
	for _, m := range forms.quoted.FindAllSubmatch(text, -1) {
		for _, content := range decodings(m[1]) {
			if isWorthwhile(content) {
				if err := give("script", content); err != nil {
					return err
				}
				break
			}
		}
	}
	for _, m := range forms.numbers.FindAllSubmatch(text, -1) {
		if content := numbersOf(string(m[1])); isWorthwhile(content) {
			if err := give("script", content); err != nil {
				return err
			}
		}
	}
	return nil
}

// dataURI decodes what stands behind "data:" (RFC 2397).
func dataURI(parameters, text string) ([]byte, bool) {
	plain, err := url.PathUnescape(text)
	if err != nil {
		plain = text
	}
	if !strings.Contains(strings.ToLower(parameters), ";base64") {
		return []byte(plain), true
	}
	content := lenientBase64([]byte(plain))
	return content, len(content) > 0
}

// isPassiveData knows fonts and styles, which pages carry all the time.
func isPassiveData(kind string, content []byte) bool {
	kind = strings.ToLower(kind)
	if isWorthwhile(content) {
		return false
	}
	return strings.HasPrefix(kind, "font/") || strings.Contains(kind, "font") || kind == "text/css" || kind == "image/svg+xml" && !bytes.Contains(content, []byte("<script"))
}

// decodings are the ways in which a script's string may be a file.
func decodings(quoted []byte) [][]byte {
	text := bytes.Map(func(r rune) rune {
		if r <= ' ' || r == '\\' {
			return -1
		}
		return r
	}, quoted)
	var out [][]byte
	if decoded, err := hex.DecodeString(string(text)); err == nil {
		out = append(out, decoded)
	}
	decoded := lenientBase64(text)
	out = append(out, decoded)
	if len(decoded) > 48 && bytes.IndexFunc(decoded[:48], func(r rune) bool {
		return !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=", r)
	}) < 0 {
		out = append(out, lenientBase64(decoded)) // twice is met often
	}
	reversed := bytes.Clone(text)
	for a, b := 0, len(reversed)-1; a < b; a, b = a+1, b-1 {
		reversed[a], reversed[b] = reversed[b], reversed[a]
	}
	return append(out, lenientBase64(bytes.TrimLeft(reversed, "=")))
}

// lenientBase64 decodes both alphabets, without padding, up to where it breaks.
func lenientBase64(text []byte) []byte {
	clean := make([]byte, 0, len(text))
	for _, c := range text {
		switch {
		case c == '-':
			c = '+'
		case c == '_':
			c = '/'
		case c <= ' ', c == '\\':
			continue
		case c == '=':
			c = 0
		}
		if c == 0 {
			break
		}
		clean = append(clean, c)
	}
	out := make([]byte, base64.RawStdEncoding.DecodedLen(len(clean)))
	n, _ := base64.RawStdEncoding.Decode(out, clean[:len(clean)-min(len(clean), boolInt(len(clean)%4 == 1))]) // up to where it breaks
	return out[:n]
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func numbersOf(text string) []byte {
	var out []byte
	for word := range strings.SplitSeq(text, ",") {
		v, err := strconv.ParseUint(strings.TrimSpace(word), 0, 8)
		if err != nil {
			return nil
		}
		out = append(out, byte(v))
	}
	return out
}

// isWorthwhile knows the beginnings of files that are worth smuggling.
func isWorthwhile(content []byte) bool {
	f := file{data: content}
	if len(content) < 16 {
		return false
	}
	lower := bytes.ToLower(content[:min(len(content), 256)])
	return begins("MZ", "PK\x03\x04", compound.Magic, "%PDF-", "MSCF\x00\x00\x00\x00", "Rar!\x1a\x07", sevenMagic, "{\\rtf", "\x7fELF", "\x1f\x8b\x08", "ITSF",
		oneSection, "L\x00\x00\x00\x01\x14\x02\x00", "Rar!")(f) || isSupportedPicture(content) || has("CD001", 32769)(f) ||
		bytes.Contains(lower, []byte("<html")) || bytes.Contains(lower, []byte("<!doctype")) || bytes.Contains(lower, []byte("<script")) ||
		bytes.HasPrefix(lower, []byte("powershell")) || bytes.Contains(lower, []byte("wscript."))
}

func isSupportedPicture(content []byte) bool { return isPicture(file{data: content}) }

// extensionOf is a name's end for a file that has no name.
func extensionOf(content []byte) string {
	for mark, extension := range map[string]string{
		"MZ": ".exe", "PK\x03\x04": ".zip", "%PDF-": ".pdf", compound.Magic: ".ole", "Rar!": ".rar", sevenMagic: ".7z", "{\\rt": ".rtf", "<": ".html",
	} {
		if bytes.HasPrefix(content, []byte(mark)) {
			return extension
		}
	}
	return ".bin"
}
