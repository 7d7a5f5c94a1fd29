// Package mailauth checks SPF, DKIM and DMARC at receipt: a message as it arrived goes in, the results and the
// Authentication-Results field (RFC 8601) come out.
package mailauth

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/mail"
	"net/textproto"
	"strings"
	"sync"
	"time"

	"blitiri.com.ar/go/spf"
	"github.com/emersion/go-msgauth/authres"
	"github.com/emersion/go-msgauth/dkim"
	"github.com/emersion/go-msgauth/dmarc"
	"github.com/hashicorp/go-hclog"
	"golang.org/x/net/publicsuffix"

	"github.com/postern-mail/postern/core/message"
)

// Resolver answers DNS queries; net.Resolver is one.
type Resolver = spf.DNSResolver

// patience bounds all checks of one message: what has not answered by then is a temporary error, and the mail goes on.
const patience = 10 * time.Second

// maxSignatures bounds the DKIM signatures that are checked.
const maxSignatures = 5

// Checker checks messages. Hostname is the authserv-id.
type Checker struct {
	Hostname string
	Resolver Resolver
	Log      hclog.Logger
	// Upstream is the filter in front whose results are taken over; nil: there is none.
	Upstream *Upstream
}

// Check never fails: what could not be found out is temperror or permerror, and nobody is refused for it here.
func (c *Checker) Check(ctx context.Context, session message.Session, envelope message.Envelope, raw message.Body) (message.Auth, string) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	head := headerOf(raw)
	author := authorDomain(head)
	behind := c.Upstream.is(session.Client)
	if behind {
		if results, found := c.Upstream.results(head); found {
			return adopt(results, author), c.field(results)
		}
	}
	var (
		auth    message.Auth
		results []authres.Result
		signed  []*dkim.Verification
		running sync.WaitGroup
	)
	spfDomain := message.Domain(envelope.From)
	if spfDomain == "" {
		spfDomain = session.Helo
	}
	running.Go(func() {
		if auth.SPF = "none"; !behind { // the upstream's own address says nothing of the sender
			auth.SPF = c.spf(ctx, session, envelope)
		}
	})
	running.Go(func() { signed = c.dkim(ctx, raw) })
	var record *dmarc.Record
	var recordErr error
	running.Go(func() { record, recordErr = c.dmarcRecord(ctx, author) })
	running.Wait()

	results = append(results, &authres.SPFResult{Value: authres.ResultValue(auth.SPF), From: envelope.From, Helo: session.Helo})
	auth.DKIM = "none"
	for _, v := range signed {
		result := dkimResult(v)
		if v.Err == nil && aligned(v.Domain, author, record != nil && record.DKIMAlignment == dmarc.AlignmentStrict) {
			auth.DKIMAligned = true
		}
		if auth.DKIM != "pass" {
			auth.DKIM = result
		}
		results = append(results, &authres.DKIMResult{Value: authres.ResultValue(result), Domain: v.Domain})
	}
	if len(signed) == 0 {
		results = append(results, &authres.DKIMResult{Value: authres.ResultNone})
	}
	spfAligned := auth.SPF == "pass" && aligned(spfDomain, author, record != nil && record.SPFAlignment == dmarc.AlignmentStrict)
	auth.DMARC = dmarcResult(author, record, recordErr, spfAligned || auth.DKIMAligned)
	if behind && auth.DMARC == "fail" {
		auth.DMARC = "none" // SPF might have passed where the mail first came in
	}
	results = append(results, &authres.DMARCResult{Value: authres.ResultValue(auth.DMARC), From: author})
	return auth, c.field(results)
}

// field is the Authentication-Results field with this gateway's name.
func (c *Checker) field(results []authres.Result) string {
	return "Authentication-Results: " + fold(authres.Format(c.Hostname, results)) + "\r\n"
}

// fold breaks the field between its results (RFC 5322 section 2.2.3).
func fold(value string) string {
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, value)
	return strings.ReplaceAll(clean, "; ", ";\r\n\t")
}

