package rewrite_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/core/content"
	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/rewrite"
	"github.com/postern-mail/postern/core/spool"
)

var update = flag.Bool("update", false, "write the copies anew; read the difference before you commit it")

const trace = "Received: from client by gw.example.org; now\r\n"

func options() rewrite.Options {
	return rewrite.Options{Trace: trace, Forged: []string{"X-Verdict"}, Hostname: "gw.example.org"}
}

// makeCopy takes the mail apart, as the edits name parts, and returns what leaves. Reading it twice gives the same.
func makeCopy(t testing.TB, mail []byte, edits *rewrite.Edits) []byte {
	t.Helper()
	spooled, err := spool.Open(t.TempDir(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	scope := spooled.NewScope()
	raw := spool.FromBytes(mail)
	tree, err := content.Read(context.Background(), raw, scope, content.Limits{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for part := range edits.Remove {
		if part >= len(tree.Parts) {
			delete(edits.Remove, part)
		}
	}
	c, err := rewrite.Make(raw, tree, options(), edits)
	if err != nil {
		t.Fatal(err)
	}
	var read [2][]byte
	for i := range read {
		r, err := c.Open()
		if err != nil {
			t.Fatal(err)
		}
		if read[i], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(read[0], read[1]) || int64(len(read[0])) != c.Size() {
		t.Errorf("the copy has %d bytes, then %d, and says %d", len(read[0]), len(read[1]), c.Size())
	}
	if err := scope.Release(); err != nil {
		t.Fatal(err)
	}
	return read[0]
}

// TestUntouched: without edits the bytes leave as they came, whatever they are, behind the trace.
func TestUntouched(t *testing.T) {
	mails, err := filepath.Glob("../content/testdata/*.eml")
	if err != nil || len(mails) == 0 {
		t.Fatalf("no mails: %v", err)
	}
	for _, path := range mails {
		mail, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		mail = bytes.ReplaceAll(mail, []byte("\n"), []byte("\r\n"))
		want := append([]byte(trace), mail...)
		if line, rest, _ := bytes.Cut(mail, []byte("\r\n")); bytes.HasPrefix(line, []byte("From ")) {
			want = []byte(string(line) + "\r\n" + trace + string(rest))
		}
		if got := makeCopy(t, mail, &rewrite.Edits{}); !bytes.Equal(got, want) {
			t.Errorf("%s leaves otherwise than it came:\n%s", path, cmp.Diff(string(want), string(got)))
		}
	}
}

// TestForged: fields that claim to be ours are gone, others of the name stay.
func TestForged(t *testing.T) {
	mail := "X-Verdict: clean\r\nAuthentication-Results: gw.example.org; spf=pass\r\nAuthentication-Results: GW.EXAMPLE.ORG\r\n ;dkim=pass\r\n" +
		"Authentication-Results: mx.other.example; spf=pass\r\nx-verdict :\r\n clean\r\nFrom: a@outside.example\r\n\r\nbody\r\n"
	want := trace + "Authentication-Results: mx.other.example; spf=pass\r\nFrom: a@outside.example\r\n\r\nbody\r\n"
	if got := string(makeCopy(t, []byte(mail), &rewrite.Edits{})); got != want {
		t.Errorf("it leaves as %q", got)
	}
}

// TestEdits makes the changes of each case on the mails of testdata and holds the copies against testdata/CASE.out.
func TestEdits(t *testing.T) {
	header := func(name, value string) message.HeaderField { return message.HeaderField{Name: name, Value: value} }
	stamp := func(text string, atEnd bool) rewrite.Edits {
		return rewrite.Edits{Insert: []rewrite.Insertion{{AtEnd: atEnd, Text: text}}}
	}
	tests := []struct {
		name, mail string
		edits      rewrite.Edits
	}{
		{"subject", "mixed", rewrite.Edits{Headers: []message.HeaderField{header("Subject", "[archive] Plan")}}},
		{"subject-encoded", "mixed", rewrite.Edits{Headers: []message.HeaderField{header("Subject", "[größe] Plan mit einem recht langen Betreff, der nicht auf eine Zeile passt")}}},
		{"header-injection", "mixed", rewrite.Edits{Headers: []message.HeaderField{header("X-A: b\r\nBcc", "x\r\nBcc: evil@outside.example")}}},
		{"header-last-wins", "mixed", rewrite.Edits{Headers: []message.HeaderField{header("X-Seen", "first"), header("x-seen", "last")}}},
		{"header-removed", "mixed", rewrite.Edits{Headers: []message.HeaderField{header("X-Twice", "")}}},
		{"remove", "mixed", rewrite.Edits{Remove: map[int]string{2: "plan.zip was removed"}}},
		{"remove-nested", "nested", rewrite.Edits{Remove: map[int]string{4: "tool.exe was removed"}}},
		{"remove-all", "single", rewrite.Edits{Remove: map[int]string{0: "tool.exe was removed"}}},
		{"stamp-begin", "alternative", stamp("Checked & found good.\nReally.", false)},
		{"stamp-end", "alternative", stamp("Checked & found good.", true)},
		{"stamp-latin1", "latin1", stamp("Geprüft.", true)},
		{"stamp-latin1-cannot", "latin1", stamp("检查", true)},
		{"stamp-single", "plain", stamp("Geprüft.", true)},
		{"stamp-not-in-signed", "signed", stamp("Checked.", true)},
		{"stamp-not-in-encrypted", "encrypted", stamp("Checked.", true)},
		{"stamp-not-in-attached-mail", "nested", stamp("Checked.", true)},
		{"all-at-once", "mixed", rewrite.Edits{
			Headers: []message.HeaderField{header("Subject", "[cut] Plan")}, Remove: map[int]string{2: "plan.zip was removed"},
			Insert: []rewrite.Insertion{{Text: "Checked.", AtEnd: true}},
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			mail, err := os.ReadFile(filepath.Join("testdata", test.mail+".eml"))
			if err != nil {
				t.Fatal(err)
			}
			got := makeCopy(t, bytes.ReplaceAll(mail, []byte("\n"), []byte("\r\n")), &test.edits)
			if bare := strings.ReplaceAll(string(got), "\r\n", ""); strings.ContainsAny(bare, "\r\n") {
				t.Error("the copy holds bare line ends")
			}
			got = bytes.ReplaceAll(got, []byte("\r\n"), []byte("\n"))
			path := filepath.Join("testdata", test.name+".out")
			if *update {
				if err := os.WriteFile(path, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("want -, got +:\n%s", diff)
			}
		})
	}
}

// FuzzMake: whatever the mail and the edits, a copy can be made, what was to be removed is not in it, and a field cannot be broken out of.
func FuzzMake(f *testing.F) {
	for _, name := range []string{"mixed", "nested", "single", "alternative", "latin1"} {
		mail, err := os.ReadFile(filepath.Join("testdata", name+".eml"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.ReplaceAll(mail, []byte("\n"), []byte("\r\n")), 2, "X-A", "value", "text")
	}
	f.Fuzz(func(t *testing.T, mail []byte, part int, name, value, text string) {
		edits := &rewrite.Edits{
			Headers: []message.HeaderField{{Name: name, Value: value}}, Insert: []rewrite.Insertion{{Text: text, AtEnd: len(text)%2 == 0}},
			Remove: map[int]string{},
		}
		if part >= 0 && part < 1000 {
			edits.Remove[part] = "removed"
		}
		got := makeCopy(t, mail, edits)
		if !bytes.Contains(got, []byte(trace)) {
			t.Error("the trace is missing")
		}
		field := fmt.Sprintf("\r\n%s: ", name)
		if strings.ContainsAny(name, "\r\n") && bytes.Contains(got, []byte(field)) && !bytes.Contains(mail, []byte(field)) {
			t.Errorf("a field named %q was written", name)
		}
	})
}
