// Package content takes a message apart: its bytes go in, a tree of parts with names, types, digests and links comes out. Where the
// bytes can be read in more than one way, the parts of every plausible reading are in the tree, because mail clients differ and a
// scanner must see what any of them would show; what no reading can make sense of is a typed trouble.
package content

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/sys/unix"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/spool"
)

// Limits of taking apart. A zero field has the default in brackets.
type Limits struct {
	Depth       int   // of nested multiparts and messages (64)
	Parts       int   // (1000)
	HeaderBytes int   // of one header (64 KiB)
	Layers      int   // of containers in containers (20)
	Files       int   // members of containers, all together (353)
	Ratio       int   // decompressed to compressed size of one container (100)
	FileBytes   int64 // decompressed size of any one member (60 MiB)
	Bytes       int64 // decompressed size of all members (512 MiB)
	// Time is how long all containers together may take (8 s).
	Time time.Duration
	// Memory is the budget, MemoryBudget bytes, that messages share whose broken encodings are tried in memory. Nil: no bound.
	Memory *semaphore.Weighted
}

// MemoryBudget is the size of Limits.Memory.
const MemoryBudget = 128 << 20

func (l Limits) withDefaults() Limits {
	set := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	set(&l.Depth, 64)
	set(&l.Parts, 1000)
	set(&l.HeaderBytes, 64<<10)
	set(&l.Layers, 20)
	set(&l.Files, 353)
	set(&l.Ratio, 100)
	if l.FileBytes == 0 {
		l.FileBytes = 60 << 20
	}
	if l.Bytes == 0 {
		l.Bytes = 512 << 20
	}
	if l.Time == 0 {
		l.Time = 8 * time.Second
	}
	return l
}

// Reasons of malformed_message troubles.
const (
	ReasonDepth     = "mime_depth"
	ReasonParts     = "mime_parts"
	ReasonHeader    = "header_size"
	ReasonAmbiguous = "ambiguous_mime"
)

// Read takes a message apart. Decoded bodies are written to the scope and live as long as it. An error is the file system's or the
// end of ctx; whatever is wrong with the message itself is a trouble in the tree.
func Read(ctx context.Context, raw message.Body, scope *spool.Scope, limits Limits, expander Expander) (*message.Tree, error) {
	data, unmap, err := view(raw)
	if err != nil {
		return nil, err
	}
	r := &reader{
		ctx: ctx, scope: scope, limits: limits.withDefaults(), tree: &message.Tree{}, seen: map[string]bool{}, unmaps: []func() error{unmap},
	}
	err = r.message(data)
	r.releaseMemory()
	if err == nil {
		err = r.expand(expander)
		r.releaseMemory()
	}
	if err == nil {
		err = r.collectURLs()
	}
	for _, unmap := range r.unmaps {
		err = errors.Join(err, unmap())
	}
	if err != nil {
		return nil, err
	}
	return r.tree, nil
}

// reserveMemory is called before content is decoded in memory, as only odd mail needs: such messages share a budget, so that many
// large ones at the same time are read one after the other.
func (r *reader) reserveMemory(size int) error {
	if r.reserved > 0 || r.limits.Memory == nil {
		return nil
	}
	const copies = 4 // decodings of one body that are in memory together
	want := min(int64(copies*size), MemoryBudget)
	if err := r.limits.Memory.Acquire(r.ctx, want); err != nil {
		return fmt.Errorf("wait for memory: %w", err)
	}
	r.reserved = want
	return nil
}

func (r *reader) releaseMemory() {
	if r.reserved > 0 {
		r.limits.Memory.Release(r.reserved)
		r.reserved = 0
	}
}

// view gives a body's bytes without reading a file into memory: the page cache serves it.
func view(body message.Body) (data []byte, unmap func() error, err error) {
	nothing := func() error { return nil }
	if data, ok := body.Bytes(); ok {
		return data, nothing, nil
	}
	if body.Size() == 0 {
		return nil, nothing, nil
	}
	r, err := body.Open()
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	file, ok := r.(interface{ Fd() uintptr })
	if !ok {
		data, err := io.ReadAll(r)
		return data, nothing, err
	}
	data, err = unix.Mmap(int(file.Fd()), 0, int(body.Size()), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return nil, nil, fmt.Errorf("map message: %w", err)
	}
	return data, func() error { return unix.Munmap(data) }, nil
}

// reader builds one tree.
type reader struct {
	ctx    context.Context
	scope  *spool.Scope
	limits Limits
	tree   *message.Tree
	// odd are the oddities found, which make the lenient readings run; see oddity.
	odd map[oddity]bool
	// seen holds the digests of bodies under a parent, so that another reading of the same bytes adds nothing.
	seen     map[string]bool
	overflow bool // no more parts are taken
	unmaps   []func() error
	reserved int64 // of limits.Memory
	links    []link
}

// message reads the whole message: strictly, and where that met anything odd, leniently.
func (r *reader) message(data []byte) error {
	offset := 0
	if isMboxLine(data) {
		offset = lineEnd(data, 0)
	}
	r.odd = map[oddity]bool{}
	root := entity{data: data[offset:], offset: int64(offset), parent: -1, path: "1", reading: "strict"}
	if err := r.entity(root); err != nil {
		return err
	}
	fields, _, _ := scanHeader(root.data, r.limits.HeaderBytes)
	for _, f := range fields {
		r.tree.Header = append(r.tree.Header, message.HeaderField{Name: f.name, Value: unfold(f.value)})
	}
	if len(r.odd) == 0 {
		return nil
	}
	if err := r.reserveMemory(len(root.data)); err != nil {
		return err
	}
	if err := r.carve(root.data, entity{parent: 0, path: "1", depth: 1}); err != nil {
		return err
	}
	for _, o := range slices.Sorted(maps.Keys(r.odd)) { // the same mail gives the same reason
		if o.malformed() {
			r.trouble(ReasonAmbiguous, string(o), -1)
			return nil
		}
	}
	return nil
}

func (r *reader) trouble(reason, detail string, part int) {
	for _, t := range r.tree.Troubles {
		if t.Reason == reason && t.Part == part {
			return
		}
	}
	r.tree.Troubles = append(r.tree.Troubles,
		message.Trouble{Exception: message.ExceptionMalformed, Reason: reason, Detail: detail, Part: part})
}

// add appends a part; false where there is no room for more.
func (r *reader) add(p message.Part) (id int, ok bool) {
	if len(r.tree.Parts) >= r.limits.Parts {
		r.overflow = true
		r.trouble(ReasonParts, fmt.Sprintf("more than %d parts", r.limits.Parts), -1)
		return 0, false
	}
	p.ID = len(r.tree.Parts)
	r.tree.Parts = append(r.tree.Parts, p)
	return p.ID, true
}
