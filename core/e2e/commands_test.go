package e2e

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/postern-mail/postern/core/e2e/harness"
)

// command runs postern as a shell would and returns what it prints and its exit code.
func command(t *testing.T, site *harness.Site, arguments ...string) (out, errOut string, code int) {
	t.Helper()
	c := exec.CommandContext(limited(t), filepath.Join(bin, "postern"), append(arguments, "--config", site.Setup.Config)...)
	c.Env = append(append(os.Environ(), "POSTERN_STATE="+site.Setup.State), site.Setup.Env...)
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return stdout.String(), stderr.String(), c.ProcessState.ExitCode()
}

// TestExitCodes: what a script can rely on, and what a person reads.
func TestExitCodes(t *testing.T) {
	site := newSite(t, "actions", "SITE_OTHER_PORT=25", "SITE_LATER=12:00")
	broken := newSite(t, "actions", "SITE_OTHER_PORT=25", "SITE_LATER=12:00")
	if err := broken.WriteConfig("rules/20.hcl", []byte("rule \"broken\" {\n  scan \"nothing\" {}\n  action \"pass\" {}\n}\n")); err != nil {
		t.Fatal(err)
	}
	mail := filepath.Join(t.TempDir(), "mail.eml")
	if err := os.WriteFile(mail, harness.Document("scanned", "file.reject", []byte("x")), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		site      *harness.Site
		arguments string
		code      int
		says      string
	}{
		{site, "validate", 0, "valid, "},
		{broken, "validate", 3, "rules/20.hcl line 2"},
		{broken, "serve", 3, "There is no block `plugin` of that name"},
		{broken, "scan " + mail, 3, "rules/20.hcl line 2"},
		{site, "scan " + mail, 0, "Rejected by reject"},
		{site, "scan /nowhere.eml", 1, "no such file"},
		{site, "policy show", 0, "quarantine again"},
		{site, "quarantine release nothing", 4, "not found"},
		{site, "quarantine show nothing", 4, "not found"},
		{site, "explain nothing", 4, "not found"},
		{site, "track nothing", 4, "not found"},
		{site, "quarantine list --since yesterday", 2, "neither a time nor a duration"},
		{site, "log query --after x", 2, "cursor"},
		{site, "log query --json --csv", 2, "none of the others can be"},
		{site, "log query --nonsense", 2, "unknown flag"},
		{site, "nonsense", 2, "unknown command"},
		{site, "quarantine release", 2, "requires at least 1 arg"},
		{site, "log query", 0, "DATE"},
		{site, "queue list", 0, "COPY"},
		{site, "queue flush", 0, "0 deliveries"},
		{site, "completion bash", 0, "postern"},
		{site, "plugin list", 0, "attachments"},
		{site, "plugin describe filename", 0, "names = <strings>"},
		{site, "plugin describe nothing", 4, "no such plugin is pinned"},
		{site, "plugin verify", 0, "filename: "},
		{site, "plugin verify --plugins /nowhere", 1, "no such file"},
	}
	for _, test := range tests {
		t.Run(test.arguments, func(t *testing.T) {
			out, errOut, code := command(t, test.site, strings.Fields(test.arguments)...)
			if code != test.code || !strings.Contains(out+errOut, test.says) {
				t.Errorf("exit code %d, want %d; it says\n%s%s", code, test.code, out, errOut)
			}
		})
	}
}

