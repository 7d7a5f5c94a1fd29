package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/postern-mail/postern/core/e2e/harness"
	"github.com/postern-mail/postern/core/message"
)

// The harmless program that every container of the set holds, known by its SHA-256.
const programBegins, programEnds = "71e7b604", "4495"

// wantContainers is in how many of the containers the program has to be found.
const wantContainers = 50

// scanned is what `postern scan --json` says of one mail.
type scanned struct {
	File  string        `json:"file"`
	Facts message.Facts `json:"facts"`
}

// scanMails writes the mails to files and has the gateway judge them without sending.
func scanMails(ctx context.Context, e *env, setup *harness.Setup, mails map[string][]byte) (map[string]message.Facts, error) {
	dir, err := os.MkdirTemp(e.scratch, "mails")
	if err != nil {
		return nil, err
	}
	arguments := []string{"scan", "--json", "--log-level", "warn"}
	for name, mail := range mails {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, mail, 0o600); err != nil {
			return nil, err
		}
		arguments = append(arguments, path)
	}
	all, err := harness.JSONLines[scanned](setup.Run(ctx, arguments...))
	if err != nil {
		return nil, err
	}
	out := map[string]message.Facts{}
	for i := range all {
		out[filepath.Base(all[i].File)] = all[i].Facts
	}
	if len(out) != len(mails) {
		return nil, fmt.Errorf("%d mails were scanned, %d results came", len(mails), len(out))
	}
	return out, nil
}

// containers attaches every container of the set to a mail and looks for the program among the parts.
func containers(ctx context.Context, e *env) (err error) {
	s, err := startSite(ctx, e, "corpora.hcl")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	entries, err := os.ReadDir(filepath.Join(e.corpora, "containers"))
	if err != nil {
		return err
	}
	mails := map[string][]byte{}
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(e.corpora, "containers", entry.Name()))
		if err != nil {
			return err
		}
		mails[entry.Name()] = harness.Document("A container", entry.Name(), content)
	}
	facts, err := scanMails(ctx, e, &s.Setup, mails)
	if err != nil {
		return err
	}
	inside, packed := 0, 0
	for _, entry := range entries {
		f := facts[entry.Name()]
		switch {
		case hasProgram(&f):
			inside++
		case isPacked(entry.Name()):
			packed++ // the file itself is the sample, and is a part
		default:
			e.printf("not found: %-45s %s", entry.Name(), troublesOf(&f))
		}
	}
	e.printf("the program found in %d of %d containers: in %d as a file of its own, %d are packed programs that are the sample themselves (claimed: %d)",
		inside+packed, len(entries), inside, packed, wantContainers)
	if inside+packed < wantContainers {
		return errShort
	}
	return nil
}

func hasProgram(f *message.Facts) bool {
	for i := range f.Tree.Parts {
		sum := f.Tree.Parts[i].SHA256
		if strings.HasPrefix(sum, programBegins) && strings.HasSuffix(sum, programEnds) {
			return true
		}
	}
	return false
}

// isPacked knows the programs of the set that were packed in place: clam-PACKER.exe. An installer is a container.
func isPacked(name string) bool {
	return strings.HasPrefix(name, "clam-") && strings.HasSuffix(name, ".exe") && !strings.Contains(name, "nsis")
}

func troublesOf(f *message.Facts) string {
	var out []string
	for _, t := range f.Tree.Troubles {
		out = append(out, fmt.Sprintf("%s: %s (%s)", t.Exception, t.Reason, t.Detail))
	}
	return strings.Join(out, "; ")
}
