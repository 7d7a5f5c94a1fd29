package main

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/postern-mail/postern/sdk/compound"
)

// Bounds of the search.
const (
	maxContent    = 64 << 20 // of a part that is searched
	maxMatchSteps = 1 << 20  // of one signature in one part; what would take more does not match
	anchorBytes   = 4
	filterBits    = 20
)

// literal is the first run of anchorBytes bytes in a piece, and its place, which is -1 where words of several lengths stand before.
func (p *piece) literal() (at int, word [anchorBytes]byte, ok bool) {
	run, place, varies := 0, 0, false
	for _, u := range p.units {
		if u.words != nil {
			varies = varies || slices.ContainsFunc(u.words, func(w []byte) bool { return len(w) != len(u.words[0]) })
			run, place = 0, place+len(u.words[0])
			continue
		}
		place++
		if u.mask != 0xff {
			run = 0
			continue
		}
		copy(word[:], word[1:])
		word[anchorBytes-1] = u.value
		if run++; run < anchorBytes {
			continue
		}
		if varies {
			return -1, word, true
		}
		return place - anchorBytes, word, true
	}
	return 0, word, false
}

// contentSignatures searches for many signatures at once: each is looked for by four bytes of it.
type contentSignatures struct {
	anchored map[[anchorBytes]byte][]*contentSignature
	filter   []uint64 // of hashed anchors
	direct   []*contentSignature
	folded   bool // some are for lower case
	count    int
}

// add takes a signature in; one without four bytes in a row is only looked for at a place.
func (c *contentSignatures) add(s *contentSignature) error {
	if c.filter == nil {
		c.filter, c.anchored = make([]uint64, 1<<filterBits/64), map[[anchorBytes]byte][]*contentSignature{}
	}
	c.folded = c.folded || s.target == 3 || s.target == 7
	for i := range s.pieces {
		at, word, ok := s.pieces[i].literal()
		if !ok {
			continue
		}
		if i == 0 {
			s.anchor = at
		}
		c.anchored[word] = append(c.anchored[word], s)
		h := anchorHash(word[0], word[1], word[2], word[3])
		c.filter[h/64] |= 1 << (h % 64)
		c.count++
		return nil
	}
	if s.offset.kind == 0 {
		return fmt.Errorf("a signature without four bytes in a row %w", errUnsupported)
	}
	c.direct = append(c.direct, s)
	c.count++
	return nil
}

func anchorHash(a, b, c, d byte) uint32 {
	v := uint32(a) | uint32(b)<<8 | uint32(c)<<16 | uint32(d)<<24
	return v * 0x9e3779b1 >> (32 - filterBits)
}

// find is the first signature that the content matches, and where. Signatures of pages and of texts (targets 3 and 7) are written for lower
// case.
func (c *contentSignatures) find(data []byte) (*contentSignature, int) {
	if c.count == 0 {
		return nil, 0
	}
	entry := -1
	if begins(data, "MZ") {
		if p := readImage(data); p != nil {
			entry = p.fileOffset(p.entry)
		}
	}
	targets := targetsOf(data)
	folded := map[int]bool{3: targets[3] && c.folded, 7: targets[7] && c.folded}
	delete(targets, 3)
	delete(targets, 7)
	if s, at := c.findIn(data, targets, entry); s != nil || !folded[3] && !folded[7] {
		return s, at
	}
	return c.findIn(asciiLower(data), folded, entry)
}

func (c *contentSignatures) findIn(data []byte, targets map[int]bool, entry int) (*contentSignature, int) {
	for _, s := range c.direct {
		if at := s.search(data, targets, entry); at >= 0 {
			return s, at
		}
	}
	searched := map[*contentSignature]bool{}
	spent := map[*contentSignature]*int{}
	for i := 0; i+anchorBytes <= len(data); i++ {
		h := anchorHash(data[i], data[i+1], data[i+2], data[i+3])
		if c.filter[h/64]&(1<<(h%64)) == 0 {
			continue
		}
		for _, s := range c.anchored[[anchorBytes]byte(data[i:])] {
			if !targets[s.target] {
				continue
			}
			if s.anchor >= 0 {
				at := i - s.anchor
				if at < 0 || !s.offset.allows(at, len(data), entry) {
					continue
				}
				if spent[s] == nil {
					spent[s] = new(int)
				}
				if s.matchAt(data, at, spent[s]) {
					return s, at
				}
				continue
			}
			if searched[s] {
				continue
			}
			searched[s] = true
			if at := s.search(data, targets, entry); at >= 0 {
				return s, at
			}
		}
	}
	return nil, 0
}

