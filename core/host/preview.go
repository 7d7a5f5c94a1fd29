package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/core/gate"
	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/spool"
)

// Previewer judges messages without taking them in: nothing is stored or sent.
type Previewer struct {
	generation *Generation
	spool      *spool.Spool
	folder     string
	now        func() time.Time
}

// Judged is what would become of a message.
type Judged struct {
	File     string            `json:"file"`
	Message  *message.Message  `json:"message"`
	Facts    *message.Facts    `json:"facts"`
	Decision *message.Decision `json:"decision"`
}

// NewPreviewer starts the policy's plugins for judging only.
func NewPreviewer(ctx context.Context, c *Configuration, pluginDir, stage string, now func() time.Time, log hclog.Logger) (*Previewer, error) {
	folder, err := os.MkdirTemp("", "postern")
	if err != nil {
		return nil, fmt.Errorf("preview: %w", err)
	}
	p := &Previewer{folder: folder, now: now}
	if p.spool, err = spool.Open(folder, spoolBudget); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	builder := &Builder{PluginDir: pluginDir, Stage: stage, RunDir: folder, Now: now, Log: log}
	if builder.objects, err = storedLists(ctx, c.Policy, now, log); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	if p.generation, err = builder.Build(ctx, c); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// Close ends the plugins.
func (p *Previewer) Close() error {
	if p.generation != nil {
		p.generation.Stop()
	}
	return os.RemoveAll(p.folder)
}

// Judge reads one message. Where no recipients are given they are taken from the header, and so is the sender.
func (p *Previewer) Judge(ctx context.Context, name string, r io.Reader, session message.Session, envelope message.Envelope) (j *Judged, err error) {
	scope := p.spool.NewScope()
	defer func() { err = errors.Join(err, scope.Release()) }()
	w := scope.Create(openBytes)
	if _, err := io.Copy(w, crlf(r)); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	body, err := w.Finish()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(envelope.To) == 0 {
		if envelope, err = envelopeOf(body, envelope); err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
	}
	if !p.generation.retain() {
		return nil, errors.New("judge message: closed")
	}
	defer p.generation.Release()
	m, facts, decision, err := gate.Preview(ctx, p.generation, &gate.Arrival{
		ID: newID(), QueueID: newQueueID(), Session: session, Envelope: envelope, Data: body, Scope: scope, Received: p.now(),
	}, p.now())
	if err != nil {
		return nil, fmt.Errorf("judge %s: %w", name, err)
	}
	return &Judged{File: name, Message: m, Facts: facts, Decision: decision}, nil
}

// fallbackRecipient stands for the recipient of mail whose header names none.
const fallbackRecipient = "recipient@localhost"

// envelopeOf makes an envelope of the header's addresses.
func envelopeOf(body message.Body, envelope message.Envelope) (message.Envelope, error) {
	r, err := body.Open()
	if err != nil {
		return envelope, err
	}
	defer r.Close()
	if parsed, err := mail.ReadMessage(r); err == nil {
		if envelope.From == "" {
			if from, err := parsed.Header.AddressList("From"); err == nil {
				envelope.From = from[0].Address
			}
		}
		for _, field := range []string{"To", "Cc"} {
			list, err := parsed.Header.AddressList(field)
			if err != nil {
				continue // malformed or absent: the others may serve
			}
			for _, address := range list {
				envelope.To = append(envelope.To, address.Address)
			}
		}
	}
	if len(envelope.To) == 0 {
		envelope.To = []string{fallbackRecipient}
	}
	return envelope, nil
}

// crlf gives files with Unix line ends the line ends they had in SMTP.
func crlf(r io.Reader) io.Reader { return &crlfReader{r: r} }

type crlfReader struct {
	r      io.Reader
	lastCR bool
	rest   strings.Builder
	buffer [16 << 10]byte
	ready  []byte
}

func (c *crlfReader) Read(p []byte) (int, error) {
	for len(c.ready) == 0 {
		n, err := c.r.Read(c.buffer[:])
		if n == 0 && err != nil {
			return 0, err
		}
		c.rest.Reset()
		for _, b := range c.buffer[:n] {
			if b == '\n' && !c.lastCR {
				c.rest.WriteByte('\r')
			}
			c.rest.WriteByte(b)
			c.lastCR = b == '\r'
		}
		c.ready = []byte(c.rest.String())
	}
	n := copy(p, c.ready)
	c.ready = c.ready[n:]
	return n, nil
}
