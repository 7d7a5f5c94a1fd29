package content

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"time"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/spool"
)

// ErrBudget says that a limit is reached: the trouble is noted, and no more members are wanted.
var ErrBudget = errors.New("limit of taking apart reached")

// ErrUnknownMember says that an Expander named a member that it had not begun.
var ErrUnknownMember = errors.New("a member was not named before")

// Reasons of security_settings troubles.
const (
	ReasonLayers   = "layers"
	ReasonFiles    = "files"
	ReasonFileSize = "file_size"
	ReasonSize     = "decompressed_size"
	ReasonRatio    = "ratio"
	ReasonTime     = "time"
)

// Expander takes containers apart.
type Expander interface {
	// Takes reports whether the part is a container; head is the start of its content.
	Takes(part *message.Part, head []byte) bool
	// Expand streams the members into the sink, members of members included, and says how long that took. What keeps it from doing
	// so it tells the sink as a trouble; an error is for what ends the whole message.
	Expand(ctx context.Context, part *message.Part, budget Budget, sink Sink) (took time.Duration, err error)
}

// Budget is what is left for one container.
type Budget struct {
	Bytes, FileBytes     int64
	Files, Layers, Ratio int
	Time                 time.Duration
	Passwords            []Password
}

// Member is one file that an expander found.
type Member struct {
	Number, Parent int // from 1; parent 0 is the container itself
	Name           string
	Encrypted      bool   // it could not be opened and has no content
	Opened         string // source of the password that opened it
}

// Sink takes the members of one container.
type Sink interface {
	// Member begins a member; what is written is its content. ErrBudget, also from the writer: stop, the trouble is noted.
	Member(Member) (io.Writer, error)
	// Link takes a link found in the member with the number.
	Link(number int, raw, text string) error
	Trouble(message.Trouble)
}

// headBytes is how much of a body an expander is shown: an ISO 9660 volume names itself at 32769.
const headBytes = 33 << 10

// ratioFloor is the size below which no ratio is counted: small files of one letter are no bombs.
const ratioFloor = 10 << 20

// expand opens every container among the parts, and reads what looks like a mail wherever it is found; both may add parts, which are
// looked at in their turn. Members of containers were opened by the expander already.
func (r *reader) expand(expander Expander) error {
	left := Budget{
		Bytes: r.limits.Bytes, FileBytes: r.limits.FileBytes, Files: r.limits.Files, Layers: r.limits.Layers, Ratio: r.limits.Ratio,
		Time: r.limits.Time,
	}
	for i := 0; i < len(r.tree.Parts); i++ {
		part := r.tree.Parts[i]
		if part.Kind != message.PartAttachment && part.Kind != message.PartHTML && part.Kind != message.PartMember || part.Size == 0 {
			continue
		}
		head, err := headOf(part.Body, headBytes)
		if err != nil {
			return err
		}
		if part.Kind != message.PartHTML && (looksLikeMail(head) || hasMailName(&part)) {
			if err := r.mailInside(i); err != nil {
				return err
			}
		}
		if expander == nil || part.Kind == message.PartMember || !expander.Takes(&part, head) {
			continue
		}
		if left.Time <= 0 {
			r.tree.Troubles = append(r.tree.Troubles, message.Trouble{
				Exception: message.ExceptionSecuritySettings, Reason: ReasonTime, Part: i,
				Detail: fmt.Sprintf("%s: containers took more than %v", part.Display, r.limits.Time),
			})
			return nil
		}
		if left.Passwords == nil {
			if left.Passwords, err = r.passwords(); err != nil {
				return err
			}
		}
		s := &sink{reader: r, container: part, budget: &left, members: map[int]int{0: part.ID}}
		took, err := expander.Expand(r.ctx, &part, left, s)
		left.Time -= took
		if err := errors.Join(err, s.finish()); err != nil {
			return fmt.Errorf("expand %s: %w", part.Path, err)
		}
	}
	return nil
}

// layersAbove counts the containers around a part, those of mails around it included.
func (r *reader) layersAbove(id int) int {
	layers := 0
	for ; id >= 0; id = r.tree.Parts[id].Parent {
		if r.tree.Parts[id].Kind == message.PartMember {
			layers++
		}
	}
	return layers
}

// sink turns members into parts and counts them against the budget.
type sink struct {
	reader    *reader
	container message.Part
	budget    *Budget // of the whole message
	members   map[int]int
	spent     int64 // bytes of this container's members
	current   *member
	stopped   bool
}