// search tries every place where the signature may begin.
func (s *contentSignature) search(data []byte, targets map[int]bool, entry int) int {
	if !targets[s.target] {
		return -1
	}
	from, to := 0, len(data)-1
	if start, ok := s.offset.start(len(data), entry); s.offset.kind != 0 {
		if !ok {
			return -1
		}
		from, to = max(0, start), min(to, start+s.offset.shift)
	}
	first := s.pieces[0].units[0]
	steps := 0
	for at := from; at <= to && steps < maxMatchSteps; at++ {
		if first.words == nil && data[at]&first.mask != first.value {
			continue
		}
		if s.matchAt(data, at, &steps) {
			return at
		}
	}
	return -1
}

func (o offset) start(size, entry int) (int, bool) {
	switch o.kind {
	case 'a':
		return o.at, true
	case 'e':
		return size - o.at, true
	case 'p':
		return entry + o.at, entry >= 0
	}
	return 0, false
}

func (o offset) allows(at, size, entry int) bool {
	if o.kind == 0 {
		return true
	}
	start, ok := o.start(size, entry)
	return ok && at >= start && at <= start+o.shift
}

func (s *contentSignature) matchAt(data []byte, at int, steps *int) bool {
	*steps++
	ends := s.pieces[0].match(data, at)
	return slices.ContainsFunc(ends, func(end int) bool { return s.rest(data, 1, end, steps) })
}

// rest matches the pieces from one on behind a place. The steps bound how often a gap is tried again, and how far.
func (s *contentSignature) rest(data []byte, number, at int, steps *int) bool {
	if number == len(s.pieces) {
		return true
	}
	p := &s.pieces[number]
	last := len(data)
	if p.most >= 0 {
		last = min(last, at+p.most)
	}
	first := p.units[0]
	const bytesInStep = 256
	for i := at + p.least; i <= last && i < len(data) && *steps < maxMatchSteps; i++ {
		if first.words == nil && first.mask == 0xff {
			where := data[i:min(len(data), last+1)]
			next := bytes.IndexByte(where, first.value)
			if next < 0 {
				*steps += len(where) / bytesInStep
				return false
			}
			*steps += next / bytesInStep
			i += next
		}
		*steps++
		for _, end := range p.match(data, i) {
			if s.rest(data, number+1, end, steps) {
				return true
			}
		}
		if p.most < 0 && number+1 < len(s.pieces) && s.pieces[number+1].most < 0 && len(p.match(data, i)) > 0 {
			return false // any gap follows: a later match leaves less behind it
		}
	}
	return false
}

// match is where the piece may end that begins at a place; more than one where words of several lengths fit.
func (p *piece) match(data []byte, at int) []int {
	const most = 16
	ends := []int{at}
	for _, u := range p.units {
		var next []int
		for _, end := range ends {
			switch {
			case u.words == nil:
				if end < len(data) && data[end]&u.mask == u.value {
					next = append(next, end+1)
				}
			case u.not:
				n := len(u.words[0])
				if end+n <= len(data) && !slices.ContainsFunc(u.words, func(w []byte) bool { return bytes.Equal(data[end:end+n], w) }) {
					next = append(next, end+n)
				}
			default:
				for _, w := range u.words {
					if bytes.HasPrefix(data[min(end, len(data)):], w) && len(next) < most && !slices.Contains(next, end+len(w)) {
						next = append(next, end+len(w))
					}
				}
			}
		}
		if ends = next; len(ends) == 0 {
			return nil
		}
	}
	return ends
}

// targetsOf are the numbers of the kinds of files that the content is.
func targetsOf(data []byte) map[int]bool {
	head := asciiLower(data[:min(len(data), 1024)])
	return map[int]bool{
		0: true, 1: begins(data, "MZ"), 2: begins(data, compound.Magic),
		3: bytes.Contains(head, []byte("<html")) || bytes.Contains(head, []byte("<script")) || bytes.Contains(head, []byte("<!doctype html")),
		5: begins(data, "GIF8", "\xff\xd8\xff", "\x89PNG", "BM"), 6: begins(data, "\x7fELF"),
		7:  bytes.IndexByte(head, 0) < 0,
		9:  begins(data, "\xfe\xed\xfa\xce", "\xfe\xed\xfa\xcf", "\xce\xfa\xed\xfe", "\xcf\xfa\xed\xfe"),
		10: bytes.Contains(head, []byte("%pdf-")), 11: begins(data, "FWS", "CWS", "ZWS"), 12: begins(data, "\xca\xfe\xba\xbe"),
	}
}

// fileOffset is where in the file an address is, -1 where it is in no section.
func (p *image) fileOffset(address uint32) int {
	for _, s := range p.sections {
		if address >= s.virtual && uint64(address) < uint64(s.virtual)+uint64(s.rawSize) {
			return int(address - s.virtual + s.raw)
		}
	}
	return -1
}
