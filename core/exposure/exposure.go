// Package exposure decides what one plugin may see of a message: the content tree and the plugin's declared inputs go in, the opening
// frame of a call comes out. Nothing that was not declared leaves the core (promise 9).
package exposure

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/postern-mail/postern/core/message"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// Needed reports whether a plugin with these inputs has anything to look at in the message.
func Needed(in *pluginv1.Inputs, tree *message.Tree) bool {
	if len(in.GetNeedsAny()) == 0 {
		return true
	}
	for _, need := range in.GetNeedsAny() {
		switch need {
		case pluginv1.Need_NEED_ATTACHMENT:
			if tree.HasAttachments() {
				return true
			}
		case pluginv1.Need_NEED_URL:
			if len(tree.URLs) > 0 {
				return true
			}
		case pluginv1.Need_NEED_BODY:
			for i := range tree.Parts {
				if tree.Parts[i].Leaf() && tree.Parts[i].Size > 0 {
					return true
				}
			}
		default:
			return true // a need this core does not know never keeps a scanner from looking
		}
	}
	return false
}

// View is what one call may see. Close it when the call is over: files by reference disappear then.
type View struct {
	Opening *pluginv1.ScanOpening
	// Chunked are the bodies that have to follow the opening in chunks.
	Chunked []Chunked
	links   []string
}

// Chunked is a body announced as chunks; at most Limit bytes of it are to be sent.
type Chunked struct {
	Part  uint32
	Body  message.Body
	Limit int64
}

// Close removes the references.
func (v *View) Close() error {
	var failed error
	for _, link := range v.links {
		failed = errors.Join(failed, os.Remove(link))
	}
	if failed != nil {
		return fmt.Errorf("remove references: %w", failed)
	}
	return nil
}

// Scan builds the view of a scanner call. call is a random name of this call only, inbox the instance's folder for references.
func Scan(call string, queries []int, m *message.Message, tree *message.Tree, in *pluginv1.Inputs, inbox string) (*View, error) {
	v := &View{Opening: &pluginv1.ScanOpening{Call: call}}
	o := v.Opening
	for _, q := range queries {
		o.Queries = append(o.Queries, uint32(q))
	}
	if in.GetEnvelope() {
		o.Envelope = Envelope(m)
	}
	if in.GetHeader() {
		o.Header = Header(tree)
	}
	if in.GetAuth() {
		o.Auth = &pluginv1.Auth{
			Spf: string(m.Auth.SPF), Dkim: string(m.Auth.DKIM), DkimAligned: m.Auth.DKIMAligned, Dmarc: string(m.Auth.DMARC),
		}
	}
	if in.GetUrls() {
		for _, u := range tree.URLs {
			o.Urls = append(o.Urls, &pluginv1.Url{
				Raw: text(u.Raw), Url: text(u.URL), Part: uint32(u.Part), Text: text(u.Text)})
		}
	}
	wantsBodies := in.GetBodies() == pluginv1.Bodies_BODIES_ALL || in.GetBodies() == pluginv1.Bodies_BODIES_ATTACHMENTS
	if !in.GetParts() && !wantsBodies {
		return v, nil
	}
	inline := 0
	for i := range tree.Parts {
		part := &tree.Parts[i]
		wire := Part(part)
		if wantsBody(in, part) {
			if err := v.addBody(wire, part, int64(in.GetMaxBodyBytes()), inbox, &inline); err != nil {
				return nil, errors.Join(err, v.Close())
			}
		}
		o.Parts = append(o.Parts, wire)
	}
	return v, nil
}

// Container builds the view of an unpacker call: one part with its body, and nothing else of the message.
func Container(call string, part *message.Part, inbox string) (*View, error) {
	v := &View{Opening: &pluginv1.ScanOpening{Call: call}}
	wire := Part(part)
	inline := 0
	if err := v.addBody(wire, part, 0, inbox, &inline); err != nil {
		return nil, errors.Join(err, v.Close())
	}
	v.Opening.Parts = []*pluginv1.Part{wire}
	return v, nil
}

