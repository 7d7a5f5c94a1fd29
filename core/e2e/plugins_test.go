package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/postern-mail/postern/core/e2e/harness"
)

// variantOf writes the plugin with something behind its program, which makes it another version of itself.
func variantOf(t *testing.T, path, trailer string) {
	t.Helper()
	program, err := os.ReadFile(filepath.Join(bin, "hostile-plugin"))
	if err != nil {
		t.Fatal(err)
	}
	if trailer != "" {
		program = append(program, "trailer "+trailer+"\n"...)
	}
	if err := os.WriteFile(path, program, 0o700); err != nil {
		t.Fatal(err)
	}
}

// newPluginSite prepares a gateway whose plugin "hostile" writes its version into every mail.
func newPluginSite(t *testing.T) (site *harness.Site, folder string) {
	t.Helper()
	folder = t.TempDir()
	first := filepath.Join(folder, "first")
	variantOf(t, first, "")
	site = newSite(t, "plugins", "SITE_HOSTILE="+first)
	run(t, site, "plugin", "pin", first)
	return site, folder
}

// acted is the version that a message met.
func acted(t *testing.T, site *harness.Site, name string) string {
	t.Helper()
	send(t, site, outside, []string{"bob@example.org"}, document(name, "txt"))
	data := wait(t, site.Sink, "<"+name+"@outside.example>", 1)[0].Data
	_, rest, _ := bytes.Cut(data, []byte("X-Acted: "))
	line, _, _ := bytes.Cut(rest, []byte("\r\n"))
	return string(line)
}

func expectCommand(t *testing.T, site *harness.Site, code int, says string, arguments ...string) {
	t.Helper()
	out, errOut, got := command(t, site, arguments...)
	if got != code || !strings.Contains(out+errOut, says) {
		t.Errorf("%s: exit code %d, want %d; it says\n%s%s", strings.Join(arguments, " "), got, code, out, errOut)
	}
}

// TestPluginSwap: a plugin is swapped, a restart keeps that, and it goes back.
func TestPluginSwap(t *testing.T) {
	site, folder := newPluginSite(t)
	second := filepath.Join(folder, "second")
	variantOf(t, second, "version=2.0.0")
	expectCommand(t, site, 1, "no gateway is running", "plugin", "swap", "hostile", second)
	start(t, site)
	expectCommand(t, site, 1, "there is nothing to go back to", "plugin", "rollback", "hostile")
	expectCommand(t, site, 4, "no such plugin serves", "plugin", "swap", "nobody", second)
	if got := acted(t, site, "before"); got != "first 1.0.0" {
		t.Errorf("before: %q", got)
	}
	expectCommand(t, site, 0, "hostile: 2.0.0", "plugin", "swap", "hostile", second)
	if got := acted(t, site, "swapped"); got != "first 2.0.0" {
		t.Errorf("swapped: %q", got)
	}
	expectCommand(t, site, 0, "is the one that serves", "plugin", "swap", "hostile", second)
	if err := os.Remove(second); err != nil { // the gateway has its own copy
		t.Fatal(err)
	}
	expectCommand(t, site, 0, "hostile: ", "plugin", "verify")

	if err := site.Gateway.Stop(); err != nil {
		t.Fatal(err)
	}
	start(t, site)
	if got := acted(t, site, "restarted"); got != "first 2.0.0" {
		t.Errorf("after a restart: %q", got)
	}
	expectCommand(t, site, 0, "hostile: 1.0.0", "plugin", "rollback", "hostile")
	if got := acted(t, site, "back"); got != "first 1.0.0" {
		t.Errorf("rolled back: %q", got)
	}
	expectCommand(t, site, 0, "hostile: 2.0.0", "plugin", "rollback", "hostile")

	out, _, _ := command(t, site, "plugin", "list", "--json")
	var row struct {
		Name, Version string
		State         []string
		Sandbox       []string
	}
	for line := range strings.Lines(out) {
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		if len(row.State) != 1 || row.State[0] != "ready" || len(row.Sandbox) == 0 {
			t.Errorf("%s is %v in %v", row.Name, row.State, row.Sandbox)
		}
	}
}

