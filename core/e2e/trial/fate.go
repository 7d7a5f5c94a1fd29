package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/postern-mail/postern/core/e2e/harness"
	"github.com/postern-mail/postern/core/store"
)

// sendAll sends the samples one after the other, shows what is held, lets the sandbox speak, and prints the table. It reports whether all
// fared as expected.
func (t *trial) sendAll(ctx context.Context, samples []sample, address string, sink *harness.Sink) (bool, error) {
	client, err := harness.Dial(address)
	if err != nil {
		return false, err
	}
	defer client.Close()
	replies := make([]harness.Reply, len(samples))
	var verdicts []string
	for i := range samples {
		s := &samples[i]
		if replies[i], err = client.Send(s.From, s.recipients(), s.data); err != nil {
			return false, fmt.Errorf("send sample %q: %w", s.Name, err)
		}
		if s.Verdict != "" {
			verdicts = append(verdicts, s.Verdict)
		}
	}
	if err := t.speak(ctx, verdicts); err != nil {
		return false, err
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "SAMPLE\tRECIPIENT\tFATE\tRULE\tEVIDENCE\t")
	all := true
	for i := range samples {
		s := &samples[i]
		for _, want := range s.Fates {
			got, err := t.fateOf(ctx, s, want, replies[i], sink)
			if err != nil {
				return false, err
			}
			mark := ""
			if got.is != want.Is || want.Rule != "" && got.rule != want.Rule {
				all = false
				mark = fmt.Sprintf("EXPECTED %s %s", want.Is, want.Rule)
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", s.Name, want.Recipient, got.is, got.rule, short(got.evidence), mark)
		}
	}
	if err := table.Flush(); err != nil {
		return false, err
	}
	log, err := t.setup.Run(ctx, "log", "query", "--subtype", "advanced-persistent-threat", "--log-level", "warn")
	fmt.Printf("\nThe log of advanced threats:\n\n%s", log)
	return all, err
}

// speak shows the queue of the Virtual Analyzer when all that is to be held is, and gives the simulator its verdicts.
func (t *trial) speak(ctx context.Context, verdicts []string) error {
	err := harness.Eventually(ctx, "the samples are held", func() (bool, error) {
		out, err := t.setup.Run(ctx, "queue", "list", "virtual-analyzer", "--json", "--log-level", "warn")
		return strings.Count(out, "\n") >= len(verdicts) && strings.Count(out, `"state":"pending"`) >= len(verdicts), err
	})
	if err != nil {
		return err
	}
	queue, err := t.setup.Run(ctx, "queue", "list", "virtual-analyzer", "--log-level", "warn")
	if err != nil {
		return err
	}
	fmt.Printf("Held for the Virtual Analyzer:\n\n%s\n", queue)
	if err := t.sandbox.Set(strings.Join(verdicts, "\n")); err != nil {
		return err
	}
	fmt.Printf("The sandbox says: %s.\n\n", strings.Join(verdicts, "; "))
	return nil
}

// found is what became of a sample for one recipient.
type found struct{ is, rule, evidence string }

// fateOf finds out by the ways an operator has: the reply, the next hop, the areas and the log. Mail that was taken may be on its
// way yet, so it is waited for.
func (t *trial) fateOf(ctx context.Context, s *sample, want fate, reply harness.Reply, sink *harness.Sink) (found, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var got found
	err := harness.Eventually(ctx, "sample "+s.Name+" has met its fate", func() (bool, error) {
		var err error
		got, err = t.look(ctx, s, want.Recipient, reply, sink)
		return got.is != "", err
	})
	return got, err
}

func (t *trial) look(ctx context.Context, s *sample, recipient string, reply harness.Reply, sink *harness.Sink) (found, error) {
	var got found
	event, err := t.event(ctx, messageID(s.data), recipient)
	if err != nil {
		return got, err
	}
	if event != nil {
		got.rule, got.evidence = event.Rule, event.Evidence
	}
	switch {
	case !reply.Accepted():
		got.is = "rejected"
	case event != nil && strings.Contains(event.Action, "Message deleted"):
		got.is = "deleted"
	case event != nil && strings.Contains(event.Action, "Quarantined"):
		got.is = "quarantined"
	default:
		got.is = delivered(s, recipient, sink)
	}
	return got, nil
}

// delivered says whether the next hop has the sample, and whether as it came: what is in front of it is the trace.
func delivered(s *sample, recipient string, sink *harness.Sink) string {
	for _, mail := range sink.Mails() {
		if !slices.Contains(mail.To, recipient) || !bytes.Contains(mail.Data, []byte("<"+messageID(s.data)+">")) {
			continue
		}
		if bytes.HasSuffix(mail.Data, s.data) {
			return "delivered"
		}
		return "changed"
	}
	return ""
}

// event is the last policy event of the mail for the recipient, or nil.
func (t *trial) event(ctx context.Context, messageID, recipient string) (*store.Event, error) {
	out, err := t.setup.Run(ctx, "log", "query", "--json", "--id", `"`+messageID+`"`, "--recipient", recipient, "--log-level", "warn")
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(strings.NewReader(out))
	if !decoder.More() {
		return nil, nil
	}
	var event store.Event
	if err := decoder.Decode(&event); err != nil {
		return nil, fmt.Errorf("read event: %w", err)
	}
	return &event, nil
}

func messageID(data []byte) string {
	_, rest, _ := bytes.Cut(data, []byte("Message-ID: <"))
	id, _, _ := bytes.Cut(rest, []byte(">"))
	return string(id)
}

func short(text string) string {
	if runes := []rune(text); len(runes) > 70 {
		return string(runes[:69]) + "…"
	}
	return text
}
