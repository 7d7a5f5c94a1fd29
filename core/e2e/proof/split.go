package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/postern-mail/postern/core/e2e/harness"
	"github.com/postern-mail/postern/core/store"
)

// patience bounds every wait.
const patience = 90 * time.Second

// document is a mail with an attachment of the name.
func document(subject, name string, content []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: Alice <alice@outside.example>\r\nTo: Bob <bob@example.org>\r\nSubject: %s\r\nMessage-ID: <%s@outside.example>\r\n"+
		"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"=-b\"\r\n\r\n--=-b\r\nContent-Type: text/plain\r\n\r\nSee the file.\r\n"+
		"--=-b\r\nContent-Type: application/octet-stream; name=\"%s\"\r\nContent-Transfer-Encoding: base64\r\n"+
		"Content-Disposition: attachment; filename=\"%s\"\r\n\r\n", subject, subject, name, name)
	encoded := base64.StdEncoding.EncodeToString(content)
	for len(encoded) > 76 {
		b.WriteString(encoded[:76] + "\r\n")
		encoded = encoded[76:]
	}
	b.WriteString(encoded + "\r\n--=-b--\r\n")
	return b.Bytes()
}

func split(ctx context.Context, e *env) (err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	verdicts := filepath.Join(e.scratch, "verdicts")
	if err := os.WriteFile(verdicts, nil, 0o600); err != nil {
		return err
	}
	s, err := newSite(ctx, e, "split.hcl")
	if err != nil {
		return err
	}
	s.setup.Env = append(s.setup.Env, "PROOF_VERDICTS="+verdicts)
	if err := s.start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	client, err := s.dial()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	return errors.Join(threeFates(ctx, e, s, client), heldForOne(ctx, e, s, client, verdicts))
}

func threeFates(ctx context.Context, e *env, s *site, client *harness.Client) error {
	mail := document("fates", "plan.pdf", []byte("%PDF-1.4 three fates"))
	reply, err := client.Send("alice@outside.example", []string{"bob@example.org", "dave@example.org", "erin@example.org"}, mail)
	if err != nil {
		return err
	}
	if err := s.sink.Wait(ctx, func(mails []harness.Mail) bool { return len(mails) >= 2 }); err != nil {
		return err
	}
	kept, err := s.copies(ctx, "quarantine")
	if err != nil {
		return err
	}
	arrived := s.sink.Mails()
	e.printf("one mail, three recipients, answered %s", reply)
	var plain, tagged bool
	for _, m := range arrived {
		isTagged := bytes.Contains(m.Data, []byte("Subject: [document]"))
		e.printf("    on the wire for %v: tagged %v, as it came %v", m.To, isTagged, relayed(m.Data, mail))
		plain = plain || slices.Equal(m.To, []string{"bob@example.org"}) && relayed(m.Data, mail)
		tagged = tagged || slices.Equal(m.To, []string{"erin@example.org"}) && isTagged
	}
	quarantined := len(kept) == 1 && slices.Equal(kept[0].Recipients, []string{"dave@example.org"})
	for _, k := range kept {
		e.printf("    kept in %s for %v: copy %s of message %s", k.Area, k.Recipients, k.ID, k.MessageID)
	}
	if !reply.Accepted() || len(arrived) != 2 || !plain || !tagged || !quarantined {
		return fmt.Errorf("three fates: %w", errShort)
	}
	s.sink.Forget()
	return nil
}

func heldForOne(ctx context.Context, e *env, s *site, client *harness.Client, verdicts string) error {
	content := []byte("%PDF-1.4 held for one")
	mail := document("held", "plan.pdf", content)
	reply, err := client.Send("alice@outside.example", []string{"bob@example.org", "carol@example.org", "frank@example.org"}, mail)
	if err != nil {
		return err
	}
	if err := s.sink.Wait(ctx, func(mails []harness.Mail) bool { return len(mails) >= 1 }); err != nil {
		return err
	}
	first := s.sink.Mails()
	held, err := s.copies(ctx, "postponed")
	if err != nil {
		return err
	}
	e.printf("one mail, one recipient of three held, answered %s", reply)
	for _, m := range first {
		e.printf("    on the wire for %v, as it came %v", m.To, relayed(m.Data, mail))
	}
	for _, h := range held {
		e.printf("    %s for %v", h.State, h.Recipients)
	}
	ok := len(first) == 1 && slices.Equal(first[0].To, []string{"bob@example.org", "frank@example.org"}) && relayed(first[0].Data, mail) &&
		len(held) == 1 && held[0].State == store.CopyHeld && slices.Equal(held[0].Recipients, []string{"carol@example.org"})
	if !ok {
		return fmt.Errorf("held for one: %w", errShort)
	}
	if err := os.WriteFile(verdicts, fmt.Appendf(nil, "%x none\n", sha256.Sum256(content)), 0o600); err != nil {
		return err
	}
	if err := s.sink.Wait(ctx, func(mails []harness.Mail) bool { return len(mails) >= 2 }); err != nil {
		return err
	}
	last := s.sink.Mails()[1]
	e.printf("    after the verdict \"no risk\" on the wire for %v, as it came %v", last.To, relayed(last.Data, mail))
	if !slices.Equal(last.To, []string{"carol@example.org"}) || !relayed(last.Data, mail) {
		return fmt.Errorf("held for one: %w", errShort)
	}
	return nil
}
