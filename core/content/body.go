package content

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/postern-mail/postern/core/message"
)

// bodyMemory is how much of a body is kept in memory; more goes to a file, which plugins get by reference.
const bodyMemory = 256 << 10

// store writes a body to the spool, hashes it, and adds its part. The same bytes are kept once, whatever readings give them: id is -1
// for the second time.
func (r *reader) store(p message.Part, content []byte) (id int, err error) {
	sum1, sum256 := sha1.Sum(content), sha256.Sum256(content)
	p.SHA1, p.SHA256 = hex.EncodeToString(sum1[:]), hex.EncodeToString(sum256[:])
	if p.Reading != "strict" && r.seen[p.SHA256] {
		return -1, nil
	}
	r.seen[p.SHA256] = true
	w := r.scope.Create(bodyMemory)
	if _, err := w.Write(content); err != nil {
		return -1, err
	}
	if p.Body, err = w.Finish(); err != nil {
		return -1, err
	}
	p.Size = int64(len(content))
	id, ok := r.add(p)
	if !ok {
		return -1, nil
	}
	return id, nil
}

// Digests are the SHA-1 and SHA-256 of a body, in lower-case hexadecimal.
func Digests(body message.Body) (sum1, sum256 string, err error) {
	r, err := body.Open()
	if err != nil {
		return "", "", err
	}
	defer r.Close()
	h1, h256 := sha1.New(), sha256.New()
	if _, err := io.Copy(io.MultiWriter(h1, h256), r); err != nil {
		return "", "", fmt.Errorf("hash body: %w", err)
	}
	return hex.EncodeToString(h1.Sum(nil)), hex.EncodeToString(h256.Sum(nil)), nil
}

// headOf is the start of a body, for telling what it is.
func headOf(body message.Body, n int) ([]byte, error) {
	if content, ok := body.Bytes(); ok {
		return content[:min(n, len(content))], nil
	}
	r, err := body.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var head bytes.Buffer
	if _, err := io.CopyN(&head, r, int64(n)); err != nil && err != io.EOF {
		return nil, fmt.Errorf("read body: %w", err)
	}
	return head.Bytes(), nil
}
