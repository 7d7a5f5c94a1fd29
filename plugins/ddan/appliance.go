package main

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/postern-mail/postern/sdk/servers"
)

const (
	base            = "/web_service/sample_upload/"
	protocolVersion = "1.5"
	product         = "Postern"
	sourceID        = "1" // submitted by a user
	// header is in front of the protocol's own header names.
	header = "X-DTAS-"
	// shortAnswer bounds every answer but the reports.
	shortAnswer = 1 << 20
	// noteworthySkew is by how much the appliance's clock may differ before its own time is used.
	noteworthySkew = 30 * time.Second
)

// appliance is one server and what is known of it.
type appliance struct {
	name     string
	url      string
	key      string
	hostname string
	// id is the same after a restart: the appliance keeps a list of its clients.
	id     string
	client *servers.Client
	now    func() time.Time
	random io.Reader

	registering chan struct{} // holds one token while somebody registers

	mu         sync.Mutex
	registered bool
	skew       time.Duration // of the appliance's clock, where it matters
	quiet      time.Time     // it asked not to be asked before
}

func newAppliance(c serverConfig, hostname string, client *servers.Client, now func() time.Time, random io.Reader) *appliance {
	key := strings.TrimSpace(c.APIKey)
	return &appliance{
		name: c.Host, url: "https://" + net.JoinHostPort(strings.Trim(c.Host, "[]"), strconv.Itoa(c.Port)) + base, key: key, hostname: asciiOnly(hostname),
		id: uuid.NewSHA1(uuid.NameSpaceURL, []byte("postern://"+hostname+"/"+key)).String(), client: client, now: now, random: random,
		registering: make(chan struct{}, 1),
	}
}

// field is one header of the protocol, without X-DTAS-.
type field struct{ name, value string }

// content is a body that can be sent again, and its type.
type content struct {
	kind string
	size int64
	open func() (io.ReadCloser, error)
}

func text(s string) *content {
	return &content{kind: "text/plain", size: int64(len(s)), open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s)), nil }}
}

