package e2e

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/textproto"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/postern-mail/postern/core/e2e/harness"
)

// hostile reads the values of testdata/injection: one Go string in a line, as a header field would have it.
func hostile(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("testdata/injection/values.txt")
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		value, err := strconv.Unquote(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		values = append(values, value)
	}
	return values
}

// TestInjection: whatever a sender writes into subject, name of a file and names of addresses stays a value: in the notification, in the log,
// in the tables that commands print, and in their CSV.
func TestInjection(t *testing.T) {
	t.Parallel()
	site := newSite(t, "outbox")
	write(t, site, "store.hcl", "store \"sqlite\" { path = env(\"POSTERN_STATE\") }\n")
	write(t, site, "rules/20.hcl", "notification \"All\" {\n  to = [\"admin@example.org\"]\n  subject = \"%RULENAME%: %SUBJECT%\"\n"+
		"  body = \"%SENDER% %RCPTS% %SUBJECT% %MAILID% %FILENAME% %DETECTED%\"\n}\n"+
		"rule \"All\" {\n  scan \"filename\" { names = [\"*.exe\"] }\n  action \"notify\" { notification = \"All\" }\n  action \"quarantine\" {}\n}\n")
	start(t, site)
	values := hostile(t)
	for i, value := range values {
		mail := fmt.Appendf(nil, "From: %s <alice@outside.example>\r\nTo: %s <bob@example.org>\r\nSubject: %s\r\nMessage-ID: <i%d@outside.example>\r\nMIME-Version: 1.0\r\n"+
			"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: application/octet-stream\r\n"+
			"Content-Disposition: attachment; filename=\"%s.exe\"\r\n\r\nx\r\n--b--\r\n", value, value, value, i, strings.ReplaceAll(value, `"`, `\"`))
		if reply := send(t, site, outside, []string{"bob@example.org"}, mail); !reply.Accepted() {
			t.Fatalf("%q: %s", value, reply)
		}
	}
	const perMinute = 10 // the default
	notes := wait(t, site.Sink, "Subject: All:", min(len(values), perMinute))
	for _, m := range notes {
		checkNotification(t, m)
	}
	checkLog(t, site.Gateway.Log())
	checkTables(t, site, len(values))
}

// checkNotification: the header has the fields that we write, each once, and no other.
func checkNotification(t *testing.T, m harness.Mail) {
	t.Helper()
	header, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(m.Data))).ReadMIMEHeader()
	if err != nil {
		t.Fatalf("%v in %s", err, m.Data)
	}
	known := map[string]bool{"Received": true, "From": true, "To": true, "Subject": true, "Date": true, "Message-Id": true, "Mime-Version": true,
		"Content-Type": true, "Content-Transfer-Encoding": true, "Auto-Submitted": true, "References": true, "In-Reply-To": true, "X-Auto-Response-Suppress": true}
	for name, values := range header {
		if !known[name] || len(values) != 1 {
			t.Errorf("field %s is %q in %s", name, values, m.Data)
		}
	}
	if header.Get("Auto-Submitted") != "auto-generated" || m.From != "" || len(m.To) != 1 || m.To[0] != "admin@example.org" {
		t.Errorf("from <%s> to %v: %s", m.From, m.To, m.Data)
	}
	for i, b := range m.Data {
		if b < ' ' && b != '\r' && b != '\n' && b != '\t' || b == 0x7f {
			t.Errorf("byte %d is %#x in %q", i, b, m.Data)
		}
	}
}

// checkLog: each line is one entry, and none has been written by a sender.
func checkLog(t *testing.T, log string) {
	t.Helper()
	for line := range strings.Lines(log) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Errorf("no entry: %q", line)
		}
		if entry["forged"] != nil {
			t.Errorf("a sender's entry: %q", line)
		}
	}
}

// checkTables: a row for each message, without control characters, and no cell that a spreadsheet takes for a formula.
func checkTables(t *testing.T, site *harness.Site, messages int) {
	t.Helper()
	for _, command := range [][]string{{"log", "query", "--rule", "All"}, {"quarantine", "list"}} {
		table := run(t, site, append(command, "--limit", "1000")...)
		if strings.ContainsAny(strings.ReplaceAll(table, "\n", ""), "\x00\x07\x08\x1b\r") || strings.Contains(table, "\u202e") {
			t.Errorf("%v prints %q", command, table)
		}
	}
	text := run(t, site, "log", "query", "--rule", "All", "--csv", "--limit", "1000")
	records, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(records) != messages+1 {
		t.Errorf("%d records for %d messages", len(records)-1, messages)
	}
	for _, record := range records {
		for _, cell := range record {
			if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
				t.Errorf("a cell begins as a formula: %q", cell)
			}
		}
	}
}

// TestNoLoops: a notification that comes back brings forth no other, and many hits bring forth only as many as are allowed in a minute.
func TestNoLoops(t *testing.T) {
	t.Parallel()
	site := newSite(t, "outbox")
	write(t, site, "store.hcl", "store \"sqlite\" { path = env(\"POSTERN_STATE\") }\n")
	start(t, site)
	own := bytes.Replace(document("own", "told"), []byte("Subject: "), []byte("Auto-Submitted: auto-generated\r\nSubject: "), 1)
	for range 5 {
		if reply := send(t, site, "", []string{"bob@example.org"}, own); reply.Code != 550 {
			t.Errorf("answered %s", reply)
		}
	}
	const hits, perMinute = 60, 10
	for n := range hits {
		send(t, site, outside, []string{"bob@example.org"}, document(fmt.Sprintf("hit%d", n), "told"))
	}
	// What is left out is counted; the mail that follows all of them is delivered behind them.
	send(t, site, outside, []string{"bob@example.org"}, document("last", "later"))
	wait(t, site.Sink, "<last@outside.example>", 1)
	wait(t, site.Sink, "Subject: told of", perMinute)
	for _, m := range site.Sink.Mails() {
		if bytes.Contains(m.Data, []byte("told of own")) {
			t.Errorf("a notification about a notification: %s", m.Data)
		}
	}
	if notes := with(site.Sink.Mails(), "Subject: told of"); len(notes) > 2*perMinute { // the minute may have turned
		t.Errorf("%d notifications for %d hits", len(notes), hits)
	}
}
