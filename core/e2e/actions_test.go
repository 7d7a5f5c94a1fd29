package e2e

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/core/e2e/harness"
	"github.com/postern-mail/postern/core/store"
)

// TestActions sends one mail for every action; the name of its attachment chooses the rule.
func TestActions(t *testing.T) {
	other, err := harness.NewSink("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := other.Close(); err != nil {
			t.Error(err)
		}
	})
	site := newSite(t, "actions", "SITE_OTHER_PORT="+port(t, other.Addr()), "SITE_LATER="+time.Now().Add(2*time.Hour).Format("15:04"))
	start(t, site)
	const alice = "alice@outside.example"
	bob := []string{"bob@example.org"}
	mail := func(name string) []byte { return harness.Document(name, "file."+name, []byte("content of "+name)) }
	sent := func(name string) (harness.Reply, []byte) {
		data := mail(name)
		return send(t, site, alice, bob, data), data
	}
	arrives := func(t *testing.T, name string) harness.Mail {
		t.Helper()
		reply, _ := sent(name)
		if !reply.Accepted() {
			t.Fatalf("refused: %s", reply)
		}
		return wait(t, site.Sink, "<"+name+"@outside.example>", 1)[0]
	}
	action := func(t *testing.T, name, label string) store.Event {
		t.Helper()
		events, err := site.Events(limited(t), "--id", `"`+name+`@outside.example"`)
		if err != nil || len(events) != 1 || !strings.Contains(events[0].Action, label) {
			t.Fatalf("the log has %+v, %v; want one event with %q", events, err, label)
		}
		return events[0]
	}

	t.Run("delete", func(t *testing.T) {
		if reply, _ := sent("delete"); !reply.Accepted() {
			t.Errorf("refused: %s", reply)
		}
		action(t, "delete", "Message deleted")
	})
	t.Run("reject", func(t *testing.T) {
		reply, _ := sent("reject")
		if reply.Code != 550 || !strings.Contains(reply.Text, "No such files here") {
			t.Errorf("answered %s", reply)
		}
		action(t, "reject", "Rejected")
	})
	t.Run("change recipient", func(t *testing.T) {
		if m := arrives(t, "change"); !slices.Equal(m.To, []string{"review@example.org"}) || !harness.AsSent(m.Data, mail("change")) {
			t.Errorf("arrived for %v", m.To)
		}
		action(t, "change", "Recipient changed")
	})
	t.Run("hand off", func(t *testing.T) {
		sent("handoff")
		if m := wait(t, other, "handoff@outside.example", 1)[0]; !slices.Equal(m.To, bob) || !harness.AsSent(m.Data, mail("handoff")) {
			t.Errorf("arrived for %v", m.To)
		}
	})
	t.Run("deliver now leaves out later rules", func(t *testing.T) {
		if m := arrives(t, "now"); !harness.AsSent(m.Data, mail("now")) {
			t.Errorf("arrived as %s", m.Data)
		}
	})
	t.Run("postpone", func(t *testing.T) {
		sent("later")
		copies, err := site.Copies(limited(t), "postponed")
		if err != nil || len(copies) != 1 || copies[0].DueAt.Before(time.Now().Add(time.Hour)) {
			t.Fatalf("postponed are %+v, %v", copies, err)
		}
		run(t, site, "postponed", "release", copies[0].ID)
		if m := wait(t, site.Sink, "later@outside.example", 1)[0]; !harness.AsSent(m.Data, mail("later")) {
			t.Errorf("arrived as %s", m.Data)
		}
	})
	t.Run("delete attachments", func(t *testing.T) {
		m := arrives(t, "cut")
		if bytes.Contains(m.Data, []byte("filename=\"file.cut\"")) || !bytes.Contains(m.Data, []byte("See the file.")) {
			t.Errorf("arrived as %s", m.Data)
		}
	})
	t.Run("tag", func(t *testing.T) {
		if m := arrives(t, "tag"); !bytes.Contains(m.Data, []byte("\r\nSubject: [tagged] tag\r\n")) {
			t.Errorf("arrived as %s", m.Data)
		}
	})
	t.Run("the last header wins", func(t *testing.T) {
		m := arrives(t, "header")
		if bytes.Count(m.Data, []byte("X-Seen:")) != 1 || !bytes.Contains(m.Data, []byte("X-Seen: last\r\n")) {
			t.Errorf("arrived as %s", m.Data)
		}
	})
	t.Run("stamp", func(t *testing.T) {
		if m := arrives(t, "stamp"); !bytes.Contains(m.Data, []byte("Checked at the gate.")) {
			t.Errorf("arrived as %s", m.Data)
		}
	})
	t.Run("notify", func(t *testing.T) {
		if m := arrives(t, "notify"); !harness.AsSent(m.Data, mail("notify")) {
			t.Errorf("arrived as %s", m.Data)
		}
		notes := wait(t, site.Sink, "\r\nSubject: notify: notify\r\n", 1)
		if notes[0].From != "" || !bytes.Contains(notes[0].Data, []byte("Auto-Submitted: auto-generated")) {
			t.Errorf("the notification is from %q: %s", notes[0].From, notes[0].Data)
		}
	})
	t.Run("archive", func(t *testing.T) {
		if m := arrives(t, "archive"); !harness.AsSent(m.Data, mail("archive")) {
			t.Errorf("arrived as %s", m.Data)
		}
		copies, err := site.Copies(limited(t), "archive", "--area", "documents")
		if err != nil || len(copies) != 1 {
			t.Fatalf("archived are %+v, %v", copies, err)
		}
	})
	t.Run("bcc", func(t *testing.T) {
		sent("bcc")
		got := func(mails []harness.Mail) (to []string) {
			for _, m := range with(mails, "<bcc@outside.example>") {
				if !harness.AsSent(m.Data, mail("bcc")) {
					t.Errorf("arrived as %s", m.Data)
				}
				to = append(to, m.To...)
			}
			slices.Sort(to)
			return to
		}
		want := []string{"bob@example.org", "watch@example.org"}
		if err := site.Sink.Wait(limited(t), func(mails []harness.Mail) bool { return len(got(mails)) >= len(want) }); err != nil {
			t.Fatal(err)
		}
		if to := got(site.Sink.Mails()); !slices.Equal(to, want) {
			t.Errorf("arrived for %v, want %v", to, want)
		}
	})
	t.Run("pass", func(t *testing.T) {
		if m := arrives(t, "pass"); !harness.AsSent(m.Data, mail("pass")) {
			t.Errorf("arrived as %s", m.Data)
		}
		action(t, "pass", "Passed")
	})
	t.Run("quarantine and release", func(t *testing.T) {
		data := harness.Document("quarantine", "file.quarantine", []byte("MZ\x90\x00\x03\x00\x00\x00\x04\x00\x00\x00\xff\xff\x00\x00"+strings.Repeat("\x00", 600)))
		if reply := send(t, site, alice, bob, data); !reply.Accepted() {
			t.Fatalf("refused: %s", reply)
		}
		copies, err := site.Copies(limited(t), "quarantine", "--area", "kept")
		if err != nil || len(copies) != 1 {
			t.Fatalf("quarantined are %+v, %v", copies, err)
		}
		if shown := run(t, site, "quarantine", "show", copies[0].ID); !strings.Contains(shown, "quarantine") {
			t.Errorf("shown is %s", shown)
		}
		explained := run(t, site, "explain", copies[0].ID)
		if !strings.Contains(explained, "file.quarantine") || !strings.Contains(explained, "2 quarantine") {
			t.Errorf("explained is %s", explained)
		}
		for range 2 {
			run(t, site, "quarantine", "release", copies[0].ID)
		}
		// What kept it is waived; the rule after it judges.
		arrived := wait(t, site.Sink, "<quarantine@outside.example>", 1)
		if !bytes.Contains(arrived[0].Data, []byte("Subject: [second] quarantine")) {
			t.Errorf("arrived as %s", arrived[0].Data)
		}
		run(t, site, "quarantine", "release", copies[0].ID)
		send(t, site, alice, bob, mail("after")) // whatever a second release would send is before it
		wait(t, site.Sink, "<after@outside.example>", 1)
		if n := len(wait(t, site.Sink, "<quarantine@outside.example>", 1)); n != 1 {
			t.Errorf("released once, and arrived %d times", n)
		}
	})
	t.Run("track", func(t *testing.T) {
		err := harness.Eventually(limited(t), "the journal is in the store", func() (bool, error) {
			tracks, err := site.Tracks(limited(t), "--id", `"tag@outside.example"`)
			return len(tracks) > 0 && tracks[0].Kind == "Normal", err
		})
		if err != nil {
			t.Error(err)
		}
	})
}
