package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/postern-mail/postern/sdk/scanner"
)

// Bounds of what is looked at for possible detections.
const (
	subjectHead = 4 << 10  // decides which readers a part is for
	maxSubject  = 32 << 20 // of a part; what is longer is looked at up to here
	maxSiblings = 64       // parts beside a part that are looked at together with it
)

// subject is one part as the readers see it.
type subject struct {
	message *scanner.Message
	part    *scanner.Part
	name    string // lower-case, with its folders
	data    []byte // at most maxSubject
}

// hit is a possible detection, and why in words.
type hit struct{ name, evidence string }

// reader looks at one kind of file.
type reader struct {
	// fits sees the beginning of the content alone.
	fits func(*subject) bool
	look func(*subject) []hit
}

func readers() []reader {
	return []reader{
		{fits: isCompound, look: compoundFile},
		{fits: isLink, look: shellLink},
		{fits: isProgram, look: program},
		{fits: isRTF, look: rtf},
		{fits: isPDF, look: pdf},
		{fits: isMarkup, look: markup},
		{fits: isScript, look: script},
		{fits: isRelations, look: relations},
		{fits: isFieldsXML, look: wordFields},
		{fits: isExternalLinkXML, look: externalLink},
		{fits: isMacroSheetXML, look: macroSheetXML},
		{fits: isSheetText, look: sheetText},
		{fits: isOneNote, look: oneNote},
		{fits: isInternetShortcut, look: internetShortcut},
		{fits: isMacroSource, look: macroSource},
		{fits: isEmbedded, look: embedded},
		{fits: isDisguisable, look: disguised},
	}
}

// suspect looks at one part for what might be malware. Where the time is over, what was found comes with the error.
func suspect(ctx context.Context, table []reader, m *scanner.Message, part *scanner.Part) ([]hit, error) {
	if len(table) == 0 || !part.Attachment() && len(part.Names) == 0 && part.Kind != "html" || part.Kind == "message" {
		return nil, nil
	}
	s := &subject{message: m, part: part, name: strings.ToLower(part.Name())}
	var err error
	if s.data, err = beginning(part, subjectHead); err != nil {
		return nil, err
	}
	whole := false
	var hits []hit
	for _, r := range table {
		if ctx.Err() != nil {
			return hits, ctx.Err()
		}
		head := *s
		head.data = s.data[:min(len(s.data), subjectHead)]
		if !r.fits(&head) {
			continue
		}
		if !whole {
			if s.data, err = beginning(part, maxSubject); err != nil {
				return nil, err
			}
			whole = true
		}
		hits = append(hits, r.look(s)...)
	}
	return hits, nil
}

// beginning is the content up to a bound.
func beginning(part *scanner.Part, most int64) ([]byte, error) {
	if part.Size <= most {
		return part.Body.Bytes()
	}
	r, err := part.Body.Open()
	if err != nil {
		return nil, err
	}
	data := make([]byte, most)
	n, err := io.ReadFull(r, data)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil
	}
	return data[:n], errors.Join(err, r.Close())
}

// base is the name without its folders, and without the dots and blanks at its end that Windows drops.
func (s *subject) base() string {
	name := s.name[strings.LastIndexAny(s.name, `/\`)+1:]
	return strings.TrimRight(name, ". ")
}

func (s *subject) extension() string { return path.Ext(s.base()) }

// parent is the container of a member, or nil.
func (s *subject) parent() *scanner.Part {
	if s.part.Kind != "member" {
		return nil
	}
	return s.message.Part(s.part.Parent)
}

// siblings are the other members of the container.
func (s *subject) siblings() []*scanner.Part {
	var out []*scanner.Part
	for i := range s.message.Parts {
		p := &s.message.Parts[i]
		if p.Parent == s.part.Parent && p.ID != s.part.ID && s.part.Kind == "member" && len(out) < maxSiblings {
			out = append(out, p)
		}
	}
	return out
}

// sibling is the content of a member beside this one, nil where there is none.
func (s *subject) sibling(name string, most int64) []byte {
	for _, p := range s.siblings() {
		if strings.EqualFold(p.Name(), name) && p.Body != nil {
			if data, err := beginning(p, most); err == nil { // what cannot be read gives no sign
				return data
			}
		}
	}
	return nil
}

// signs are collected for one detection. No sign is a detection alone, however much it weighs.
type signs struct {
	weight int
	words  []string
}

func (s *signs) add(weight int, format string, args ...any) {
	s.weight += weight
	s.words = append(s.words, fmt.Sprintf(format, args...))
}

// hit is the detection, where the signs are two at least and weigh enough.
func (s *signs) hit(name string, enough int) []hit {
	if len(s.words) < 2 || s.weight < enough {
		return nil
	}
	return []hit{{name, strings.Join(s.words, "; ")}}
}

// terms are words of one meaning.
type terms struct {
	meaning string
	weight  int
	words   []string
}

// in is the first of the words that the text holds, which is lower-case.
func (t *terms) in(text []byte) string {
	for _, word := range t.words {
		if bytes.Contains(text, []byte(word)) {
			return word
		}
	}
	return ""
}

// find adds a sign for every meaning that the text has, and returns which.
func (s *signs) find(text []byte, table []terms) map[string]bool {
	found := map[string]bool{}
	for i := range table {
		if word := table[i].in(text); word != "" {
			found[table[i].meaning] = true
			s.add(table[i].weight, "%s (%s)", table[i].meaning, strings.TrimSpace(word))
		}
	}
	return found
}

// quoted is text from outside as evidence shows it.
func quoted(text string) string {
	const most = 120
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > most {
		text = text[:most] + "..."
	}
	return fmt.Sprintf("%q", text)
}

func begins(data []byte, marks ...string) bool {
	for _, mark := range marks {
		if bytes.HasPrefix(data, []byte(mark)) {
			return true
		}
	}
	return false
}

// asciiLower is a copy in lower case with every byte in its place, whatever its encoding.
func asciiLower(data []byte) []byte {
	out := bytes.Clone(data)
	for i, c := range out {
		if c >= 'A' && c <= 'Z' {
			out[i] = c | 0x20
		}
	}
	return out
}