func wantsBody(in *pluginv1.Inputs, part *message.Part) bool {
	if !part.Leaf() || part.Body == nil || part.Size == 0 {
		return false
	}
	switch in.GetBodies() {
	case pluginv1.Bodies_BODIES_ALL:
		return true
	case pluginv1.Bodies_BODIES_ATTACHMENTS:
		return part.Kind == message.PartAttachment || part.Kind == message.PartMember || part.Kind == message.PartMessage
	}
	return false
}

// addBody attaches a body: inline where it is small, by a hard link in the inbox where it is a file, and in chunks otherwise.
func (v *View) addBody(wire *pluginv1.Part, part *message.Part, limit int64, inbox string, inline *int) error {
	size := part.Body.Size()
	if limit > 0 && size > limit {
		size = limit
	}
	if size <= pluginv1.InlineBody && *inline+int(size) <= pluginv1.InlineTotal {
		content, err := prefix(part.Body, size)
		if err != nil {
			return fmt.Errorf("expose part %s: %w", part.Path, err)
		}
		wire.Transfer, wire.Body = pluginv1.BodyTransfer_BODY_TRANSFER_INLINE, content
		*inline += len(content)
		return nil
	}
	if path := part.Body.Path(); path != "" && inbox != "" {
		link := filepath.Join(inbox, fmt.Sprintf("%s-%d", v.Opening.GetCall(), part.ID))
		if err := os.Link(path, link); err == nil {
			v.links = append(v.links, link)
			wire.Transfer, wire.File = pluginv1.BodyTransfer_BODY_TRANSFER_FILE, link
			return nil
		} // another file system: chunks serve as well
	}
	wire.Transfer = pluginv1.BodyTransfer_BODY_TRANSFER_CHUNKS
	v.Chunked = append(v.Chunked, Chunked{Part: wire.GetId(), Body: part.Body, Limit: size})
	return nil
}

// prefix is the first n bytes of a body, without a copy where it is in memory.
func prefix(body message.Body, n int64) ([]byte, error) {
	if content, ok := body.Bytes(); ok {
		return content[:n], nil
	}
	r, err := body.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	content := make([]byte, n)
	if _, err := io.ReadFull(r, content); err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	return content, nil
}

// Part is what is always shown of a part: everything but its content.
func Part(p *message.Part) *pluginv1.Part {
	wire := &pluginv1.Part{
		Id: uint32(p.ID), Parent: int32(p.Parent), Path: text(p.Path), Display: text(p.Display), DeclaredType: text(p.Declared),
		Kind: string(p.Kind), Size: uint64(p.Size), Sha1: p.SHA1, Sha256: p.SHA256, Charset: text(p.Charset),
	}
	for _, name := range p.Names {
		wire.Names = append(wire.Names, text(name))
	}
	return wire
}

// Envelope is the envelope as the contract carries it.
func Envelope(m *message.Message) *pluginv1.Envelope {
	e := &pluginv1.Envelope{From: text(m.Envelope.From), Helo: text(m.Session.Helo)}
	if m.Session.Client.IsValid() {
		e.Client = m.Session.Client.Addr().String()
	}
	for _, to := range m.Envelope.To {
		e.To = append(e.To, text(to))
	}
	return e
}

// Header is the header as the contract carries it.
func Header(tree *message.Tree) []*pluginv1.HeaderField {
	out := make([]*pluginv1.HeaderField, 0, len(tree.Header))
	for _, f := range tree.Header {
		out = append(out, &pluginv1.HeaderField{Name: text(f.Name), Value: []byte(f.Value)})
	}
	return out
}

// text makes a string fit for protobuf, which refuses what is not UTF-8. Raw 8-bit bytes are read as Latin-1, so that no two
// different names become the same.
func text(s string) string {
	if strings.ToValidUTF8(s, "") == s {
		return s
	}
	runes := make([]rune, len(s))
	for i := range len(s) {
		runes[i] = rune(s[i])
	}
	return string(runes)
}
