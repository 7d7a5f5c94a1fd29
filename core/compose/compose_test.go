package compose_test

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-message"
	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/core/compose"
	postern "github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/policy"
)

var update = flag.Bool("update", false, "write the expected mails anew; read the difference before you commit it")

func noon() time.Time { return time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC) }

func composer() *compose.Composer {
	return &compose.Composer{Now: noon, NewID: func() string { return "1D" }}
}

func incident() *compose.Incident {
	quarantine := postern.Action{Name: "quarantine", Effect: postern.EffectQuarantine, Label: "Quarantined"}
	return &compose.Incident{
		Message: &postern.Message{
			ID: "GUID", Subject: "Grüße %SENDER%", Size: 1234, Envelope: postern.Envelope{From: "a@outside.example", To: []string{"b@example.org", "c@example.org"}},
		},
		Tree: &postern.Tree{Parts: []postern.Part{{Display: ""}, {ID: 1, Display: "Sample.rar/D44F.exe", Size: 99}}},
		Match: &postern.Match{
			Rule: "Virus", Kind: "virus", Final: &quarantine, Actions: []postern.Action{quarantine, {Effect: postern.EffectNotify, Label: "Notification sent"}},
			Findings: []postern.Finding{{Plugin: "atse", Kind: "virus", Name: "EICAR", Part: 1}, {Plugin: "atse", Kind: "virus", Name: "EICAR", Part: 1}},
		},
		At: noon(),
	}
}

const everyToken = "%SENDER% %RCPTS% %SUBJECT% %MAILID% %RULENAME% %RULETYPE% %DETECTED% %FILENAME% %DEF_CHARSET% %MSG_SIZE% " +
	"%ATTACH_SIZE% %ATTACH_COUNT% %TACTION% %ACTION% %VIRUSNAME% %VIRUSACTION% %UNKNOWN% 100%"

