package e2e

import (
	"bytes"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/emersion/go-smtp"

	"github.com/postern-mail/postern/core/e2e/harness"
	"github.com/postern-mail/postern/core/store/postgres/pgtest"
)

// onBothStores runs a test with a site on each store.
func onBothStores(t *testing.T, test func(t *testing.T, site *harness.Site)) {
	t.Run("sqlite", func(t *testing.T) {
		site := newSite(t, "outbox")
		if err := site.WriteConfig("store.hcl", []byte(`store "sqlite" { path = env("POSTERN_STATE") }`)); err != nil {
			t.Fatal(err)
		}
		test(t, site)
	})
	t.Run("postgres", func(t *testing.T) {
		url := pgtest.Start(t).Database(t)
		site := newSite(t, "outbox", "SITE_STORE="+url)
		if err := site.WriteConfig("store.hcl", []byte(`store "postgres" { url = env("SITE_STORE") }`)); err != nil {
			t.Fatal(err)
		}
		test(t, site)
	})
}

const (
	outside = "alice@outside.example"
	inside  = "carol@example.org"
)

func document(name, extension string) []byte {
	return harness.Document(name, "file."+extension, []byte("content of "+name))
}

func refusal(code int, text string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 1, 1}, Message: text}
}

// TestOutbox: what the next hop refuses for now is tried again, what it refuses for good is told to our own senders only, and a killed
// gateway goes on where it was.
func TestOutbox(t *testing.T) {
	onBothStores(t, func(t *testing.T, site *harness.Site) {
		var refused atomic.Int64
		site.Sink.Refuse = func(to string) *smtp.SMTPError {
			switch {
			case strings.HasPrefix(to, "nobody@"):
				return refusal(550, "nobody here")
			case strings.HasPrefix(to, "busy@") && refused.Add(1) <= 2:
				return refusal(450, "come back")
			}
			return nil
		}
		start(t, site)

		t.Run("tried again", func(t *testing.T) {
			send(t, site, outside, []string{"busy@example.org"}, document("again", "later"))
			if m := wait(t, site.Sink, "<again@outside.example>", 1)[0]; !harness.AsSent(m.Data, document("again", "later")) {
				t.Errorf("arrived as %s", m.Data)
			}
			if n := refused.Load(); n != 3 {
				t.Errorf("asked %d times", n)
			}
		})
		t.Run("bounced to our own sender", func(t *testing.T) {
			reply := send(t, site, inside, []string{"bob@example.org", "nobody@example.org"}, document("own", "later"))
			if !reply.Accepted() {
				t.Fatalf("refused: %s", reply)
			}
			wait(t, site.Sink, "<own@outside.example>", 1)
			bounce := wait(t, site.Sink, "Undelivered Mail Returned to Sender", 1)[0]
			for _, want := range []string{"To: <" + inside + ">", "Final-Recipient: rfc822; nobody@example.org", "Status: 5.1.1", "References: <own@outside.example>"} {
				if !bytes.Contains(bounce.Data, []byte(want)) {
					t.Errorf("the bounce lacks %q: %s", want, bounce.Data)
				}
			}
			if bounce.From != "" || bytes.Contains(bounce.Data, []byte("rfc822; bob@example.org")) {
				t.Errorf("the bounce is from %q: %s", bounce.From, bounce.Data)
			}
		})
		t.Run("kept where a bounce would be backscatter", func(t *testing.T) {
			send(t, site, outside, []string{"nobody@example.org"}, document("stranger", "later"))
			var id string
			err := harness.Eventually(limited(t), "it is undeliverable", func() (bool, error) {
				copies, err := site.Copies(limited(t), "deferred", "--area", "undeliverable")
				if len(copies) == 1 {
					id = copies[0].ID
				}
				return id != "", err
			})
			if err != nil {
				t.Fatal(err)
			}
			run(t, site, "deferred", "delete", id)
			if copies, err := site.Copies(limited(t), "deferred"); err != nil || len(copies) != 0 {
				t.Errorf("left are %+v, %v", copies, err)
			}
		})
		t.Run("in session the next hop's refusal is the client's", func(t *testing.T) {
			reply := send(t, site, outside, []string{"nobody@example.org"}, document("now", "txt"))
			if reply.Code != 550 || !strings.Contains(reply.Text, "nobody here") {
				t.Errorf("answered %s", reply)
			}
		})
		t.Run("a refused mail's notification", func(t *testing.T) {
			for range 2 {
				if reply := send(t, site, outside, []string{"bob@example.org", inside}, document("told", "told")); reply.Code != 550 {
					t.Errorf("answered %s", reply)
				}
			}
			// One for each message, though two recipients share the rule.
			if notes := wait(t, site.Sink, "Subject: told of told", 2); len(notes) != 2 {
				t.Errorf("%d notifications", len(notes))
			}
		})
	})
}

// TestKilled: the next hop is away, the gateway is killed, and what it has taken arrives once when both are back.
func TestKilled(t *testing.T) {
	onBothStores(t, func(t *testing.T, site *harness.Site) {
		const mails = 5
		var away atomic.Bool
		away.Store(true)
		site.Sink.Refuse = func(string) *smtp.SMTPError {
			if away.Load() {
				return refusal(421, "closed")
			}
			return nil
		}
		start(t, site)
		for n := range mails {
			if reply := send(t, site, outside, []string{"bob@example.org"}, document(fmt.Sprintf("killed%d", n), "txt")); !reply.Accepted() {
				t.Fatalf("refused: %s", reply)
			}
		}
		site.Gateway.Kill()
		away.Store(false)
		start(t, site)
		wait(t, site.Sink, "@outside.example>", mails)
		send(t, site, outside, []string{"bob@example.org"}, document("last", "later")) // what would come twice comes before it
		wait(t, site.Sink, "<last@outside.example>", 1)
		for n := range mails {
			id := fmt.Sprintf("<killed%d@outside.example>", n)
			if got := with(site.Sink.Mails(), id); len(got) != 1 || !harness.AsSent(got[0].Data, document(fmt.Sprintf("killed%d", n), "txt")) {
				t.Errorf("%s arrived %d times", id, len(got))
			}
		}
	})
}

// TestGivenUp: after the time that the relay gives it a mail is returned.
func TestGivenUp(t *testing.T) {
	onBothStores(t, func(t *testing.T, site *harness.Site) {
		site.Setup.Env = append(site.Setup.Env, "SITE_GIVE_UP=2s")
		site.Sink.Refuse = func(to string) *smtp.SMTPError {
			if strings.HasPrefix(to, "busy@") {
				return refusal(450, "come back")
			}
			return nil
		}
		start(t, site)
		send(t, site, inside, []string{"busy@example.org"}, document("late", "later"))
		bounce := wait(t, site.Sink, "Undelivered Mail Returned to Sender", 1)[0]
		if !bytes.Contains(bounce.Data, []byte("Status: 4.4.7")) || bounce.To[0] != inside {
			t.Errorf("the bounce says %s", bounce.Data)
		}
	})
}
