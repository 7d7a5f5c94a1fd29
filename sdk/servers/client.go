package servers

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// The ways in which an exchange fails that call for different doings. Any other error of Do says that it is not known what the server
// made of the request.
var (
	// ErrNotSent says that nothing of the request has reached the server.
	ErrNotSent = errors.New("the server was not reached")
	// ErrInProgress says that the server ended with status 102, which is no final status and which net/http takes for a broken answer.
	ErrInProgress = errors.New("the server is still processing")
	// ErrTooLarge says that the answer is longer than is ever needed.
	ErrTooLarge = errors.New("the answer is too large")
)

// Identity is how a server proves that it is the right one. The zero value trusts the system's authorities.
type Identity struct {
	CAFile      string // PEM; trusted in place of the system's
	Fingerprint string // SHA-256 of the certificate in hexadecimal, with colons or without; then no authority is asked
	Insecure    bool   // whoever answers is trusted
	Proxy       string // URL of the proxy through which it is reached; "": none
}

const (
	dialFor         = 5 * time.Second
	largestHeader   = 64 << 10
	idleConnections = 8
	idleFor         = 50 * time.Second // less than servers keep a connection that waits for the next minute's question
)

// Client talks HTTP with one server.
type Client struct {
	http *http.Client
}

// NewClient makes the client. It follows no redirect and uses no proxy but its own: what it sends is meant for this server alone.
func NewClient(identity Identity) (*Client, error) {
	config, err := identity.config()
	if err != nil {
		return nil, err
	}
	proxy, err := identity.proxy()
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: dialFor}
	return &Client{http: &http.Client{
		Transport: &http.Transport{
			Proxy:       proxy,
			DialContext: dialer.DialContext, TLSClientConfig: config, TLSHandshakeTimeout: dialFor, MaxIdleConnsPerHost: idleConnections,
			IdleConnTimeout: idleFor, MaxResponseHeaderBytes: largestHeader,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func (i Identity) proxy() (func(*http.Request) (*url.URL, error), error) {
	if i.Proxy == "" {
		return nil, nil
	}
	u, err := url.Parse(i.Proxy)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("a proxy is written http://proxy.example.org:3128")
	}
	return http.ProxyURL(u), nil
}

func (i Identity) config() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if i.CAFile != "" {
		pem, err := os.ReadFile(i.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read authorities: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read authorities: %s holds no certificate", i.CAFile)
		}
	}
	if i.Fingerprint != "" {
		pinned, err := hex.DecodeString(strings.ReplaceAll(i.Fingerprint, ":", ""))
		if err != nil || len(pinned) != sha256.Size {
			return nil, errors.New("a fingerprint is the SHA-256 of the certificate: 64 hexadecimal digits")
		}
		config.InsecureSkipVerify = i.CAFile == "" // the pin is the check; with ca_file both are
		config.VerifyConnection = func(state tls.ConnectionState) error {
			got := sha256.Sum256(state.PeerCertificates[0].Raw)
			if string(got[:]) != string(pinned) {
				return fmt.Errorf("the server's certificate has the fingerprint %x", got)
			}
			return nil
		}
	}
	if i.Insecure {
		config.InsecureSkipVerify = true
	}
	return config, nil
}

// Answer is an answer, read as a whole.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do sends a request and reads its answer up to a limit.
func (c *Client) Do(ctx context.Context, request *http.Request, limit int64) (*Answer, error) {
	answer := &Answer{}
	err := c.Read(ctx, request, limit, func(status int, header http.Header, body io.Reader) (err error) {
		answer.Status, answer.Header = status, header
		answer.Body, err = io.ReadAll(body)
		return err
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// Read is Do for an answer that is not to be kept in memory. A body beyond the limit ends with ErrTooLarge.
func (c *Client) Read(ctx context.Context, request *http.Request, limit int64, read func(status int, header http.Header, body io.Reader) error) error {
	var connected, processing atomic.Bool
	trace := &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
		Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
			if code == http.StatusProcessing {
				processing.Store(true)
			}
			return nil
		},
	}
	response, err := c.http.Do(request.WithContext(httptrace.WithClientTrace(ctx, trace)))
	switch {
	case err != nil && !connected.Load():
		return fmt.Errorf("%w: %w", ErrNotSent, err)
	case err != nil && processing.Load():
		return fmt.Errorf("%w: %w", ErrInProgress, err)
	case err != nil:
		return fmt.Errorf("ask the server: %w", err)
	}
	defer response.Body.Close()
	return read(response.StatusCode, response.Header, &bounded{r: response.Body, left: limit})
}

// bounded reads up to a limit and fails beyond it.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, ErrTooLarge
	}
	return n, err
}

// longestWait bounds what a server may ask for.
const longestWait = 10 * time.Minute

// RetryAfter is how long the server asks to be left alone (RFC 9110 section 10.2.3); 0 where it does not say.
func RetryAfter(header http.Header, now time.Time) time.Duration {
	text := header.Get("Retry-After")
	if text == "" {
		return 0
	}
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil {
		return min(time.Duration(seconds)*time.Second, longestWait)
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	// The server's clock counts where it tells it.
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		now = date
	}
	return min(max(at.Sub(now), 0), longestWait)
}

// Sleep waits, and not at all where ctx would end before.
func Sleep(ctx context.Context, d time.Duration) bool {
	if deadline, bounded := ctx.Deadline(); bounded && time.Until(deadline) < d {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
