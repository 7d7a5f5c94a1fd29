package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/postern-mail/postern/sdk/analyzer"
	"github.com/postern-mail/postern/sdk/servers"
)

const (
	shortAnswer   = 8 << 20
	largestReport = 64 << 20
)

// sandbox is one server.
type sandbox struct {
	name, base, token string
	client            *servers.Client
	now               func() time.Time
	protocol          protocol

	mu    sync.Mutex
	quiet time.Time // it asked not to be asked before
}

// refusal is an answer that says no.
type refusal struct {
	status int
	text   string
	wait   time.Duration
}

func (r *refusal) Error() string { return fmt.Sprintf("the sandbox answered %d: %s", r.status, r.text) }

var (
	// errQuiet says that the sandbox asked to be left alone for a while.
	errQuiet = errors.New("the sandbox asked to be left alone for a while")
	// errCannotAsk says that the sandbox has no way to tell whether it has a sample.
	errCannotAsk = errors.New("the sandbox cannot be asked whether it has a URL")
	// errSample says that what came is not the sample that was announced.
	errSample = errors.New("the sample is not as it was announced")
)

// form is the body of a submission, sent as it is read.
type form struct {
	kind string
	size int64
	body io.Reader
}

// exchange sends a request and reads the answer of a 200.
func (b *sandbox) exchange(ctx context.Context, method, path string, body *form, limit int64, read func(io.Reader) error) error {
	b.mu.Lock()
	quiet := b.quiet
	b.mu.Unlock()
	if b.now().Before(quiet) {
		return errQuiet
	}
	request, err := http.NewRequest(method, b.base+path, nil)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	request.Header.Set("Authorization", "Token "+b.token)
	request.Header.Set("Accept", "application/json")
	if body != nil {
		request.Body, request.ContentLength = io.NopCloser(body.body), body.size
		request.Header.Set("Content-Type", body.kind)
	}
	return b.client.Read(ctx, request, limit, func(status int, header http.Header, answer io.Reader) error {
		if status == http.StatusOK {
			return read(answer)
		}
		const most = 200
		text, _ := io.ReadAll(io.LimitReader(answer, most)) // what can be read of it is told
		r := &refusal{status: status, text: oneLine(string(text)), wait: servers.RetryAfter(header, b.now())}
		if r.busy() {
			b.mu.Lock()
			b.quiet = b.now().Add(r.wait)
			b.mu.Unlock()
		}
		return r
	})
}

func (r *refusal) busy() bool {
	return r.status == http.StatusTooManyRequests || r.status == http.StatusServiceUnavailable
}

func oneLine(text string) string {
	return strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
}

// get asks for a small answer in JSON.
func (b *sandbox) get(ctx context.Context, path string, into any) error {
	return b.exchange(ctx, http.MethodGet, path, nil, shortAnswer, func(answer io.Reader) error { return readJSON(answer, into) })
}

// readJSON reads one whole value.
func readJSON(r io.Reader, into any) error {
	decoder := json.NewDecoder(r)
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("read answer: something follows it")
	}
	return nil
}

// formOf makes the body of a submission: the fields, and the sample as file or as URL.
func formOf(sample *analyzer.Sample, fields map[string]string) (*form, error) {
	const longestURL = 64 << 10
	var frame bytes.Buffer
	w := multipart.NewWriter(&frame)
	for name, value := range fields {
		if err := w.WriteField(name, value); err != nil {
			return nil, err
		}
	}
	if sample.Kind == analyzer.URL {
		address, err := io.ReadAll(io.LimitReader(sample.Content, longestURL))
		if err != nil || int64(len(address)) != sample.Size {
			return nil, errors.Join(errSample, err)
		}
		sample.Content = bytes.NewReader(address) // for another attempt
		if err := errors.Join(w.WriteField("url", string(address)), w.Close()); err != nil {
			return nil, err
		}
		return &form{kind: w.FormDataContentType(), size: int64(frame.Len()), body: &frame}, nil
	}
	if _, err := w.CreateFormFile("file", fileName(sample)); err != nil {
		return nil, err
	}
	head := bytes.Clone(frame.Bytes())
	if err := w.Close(); err != nil {
		return nil, err
	}
	tail := frame.Bytes()[len(head):]
	content := &checked{r: sample.Content, sum: sha256.New(), want: sample.SHA256}
	return &form{
		kind: w.FormDataContentType(), size: int64(frame.Len()) + sample.Size, body: io.MultiReader(bytes.NewReader(head), content, bytes.NewReader(tail)),
	}, nil
}

// fileName is the last part of the sample's name; sandboxes choose how to open a file by its end.
func fileName(sample *analyzer.Sample) string {
	const most = 200
	name := strings.ToValidUTF8(sample.Name[strings.LastIndexAny(sample.Name, "/\\")+1:], "_")
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '_'
		}
		return r
	}, name)
	if len(name) > most {
		name = strings.ToValidUTF8(name[len(name)-most:], "")
	}
	if name == "" {
		return sample.SHA256
	}
	return name
}

// checked passes a sample on and fails at its end, before the form is whole, where it is not the one announced.
type checked struct {
	r    io.Reader
	sum  hash.Hash
	want string
}

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.sum.Write(p[:n])
	if errors.Is(err, io.EOF) && hex.EncodeToString(c.sum.Sum(nil)) != strings.ToLower(c.want) {
		return n, errSample
	}
	return n, err
}
