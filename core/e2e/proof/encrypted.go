package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/postern-mail/postern/core/e2e/harness"
	"github.com/postern-mail/postern/core/message"
)

// encrypted shows that sealed files are opened with a password that the mail says, and are an exception without; and that TNEF gives the files
// that another reader's baselines name.
func encrypted(ctx context.Context, e *env) (err error) {
	s, err := startSite(ctx, e, "corpora.hcl")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	sealedShort, err := sealedSamples(ctx, e, &s.Setup)
	if err != nil {
		return err
	}
	tnefShort, err := tnefBaselines(ctx, e, &s.Setup)
	if err != nil {
		return err
	}
	if sealedShort || tnefShort {
		return errShort
	}
	return nil
}

// sealedSamples attaches every sealed sample twice, under a name that says nothing: to a mail that says the passwords of the set in its text,
// and to one that does not.
func sealedSamples(ctx context.Context, e *env, setup *harness.Setup) (short bool, err error) {
	entries, err := os.ReadDir(filepath.Join(e.corpora, "types"))
	if err != nil {
		return false, err
	}
	mails := map[string][]byte{}
	var names []string
	for _, entry := range entries {
		if !strings.Contains(entry.Name(), "password") && !strings.Contains(entry.Name(), "crypto") {
			continue
		}
		content, err := os.ReadFile(filepath.Join(e.corpora, "types", entry.Name()))
		if err != nil {
			return false, err
		}
		names = append(names, entry.Name())
		without := harness.Document("Report", "sample"+filepath.Ext(entry.Name()), content)
		mails["without-"+entry.Name()] = without
		mails["with-"+entry.Name()] = bytes.Replace(without, []byte("See the file."), []byte("The password is \"password\", or else aaa or Password1!."), 1)
	}
	facts, err := scanMails(ctx, e, setup, mails)
	if err != nil {
		return false, err
	}
	opened, excepted := 0, 0
	for _, name := range names {
		with, without := facts["with-"+name], facts["without-"+name]
		if source, ok := openedWith(&with); ok {
			opened++
			e.printf("    %-45s opened with a password from the %s", name, source)
		} else {
			e.printf("    %-45s not opened: %s", name, troublesOf(&with))
		}
		if hasEncryption(&without) {
			excepted++
		} else {
			e.printf("    %-45s without the password: no exception (%s)", name, troublesOf(&without))
		}
	}
	e.printf("sealed samples, %d: opened when the mail says the password %d, the exception encryption when not %d", len(names), opened, excepted)
	return opened < len(names) || excepted < len(names), nil
}

func openedWith(f *message.Facts) (source string, ok bool) {
	for i := range f.Tree.Parts {
		if p := &f.Tree.Parts[i]; p.Opened != "" && p.Size > 0 {
			return p.Opened, true
		}
	}
	return "", false
}

func hasEncryption(f *message.Facts) bool {
	return slices.ContainsFunc(f.Tree.Troubles, func(t message.Trouble) bool { return t.Exception == message.ExceptionEncryption })
}

// tnefBaselines compares the files found in every TNEF file with what its list says is in it, by content. The bodies of the message, which the
// lists name after the input file, are compared where they are listed.
func tnefBaselines(ctx context.Context, e *env, setup *harness.Setup) (short bool, err error) {
	folder := filepath.Join(e.corpora, "tnef")
	files, err := filepath.Glob(filepath.Join(folder, "datafiles", "*.tnef"))
	if err != nil || len(files) == 0 {
		return false, errors.Join(err, errors.New("no TNEF files"))
	}
	mails := map[string][]byte{}
	for _, path := range files {
		content, err := os.ReadFile(path)
		if err != nil {
			return false, err
		}
		mails[filepath.Base(path)] = harness.Document("Report", "winmail.dat", content)
	}
	facts, err := scanMails(ctx, e, setup, mails)
	if err != nil {
		return false, err
	}
	listed, same := 0, 0
	for _, path := range files {
		base := filepath.Base(path)
		list, err := os.ReadFile(strings.TrimSuffix(path, ".tnef") + ".list")
		if err != nil {
			return false, err
		}
		f := facts[base]
		for _, name := range strings.Fields(string(list)) {
			want, err := os.ReadFile(filepath.Join(folder, "baselines", name+".baseline"))
			if err != nil {
				return false, fmt.Errorf("read baseline of %s: %w", base, err)
			}
			listed++
			if hasContent(&f, want) {
				same++
				continue
			}
			// An object's data begins with the identifier of its interface (MS-OXTNEF 2.1.3.4), which is no part of the file; the other
			// reader leaves it there.
			const identifier = 16
			if len(want) > identifier && hasContent(&f, want[identifier:]) {
				same++
				e.printf("    %s: %s is the same without the identifier in front that the baseline has", base, name)
				continue
			}
			e.printf("    %s: %s (%d bytes) was not found; found: %s; %s", base, name, len(want), memberNames(&f), troublesOf(&f))
		}
	}
	e.printf("TNEF, %d files: %d of %d listed files found with the same content", len(files), same, listed)
	return same < listed, nil
}

func hasContent(f *message.Facts, content []byte) bool {
	digest := sha256.Sum256(content)
	sum := hex.EncodeToString(digest[:])
	return slices.ContainsFunc(f.Tree.Parts, func(p message.Part) bool { return p.SHA256 == sum })
}

func memberNames(f *message.Facts) string {
	var out []string
	for i := range f.Tree.Parts {
		if p := &f.Tree.Parts[i]; p.Kind == message.PartMember {
			out = append(out, fmt.Sprintf("%s (%d)", p.Display, p.Size))
		}
	}
	return strings.Join(out, ", ")
}
