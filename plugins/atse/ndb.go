package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// errUnsupported says that a signature is well-formed, though of a kind that this engine does not look for.
var errUnsupported = errors.New("is not supported")

// maxPieces bounds how many gaps a signature may have.
const maxPieces = 64

// contentSignature finds malware by bytes of its content (ClamAV's extended signatures).
type contentSignature struct {
	name   string
	target int
	offset offset
	pieces []piece
	// anchor is where in the first piece the bytes stand that the search looks for, -1: somewhere.
	anchor int
}

// piece is bytes in a row, after a gap.
type piece struct {
	least, most int // the gap before it; most -1: any
	units       []unit
}

// unit is one byte, or one of several words.
type unit struct {
	value, mask byte
	words       [][]byte // not nil: one of these
	not         bool
}

// offset says where a signature may begin.
type offset struct {
	kind  byte // 0: anywhere, 'a' from the beginning, 'e' from the end, 'p' from the entry point
	at    int
	shift int // how much later it may be
}

// parseContentSignature reads Name:TargetType:Offset:HexSignature[:MinFL[:MaxFL]].
func parseContentSignature(line string) (*contentSignature, error) {
	fields := strings.Split(line, ":")
	if len(fields) < 4 || len(fields) > 6 || fields[0] == "" {
		return nil, fmt.Errorf("%q is not name:target:offset:bytes", line)
	}
	s := &contentSignature{name: fields[0], anchor: -1}
	var err error
	if s.target, err = strconv.Atoi(fields[1]); err != nil || s.target < 0 {
		return nil, fmt.Errorf("target %q is no number", fields[1])
	}
	if s.target == 4 || s.target == 8 || s.target > 12 {
		return nil, fmt.Errorf("target %d %w", s.target, errUnsupported)
	}
	if s.offset, err = parseOffset(fields[2]); err != nil {
		return nil, err
	}
	if s.pieces, err = parsePieces(fields[3]); err != nil {
		return nil, err
	}
	return s, nil
}

func parseOffset(text string) (o offset, err error) {
	where, shift, shifts := strings.Cut(text, ",")
	if shifts {
		if o.shift, err = strconv.Atoi(shift); err != nil || o.shift < 0 {
			return o, fmt.Errorf("offset %q is no number", text)
		}
	}
	switch {
	case where == "*":
		return offset{}, nil
	case strings.HasPrefix(where, "EOF-"):
		o.kind, where = 'e', where[len("EOF-"):]
	case strings.HasPrefix(where, "EP+"):
		o.kind, where = 'p', where[len("EP+"):]
	case strings.HasPrefix(where, "EP-"):
		o.kind, where = 'p', where[len("EP"):]
	case where != "" && where[0] >= '0' && where[0] <= '9':
		o.kind = 'a'
	case where == "VI" || strings.HasPrefix(where, "S"):
		return o, fmt.Errorf("offset %q %w", text, errUnsupported)
	}
	if o.at, err = strconv.Atoi(where); err != nil || o.kind == 0 {
		return o, fmt.Errorf("offset %q is none", text)
	}
	return o, nil
}

// parsePieces reads the bytes: hexadecimal digits with ? for any, * and {n-m} for gaps, (aa|bb) for one of several, !(aa|bb) for none.
func parsePieces(text string) ([]piece, error) {
	pieces := []piece{{}}
	current := func() *piece { return &pieces[len(pieces)-1] }
	gap := func(least, most int) {
		if p := current(); len(p.units) == 0 && len(pieces) > 1 { // two gaps in a row are one
			p.least += least
			if p.most >= 0 && most >= 0 {
				p.most += most
			} else {
				p.most = -1
			}
			return
		}
		pieces = append(pieces, piece{least: least, most: most})
	}
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '*':
			gap(0, -1)
			i++
		case c == '{':
			end := strings.IndexByte(text[i:], '}')
			if end < 0 {
				return nil, fmt.Errorf("%q has no end", text[i:])
			}
			least, most, err := parseGap(text[i+1 : i+end])
			if err != nil {
				return nil, err
			}
			gap(least, most)
			i += end + 1
		case c == '(' || c == '!' && i+1 < len(text) && text[i+1] == '(':
			end := strings.IndexByte(text[i:], ')')
			if end < 0 {
				return nil, fmt.Errorf("%q has no end", text[i:])
			}
			u, err := parseWords(strings.TrimPrefix(text[i:i+end], "!"), c == '!')
			if err != nil {
				return nil, err
			}
			current().units = append(current().units, u)
			i += end + 1
		case c == '[':
			return nil, fmt.Errorf("%q %w", text[i:min(len(text), i+16)], errUnsupported)
		default:
			if i+2 > len(text) {
				return nil, fmt.Errorf("%q is half a byte", text[i:])
			}
			u, err := parseByte(text[i : i+2])
			if err != nil {
				return nil, err
			}
			current().units = append(current().units, u)
			i += 2
		}
	}
	if last := current(); len(last.units) == 0 {
		pieces = pieces[:len(pieces)-1] // what follows the last byte does not matter
	}
	if len(pieces) == 0 || len(pieces[0].units) == 0 {
		return nil, errors.New("the signature does not begin with a byte")
	}
	if len(pieces) > maxPieces {
		return nil, fmt.Errorf("a signature of %d pieces %w", len(pieces), errUnsupported)
	}
	return pieces, nil
}

// parseGap reads n, n-m, n- or -m.
func parseGap(text string) (least, most int, err error) {
	from, to, ranged := strings.Cut(text, "-")
	number := func(s string, absent int) int {
		if s == "" {
			return absent
		}
		n, e := strconv.Atoi(s)
		if e != nil || n < 0 || n > maxContent {
			err = fmt.Errorf("gap %q is none", text)
		}
		return n
	}
	least = number(from, 0)
	if most = least; ranged {
		most = number(to, -1)
	}
	if err == nil && (text == "" || text == "-" || most >= 0 && most < least) {
		err = fmt.Errorf("gap %q is none", text)
	}
	return least, most, err
}

func parseWords(text string, not bool) (unit, error) {
	u := unit{not: not}
	for word := range strings.SplitSeq(text[1:], "|") {
		var value []byte
		for i := 0; i < len(word); i += 2 {
			b, err := parseByte(word[i:min(len(word), i+2)])
			if err != nil {
				return u, fmt.Errorf("%q %w", text, errUnsupported) // anchors and nested groups
			}
			if b.mask != 0xff {
				return u, fmt.Errorf("%q %w", text, errUnsupported)
			}
			value = append(value, b.value)
		}
		if len(value) == 0 || not && len(u.words) > 0 && len(value) != len(u.words[0]) {
			return u, fmt.Errorf("%q %w", text, errUnsupported)
		}
		u.words = append(u.words, value)
	}
	return u, nil
}

func parseByte(text string) (unit, error) {
	var u unit
	if len(text) != 2 {
		return u, fmt.Errorf("%q is half a byte", text)
	}
	for _, c := range []byte(text) {
		u.value, u.mask = u.value<<4, u.mask<<4
		if c == '?' {
			continue
		}
		v := strings.IndexByte("0123456789abcdef", c|0x20)
		if c >= '0' && c <= '9' {
			v = int(c - '0')
		}
		if v < 0 || c < '0' {
			return u, fmt.Errorf("%q is no byte", text)
		}
		u.value, u.mask = u.value|byte(v), u.mask|0xf
	}
	return u, nil
}