// TestReloadKeepsPlugins: a reload starts what changed and nothing else, tells so, and can be taken back.
func TestReloadKeepsPlugins(t *testing.T) {
	site, _ := newPluginSite(t)
	start(t, site)
	before, err := harness.Descendants(site.Gateway.Pid())
	if err != nil {
		t.Fatal(err)
	}
	expectCommand(t, site, 0, "2 plugins kept, 0 started", "reload")
	if after, err := harness.Descendants(site.Gateway.Pid()); err != nil || fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("the processes are %v and were %v, %v", after, before, err)
	}
	policy, err := os.ReadFile(filepath.Join(site.Setup.Config, "postern.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	if err := site.WriteConfig("postern.hcl", bytes.Replace(policy, []byte(`"first"`), []byte(`"second"`), 1)); err != nil {
		t.Fatal(err)
	}
	expectCommand(t, site, 0, "1 plugins kept, 1 started", "reload")
	if got := acted(t, site, "reloaded"); got != "second 1.0.0" {
		t.Errorf("reloaded: %q", got)
	}
	if err := site.WriteConfig("rules/20.hcl", []byte("rule \"broken\" {}\n")); err != nil {
		t.Fatal(err)
	}
	expectCommand(t, site, 3, "rules/20.hcl line 1", "reload", "--state", site.Setup.State)
	expectCommand(t, site, 0, "policy", "rollback", "--state", site.Setup.State)
	if got := acted(t, site, "back"); got != "first 1.0.0" {
		t.Errorf("rolled back: %q", got)
	}
	err = harness.Eventually(limited(t), "the old processes are gone", func() (bool, error) {
		pids, err := harness.Descendants(site.Gateway.Pid())
		return len(pids) == 2, err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestReplacedExecutable: a file that is not the pinned one any more is refused at a reload, and the copy that runs serves on.
func TestReplacedExecutable(t *testing.T) {
	site, folder := newPluginSite(t)
	start(t, site)
	first := filepath.Join(folder, "first")
	if err := os.Remove(first); err != nil {
		t.Fatal(err)
	}
	variantOf(t, first, "version=3.0.0")
	expectCommand(t, site, 1, "the executable is not the pinned one", "reload")
	if err := harness.KillChild(site.Gateway.Pid(), first); err != nil {
		t.Fatal(err)
	}
	const again = "plugin process started again"
	err := harness.Eventually(limited(t), again, func() (bool, error) { return strings.Contains(site.Gateway.Log(), again), nil })
	if err != nil {
		t.Fatal(err)
	}
	if got := acted(t, site, "serves-on"); got != "first 1.0.0" {
		t.Errorf("after a crash: %q", got)
	}
	run(t, site, "plugin", "pin", first)
	expectCommand(t, site, 0, "1 started", "reload")
	if got := acted(t, site, "pinned"); got != "first 3.0.0" {
		t.Errorf("pinned: %q", got)
	}
}

// TestShadow: another version sees the same mail, differences are told, and nothing comes of them.
func TestShadow(t *testing.T) {
	site, folder := newPluginSite(t)
	second := filepath.Join(folder, "second")
	variantOf(t, second, "version=2.0.0")
	start(t, site)
	var (
		trying       sync.WaitGroup
		out, errOut  string
		code, number int
	)
	trying.Go(func() { out, errOut, code = command(t, site, "plugin", "shadow", "hostile", second, "--messages", "3") })
	ended := make(chan struct{})
	go func() {
		trying.Wait()
		close(ended)
	}()
	for running := true; running; number++ {
		if got := acted(t, site, fmt.Sprintf("shadow-%d", number)); got != "first 1.0.0" {
			t.Errorf("it acted: %q", got)
		}
		select {
		case <-ended:
			running = false
		default:
			running = number < 200
		}
	}
	<-ended
	if code != 0 || !strings.Contains(out, "3 of 3 messages compared: 0 the same, 3 differ, 0 failed") || !strings.Contains(out, "marker 2.0.0") {
		t.Errorf("exit code %d; it says\n%s%s", code, out, errOut)
	}
}

// TestWatchedFolder: what is put there is swapped in, unless others can write it.
func TestWatchedFolder(t *testing.T) {
	site, folder := newPluginSite(t)
	watched := filepath.Join(folder, "watched")
	if err := os.Mkdir(watched, 0o700); err != nil {
		t.Fatal(err)
	}
	site.Setup.Env = append(site.Setup.Env, "POSTERN_WATCH="+watched)
	start(t, site)
	logged := func(text string) {
		t.Helper()
		err := harness.Eventually(limited(t), text, func() (bool, error) { return strings.Contains(site.Gateway.Log(), text), nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	put := func(trailer string, mode os.FileMode) {
		t.Helper()
		prepared := filepath.Join(folder, "prepared")
		variantOf(t, prepared, trailer)
		if err := os.Chmod(prepared, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(prepared, filepath.Join(watched, "postern-hostile")); err != nil {
			t.Fatal(err)
		}
	}
	put("version=4.0.0", 0o700)
	logged("plugin swapped from the watched folder")
	if got := acted(t, site, "watched"); got != "first 4.0.0" {
		t.Errorf("swapped in: %q", got)
	}
	put("version=5.0.0", 0o777)
	logged("can be written by others")
	if got := acted(t, site, "untrusted"); got != "first 4.0.0" {
		t.Errorf("anybody's file was swapped in: %q", got)
	}
}
