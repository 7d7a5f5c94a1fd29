package e2e

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postern-mail/postern/core/e2e/harness"
)

// TestReplacedFile: a file that a plugin is granted is replaced as most programs do, by renaming another onto it; the plugin, in its sandbox,
// gets the new one, and no mail is the worse for it.
func TestReplacedFile(t *testing.T) {
	t.Parallel()
	site := newSite(t, "outbox")
	folder := t.TempDir()
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(folder, "own.hsb")
	sign := func(content string) {
		t.Helper()
		next := list + ".new"
		line := fmt.Sprintf("%x:%d:Own.Test\n", sha256.Sum256([]byte(content)), len(content))
		if err := os.WriteFile(next, []byte(line), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, list); err != nil {
			t.Fatal(err)
		}
	}
	sign("first\r\n")
	write(t, site, "store.hcl", "store \"sqlite\" { path = env(\"POSTERN_STATE\") }\n")
	write(t, site, "rules/20.hcl", fmt.Sprintf("plugin \"atse\" {\n  command = \"postern-atse\"\n  config { signatures = [%q] }\n}\n", list)+
		"rule \"virus\" {\n  kind = \"virus\"\n  scan \"atse\" {}\n  action \"reject\" { text = \"no\" }\n}\n")
	start(t, site)
	refused := func(content string) bool {
		t.Helper()
		return send(t, site, outside, []string{"bob@example.org"}, harness.Document("m", "a.bin", []byte(content))).Code == 550
	}
	if !refused("first\r\n") || refused("second\r\n") {
		t.Fatal("the list is not read as it was at the start")
	}
	sign("second\r\n")
	const told = "a file that it is granted was replaced"
	if err := harness.Eventually(limited(t), told, func() (bool, error) { return strings.Contains(site.Gateway.Log(), told), nil }); err != nil {
		t.Fatal(err)
	}
	if refused("first\r\n") || !refused("second\r\n") {
		t.Error("the list is not read anew")
	}
}
