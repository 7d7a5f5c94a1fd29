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

// store writes a body to the spool, hashes it, and adds its part. What another reading has given already is not kept again: id is then
// -1, as it is where there is no room.
func (r *reader) store(p message.Part, content source) (id int, err error) {
	if p.Reading != "strict" {
		known, err := r.known(content)
		if known || err != nil {
			return -1, err
		}
	}
	w := r.scope.Create(bodyMemory)
	sum1, sum256 := sha1.New(), sha256.New()
	var size counter
	if err := content(io.MultiWriter(w, sum1, sum256, &size)); err != nil {
		return -1, err
	}
	if p.Body, err = w.Finish(); err != nil {
		return -1, err
	}
	p.SHA1, p.SHA256 = hex.EncodeToString(sum1.Sum(nil)), hex.EncodeToString(sum256.Sum(nil))
	p.Size = int64(size)
	r.seen[p.SHA256] = true
	id, ok := r.add(p)
	if !ok {
		return -1, nil
	}
	return id, nil
}

// known reports whether a part has the content already.
func (r *reader) known(content source) (bool, error) {
	sum := sha256.New()
	if err := content(sum); err != nil {
		return false, err
	}
	return r.seen[hex.EncodeToString(sum.Sum(nil))], nil
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// stored is the content of a part as long as the message is read.
func (r *reader) stored(id int) ([]byte, error) {
	if id < 0 {
		return nil, nil
	}
	data, unmap, err := view(r.tree.Parts[id].Body)
	if err != nil {
		return nil, err
	}
	r.unmaps = append(r.unmaps, unmap)
	return data, nil
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
