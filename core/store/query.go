package store

import "strings"

const blanks = " \t\r\n"

// Patterns are the alternatives of one field of a TextQuery. None at all match every text.
type Patterns []Pattern

// Pattern is a text with wildcards, as the literal texts that stand between them: one literal is an exact match, {"", "a"} is
// everything that ends with a.
type Pattern []string

// ParsePatterns reads what an operator typed: "*" is a wildcard, ";" separates alternatives, blanks around an alternative do not
// count, and what stands in double quotes is literal, "" within them being one quote. A quote that is never closed is a plain
// character, so that half-typed text still finds something. Every text is a valid query.
func ParsePatterns(text string) Patterns {
	var (
		out     Patterns
		scanner = patternScanner{rest: text}
	)
	for scanner.rest != "" {
		pattern, typed := scanner.next()
		if !typed {
			continue
		}
		if pattern.all() {
			return nil
		}
		out = append(out, pattern)
	}
	return out
}

// Match reports whether one of the alternatives is the text, case folded.
func (p Patterns) Match(text string) bool {
	if len(p) == 0 {
		return true
	}
	text = Fold(text)
	for _, pattern := range p {
		if pattern.match(text) {
			return true
		}
	}
	return false
}

// Fold makes texts equal that differ in case only. Both sides of every comparison go through it, so that the databases, which
// disagree about case outside ASCII, compare plain bytes.
func Fold(text string) string { return strings.ToLower(strings.ToUpper(text)) }

// Exact is the text that the pattern stands for where it has no wildcard.
func (p Pattern) Exact() (text string, exact bool) {
	if len(p) != 1 {
		return "", false
	}
	return p[0], true
}

// Like is the pattern in the language of SQL's LIKE with "\" as its escape.
func (p Pattern) Like() string {
	escape := strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)
	parts := make([]string, len(p))
	for i, literal := range p {
		parts[i] = escape.Replace(literal)
	}
	return strings.Join(parts, "%")
}

func (p Pattern) all() bool {
	for _, literal := range p {
		if literal != "" {
			return false
		}
	}
	return len(p) > 1
}

// match takes each literal where it occurs first, which is enough as a wildcard takes any number of characters.
func (p Pattern) match(text string) bool {
	if exact, ok := p.Exact(); ok {
		return text == exact
	}
	first, last := p[0], p[len(p)-1]
	if !strings.HasPrefix(text, first) {
		return false
	}
	text = text[len(first):]
	for _, literal := range p[1 : len(p)-1] {
		i := strings.Index(text, literal)
		if i < 0 {
			return false
		}
		text = text[i+len(literal):]
	}
	return strings.HasSuffix(text, last)
}

type patternScanner struct{ rest string }

// next reads up to the next separator. typed is false where nothing but blanks stood there.
func (s *patternScanner) next() (pattern Pattern, typed bool) {
	var (
		literal strings.Builder
		solid   int // length of literal up to its last character that is not a blank outside quotes
	)
	s.rest = strings.TrimLeft(s.rest, blanks)
	for s.rest != "" {
		c := s.rest[0]
		if quoted, size := cutQuoted(s.rest); size > 0 {
			literal.WriteString(quoted)
			solid, typed = literal.Len(), true
			s.rest = s.rest[size:]
			continue
		}
		s.rest = s.rest[1:]
		if c == ';' {
			break
		}
		if c == '*' {
			typed = true
			if len(pattern) == 0 || literal.Len() > 0 {
				pattern = append(pattern, Fold(literal.String()))
			}
			literal.Reset()
			solid = 0
			continue
		}
		literal.WriteByte(c)
		if strings.IndexByte(blanks, c) < 0 {
			solid, typed = literal.Len(), true
		}
	}
	return append(pattern, Fold(literal.String()[:solid])), typed
}

// cutQuoted reads a quoted text at the beginning of text; size is 0 where there is none.
func cutQuoted(text string) (content string, size int) {
	if text[0] != '"' {
		return "", 0
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		if text[i] != '"' {
			b.WriteByte(text[i])
			continue
		}
		if i+1 < len(text) && text[i+1] == '"' {
			b.WriteByte('"')
			i++
			continue
		}
		return b.String(), i + 1
	}
	return "", 0
}
