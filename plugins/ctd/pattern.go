package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/postern-mail/postern/sdk/objects"
)

// longestPattern bounds the patterns that are read.
const longestPattern = 64 << 10

// errPattern says that a pattern is more than a choice among objects.
var errPattern = errors.New("it is no choice among files, URLs, domains and addresses")

// readPattern reads a STIX 2.1 pattern (section 9) that is a choice among single objects: comparisons by =, IN, or LIKE with one % at the end
// of a URL, joined by OR within and between observations. What is compared and is not known in mail (MD5, names) is left out of the choice;
// anything that narrows it (AND, NOT, FOLLOWEDBY, qualifiers) is refused, because to match by a part of it would match too much.
func readPattern(text string) ([]objects.Object, error) {
	if len(text) > longestPattern {
		return nil, fmt.Errorf("%w: it is longer than %d bytes", errPattern, longestPattern)
	}
	tokens, err := patternTokens(text)
	if err != nil {
		return nil, err
	}
	p := &patternReader{tokens: tokens}
	for {
		if err := p.observation(0); err != nil {
			return nil, err
		}
		if !p.take("OR") {
			break
		}
	}
	if len(p.tokens) > 0 {
		return nil, fmt.Errorf("%w: %.40q stands behind an observation", errPattern, p.tokens[0].text)
	}
	return p.found, nil
}

type patternToken struct {
	text   string
	quoted bool
}

func patternTokens(text string) ([]patternToken, error) {
	var out []patternToken
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
		case strings.IndexByte("[]()=,", c) >= 0:
			out = append(out, patternToken{text: string(c)})
			i++
		case c == '\'':
			value, n, err := quotedText(text[i:])
			if err != nil {
				return nil, err
			}
			out = append(out, patternToken{value, true})
			i += n
		default:
			// A property's path, with quoted steps, or a word.
			start := i
			for i < len(text) && strings.IndexByte(" \t\r\n[]()=,", text[i]) < 0 {
				if text[i] == '\'' {
					_, n, err := quotedText(text[i:])
					if err != nil {
						return nil, err
					}
					i += n
					continue
				}
				i++
			}
			out = append(out, patternToken{text: text[start:i]})
		}
	}
	return out, nil
}

// quotedText reads a text in single quotes, where a backslash stands before a quote or itself.
func quotedText(text string) (value string, length int, err error) {
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		case text[i] == '\'':
			return b.String(), i + 1, nil
		default:
			b.WriteByte(text[i])
		}
	}
	return "", 0, fmt.Errorf("%w: a quote is not closed", errPattern)
}

type patternReader struct {
	tokens []patternToken
	found  []objects.Object
}

func (p *patternReader) take(word string) bool {
	if len(p.tokens) > 0 && !p.tokens[0].quoted && strings.EqualFold(p.tokens[0].text, word) {
		p.tokens = p.tokens[1:]
		return true
	}
	return false
}

func (p *patternReader) need(word string) error {
	if !p.take(word) {
		return fmt.Errorf("%w: there is no %s where it has to be", errPattern, word)
	}
	return nil
}

// deepest bounds parentheses.
const deepest = 16

// observation reads "[ comparison OR comparison ]", or several in parentheses.
func (p *patternReader) observation(depth int) error {
	if depth > deepest {
		return fmt.Errorf("%w: too many parentheses", errPattern)
	}
	if p.take("(") {
		for {
			if err := p.observation(depth + 1); err != nil {
				return err
			}
			if !p.take("OR") {
				return p.need(")")
			}
		}
	}
	if err := p.need("["); err != nil {
		return err
	}
	if err := p.choice(depth); err != nil {
		return err
	}
	return p.need("]")
}

func (p *patternReader) choice(depth int) error {
	if depth > deepest {
		return fmt.Errorf("%w: too many parentheses", errPattern)
	}
	for {
		var err error
		if p.take("(") {
			if err = p.choice(depth + 1); err == nil {
				err = p.need(")")
			}
		} else {
			err = p.comparison()
		}
		if err != nil || !p.take("OR") {
			return err
		}
	}
}

func (p *patternReader) comparison() error {
	if len(p.tokens) == 0 || p.tokens[0].quoted {
		return fmt.Errorf("%w: a comparison has no property", errPattern)
	}
	property := strings.NewReplacer("'", "", `"`, "").Replace(p.tokens[0].text)
	p.tokens = p.tokens[1:]
	kind, known := propertyTypes()[property]
	switch {
	case p.take("="):
		return p.value(kind, known, false)
	case p.take("LIKE"):
		return p.value(kind, known, true)
	case p.take("IN"):
		if err := p.need("("); err != nil {
			return err
		}
		for {
			if err := p.value(kind, known, false); err != nil {
				return err
			}
			if !p.take(",") {
				return p.need(")")
			}
		}
	}
	return fmt.Errorf("%w: %.60q is compared otherwise than by =, IN or LIKE", errPattern, property)
}

func propertyTypes() map[string]objects.Type {
	return map[string]objects.Type{
		"file:hashes.SHA-1": objects.SHA1, "file:hashes.SHA1": objects.SHA1, "file:hashes.SHA-256": objects.SHA256, "file:hashes.SHA256": objects.SHA256,
		"url:value": objects.URL, "domain-name:value": objects.Domain, "ipv4-addr:value": objects.IP, "ipv6-addr:value": objects.IP,
	}
}

func (p *patternReader) value(kind objects.Type, known, like bool) error {
	if len(p.tokens) == 0 || !p.tokens[0].quoted {
		return fmt.Errorf("%w: a comparison has no text", errPattern)
	}
	value := p.tokens[0].text
	p.tokens = p.tokens[1:]
	if like {
		begin, open := strings.CutSuffix(value, "%")
		if strings.ContainsAny(begin, "%_") || open && kind != objects.URL {
			return fmt.Errorf("%w: %.60q has wildcards elsewhere than at the end of a URL", errPattern, value)
		}
		if value = begin; open {
			value += "*"
		}
	}
	if known {
		p.found = append(p.found, objects.Object{Type: kind, Value: value})
	}
	return nil
}
