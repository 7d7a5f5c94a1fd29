package e2e

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/postern-mail/postern/core/e2e/harness"
	"github.com/postern-mail/postern/core/store/postgres/pgtest"
)

// Canaries: what must be found nowhere.
const (
	canaryPassword = "canary-of-the-store-5c1e"
	canaryToken    = "canary-of-a-plugin-77b0"
)

// TestSecrets puts a secret of its own into every field that takes one, lets much happen and go wrong at the finest level of the log, and
// looks for them in everything that the gateway and its commands wrote: log, crash texts, listings, events, figures, and other plugins'
// environments.
func TestSecrets(t *testing.T) {
	s := newSandbox(t, "* none fault=never\n")
	database, err := url.Parse(pgtest.Start(t).Database(t))
	if err != nil {
		t.Fatal(err)
	}
	database.User = url.UserPassword(database.User.Username(), canaryPassword)
	site := newSite(t, "sandbox", append(s.Environment(), "SITE_STORE="+database.String(), "SITE_TOKEN="+canaryToken)...)
	write(t, site, "store.hcl", "store \"postgres\" { url = env(\"SITE_STORE\") }\nmonitor { listen = \"127.0.0.1:0\" }\n")
	edit(t, site, "postern.hcl", `plugin "filename" { command = "postern-filename" }`, `plugin "filename" {
  command = "postern-filename"
  env = { TOKEN = env("SITE_TOKEN") }
}`)
	site.Setup.Levels = "trace"
	start(t, site)
	secrets := map[string]string{"the store's password": canaryPassword, "a plugin's token": canaryToken, "the sandbox's key": harness.SimulatorKey}

	var written strings.Builder
	command := func(arguments ...string) {
		t.Helper()
		out, err := site.Setup.Run(limited(t), arguments...)
		fmt.Fprintf(&written, "$ postern %v\n%s\n%v\n", arguments, out, err)
	}
	if reply := send(t, site, outside, []string{inside}, harness.Document("held", "held.js", []byte("script"))); !reply.Accepted() {
		t.Fatal(reply)
	}
	err = harness.Eventually(limited(t), "the sample is uploaded", func() (bool, error) {
		uploads, _ := s.uploads(t)
		return len(uploads) == 1, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	environments(t, site, &written)
	for _, arguments := range [][]string{
		{"validate"}, {"policy", "show"}, {"plugin", "list"}, {"plugin", "list", "--json"}, {"plugin", "describe", filepath.Join(bin, "postern-ddan")},
		{"doctor"}, {"queue", "list", "virtual-analyzer", "--json"}, {"analyzer", "status"}, {"log", "query", "--json"}, {"objects", "status"},
	} {
		command(append(arguments, "--log-level", "trace")...)
	}
	// What is wrong in the plugin, the host and the policy.
	s.fault(t, "kind=status&code=401&count=3")
	if reply := send(t, site, outside, []string{inside}, harness.Document("second", "second.js", []byte("other"))); !reply.Accepted() {
		t.Fatal(reply)
	}
	ddan, err := harness.ChildNamed(site.Gateway.Pid(), "postern-ddan")
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(ddan, syscall.SIGABRT); err != nil {
		t.Fatal(err)
	}
	err = harness.Eventually(limited(t), "the crash of the plugin is told", func() (bool, error) {
		return strings.Contains(site.Gateway.Log(), "SIGABRT"), nil
	})
	if err != nil {
		t.Error(err)
	}
	write(t, site, "rules/90.hcl", "rule env(\"SANDBOX_KEY\") {\n  scan \"filename\" { names = [env(\"SANDBOX_KEY\"), 7, file(\"none\")] }\n  kind = env(\"SITE_STORE\")\n}\n")
	command("validate")
	if err := site.Gateway.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	err = harness.Eventually(limited(t), "the policy is refused", func() (bool, error) {
		return strings.Contains(site.Gateway.Log(), "the configuration was not changed"), nil
	})
	if err != nil {
		t.Error(err)
	}
	if err := site.Gateway.Signal(syscall.SIGQUIT); err != nil { // the runtime writes all its goroutines
		t.Fatal(err)
	}
	err = harness.Eventually(limited(t), "the crash of the host is told", func() (bool, error) {
		return strings.Contains(site.Gateway.Log(), "SIGQUIT"), nil
	})
	if err != nil {
		t.Error(err)
	}
	written.WriteString(site.Gateway.Log())
	site.Gateway.Kill()
	site.Gateway = nil
	database.Host = "127.0.0.1:1"
	site.Setup.Env = append(site.Setup.Env, "SITE_STORE="+database.String())
	write(t, site, "rules/90.hcl", "")
	command("doctor")
	for name, secret := range secrets {
		if at := strings.Index(written.String(), secret); at >= 0 {
			t.Errorf("%s was written: ...%s", name, written.String()[max(0, at-300):at+len(secret)])
		}
	}
	if written.Len() < 20_000 {
		t.Errorf("only %d bytes were looked at", written.Len())
	}
	if t.Failed() {
		t.Logf("%.20000s", written.String())
	}
}

// environments adds those of the plugins: none has what was not given to it.
func environments(t *testing.T, site *harness.Site, written *strings.Builder) {
	t.Helper()
	for _, name := range []string{"postern-filename", "postern-actions", "postern-ddan"} {
		pid, err := harness.ChildNamed(site.Gateway.Pid(), name)
		if err != nil {
			t.Fatal(err)
		}
		environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil {
			t.Fatal(err)
		}
		if own := "TOKEN=" + canaryToken; name == "postern-filename" {
			if !bytes.Contains(environment, []byte(own)) {
				t.Errorf("%s was not given its token", name)
			}
			environment = bytes.ReplaceAll(environment, []byte(own), nil)
		}
		fmt.Fprintf(written, "%s: %s\n", name, environment)
	}
}
