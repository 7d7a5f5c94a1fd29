package inspect

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/core/content"
	"github.com/postern-mail/postern/core/exposure"
	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/pluginpool"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// Unpacker takes containers apart with a plugin; it is content's Expander.
type Unpacker struct {
	name     string
	pool     *pluginpool.Pool
	callName func() string
	log      hclog.Logger
	magics   []magic
	texts    [][]byte        // what makes an attachment or an HTML body a container wherever it stands in its head
	types    map[string]bool // media types and ".ext"
}

// of is the unpacker with the message's id in what it logs.
func (u *Unpacker) of(message string) *Unpacker {
	named := *u
	named.log = u.log.With("message", message)
	return &named
}

// magic is bytes at an offset that make a part a container.
type magic struct {
	offset int
	bytes  []byte
}

// NewUnpacker reads what the plugin takes from its description: media types, ".ext", "magic:HEX@OFFSET" and
// "text:HEX".
func NewUnpacker(name string, containers []string, pool *pluginpool.Pool, callName func() string, log hclog.Logger,
) (*Unpacker, error) {
	u := &Unpacker{name: name, pool: pool, callName: callName, log: log, types: map[string]bool{}}
	for _, c := range containers {
		if digits, isText := strings.CutPrefix(c, "text:"); isText {
			pattern, err := hex.DecodeString(digits)
			if err != nil || len(pattern) == 0 {
				return nil, fmt.Errorf("read containers of plugin %s: %q is not text:HEX", name, c)
			}
			u.texts = append(u.texts, pattern)
			continue
		}
		text, isMagic := strings.CutPrefix(c, "magic:")
		if !isMagic {
			u.types[strings.ToLower(c)] = true
			continue
		}
		digits, offset, _ := strings.Cut(text, "@")
		m := magic{}
		var err error
		if m.bytes, err = hex.DecodeString(digits); err != nil || len(m.bytes) == 0 {
			return nil, fmt.Errorf("read containers of plugin %s: %q is not magic:HEX@OFFSET", name, c)
		}
		if offset != "" {
			if m.offset, err = strconv.Atoi(offset); err != nil || m.offset < 0 {
				return nil, fmt.Errorf("read containers of plugin %s: %q is not magic:HEX@OFFSET", name, c)
			}
		}
		u.magics = append(u.magics, m)
	}
	return u, nil
}

// Takes reports whether the part is a container: by what it begins with, by its declared type, or by one of its names. Of the bodies
// that a mail client shows only HTML is one, and only where it holds files in its text.
func (u *Unpacker) Takes(part *message.Part, head []byte) bool {
	for _, text := range u.texts {
		if bytes.Contains(head, text) {
			return true
		}
	}
	if part.Kind == message.PartHTML {
		return false
	}
	for _, m := range u.magics {
		if len(head) >= m.offset+len(m.bytes) && bytes.Equal(head[m.offset:m.offset+len(m.bytes)], m.bytes) {
			return true
		}
	}
	if u.types[part.Declared] {
		return true
	}
	for _, name := range part.Names {
		if dot := strings.LastIndexByte(name, '.'); dot >= 0 && u.types[strings.ToLower(name[dot:])] {
			return true
		}
	}
	return false
}

// Expand streams the members of a container into the sink. What keeps it from doing so is a trouble in the sink; an error is only
// for what ends the whole message (ctx, spool). The time it took does not count the wait for an instance.
func (u *Unpacker) Expand(ctx context.Context, part *message.Part, budget content.Budget, sink content.Sink) (time.Duration, error) {
	lease, err := u.pool.AcquireFor(ctx, func() string { return part.SHA256 })
	started := time.Now()
	if err == nil {
		err = u.expand(lease, part, budget, sink)
		lease.Done(err)
	}
	return time.Since(started), u.explain(ctx, err, part, sink)
}

// explain makes a failed call a trouble.
func (u *Unpacker) explain(ctx context.Context, err error, part *message.Part, sink content.Sink) error {
	var own *sinkError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &own):
		return own.err
	case ctx.Err() != nil:
		return fmt.Errorf("unpack: %w", ctx.Err())
	}
	reason := reasonOf(err)
	u.log.Warn("plugin call failed", "plugin", u.name, "reason", reason, "error", err)
	sink.Trouble(message.Trouble{
		Exception: message.ExceptionPluginUnavailable, Reason: reason, Part: part.ID, Plugin: u.name,
		Detail: "the unpacker did not answer",
	})
	return nil
}

