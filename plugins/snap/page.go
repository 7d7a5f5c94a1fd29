package main

import (
	"strings"

	"golang.org/x/net/html"
)

// Bounds of one page.
const (
	maxDepth = 512
	maxLinks = 500
)

// page is what a HTML part shows, and what it holds without showing it.
type page struct {
	text   string // what is seen
	hidden string // what is there and not seen
	title  string

	links     []link
	images    []string // sources
	forms     []string // targets; "" for a form without one
	passwords int      // fields for a password
	scripts   int
	refresh   string // target of a refresh
	comments  int    // bytes in comments
	encoded   int    // plain letters that are written as numbers
	split     int    // words that are cut by something unseen
}

// link is one thing to click.
type link struct {
	href  string
	text  string
	image bool // it is a picture that is clicked
}

// element is an open tag that decides what is seen of its content.
type element struct {
	tag    string
	hidden bool
	back   string // colour behind, or that it is a picture
	front  string // colour of the text
}

// reader walks a page.
type reader struct {
	page   *page
	open   []element
	text   strings.Builder
	hidden strings.Builder
	link   *link
	label  strings.Builder
	raw    string // element whose content is no text: style, title, script
	cut    bool   // something hidden came right after a letter
}

// readPage reads a page in one pass, without building a tree. Tags that are never closed only reach to the end of what they stand in.
func readPage(text string) *page {
	r := &reader{page: &page{}}
	r.page.encoded = encodedLetters(text)
	z := html.NewTokenizer(strings.NewReader(text))
	z.SetMaxBuf(maxBody + 1)
	for {
		switch z.Next() {
		case html.ErrorToken:
			r.endLink()
			r.page.text, r.page.hidden = r.text.String(), r.hidden.String()
			return r.page
		case html.TextToken:
			r.words(string(z.Text()))
		case html.CommentToken:
			r.page.comments += len(z.Raw())
		case html.StartTagToken:
			r.start(z, false)
		case html.SelfClosingTagToken:
			r.start(z, true)
		case html.EndTagToken:
			name, _ := z.TagName()
			r.end(string(name))
		}
	}
}

// words takes text in.
func (r *reader) words(text string) {
	switch r.raw {
	case "title":
		r.page.title += text
		return
	case "":
	default:
		return
	}
	if n := len(r.open); n > 0 && r.open[n-1].hidden {
		if r.hidden.Len() < maxBody {
			r.hidden.WriteString(text)
		}
		if strings.TrimSpace(text) != "" && endsInLetter(&r.text) {
			r.cut = true
		}
		return
	}
	if r.cut && text != "" {
		if c := text[0] | 0x20; c >= 'a' && c <= 'z' {
			r.page.split++
		}
		r.cut = false
	}
	r.text.WriteString(text)
	if r.link != nil && r.label.Len() < 512 {
		r.label.WriteString(text)
	}
}

func endsInLetter(b *strings.Builder) bool {
	s := b.String()
	if s == "" {
		return false
	}
	c := s[len(s)-1] | 0x20
	return c >= 'a' && c <= 'z'
}

// void elements have no content.
func void(tag string) bool {
	switch tag {
	case "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr":
		return true
	}
	return false
}

// apart reports whether an element parts words.
func apart(tag string) bool {
	switch tag {
	case "br", "p", "div", "td", "tr", "li", "h1", "h2", "h3", "h4", "table", "hr", "center", "ul":
		return true
	}
	return false
}

func (r *reader) start(z *html.Tokenizer, closed bool) {
	name, more := z.TagName()
	tag := string(name)
	attributes := map[string]string{}
	for more {
		var key, value []byte
		key, value, more = z.TagAttr()
		if _, twice := attributes[string(key)]; !twice {
			attributes[string(key)] = string(value)
		}
	}
	if apart(tag) {
		r.text.WriteByte(' ')
		r.cut = false
	}
	r.take(tag, attributes)
	if void(tag) || closed {
		return
	}
	switch tag {
	case "style", "script", "title", "noscript", "textarea", "svg":
		r.raw = tag
	}
	if len(r.open) < maxDepth {
		r.open = append(r.open, r.inside(tag, attributes))
	}
}

