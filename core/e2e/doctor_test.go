package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postern-mail/postern/core/doctor"
	"github.com/postern-mail/postern/core/e2e/harness"
)

// TestDoctor looks over a gateway that is well, and then one thing after the other that is not.
func TestDoctor(t *testing.T) {
	examine := func(t *testing.T, site *harness.Site) (findings []doctor.Finding, failed error) {
		t.Helper()
		out, failed := site.Setup.Run(limited(t), "doctor", "--json")
		findings, err := harness.JSONLines[doctor.Finding](out, nil)
		if err != nil {
			t.Fatal(err)
		}
		return findings, failed
	}
	const store = "store \"sqlite\" { path = env(\"POSTERN_STATE\") }\n"
	for _, test := range []struct {
		name  string
		spoil func(t *testing.T, site *harness.Site)
		level doctor.Level // of what is expected; "" where nothing fails
		area  string
		what  string
	}{
		{"well", func(*testing.T, *harness.Site) {}, "", "", ""},
		{"rule with an error", func(t *testing.T, site *harness.Site) {
			write(t, site, "rules/20.hcl", "rule \"x\" {\n  scan \"filename\" { name = [] }\n}\n")
		}, doctor.Failure, "configuration", "rules/20.hcl:2: "},
		{"next hop is down", func(t *testing.T, site *harness.Site) {
			closed, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			site.Hop(closed.Addr().String())
			if err := closed.Close(); err != nil {
				t.Fatal(err)
			}
		}, doctor.Failure, "relay sink", "no host of it can be spoken to"},
		{"address is taken", func(t *testing.T, site *harness.Site) {
			other, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = other.Close() })
			go func() {
				for conn, err := other.Accept(); err == nil; conn, err = other.Accept() {
					_, _ = conn.Write([]byte("220 other program\r\n"))
					_ = conn.Close()
				}
			}()
			write(t, site, "listener.hcl", "listener \"smtp\" \"second\" { address = \""+other.Addr().String()+"\" }\n")
		}, doctor.Failure, "listener second", "taken by another program, which says \"220 other program\""},
		{"plugin was changed", func(t *testing.T, site *harness.Site) {
			changed := filepath.Join(t.TempDir(), "postern-filename")
			program, err := os.ReadFile(filepath.Join(bin, "postern-filename"))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(changed, append(program, 0), 0o700); err != nil {
				t.Fatal(err)
			}
			edit(t, site, "postern.hcl", `command = "postern-filename"`, `command = "`+changed+`"`)
		}, doctor.Failure, "plugins", "postern plugin pin"},
		{"store cannot be had", func(t *testing.T, site *harness.Site) {
			write(t, site, "store.hcl", "store \"postgres\" { url = \"postgres://nobody@127.0.0.1:1/none\" }\n")
		}, doctor.Failure, "store", "127.0.0.1"},
		{"others can read the mail", func(t *testing.T, site *harness.Site) {
			if err := os.Chmod(site.Setup.State, 0o755); err != nil {
				t.Fatal(err)
			}
		}, doctor.Warning, "state", "others can read mail"},
	} {
		t.Run(test.name, func(t *testing.T) {
			site := newSite(t, "outbox")
			write(t, site, "store.hcl", store)
			test.spoil(t, site)
			findings, failed := examine(t, site)
			if (failed != nil) != (test.level == doctor.Failure) {
				t.Errorf("the command ends with %v", failed)
			}
			found := false
			for _, f := range findings {
				if f.Area == test.area && f.Level == test.level && strings.Contains(f.What, test.what) {
					found = true
				} else if f.Level == doctor.Failure && test.level != doctor.Failure {
					t.Errorf("%+v", f)
				}
			}
			if !found && test.level != "" {
				t.Errorf("not found in %+v", findings)
			}
		})
	}
}

func write(t *testing.T, site *harness.Site, name, text string) {
	t.Helper()
	if err := site.WriteConfig(name, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func edit(t *testing.T, site *harness.Site, name, old, replacement string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(site.Setup.Config, name))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("%s has no %q", name, old)
	}
	write(t, site, name, strings.ReplaceAll(string(text), old, replacement))
}
