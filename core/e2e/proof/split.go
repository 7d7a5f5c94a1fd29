package main

import (
	"bytes"
	"context"
	"crypto/sha256"
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
	s.Setup.Env = append(s.Setup.Env, "PROOF_VERDICTS="+verdicts)
	if err := s.Start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	client, err := s.Dial()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	return errors.Join(threeFates(ctx, e, s, client), heldForOne(ctx, e, s, client, verdicts))
}

func threeFates(ctx context.Context, e *env, s *harness.Site, client *harness.Client) error {
	mail := harness.Document("fates", "plan.pdf", []byte("%PDF-1.4 three fates"))
	reply, err := client.Send("alice@outside.example", []string{"bob@example.org", "dave@example.org", "erin@example.org"}, mail)
	if err != nil {
		return err
	}
	if err := s.Sink.Wait(ctx, func(mails []harness.Mail) bool { return len(mails) >= 2 }); err != nil {
		return err
	}
	kept, err := s.Copies(ctx, "quarantine")
	if err != nil {
		return err
	}
	arrived := s.Sink.Mails()
	e.printf("one mail, three recipients, answered %s", reply)
	var plain, tagged bool
	for _, m := range arrived {
		isTagged := bytes.Contains(m.Data, []byte("Subject: [document]"))
		e.printf("    on the wire for %v: tagged %v, as it came %v", m.To, isTagged, harness.AsSent(m.Data, mail))
		plain = plain || slices.Equal(m.To, []string{"bob@example.org"}) && harness.AsSent(m.Data, mail)
		tagged = tagged || slices.Equal(m.To, []string{"erin@example.org"}) && isTagged
	}
	quarantined := len(kept) == 1 && slices.Equal(kept[0].Recipients, []string{"dave@example.org"})
	for _, k := range kept {
		e.printf("    kept in %s for %v: copy %s of message %s", k.Area, k.Recipients, k.ID, k.MessageID)
	}
	if !reply.Accepted() || len(arrived) != 2 || !plain || !tagged || !quarantined {
		return fmt.Errorf("three fates: %w", errShort)
	}
	s.Sink.Forget()
	return nil
}

func heldForOne(ctx context.Context, e *env, s *harness.Site, client *harness.Client, verdicts string) error {
	content := []byte("%PDF-1.4 held for one")
	mail := harness.Document("held", "plan.pdf", content)
	reply, err := client.Send("alice@outside.example", []string{"bob@example.org", "carol@example.org", "frank@example.org"}, mail)
	if err != nil {
		return err
	}
	if err := s.Sink.Wait(ctx, func(mails []harness.Mail) bool { return len(mails) >= 1 }); err != nil {
		return err
	}
	first := s.Sink.Mails()
	held, err := s.Waiting(ctx)
	if err != nil {
		return err
	}
	e.printf("one mail, one recipient of three held, answered %s", reply)
	for _, m := range first {
		e.printf("    on the wire for %v, as it came %v", m.To, harness.AsSent(m.Data, mail))
	}
	for _, h := range held {
		e.printf("    %s for %v", h.State, h.Recipients)
	}
	ok := len(first) == 1 && slices.Equal(first[0].To, []string{"bob@example.org", "frank@example.org"}) && harness.AsSent(first[0].Data, mail) &&
		len(held) == 1 && held[0].State == store.CopyHeld && slices.Equal(held[0].Recipients, []string{"carol@example.org"})
	if !ok {
		return fmt.Errorf("held for one: %w", errShort)
	}
	if err := os.WriteFile(verdicts, fmt.Appendf(nil, "%x none\n", sha256.Sum256(content)), 0o600); err != nil {
		return err
	}
	if err := s.Sink.Wait(ctx, func(mails []harness.Mail) bool { return len(mails) >= 2 }); err != nil {
		return err
	}
	last := s.Sink.Mails()[1]
	e.printf("    after the verdict \"no risk\" on the wire for %v, as it came %v", last.To, harness.AsSent(last.Data, mail))
	if !slices.Equal(last.To, []string{"carol@example.org"}) || !harness.AsSent(last.Data, mail) {
		return fmt.Errorf("held for one: %w", errShort)
	}
	return nil
}
