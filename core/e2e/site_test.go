// Package e2e tests the built gateway as an operator uses it.
package e2e

import (
	"bytes"
	"context"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/postern-mail/postern/core/e2e/harness"
)

const bin = "../../bin"

// patience bounds every wait.
const patience = 60 * time.Second

func limited(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// newSite prepares a gateway with the configuration in testdata/name.
func newSite(t *testing.T, name string, env ...string) *harness.Site {
	t.Helper()
	if _, err := os.Stat(filepath.Join(bin, "postern")); err != nil {
		t.Fatalf("the programs are not built: run `make test`, which builds them (%v)", err)
	}
	files := map[string][]byte{}
	folder := os.DirFS(filepath.Join("testdata", name))
	err := fs.WalkDir(folder, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files[path], err = fs.ReadFile(folder, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	site, err := harness.NewSite(limited(t), bin, t.TempDir(), files)
	if err != nil {
		t.Fatal(err)
	}
	site.Setup.Env = append(site.Setup.Env, env...)
	t.Cleanup(func() {
		if err := site.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() && site.Gateway != nil {
			t.Log(site.Gateway.Log())
		}
	})
	return site
}

func start(t *testing.T, site *harness.Site) {
	t.Helper()
	if err := site.Start(limited(t)); err != nil {
		t.Fatal(err)
	}
}

// send sends one mail over a session of its own.
func send(t *testing.T, site *harness.Site, from string, to []string, data []byte) harness.Reply {
	t.Helper()
	client, err := site.Dial()
	if err != nil {
		t.Fatal(err)
	}
	reply, err := client.Send(from, to, data)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	return reply
}

// wait returns the mails at the sink with the text in them as soon as there are so many.
func wait(t *testing.T, sink *harness.Sink, text string, n int) []harness.Mail {
	t.Helper()
	err := sink.Wait(limited(t), func(mails []harness.Mail) bool { return len(with(mails, text)) >= n })
	if err != nil {
		t.Fatalf("%d mails with %q: %v", n, text, err)
	}
	return with(sink.Mails(), text)
}

func with(mails []harness.Mail, text string) []harness.Mail {
	return slices.DeleteFunc(slices.Clone(mails), func(m harness.Mail) bool { return !bytes.Contains(m.Data, []byte(text)) })
}

// run runs a command of postern and returns what it prints.
func run(t *testing.T, site *harness.Site, arguments ...string) string {
	t.Helper()
	out, err := site.Setup.Run(limited(t), append(arguments, "--log-level", "warn")...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func port(t *testing.T, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}
