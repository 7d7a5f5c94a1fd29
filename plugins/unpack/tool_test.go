package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/sdk/serve"
)

func TestTheToolWritesNoFile(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "written")
	command, err := confined(t.Context(), "/bin/sh", "-c", "echo content > "+target+"; echo done")
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.CombinedOutput()
	if len(out) == 0 && err == nil {
		t.Error("the confined program did not run")
	}
	if content, err := os.ReadFile(target); err == nil && len(content) > 0 {
		t.Errorf("a confined program wrote %q", content)
	}
}

// TestTheToolStarts: to limit itself and become the tool must not fail now and then, as it did when memory was taken after the limit.
func TestTheToolStarts(t *testing.T) {
	var running sync.WaitGroup
	for range 8 {
		running.Go(func() {
			for range 40 {
				command, err := confined(t.Context(), "/bin/true")
				if err != nil {
					t.Error(err)
					return
				}
				if out, err := command.CombinedOutput(); err != nil {
					t.Errorf("%v: %s", err, out)
					return
				}
			}
		})
	}
	running.Wait()
}

func TestTheToolGetsNothingOfOurs(t *testing.T) {
	t.Setenv("SECRET_OF_THE_HOST", "x")
	command, err := confined(t.Context(), "/usr/bin/env", "-u", "NOTHING")
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.Output()
	if err != nil {
		t.Fatalf("run: %v", err)
	}
	if !strings.Contains(string(out), "LANG=") || strings.Contains(string(out), "SECRET") {
		t.Errorf("the environment is %q", out)
	}
}

func TestConfigure(t *testing.T) {
	configure := func(config any) *serve.Configured {
		text, err := json.Marshal(config)
		if err != nil {
			t.Fatal(err)
		}
		u := &unpack{}
		done, err := u.configure(t.Context(), &serve.Configuration{Config: text, Log: hclog.NewNullLogger()})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(u.current.Load().passwords, []string{"one", "two"}) {
			t.Errorf("passwords are %q", u.current.Load().passwords)
		}
		return done
	}
	passwords := []string{"one", "two"}
	missing := configure(map[string]any{"passwords": passwords, "tool": "/nowhere/7zz"})
	if len(missing.Problems) != 1 || !missing.Problems[0].Warning || missing.Signatures != "without 7zz" {
		t.Errorf("a tool that is not there: %+v", missing)
	}
	other := configure(map[string]any{"passwords": passwords, "tool": "/bin/true"})
	if len(other.Problems) != 1 || !other.Problems[0].Warning {
		t.Errorf("a program that is not the tool: %+v", other)
	}
	if _, _, err := findTool(t.Context(), ""); err != nil {
		t.Skip("needs 7zz (`make packages` installs it)")
	}
	if found := configure(map[string]any{"passwords": passwords}); len(found.Problems) > 0 || !strings.HasPrefix(found.Signatures, "7zz ") {
		t.Errorf("the tool found by itself: %+v", found)
	}
}

func TestABrokenContainerOfTheToolIsATrouble(t *testing.T) {
	tool, _, err := findTool(t.Context(), "")
	if err != nil {
		t.Skip("needs 7zz (`make packages` installs it)")
	}
	for _, content := range []string{"\x60\xea12345678901234567890", "ITSF............................", "\x1f\x9d\x90broken", "..-lh5-................................"} {
		c := &collector{}
		unpackInto(t, newUnpack(tool), "a", []byte(content), c)
		if len(c.troubles) == 0 {
			t.Errorf("%q passed as clean, with members %q", content, c.names)
		}
	}
}
