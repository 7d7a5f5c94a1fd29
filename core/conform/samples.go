package conform

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"

	"github.com/postern-mail/postern/core/content"
	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/spool"
)

// largeBody is the size of the body that is handed over by file and in chunks.
const largeBody = 25 << 20

// smallBody is the size of every other one.
const smallBody = 1 << 10

// samples are the messages that calls are about.
type samples struct {
	scope *spool.Scope
	small *message.Tree
	large *message.Tree
	mail  *message.Message
}

func (s *samples) release() {
	if s.scope != nil {
		_ = s.scope.Release() // the scratch folder goes with it
	}
}

// sampleText is the beginning of every sample.
const sampleText = "From: Alice <alice@outside.example>\r\nTo: bob@example.org\r\nSubject: Conformance\r\nMessage-ID: <1@outside.example>\r\n" +
	"Date: Tue, 1 Sep 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" +
	"Content-Type: text/html; charset=utf-8\r\n\r\n<p>See <a href=\"https://www.example.org/page\">the page</a>.</p>\r\n--b\r\n"

// makeSample makes a mail with an attachment of the size, and takes it apart as the gateway does, once.
func (s *suite) makeSample(ctx context.Context, tree **message.Tree, size int) error {
	if *tree != nil {
		return nil
	}
	const memory = 8 << 20 // what is larger becomes files
	if s.samples.scope == nil {
		sp, err := spool.Open(s.plugin.Scratch, memory)
		if err != nil {
			return err
		}
		s.samples.scope = sp.NewScope()
		s.samples.mail = &message.Message{
			ID: "CONFORM", Envelope: message.Envelope{From: "alice@outside.example", To: []string{"bob@example.org"}},
			Session: message.Session{Helo: "outside.example"}, Auth: message.Auth{SPF: "pass", DKIM: "none", DMARC: "none"},
		}
	}
	raw := s.samples.scope.Create(memory / 2)
	if err := writeMail(raw, size); err != nil {
		return err
	}
	body, err := raw.Finish()
	if err != nil {
		return err
	}
	if *tree, err = content.Read(ctx, body, s.samples.scope, content.Limits{FileBytes: 2 * largeBody}, nil); err != nil {
		return fmt.Errorf("make the sample mail: %w", err)
	}
	return nil
}

// writeMail writes a mail with one attachment of the size, which compresses badly and is the same every time.
func writeMail(w io.Writer, size int) error {
	_, err := io.WriteString(w, sampleText+"Content-Type: application/octet-stream; name=\"sample.bin\"\r\n"+
		"Content-Disposition: attachment; filename=\"sample.bin\"\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	random := rand.NewChaCha8([32]byte{1})
	line := make([]byte, 57)
	for left := size; left > 0 && err == nil; left -= len(line) {
		line = line[:min(left, len(line))]
		_, _ = random.Read(line) // never fails
		_, err = io.WriteString(w, base64.StdEncoding.EncodeToString(line)+"\r\n")
	}
	if err == nil {
		_, err = io.WriteString(w, "--b--\r\n")
	}
	if err != nil {
		return fmt.Errorf("write the sample mail: %w", err)
	}
	return nil
}

// container makes what an unpacker says that it takes: a good zip where it takes those, else what begins like a container and is broken.
func container(takes []string, size int) ([]byte, error) {
	for _, c := range takes {
		if c == "application/zip" || c == ".zip" || strings.HasPrefix(strings.ToLower(c), "magic:504b0304") {
			return zipOf(size)
		}
	}
	for _, c := range takes {
		digits, found := strings.CutPrefix(c, "magic:")
		if !found {
			continue
		}
		digits, offset, _ := strings.Cut(digits, "@")
		if offset != "" && offset != "0" {
			continue
		}
		begin, err := hex.DecodeString(digits)
		if err != nil {
			return nil, fmt.Errorf("containers: %q is not magic:HEX@OFFSET", c)
		}
		return append(begin, bytes.Repeat([]byte("broken "), size/7)...), nil
	}
	return bytes.Repeat([]byte("broken "), size/7), nil
}

func zipOf(size int) ([]byte, error) {
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	member, err := archive.CreateHeader(&zip.FileHeader{Name: "member.bin", Method: zip.Store})
	if err == nil {
		_, err = io.CopyN(member, rand.NewChaCha8([32]byte{2}), int64(size))
	}
	if err := errors.Join(err, archive.Close()); err != nil {
		return nil, fmt.Errorf("make a zip: %w", err)
	}
	return out.Bytes(), nil
}
