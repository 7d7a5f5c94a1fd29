package plugintest

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"mime"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/emersion/go-message"

	"github.com/postern-mail/postern/sdk/scanner"
)

// Message is a mail to be looked at. Its fields may be changed, or all given by hand.
type Message struct {
	Envelope scanner.Envelope
	Header   []scanner.HeaderField
	Parts    []Part
	URLs     []scanner.URL
	Auth     scanner.Auth
}

// Part is one part of a message: what the scanner is shown of it, and its content. ID, size and digests are filled in where it is used; the
// ID is its place in the list.
type Part struct {
	scanner.Part
	Content []byte
}

// Attachment is a part that a user can save, for messages made by hand.
func Attachment(name string, content []byte) Part {
	return Part{Part: scanner.Part{Parent: -1, Names: []string{name}, Declared: "application/octet-stream", Kind: "attachment"}, Content: content}
}

// Text is a body that is shown.
func Text(content string) Part {
	return Part{Part: scanner.Part{Parent: -1, Declared: "text/plain", Kind: "text"}, Content: []byte(content)}
}

// Mail reads a message from an .eml file. It is read as any mail program would; the gateway looks for more readings, for members of containers, and
// for more kinds of links than those that are written out.
func Mail(t testing.TB, file string) Message {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatalf("read mail: %v", err)
	}
	defer f.Close()
	m, err := readMail(f)
	if err != nil {
		t.Fatalf("read mail %s: %v", file, err)
	}
	return m
}

func readMail(r io.Reader) (Message, error) {
	entity, err := message.Read(r)
	if err != nil && !message.IsUnknownCharset(err) && !message.IsUnknownEncoding(err) {
		return Message{}, err
	}
	m := Message{Envelope: scanner.Envelope{Client: "192.0.2.1", Helo: "client.example"}, Auth: scanner.Auth{SPF: "none", DKIM: "none", DMARC: "none"}}
	for fields := entity.Header.Fields(); fields.Next(); {
		m.Header = append(m.Header, scanner.HeaderField{Name: fields.Key(), Value: fields.Value()})
	}
	m.Envelope.From = address(entity.Header.Get("From"))
	for to := range strings.SplitSeq(entity.Header.Get("To"), ",") {
		m.Envelope.To = append(m.Envelope.To, address(to))
	}
	if err := m.read(entity, -1, "1"); err != nil {
		return Message{}, err
	}
	return m, nil
}

// address is what stands in angle brackets, or all of it.
func address(field string) string {
	if _, rest, found := strings.Cut(field, "<"); found {
		field, _, _ = strings.Cut(rest, ">")
	}
	return strings.TrimSpace(field)
}

var link = regexp.MustCompile(`https?://[^\s"'<>)]+`)

// read adds an entity with all that is in it.
func (m *Message) read(e *message.Entity, parent int, path string) error {
	declared, parameters, err := e.Header.ContentType()
	if err != nil || declared == "" {
		declared = "text/plain"
	}
	disposition, more, err := e.Header.ContentDisposition()
	if err != nil {
		disposition = "" // unreadable: the type decides
	}
	id := len(m.Parts)
	p := Part{Part: scanner.Part{ID: id, Parent: parent, Path: path, Declared: strings.ToLower(declared), Charset: parameters["charset"]}}
	for _, name := range []string{more["filename"], parameters["name"]} {
		if decoded, err := new(mime.WordDecoder).DecodeHeader(name); err == nil && decoded != "" && !strings.Contains(strings.Join(p.Names, "\n"), decoded) {
			p.Names = append(p.Names, decoded)
		}
	}
	p.Display = p.Name()
	children := e.MultipartReader()
	if children != nil {
		p.Kind = "multipart"
		m.Parts = append(m.Parts, p)
		for n := 1; ; n++ {
			child, err := children.NextPart()
			if err == io.EOF {
				return nil
			}
			if err != nil && !message.IsUnknownCharset(err) && !message.IsUnknownEncoding(err) {
				return fmt.Errorf("part %s: %w", path, err)
			}
			below := fmt.Sprintf("%s.%d", path, n)
			if parent < 0 {
				below = fmt.Sprint(n)
			}
			if err := m.read(child, id, below); err != nil {
				return err
			}
		}
	}
	if p.Content, err = io.ReadAll(e.Body); err != nil {
		return fmt.Errorf("part %s: %w", path, err)
	}
	switch {
	case p.Declared == "message/rfc822":
		p.Kind = "message"
	case disposition == "attachment" || len(p.Names) > 0 || !strings.HasPrefix(p.Declared, "text/"):
		p.Kind = "attachment"
	case p.Declared == "text/html":
		p.Kind = "html"
	default:
		p.Kind = "text"
	}
	if p.Kind == "html" || p.Kind == "text" {
		for _, raw := range link.FindAllString(string(p.Content), -1) {
			m.URLs = append(m.URLs, scanner.URL{Raw: raw, URL: raw, Part: id})
		}
	}
	m.Parts = append(m.Parts, p)
	return nil
}

// fill gives every part what follows from its content.
func (m *Message) fill() {
	for i := range m.Parts {
		p := &m.Parts[i]
		p.ID = i
		if p.Display == "" {
			p.Display = p.Name()
		}
		if p.Kind == "multipart" {
			continue
		}
		p.Size = int64(len(p.Content))
		short, long := sha1.Sum(p.Content), sha256.Sum256(p.Content)
		p.SHA1, p.SHA256 = hex.EncodeToString(short[:]), hex.EncodeToString(long[:])
	}
}
