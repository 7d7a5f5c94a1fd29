package delivery

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"time"

	"github.com/postern-mail/postern/core/compose"
	"github.com/postern-mail/postern/core/spool"
	"github.com/postern-mail/postern/core/store"
)

// mayBounce reports whether a bounce reaches who really sent the mail: one of our own, or a sender that SPF or an aligned DKIM signature
// vouches for. To anybody else it would be backscatter, and the mail goes to the area undeliverable instead.
func (a *attempt) mayBounce() bool {
	m := &a.kept.Message
	if m.Envelope.From == "" {
		return false
	}
	return m.Session.Trusted && a.policy.Internal(m.Envelope.From) || m.Auth.VouchesForSender()
}

// bounceFor is how long a bounce is tried.
const bounceFor = 24 * time.Hour

// bounce owes the sender a delivery status notification about the recipients that failed in this attempt.
func (a *attempt) bounce(change *store.Change, now, steady time.Time, failed []int) {
	m := &a.kept.Message
	report := &compose.Report{Hostname: a.policy.Gateway.Hostname, To: m.Envelope.From, Message: m, Header: a.header}
	for _, i := range failed {
		reply := a.replies[i]
		report.Failures = append(report.Failures, compose.Failure{Recipient: a.due[i].Recipient, Reply: reply, Host: a.host, At: now})
	}
	text := a.delivery.Composer.Bounce(report)
	sum := sha256.Sum256(text)
	digest := hex.EncodeToString(sum[:])
	hop := ""
	if relay, found := a.policy.RelayFor(m.Envelope.From); found {
		hop = relay.Name
	}
	body := spool.FromBytes(text)
	change.Bodies = append(change.Bodies, store.Body{
		SHA256: digest, Size: body.Size(), Open: func() (io.ReadCloser, error) { return body.Open() },
	})
	change.Obligations = append(change.Obligations, store.Obligation{
		CopyID: a.job.CopyID, MessageID: m.ID, Kind: store.OweBounce, Action: "bounce " + digest[:16], Recipient: m.Envelope.From, Hop: hop,
		BodySHA256: digest, State: store.ObligationDue, NextAt: steady, GiveUpAt: steady.Add(bounceFor), Created: now,
	})
}