// take notes what an element is.
func (r *reader) take(tag string, attributes map[string]string) {
	p := r.page
	switch tag {
	case "a", "area":
		href, has := attributes["href"]
		if !has {
			return
		}
		r.endLink()
		r.link = &link{href: strings.TrimSpace(href), image: tag == "area"}
		r.label.Reset()
		if tag == "area" {
			r.endLink()
		}
	case "img", "image":
		if source := strings.TrimSpace(attributes["src"]); source != "" && len(p.images) < maxLinks {
			p.images = append(p.images, source)
		}
		if r.link != nil {
			r.link.image = true
		}
	case "form":
		p.forms = append(p.forms, strings.TrimSpace(attributes["action"]))
	case "input":
		if strings.EqualFold(attributes["type"], "password") {
			p.passwords++
		}
	case "script":
		p.scripts++
	case "meta":
		if _, target, found := strings.Cut(attributes["content"], "="); found && strings.EqualFold(attributes["http-equiv"], "refresh") {
			p.refresh = strings.Trim(strings.TrimSpace(target), `"'`)
		}
	}
}

// inside is how what stands in the element is seen.
func (r *reader) inside(tag string, attributes map[string]string) element {
	e := element{tag: tag}
	if n := len(r.open); n > 0 {
		e.hidden, e.back, e.front = r.open[n-1].hidden, r.open[n-1].back, r.open[n-1].front
	}
	if c := colour(attributes["bgcolor"]); c != "" {
		e.back = c
	}
	if c := colour(attributes["color"]); c != "" {
		e.front = c
	}
	if c := colour(attributes["text"]); c != "" && tag == "body" {
		e.front = c
	}
	if _, has := attributes["hidden"]; has {
		e.hidden = true
	}
	style := styleOf(attributes["style"])
	if c := colour(style["background-color"]); c != "" {
		e.back = c
	} else if c := colour(style["background"]); c != "" {
		e.back = c
	}
	if c := colour(style["color"]); c != "" {
		e.front = c
	}
	if pictured(style, attributes) {
		e.back = "a picture"
	}
	// Text in the colour of what lies behind it is not seen. Where no colour is said, white lies behind.
	ground := e.back
	if ground == "" {
		ground = "#ffffff"
	}
	same := e.front != "" && e.front == ground && (e.back != "" || style["color"] != "" || attributes["color"] != "")
	e.hidden = e.hidden || hides(style) || same
	return e
}

// pictured reports whether a picture or gradient lies behind the element.
func pictured(style, attributes map[string]string) bool {
	return strings.Contains(style["background"]+style["background-image"], "url") || strings.Contains(style["background"], "gradient") ||
		attributes["background"] != "" || strings.Contains(style["background-image"], "gradient")
}

func (r *reader) end(tag string) {
	if tag == r.raw {
		r.raw = ""
	}
	if tag == "a" {
		r.endLink()
	}
	if apart(tag) {
		r.text.WriteByte(' ')
		r.cut = false
	}
	for i := len(r.open) - 1; i >= 0; i-- {
		if r.open[i].tag == tag {
			r.open = r.open[:i]
			return
		}
	}
}

func (r *reader) endLink() {
	if r.link == nil {
		return
	}
	r.link.text = strings.Join(strings.Fields(r.label.String()), " ")
	if len(r.page.links) < maxLinks {
		r.page.links = append(r.page.links, *r.link)
	}
	r.link = nil
}

// encodedLetters counts plain letters that are written as numbered references (&#112;), which nobody needs.
func encodedLetters(text string) int {
	n := 0
	for {
		at := strings.Index(text, "&#")
		if at < 0 {
			return n
		}
		text = text[at+2:]
		end, base := 0, 10
		if text != "" && text[0]|0x20 == 'x' {
			end, base = 1, 16
		}
		value := 0
		for end < len(text) && end < 7 {
			digit := hexDigit(text[end])
			if digit < 0 || digit >= base {
				break
			}
			value = value*base + digit
			end++
		}
		if c := value | 0x20; c >= 'a' && c <= 'z' {
			n++
		}
	}
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}
