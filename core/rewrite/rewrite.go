// Package rewrite makes the bytes that leave: the message as it came and the changes that actions propose go in, a copy comes out.
// Bytes that no change touches leave as they came (promise 7).
package rewrite

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/postern-mail/postern/core/message"
)

// Edits are the changes of one copy, in the order of the rules.
type Edits struct {
	// Headers replace all fields of their name by one; of several with one name the last counts.
	Headers []message.HeaderField
	// Remove takes parts out and puts a notice in their place, by part.
	Remove map[int]string
	Insert []Insertion
}

// Insertion is text for the bodies that a mail client shows. It is left out of signed and encrypted mail.
type Insertion struct {
	AtEnd bool
	Text  string
}

// Empty reports whether there is nothing to change.
func (e *Edits) Empty() bool { return len(e.Headers) == 0 && len(e.Remove) == 0 && len(e.Insert) == 0 }

// Options are what happens to every copy.
type Options struct {
	// Trace is put in front of the header.
	Trace string
	// Forged are names of fields that only Postern may write: they are removed.
	Forged []string
	// Hostname is ours: Authentication-Results that claim it are removed (RFC 8601 section 5).
	Hostname string
}

// Copy is a message as it leaves.
type Copy struct {
	raw    message.Body
	pieces []piece
	size   int64
}

// piece is literal bytes, or a range of the message as it came.
type piece struct {
	literal  []byte
	from, to int64
}

// replacement puts bytes in the place of a range.
type replacement struct {
	from, to int64
	with     []byte
}

// longestHeader bounds what is read as the header; content has refused longer ones.
const longestHeader = 1 << 20

// Make plans the copy. An error is the spool's.
func Make(raw message.Body, tree *message.Tree, options Options, edits *Edits) (*Copy, error) {
	head, err := readHead(raw)
	if err != nil {
		return nil, fmt.Errorf("rewrite message: %w", err)
	}
	e := &editor{raw: raw, tree: tree, head: head, headers: slices.Clone(edits.Headers)}
	if err := e.remove(edits.Remove); err != nil {
		return nil, fmt.Errorf("rewrite message: %w", err)
	}
	if err := e.insert(edits.Insert); err != nil {
		return nil, fmt.Errorf("rewrite message: %w", err)
	}
	e.header(options)
	return e.copy(), nil
}

// editor gathers replacements.
type editor struct {
	raw          message.Body
	tree         *message.Tree
	head         head
	headers      []message.HeaderField
	replacements []replacement
	whole        bool // the whole content was replaced
}

func (e *editor) copy() *Copy {
	slices.SortStableFunc(e.replacements, func(a, b replacement) int { return cmp.Compare(a.from, b.from) })
	c := &Copy{raw: e.raw}
	at := int64(0)
	for _, r := range e.replacements {
		if r.from < at {
			continue // within one that was replaced as a whole
		}
		c.add(piece{from: at, to: r.from})
		c.add(piece{literal: r.with})
		at = r.to
	}
	c.add(piece{from: at, to: e.raw.Size()})
	return c
}

func (c *Copy) add(p piece) {
	length := int64(len(p.literal)) + p.to - p.from
	if length > 0 {
		c.pieces = append(c.pieces, p)
		c.size += length
	}
}

// Size is the length of the copy in bytes.
func (c *Copy) Size() int64 { return c.size }

// Open reads the copy; it may be called more than once.
func (c *Copy) Open() (io.ReadCloser, error) {
	r, err := c.raw.Open()
	if err != nil {
		return nil, fmt.Errorf("open copy: %w", err)
	}
	return &reader{pieces: c.pieces, raw: r}, nil
}

// reader reads piece after piece.
type reader struct {
	pieces []piece
	raw    io.ReadSeekCloser
	at     int64 // within the first piece
	sought bool
}

func (r *reader) Read(p []byte) (int, error) {
	for len(r.pieces) > 0 {
		current := &r.pieces[0]
		if current.literal != nil {
			if r.at < int64(len(current.literal)) {
				n := copy(p, current.literal[r.at:])
				r.at += int64(n)
				return n, nil
			}
			r.next()
			continue
		}
		left := current.to - current.from - r.at
		if left == 0 {
			r.next()
			continue
		}
		if !r.sought {
			if _, err := r.raw.Seek(current.from, io.SeekStart); err != nil {
				return 0, fmt.Errorf("read copy: %w", err)
			}
			r.sought = true
		}
		n, err := r.raw.Read(p[:min(int64(len(p)), left)])
		r.at += int64(n)
		if errors.Is(err, io.EOF) {
			err = nil
			if n == 0 {
				err = io.ErrUnexpectedEOF
			}
		}
		return n, err
	}
	return 0, io.EOF
}

func (r *reader) next() { r.pieces, r.at, r.sought = r.pieces[1:], 0, false }

func (r *reader) Close() error { return r.raw.Close() }

// head is the header block as it came.
type head struct {
	mbox   int // length of a leading mbox "From " line
	fields [][]byte
	rest   []byte // what ends the block: the empty line
	end    int64  // where the body begins
}

// has reports whether the block has a field of the name.
func (h *head) has(name string) bool {
	return slices.ContainsFunc(h.fields, func(field []byte) bool { return strings.EqualFold(fieldName(field), name) })
}

func readHead(raw message.Body) (head, error) {
	data, inMemory := raw.Bytes()
	if !inMemory {
		r, err := raw.Open()
		if err != nil {
			return head{}, err
		}
		data, err = io.ReadAll(io.LimitReader(r, longestHeader))
		if err := errors.Join(err, r.Close()); err != nil {
			return head{}, err
		}
	}
	return splitHead(data[:min(len(data), longestHeader)]), nil
}

// splitHead cuts the block into fields, continuation lines with their field. A line that is none ends the header, as it does for
// most readers.
func splitHead(data []byte) head {
	var h head
	at := 0
	if bytes.HasPrefix(data, []byte("From ")) {
		h.mbox = lineLength(data)
		at = h.mbox
	}
	for at < len(data) {
		line := data[at : at+lineLength(data[at:])]
		switch {
		case len(bytes.TrimRight(line, "\r\n")) == 0:
			h.rest, h.end = line, int64(at+len(line))
			return h
		case (line[0] == ' ' || line[0] == '\t') && len(h.fields) > 0:
			last := &h.fields[len(h.fields)-1]
			*last = (*last)[:len(*last)+len(line)]
		case bytes.IndexByte(line, ':') > 0 && !bytes.ContainsAny(line[:bytes.IndexByte(line, ':')], "\r\n"):
			h.fields = append(h.fields, line)
		default:
			h.end = int64(at)
			return h
		}
		at += len(line)
	}
	h.end = int64(at)
	return h
}

func lineLength(data []byte) int {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1
	}
	return len(data)
}

// Header is the header block of a message as it came, without an mbox line and without the empty line after it.
func Header(raw message.Body) ([]byte, error) {
	h, err := readHead(raw)
	if err != nil {
		return nil, fmt.Errorf("read header: %w", err)
	}
	return bytes.Join(h.fields, nil), nil
}