// sinkError marks an error that came from the core's side.
type sinkError struct{ err error }

func (e *sinkError) Error() string { return e.err.Error() }

func (u *Unpacker) expand(lease *pluginpool.Lease, part *message.Part, budget content.Budget, sink content.Sink) (err error) {
	u.log.Debug("plugin call", "plugin", u.name)
	callCtx, cancel := context.WithCancel(lease.Context)
	defer cancel()
	view, err := exposure.Container(u.callName(), part, lease.Inbox())
	if err != nil {
		return &sinkError{err}
	}
	defer func() { err = errors.Join(err, view.Close()) }()
	stream, err := pluginv1.NewUnpackerServiceClient(lease.Conn()).Unpack(callCtx)
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	opening := &pluginv1.UnpackOpening{
		Call: view.Opening.GetCall(), Container: view.Opening.GetParts()[0],
		Budget: &pluginv1.UnpackBudget{
			Bytes: uint64(budget.Bytes), FileBytes: uint64(budget.FileBytes), Files: uint32(budget.Files),
			Layers: uint32(budget.Layers), Ratio: uint32(budget.Ratio),
			Millis: uint32(budget.Time.Milliseconds()),
		},
	}
	for _, p := range budget.Passwords {
		opening.Passwords = append(opening.Passwords, &pluginv1.Password{Text: p.Text, Source: p.Source})
	}
	err = stream.Send(&pluginv1.UnpackRequest{Frame: &pluginv1.UnpackRequest_Opening{Opening: opening}})
	if err == nil && len(view.Chunked) > 0 {
		err = sendChunks(func(r *pluginv1.ScanRequest) error {
			return stream.Send(&pluginv1.UnpackRequest{Frame: &pluginv1.UnpackRequest_Chunk{Chunk: r.GetChunk().GetData()}})
		}, view.Chunked[0])
	}
	if err == nil {
		err = stream.CloseSend()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("unpack: send: %w", err)
	}
	return u.receive(stream, part, sink)
}

// frames is what an unpacker answers, up to io.EOF.
type frames interface {
	Recv() (*pluginv1.UnpackResponse, error)
}

// mostTroubles are taken of one container; a member has one or two at most.
const mostTroubles = 1000

// receive hands the frames to the sink. What a well-behaved unpacker does not send is its failure, not the message's.
func (u *Unpacker) receive(stream frames, part *message.Part, sink content.Sink) error {
	var member io.Writer
	troubles := 0
	for {
		frame, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("unpack: %w", err)
		}
		switch frame := frame.GetFrame().(type) {
		case *pluginv1.UnpackResponse_Member:
			m := frame.Member
			if tooLong(m.GetName(), m.GetOpenedWith()) {
				return fmt.Errorf("%w: a member's name is too long", errForeign)
			}
			member, err = sink.Member(content.Member{
				Number: int(m.GetNumber()), Parent: int(m.GetParent()), Name: m.GetName(), Encrypted: m.GetEncrypted(),
				Opened: m.GetOpenedWith(),
			})
		case *pluginv1.UnpackResponse_Chunk:
			if member == nil {
				return fmt.Errorf("%w: content before a member", errForeign)
			}
			_, err = member.Write(frame.Chunk)
		case *pluginv1.UnpackResponse_Trouble:
			if troubles++; troubles > mostTroubles || tooLong(frame.Trouble.GetReason(), frame.Trouble.GetDetail()) {
				return fmt.Errorf("%w: too many troubles, or too long ones", errForeign)
			}
			sink.Trouble(troubleFrom(frame.Trouble, u.name, part.ID))
		case *pluginv1.UnpackResponse_Link:
			member = nil
			if tooLong(frame.Link.GetRaw(), frame.Link.GetText()) {
				return fmt.Errorf("%w: a link is too long", errForeign)
			}
			err = sink.Link(int(frame.Link.GetMember()), frame.Link.GetRaw(), frame.Link.GetText())
		}
		if errors.Is(err, content.ErrBudget) {
			return nil // the sink has noted the trouble; no more is wanted
		}
		if errors.Is(err, content.ErrUnknownMember) {
			return fmt.Errorf("%w: %w", errForeign, err)
		}
		if err != nil {
			return &sinkError{err}
		}
	}
}

// tooLong reports whether one of the texts is longer than the contract allows.
func tooLong(texts ...string) bool {
	return slices.ContainsFunc(texts, func(text string) bool { return len(text) > pluginv1.MaxText })
}