// read parses a mail of ours and returns its header and decoded body. It must be 7-bit with proper line ends.
func read(t *testing.T, mail []byte) (*message.Entity, string) {
	t.Helper()
	for i, c := range mail {
		if c >= 0x80 || c == '\n' && (i == 0 || mail[i-1] != '\r') || c == '\r' && (i+1 == len(mail) || mail[i+1] != '\n') {
			t.Fatalf("byte %d of the mail is %q: %q", i, c, mail)
		}
	}
	for line := range bytes.Lines(mail) {
		if len(line) > 1000 {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
	entity, err := message.Read(bytes.NewReader(mail))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(entity.Body)
	if err != nil {
		t.Fatal(err)
	}
	return entity, string(body)
}

func TestNotification(t *testing.T) {
	n := &policy.Notification{Name: "n", To: []string{"admin@example.org"}, Subject: "%VIRUSNAME% in %FILENAME%: %SUBJECT%", Body: everyToken}
	mail, err := composer().Notification(n, "gw.example.org", incident())
	if err != nil {
		t.Fatal(err)
	}
	entity, body := read(t, mail)
	subject, err := entity.Header.Text("Subject")
	if err != nil || subject != "EICAR in Sample.rar/D44F.exe: Grüße %SENDER%" {
		t.Errorf("the subject is %q, %v", subject, err)
	}
	want := "a@outside.example b@example.org, c@example.org Grüße %SENDER% GUID Virus virus EICAR Sample.rar/D44F.exe UTF-8 1234 " +
		"99 1 Quarantined Notification sent EICAR Quarantined %UNKNOWN% 100%\r\n"
	if body != want {
		t.Errorf("the body is %q, want %q", body, want)
	}
	if got := entity.Header.Get("Auto-Submitted"); got != "auto-generated" {
		t.Errorf("Auto-Submitted is %q", got)
	}
}

// TestNotificationOfAnException: the tokens tell the exception and its reason.
func TestNotificationOfAnException(t *testing.T) {
	i := incident()
	i.Match = &postern.Match{Rule: "encryption", Exception: postern.ExceptionEncryption, Troubles: []postern.Trouble{{Reason: "encrypted_member", Part: 1}}}
	n := &policy.Notification{To: []string{"admin@example.org"}, Subject: "%RULENAME%: %DETECTED%", Body: "%RULETYPE%, %FILENAME%, [%VIRUSNAME%], %TACTION%"}
	mail, err := composer().Notification(n, "gw.example.org", i)
	if err != nil {
		t.Fatal(err)
	}
	entity, body := read(t, mail)
	if got := entity.Header.Get("Subject") + "; " + body; got != "encryption: encrypted_member; scanning exception, Sample.rar/D44F.exe, [], Passed\r\n" {
		t.Errorf("it says %q", got)
	}
}

// FuzzNotification: what a sender wrote adds no field and no line to the header.
func FuzzNotification(f *testing.F) {
	f.Add("x\r\nBcc: evil@outside.example", "a\r\n\r\nb@outside.example", "f\x00\r\n.exe")
	f.Add("=?utf-8?Q?x=0D=0ABcc:?=", "", "\xff")
	f.Fuzz(func(t *testing.T, subject, sender, name string) {
		i := incident()
		i.Message.Subject, i.Message.Envelope.From, i.Tree.Parts[1].Display = subject, sender, name
		n := &policy.Notification{To: []string{"admin@example.org"}, Subject: "%SUBJECT% %SENDER% %FILENAME%", Body: "%SUBJECT% %SENDER% %FILENAME%"}
		mail, err := composer().Notification(n, "gw.example.org", i)
		if err != nil {
			t.Fatal(err)
		}
		entity, _ := read(t, mail)
		fields := 0
		for f := entity.Header.Fields(); f.Next(); {
			fields++
		}
		if fields != 9 {
			t.Errorf("%d fields: %q", fields, mail)
		}
	})
}

func report() *compose.Report {
	return &compose.Report{
		Hostname: "gw.example.org", To: "a@outside.example",
		Message: &postern.Message{HeaderID: "m1@outside.example", Received: noon()},
		Header:  []byte("From: a@outside.example\r\nSubject: plan\r\n"),
		Failures: []compose.Failure{
			{Recipient: "b@example.org", Reply: postern.Reply{Code: 550, Enhanced: [3]int{5, 1, 1}, Text: "nobody here"}, Host: "hop.example:25", At: noon()},
			{Recipient: "c@example.org", At: noon()},
		},
	}
}

// TestBounce holds delivery status notifications against testdata.
func TestBounce(t *testing.T) {
	eightBit := report()
	eightBit.Failures = eightBit.Failures[:1]
	eightBit.Failures[0].Recipient = "jörg@example.org"
	eightBit.Header = []byte("From: a@outside.example\r\nSubject: gr\xfc\xdfe\r\n")
	injected := report()
	injected.Failures = injected.Failures[:1]
	injected.Failures[0].Reply.Text = "no\r\nBcc: evil@outside.example"
	for name, r := range map[string]*compose.Report{"bounce": report(), "bounce-8bit": eightBit, "bounce-injected": injected} {
		t.Run(name, func(t *testing.T) {
			got := composer().Bounce(r)
			if rest := strings.ReplaceAll(string(got), "\r\n", ""); strings.ContainsAny(rest, "\r\n") {
				t.Error("bare line ends")
			}
			got = bytes.ReplaceAll(got, []byte("\r\n"), []byte("\n"))
			path := filepath.Join("testdata", name+".eml")
			if *update {
				if err := os.WriteFile(path, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("want -, got +:\n%s", diff)
			}
		})
	}
}

func TestLongSubject(t *testing.T) {
	long := strings.Repeat("aü", 700)
	for _, subject := range []string{strings.Repeat("a", 2000), long, "short " + long} {
		i := incident()
		i.Message.Subject = subject
		mail, err := composer().Notification(&policy.Notification{To: []string{"admin@example.org"}, Subject: "%SUBJECT%", Body: "-"}, "gw.example.org", i)
		if err != nil {
			t.Fatal(err)
		}
		entity, _ := read(t, mail)
		if got, err := entity.Header.Text("Subject"); err != nil || got != subject {
			t.Errorf("the subject of %d bytes became %d bytes, %v", len(subject), len(got), err)
		}
	}
}