// checksum is the proof that the key is known: the SHA-1 of the key, of the values in their order and of the body.
func checksum(key string, fields []field, body io.Reader) (string, error) {
	h := sha1.New()
	io.WriteString(h, key)
	for _, f := range fields {
		io.WriteString(h, f.value)
	}
	if _, err := io.Copy(h, body); err != nil {
		return "", fmt.Errorf("make checksum: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// refusal is an answer other than 200.
type refusal struct {
	status int
	text   string // the beginning of the body
	wait   time.Duration
}

func (r *refusal) Error() string {
	if r.text == "" {
		return fmt.Sprintf("the appliance answered %d", r.status)
	}
	return fmt.Sprintf("the appliance answered %d: %s", r.status, r.text)
}

// busy says that the appliance may take the request later.
func (r *refusal) busy() bool {
	return r.status == http.StatusTooManyRequests || r.status == http.StatusServiceUnavailable
}

// errQuiet says that the appliance asked to be left alone for a while.
var errQuiet = errors.New("the appliance asked to be left alone for a while")

// exchange sends one request of a service and returns the body of a 200.
func (a *appliance) exchange(ctx context.Context, method, service string, fields []field, body *content, limit int64) ([]byte, error) {
	a.mu.Lock()
	now, quiet := a.now(), a.quiet
	skew := a.skew
	a.mu.Unlock()
	if now.Before(quiet) {
		return nil, fmt.Errorf("%s: %w", service, errQuiet)
	}
	request, err := a.request(method, service, fields, body, now.Add(skew))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", service, err)
	}
	answer, err := a.client.Do(ctx, request, limit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", service, err)
	}
	if answer.Status == http.StatusOK {
		return answer.Body, nil
	}
	r := &refusal{status: answer.Status, text: beginning(answer.Body), wait: servers.RetryAfter(answer.Header, a.now())}
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.busy() {
		a.quiet = a.now().Add(r.wait)
	}
	if date, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
		if a.skew = date.Sub(a.now()).Truncate(time.Second); a.skew.Abs() < noteworthySkew {
			a.skew = 0
		}
	}
	return nil, fmt.Errorf("%s: %w", service, r)
}

// request makes the request with its checksum.
func (a *appliance) request(method, service string, fields []field, body *content, at time.Time) (*http.Request, error) {
	challenge, err := uuid.NewRandomFromReader(a.random)
	if err != nil {
		return nil, fmt.Errorf("make challenge: %w", err)
	}
	all := append([]field{{"ProtocolVersion", protocolVersion}}, fields...)
	all = append(all, field{"Time", strconv.FormatInt(at.Unix(), 10)}, field{"Challenge", challenge.String()})
	reader := io.NopCloser(io.Reader(bytes.NewReader(nil)))
	if body != nil {
		if reader, err = body.open(); err != nil {
			return nil, fmt.Errorf("open body: %w", err)
		}
	}
	sum, err := checksum(a.key, all, reader)
	if err := errors.Join(err, reader.Close()); err != nil {
		return nil, err
	}
	request, err := http.NewRequest(method, a.url+service, nil)
	if err != nil {
		return nil, err
	}
	if body != nil {
		if request.Body, err = body.open(); err != nil {
			return nil, fmt.Errorf("open body: %w", err)
		}
		request.GetBody, request.ContentLength = body.open, body.size
		request.Header.Set("Content-Type", body.kind)
	}
	var order []string
	for _, f := range all {
		// In the protocol's own spelling: net/http would write X-Dtas-Protocolversion.
		request.Header[header+f.name] = []string{f.value}
		order = append(order, header+f.name)
	}
	request.Header[header+"ChecksumCalculatingOrder"] = []string{strings.Join(order, ",")}
	request.Header[header+"Checksum"] = []string{sum}
	return request, nil
}

// errNotRegistered says that the client could not be registered, and that what it was needed for was not done.
var errNotRegistered = errors.New("the client could not be registered")

// call is exchange for what only a registered client may ask. Which status says "not registered" (or "your clock is wrong") is not known:
// after a refusal that may mean it the client registers, takes the appliance's time, and asks once more.
func (a *appliance) call(ctx context.Context, method, service string, fields []field, body *content, limit int64) ([]byte, error) {
	if err := a.register(ctx, false); err != nil {
		return nil, fmt.Errorf("%w: %w", errNotRegistered, err)
	}
	fields = append([]field{{"ClientUUID", a.id}}, fields...)
	answer, err := a.exchange(ctx, method, service, fields, body, limit)
	var r *refusal
	if !errors.As(err, &r) || !r.maybeUnregistered() {
		return answer, err
	}
	if err := a.register(ctx, true); err != nil {
		return nil, fmt.Errorf("%w: %w", errNotRegistered, err)
	}
	return a.exchange(ctx, method, service, fields, body, limit)
}

func (r *refusal) maybeUnregistered() bool {
	switch r.status {
	case http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusTooManyRequests, statusNotFound:
		return false
	}
	return r.status/100 == 4
}

// statusNotFound is the protocol's own.
const statusNotFound = 421

// register makes the client known, once for all calls that come meanwhile. Again: although it was known.
func (a *appliance) register(ctx context.Context, again bool) error {
	select {
	case a.registering <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("register: %w: %w", servers.ErrNotSent, ctx.Err())
	}
	defer func() { <-a.registering }()
	a.mu.Lock()
	registered := a.registered
	a.mu.Unlock()
	if registered && !again {
		return nil
	}
	fields := []field{
		{"ProductName", product}, {"ClientHostname", a.hostname}, {"ClientUUID", a.id}, {"SourceID", sourceID}, {"SourceName", product},
	}
	before := a.clock()
	_, err := a.exchange(ctx, http.MethodGet, "register", fields, nil, shortAnswer)
	if err != nil && a.clock() != before { // it may have been the time that was refused
		_, err = a.exchange(ctx, http.MethodGet, "register", fields, nil, shortAnswer)
	}
	a.mu.Lock()
	a.registered = err == nil
	a.mu.Unlock()
	return err
}

// clock is by how much the appliance's clock differs, where that is known to matter.
func (a *appliance) clock() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.skew
}

// test asks whether the appliance answers and accepts the key.
func (a *appliance) test(ctx context.Context) error {
	_, err := a.exchange(ctx, http.MethodGet, "test_connection", nil, nil, shortAnswer)
	return err
}

// known asks which of the samples the appliance has.
func (a *appliance) known(ctx context.Context, hash string) (bool, error) {
	answer, err := a.call(ctx, http.MethodPut, "check_duplicate_sample", nil, text(hash), shortAnswer)
	if err != nil {
		return false, err
	}
	for _, known := range strings.FieldsFunc(string(answer), func(r rune) bool { return r == ';' || r <= ' ' }) {
		if strings.EqualFold(known, hash) {
			return true, nil
		}
	}
	return false, nil
}

// beginning is what of a body is fit for a log line.
func beginning(body []byte) string {
	const most = 200
	return asciiOnly(strings.Join(strings.Fields(string(body[:min(len(body), most)])), " "))
}

// asciiOnly is a text that may stand in a header.
func asciiOnly(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