// TestQueries: the log is asked as the product's log page is, in every form.
func TestQueries(t *testing.T) {
	site := newSite(t, "actions", "SITE_OTHER_PORT=25", "SITE_LATER=12:00")
	start(t, site)
	subjects := []string{"=cmd|calc", "plan; draft", "Plan*", "other"}
	for n, subject := range subjects {
		data := harness.Document("query", "file.delete", []byte{byte(n)})
		data = bytes.Replace(data, []byte("Subject: query"), []byte("Subject: "+subject), 1)
		send(t, site, outside, []string{"bob@example.org", inside}, data)
	}
	for query, want := range map[string][]string{
		"":                        subjects,
		"--subject plan*":         {"plan; draft", "Plan*"},
		`--subject "Plan*"`:       {"Plan*"},
		`--subject other;=cmd*`:   {"=cmd|calc", "other"},
		"--sender *@outside.*":    subjects,
		"--sender bob*":           nil,
		"--recipient CAROL@*":     subjects,
		"--rule delete":           subjects,
		"--rule del":              nil,
		"--subtype attachment":    subjects,
		"--subtype spam-phish":    nil,
		"--since 1h":              subjects,
		"--until 2020-01-01":      nil,
		"--id <query@outside.e*>": nil,
	} {
		var got []string
		events, err := site.Events(limited(t), strings.Fields(query)...)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		for _, e := range slices.Backward(events) {
			got = append(got, e.Subject)
		}
		slices.Sort(got)
		want = slices.Sorted(slices.Values(want))
		if !slices.Equal(got, want) {
			t.Errorf("%s gives %q, want %q", query, got, want)
		}
	}
	if events, err := site.Events(limited(t), "--subject", `"plan; draft"`); err != nil || len(events) != 1 {
		t.Errorf("a quoted semicolon is no separator: %+v, %v", events, err)
	}

	out, errOut, _ := command(t, site, "log", "query", "--csv", "--limit", "1", "--subject", "=*")
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil || len(rows) != 2 {
		t.Fatalf("CSV is %q, %v", out, err)
	}
	at := slices.Index(rows[0], "subject")
	if at < 0 || rows[1][at] != "'=cmd|calc" || !strings.Contains(rows[1][0], "T") {
		t.Errorf("CSV is %q", rows)
	}
	if errOut != "" {
		t.Errorf("on standard error: %s", errOut)
	}
	first, errOut, _ := command(t, site, "log", "query", "--json", "--limit", "3")
	_, cursor, _ := strings.Cut(strings.TrimSpace(errOut), "--after ")
	second, _, _ := command(t, site, "log", "query", "--json", "--limit", "3", "--after", cursor)
	if strings.Count(first, "\n") != 3 || strings.Count(second, "\n") != 1 || !strings.Contains(errOut, "3 of 4 shown") {
		t.Errorf("the pages are %q and %q: %s", first, second, errOut)
	}
	var object map[string]any
	if err := json.Unmarshal([]byte(second), &object); err != nil || object["subject"] == nil || object["threat_type"] == nil {
		t.Errorf("an event is %s, %v", second, err)
	}
}

// TestReload: a configuration with an error leaves the old one serving and says why; a good one serves the next mail.
func TestReload(t *testing.T) {
	site := newSite(t, "outbox")
	if err := site.WriteConfig("store.hcl", []byte(`store "sqlite" { path = env("POSTERN_STATE") }`)); err != nil {
		t.Fatal(err)
	}
	start(t, site)
	rules := func(text string) {
		t.Helper()
		if err := site.WriteConfig("rules/20.hcl", []byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := site.Gateway.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	logged := func(text string) {
		t.Helper()
		err := harness.Eventually(limited(t), text, func() (bool, error) { return strings.Contains(site.Gateway.Log(), text), nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	refused := func(name string) bool {
		t.Helper()
		return send(t, site, outside, []string{"bob@example.org"}, document(name, "new")).Code == 550
	}
	if refused("before") {
		t.Error("refused before there was a rule")
	}
	rules("rule \"new\" {\n  scan \"filename\" { name = [\"*.new\"] }\n  action \"reject\" { text = \"no\" }\n}\n")
	logged("the configuration was not changed")
	logged("rules/20.hcl line 2")
	if refused("broken") {
		t.Error("a rule of a policy with an error was applied")
	}
	rules("rule \"new\" {\n  scan \"filename\" { names = [\"*.new\"] }\n  action \"reject\" { text = \"no\" }\n}\n")
	logged("old policy ended")
	if !refused("good") {
		t.Error("the new rule is not applied")
	}
}