// member is the file being written.
type member struct {
	sink   *sink
	part   message.Part
	number int
	body   *spool.Writer
	sha1   hash.Hash
	sha256 hash.Hash
	size   int64
}

func (s *sink) Trouble(t message.Trouble) {
	s.reader.tree.Troubles = append(s.reader.tree.Troubles, t)
}

func (s *sink) limit(reason, detail string) error {
	s.stopped = true
	s.Trouble(message.Trouble{
		Exception: message.ExceptionSecuritySettings, Reason: reason, Detail: s.container.Display + ": " + detail,
		Part: s.container.ID,
	})
	return ErrBudget
}

// Member begins a member.
func (s *sink) Member(m Member) (io.Writer, error) {
	if s.stopped {
		return nil, ErrBudget
	}
	if err := s.finish(); err != nil {
		return nil, err
	}
	parentID, known := s.members[m.Parent]
	if !known {
		return nil, fmt.Errorf("member %q: %w", m.Name, ErrUnknownMember)
	}
	if s.budget.Files--; s.budget.Files < 0 {
		return nil, s.limit(ReasonFiles, fmt.Sprintf("more than %d files", s.reader.limits.Files))
	}
	if s.reader.layersAbove(parentID) >= s.reader.limits.Layers {
		return nil, s.limit(ReasonLayers, fmt.Sprintf("more than %d layers", s.reader.limits.Layers))
	}
	above := &s.reader.tree.Parts[parentID]
	clean := strings.Map(dropControl, m.Name)
	p := message.Part{
		Parent: parentID, Path: above.Path + "/" + clean, Names: []string{clean}, Declared: "application/octet-stream",
		Kind: message.PartMember, Reading: above.Reading, Depth: above.Depth + 1, Opened: m.Opened,
	}
	if p.Opened == "" {
		p.Opened = above.Opened
	}
	p.Display = above.Display + "/" + displayName(&p)
	s.current = &member{
		sink: s, part: p, number: m.Number, body: s.reader.scope.Create(bodyMemory), sha1: sha1.New(), sha256: sha256.New(),
	}
	if m.Encrypted {
		s.Trouble(message.Trouble{
			Exception: message.ExceptionEncryption, Reason: "encrypted_member", Detail: p.Display, Part: s.container.ID,
		})
	}
	return s.current, nil
}

// Link notes a link under the member it was found in.
func (s *sink) Link(number int, raw, text string) error {
	if s.stopped {
		return ErrBudget
	}
	if err := s.finish(); err != nil {
		return err
	}
	part, known := s.members[number]
	if !known {
		return fmt.Errorf("link: %w", ErrUnknownMember)
	}
	if len(s.reader.links) < maxURLs {
		s.reader.links = append(s.reader.links, link{part: part, raw: raw, text: text})
	}
	return nil
}

// Write adds content to the member, as far as the budget allows.
func (m *member) Write(p []byte) (int, error) {
	s := m.sink
	if s.stopped {
		return 0, ErrBudget
	}
	n := int64(len(p))
	m.size += n
	s.spent += n
	s.budget.Bytes -= n
	switch {
	case m.size > s.budget.FileBytes:
		return 0, s.limit(ReasonFileSize, fmt.Sprintf("%s is larger than %d bytes", m.part.Display, s.budget.FileBytes))
	case s.budget.Bytes < 0:
		return 0, s.limit(ReasonSize, fmt.Sprintf("more than %d bytes in all", s.reader.limits.Bytes))
	case s.budget.Ratio > 0 && s.spent > ratioFloor && s.spent > s.container.Size*int64(s.budget.Ratio):
		return 0, s.limit(ReasonRatio, fmt.Sprintf("more than %d times its size", s.budget.Ratio))
	}
	m.sha1.Write(p)
	m.sha256.Write(p)
	return m.body.Write(p)
}

// finish ends the member being written and makes it a part.
func (s *sink) finish() error {
	m := s.current
	s.current = nil
	if m == nil {
		return nil
	}
	body, err := m.body.Finish()
	if err != nil {
		return err
	}
	m.part.Body, m.part.Size = body, m.size
	m.part.SHA1, m.part.SHA256 = hex.EncodeToString(m.sha1.Sum(nil)), hex.EncodeToString(m.sha256.Sum(nil))
	id, ok := s.reader.add(m.part)
	if !ok {
		s.stopped = true
		return nil
	}
	s.members[m.number] = id
	return nil
}
