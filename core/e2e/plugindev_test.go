package e2e

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/postern-mail/postern/core/e2e/harness"
)

// devFolder is that of a plugin whose build is a copy.
func devFolder(t *testing.T) (folder, mail string) {
	t.Helper()
	folder = t.TempDir()
	mail = filepath.Join(folder, "mail.eml")
	for name, text := range map[string]string{
		"plugin.hcl": "plugin \"hostile\" {\n  command = \"./built\"\n}\nrule \"Try\" {\n  scan \"hostile\" {}\n  action \"pass\" {}\n}\n",
		"mail.eml":   string(harness.Document("dev", "file.txt", []byte("x"))),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder, mail
}

// develop starts `postern plugin dev` and returns a function that waits for the next line with the words.
func develop(t *testing.T, folder, mail string, arguments ...string) (c *exec.Cmd, stdin io.Writer, expect func(words string) string) {
	t.Helper()
	program, err := filepath.Abs(filepath.Join(bin, "hostile-plugin"))
	if err != nil {
		t.Fatal(err)
	}
	c = exec.CommandContext(limited(t), filepath.Join(bin, "postern"),
		append([]string{"plugin", "dev", folder, "--mail", mail, "--build", "cp " + program + " built"}, arguments...)...)
	c.Stderr = t.Output()
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if stdin, err = c.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	return c, stdin, func(words string) string {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), words) {
				return lines.Text()
			}
		}
		t.Fatalf("it ended without saying %q", words)
		return ""
	}
}

// TestPluginDev: the mail is shown again when something changed, also after a change that was wrong.
func TestPluginDev(t *testing.T) {
	folder, mail := devFolder(t)
	c, _, expect := develop(t, folder, mail)
	expect("hostile: sure marker 1.0.0")
	expect("waiting for changes")
	good, err := os.ReadFile(filepath.Join(folder, "plugin.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []struct{ text, says string }{
		{strings.Replace(string(good), `scan "hostile" {}`, `scan "hostile" { no = 1 }`, 1), "waiting for changes"},
		{strings.Replace(string(good), "./built\"", "./built\"\n  config { mode = \"foreign-call\" }", 1), "plugin_unavailable: bad_answer"},
		{string(good), "hostile: sure marker 1.0.0"},
	} {
		if err := os.WriteFile(filepath.Join(folder, "plugin.hcl"), []byte(change.text), 0o600); err != nil {
			t.Fatal(err)
		}
		expect(change.says)
	}
	expect("waiting for changes")
	if err := c.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
}

// TestPluginDevAttach: the process is there to be looked into, stopped for longer than a gateway would bear or not, and goes on when told.
func TestPluginDevAttach(t *testing.T) {
	folder, mail := devFolder(t)
	c, stdin, expect := develop(t, folder, mail, "--once", "--attach")
	pid, err := strconv.Atoi(regexp.MustCompile(`process (\d+) waits`).FindStringSubmatch(expect("waits for a debugger"))[1])
	if err != nil {
		t.Fatal(err)
	}
	if name, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline"); err != nil || !strings.HasPrefix(string(name), filepath.Join(folder, "built")) {
		t.Errorf("process %d is %q: %v", pid, name, err)
	}
	if _, err := io.WriteString(stdin, "\n"); err != nil {
		t.Fatal(err)
	}
	expect("hostile: sure marker 1.0.0")
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
}