func (c *Checker) spf(ctx context.Context, session message.Session, envelope message.Envelope) message.AuthResult {
	if !session.Client.IsValid() {
		return "none"
	}
	sender := envelope.From
	if sender == "" {
		sender = "postmaster@" + session.Helo
	}
	result, err := spf.CheckHostWithSender(net.IP(session.Client.Addr().Unmap().AsSlice()), session.Helo, sender,
		spf.WithContext(ctx), spf.WithResolver(c.Resolver))
	if err != nil && result == spf.TempError {
		c.Log.Debug("SPF could not be checked", "sender", sender, "error", err)
	}
	return message.AuthResult(result)
}

func (c *Checker) dkim(ctx context.Context, raw message.Body) []*dkim.Verification {
	r, err := raw.Open()
	if err != nil {
		c.Log.Error("DKIM could not be checked", "error", err)
		return nil
	}
	defer r.Close()
	verifications, err := dkim.VerifyWithOptions(r, &dkim.VerifyOptions{
		LookupTXT:        func(domain string) ([]string, error) { return c.Resolver.LookupTXT(ctx, domain) },
		MaxVerifications: maxSignatures,
	})
	if err != nil && !errors.Is(err, dkim.ErrTooManySignatures) {
		c.Log.Debug("DKIM could not be checked", "error", err)
	}
	return verifications
}

func dkimResult(v *dkim.Verification) message.AuthResult {
	switch {
	case v.Err == nil:
		return "pass"
	case dkim.IsTempFail(v.Err):
		return "temperror"
	case dkim.IsPermFail(v.Err):
		return "permerror"
	}
	return "fail"
}

// dmarcRecord is that of the author's domain, or of its organizational domain (RFC 7489 section 6.6.3); nil: there is none.
func (c *Checker) dmarcRecord(ctx context.Context, author string) (*dmarc.Record, error) {
	if author == "" {
		return nil, nil
	}
	options := &dmarc.LookupOptions{LookupTXT: func(domain string) ([]string, error) { return c.Resolver.LookupTXT(ctx, domain) }}
	record, err := dmarc.LookupWithOptions(author, options)
	if errors.Is(err, dmarc.ErrNoPolicy) {
		if organization := organizational(author); organization != author {
			record, err = dmarc.LookupWithOptions(organization, options)
		}
	}
	if errors.Is(err, dmarc.ErrNoPolicy) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look DMARC policy of %s up: %w", author, err)
	}
	return record, nil
}

func dmarcResult(author string, record *dmarc.Record, err error, passed bool) message.AuthResult {
	switch {
	case err != nil && dmarc.IsTempFail(errors.Unwrap(err)):
		return "temperror"
	case err != nil:
		return "permerror"
	case author == "" || record == nil:
		return "none"
	case passed:
		return "pass"
	}
	return "fail"
}

// aligned reports whether a domain that passed stands for the author's (RFC 7489 section 3.1).
func aligned(domain, author string, strict bool) bool {
	domain, author = strings.ToLower(domain), strings.ToLower(author)
	if author == "" || domain == "" {
		return false
	}
	return domain == author || !strict && organizational(domain) == organizational(author)
}

func organizational(domain string) string {
	organization, err := publicsuffix.EffectiveTLDPlusOne(domain)
	if err != nil {
		return domain
	}
	return organization
}

// headerLimit is how much of a message is read for its header.
const headerLimit = 64 << 10

// headerOf is the header of a message as far as it can be read, nil where not at all.
func headerOf(raw message.Body) textproto.MIMEHeader {
	r, err := raw.Open()
	if err != nil {
		return nil
	}
	defer r.Close()
	head, err := io.ReadAll(io.LimitReader(r, headerLimit))
	if err != nil {
		return nil
	}
	if end := bytes.Index(head, []byte("\r\n\r\n")); end >= 0 {
		head = head[:end+4]
	}
	header, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(head))).ReadMIMEHeader()
	if err != nil && len(header) == 0 {
		return nil
	}
	return header
}

// authorDomain is the domain of the one author in From, "" where there is none or several: DMARC then says nothing.
func authorDomain(header textproto.MIMEHeader) string {
	from := header.Values("From")
	if len(from) != 1 {
		return ""
	}
	addresses, err := mail.ParseAddressList(from[0])
	if err != nil || len(addresses) != 1 {
		return ""
	}
	return message.Domain(addresses[0].Address)
}
