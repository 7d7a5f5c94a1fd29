package content

import (
	"bytes"
	"net"
	"net/url"
	"path"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/idna"

	"github.com/postern-mail/postern/core/message"
)

// Bounds of link extraction: how much of a text is looked at, and how many links are kept of a message.
const (
	maxURLText = 2 << 20
	maxURLs    = 2000
	maxURL     = 4096
)

// link is one that an expander found in a document or picture.
type link struct {
	part      int
	raw, text string
}

// collectURLs finds the links of all text and HTML parts, and takes those that were found in documents and pictures.
func (r *reader) collectURLs() error {
	seen := map[string]bool{}
	add := func(part int, raw, text string) {
		normal, ok := NormalizeURL(raw)
		if !ok || len(r.tree.URLs) >= maxURLs || seen[normal] {
			return
		}
		seen[normal] = true
		r.tree.URLs = append(r.tree.URLs, message.URL{Raw: raw, URL: normal, Part: part, Text: strings.Join(strings.Fields(text), " ")})
	}
	for _, l := range r.links {
		add(l.part, l.raw, l.text)
	}
	for i := range r.tree.Parts {
		p := &r.tree.Parts[i]
		isHTML := p.Declared == "text/html" || strings.HasSuffix(strings.ToLower(p.Name()), ".html") ||
			strings.HasSuffix(strings.ToLower(p.Name()), ".htm")
		if p.Body == nil || !isHTML && !strings.HasPrefix(p.Declared, "text/") {
			continue
		}
		raw, err := headOf(p.Body, maxURLText)
		if err != nil {
			return err
		}
		if strings.HasPrefix(strings.ToLower(p.Charset), "utf-16") {
			raw = []byte(decodeCharset(p.Charset, string(raw)))
		}
		if isHTML {
			htmlURLs(raw, func(raw, text string) { add(i, raw, text) })
		} else {
			textURLs(raw, func(raw string) { add(i, raw, "") })
		}
	}
	return nil
}

// htmlURLs yields the targets of links, forms, frames, images and refreshes, each link with its text, and the links of plain text.
func htmlURLs(data []byte, yield func(raw, text string)) {
	z := html.NewTokenizer(bytes.NewReader(data))
	z.SetMaxBuf(1 << 20)
	var href string
	var text strings.Builder
	var base *url.URL
	for {
		switch z.Next() {
		case html.ErrorToken:
			if href != "" {
				yield(href, text.String())
			}
			return
		case html.TextToken:
			t := z.Text()
			if href != "" && text.Len() < 512 {
				text.Write(t)
			}
			textURLs(t, func(raw string) { yield(raw, "") })
		case html.StartTagToken, html.SelfClosingTagToken:
			name, more := z.TagName()
			tag := string(name)
			var key, value []byte
			content, isRefresh := "", false
			for more {
				key, value, more = z.TagAttr()
				v := resolve(base, strings.TrimSpace(string(value)))
				switch string(key) {
				case "href":
					switch tag {
					case "a", "area":
						if href != "" {
							yield(href, text.String())
						}
						href = v
						text.Reset()
					case "base":
						base, _ = url.Parse(v)
					default:
						yield(v, "")
					}
				case "src", "action", "formaction", "background", "data", "poster":
					yield(v, "")
				case "content":
					content = string(value)
				case "http-equiv":
					isRefresh = strings.EqualFold(string(value), "refresh")
				}
			}
			if _, target, found := strings.Cut(content, "="); isRefresh && found {
				yield(resolve(base, strings.Trim(strings.TrimSpace(target), `"'`)), "")
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			if string(name) == "a" && href != "" {
				yield(href, text.String())
				href = ""
			}
		}
	}
}

func resolve(base *url.URL, ref string) string {
	if base == nil {
		return ref
	}
	target, err := base.Parse(ref)
	if err != nil {
		return ref
	}
	return target.String()
}

// textURLs yields what reads like a link in plain text: a scheme and two slashes, or "www.".
func textURLs(text []byte, yield func(raw string)) {
	for i := 0; i < len(text); {
		at := bytes.Index(text[i:], []byte("://"))
		if www := bytes.Index(text[i:], []byte("www.")); www >= 0 && (at < 0 || www < at) {
			start := i + www
			end := urlEnd(text, start)
			if end-start > 6 && (start == 0 || !isURLByte(text[start-1])) {
				yield("http://" + string(text[start:end]))
			}
			i = max(end, start+4)
			continue
		}
		if at < 0 {
			return
		}
		start := i + at
		for start > i && isSchemeByte(text[start-1]) {
			start--
		}
		end := urlEnd(text, i+at+3)
		if end-start <= maxURL {
			yield(string(text[start:end]))
		}
		i = max(end, i+at+3)
	}
}

func isSchemeByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.'
}

func isURLByte(c byte) bool { return c > ' ' && c != '<' && c != '>' && c != '"' && c != 0x7f }

// urlEnd is where a link ends in text: at a blank or bracket, without the punctuation of the sentence around it.
func urlEnd(text []byte, from int) int {
	end := from
	for end < len(text) && isURLByte(text[end]) && end-from < maxURL {
		end++
	}
	for end > from && bytes.IndexByte([]byte(".,;:!?'*_)]}"), text[end-1]) >= 0 {
		end--
	}
	return end
}

// VisibleURL is a URL without the control characters that browsers drop, and with slashes for backslashes, as they read it.
func VisibleURL(raw string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < ' ' || r == 0x7f:
			return -1
		case r == '\\':
			return '/'
		}
		return r
	}, raw)
}

// NormalizeURL gives the form in which links are compared: scheme and host in lower case, host in punycode and without a trailing
// dot, no default port, no user, no fragment, clean path. ok is false for what is no http, https or ftp link.
func NormalizeURL(raw string) (normal string, ok bool) {
	raw = VisibleURL(raw)
	u, err := url.Parse(raw)
	if err != nil || len(raw) > maxURL {
		return "", false
	}
	u.Scheme = strings.ToLower(u.Scheme)
	if u.Host == "" || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "ftp" {
		return "", false
	}
	host := strings.Trim(strings.ToLower(u.Hostname()), ".")
	if host == "" {
		return "", false
	}
	if ascii, err := idna.Lookup.ToASCII(host); err == nil {
		host = ascii
	}
	defaults := map[string]string{"http": "80", "https": "443", "ftp": "21"}
	if port := u.Port(); port != "" && port != defaults[u.Scheme] {
		host = net.JoinHostPort(host, port)
	} else if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	u.Host, u.User, u.Fragment, u.RawFragment = host, nil, "", ""
	u.RawQuery = strings.ReplaceAll(u.RawQuery, " ", "%20") // as browsers do
	if u.Path == "" {
		u.Path = "/"
	} else if clean := path.Clean(u.Path); clean != u.Path {
		if strings.HasSuffix(u.Path, "/") && clean != "/" {
			clean += "/"
		}
		u.Path, u.RawPath = clean, ""
	}
	return u.String(), true
}
