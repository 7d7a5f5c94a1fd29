package content

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/spool"
)

var update = flag.Bool("update", false, "write the .parts files anew; read the difference before you commit it")

// crlf gives a mail the line ends it has in SMTP.
func crlf(mail []byte) []byte { return bytes.ReplaceAll(mail, []byte("\n"), []byte("\r\n")) }

// read takes a mail apart and calls use while its bodies live.
func read(t testing.TB, mail []byte, limits Limits, use func(*message.Tree)) {
	t.Helper()
	spooled, err := spool.Open(t.TempDir(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	scope := spooled.NewScope()
	tree, err := Read(context.Background(), spool.FromBytes(mail), scope, limits, nil)
	if err != nil {
		t.Fatal(err)
	}
	use(tree)
	if err := scope.Release(); err != nil {
		t.Fatal(err)
	}
	if used := spooled.MemoryUsed(); used != 0 {
		t.Errorf("%d bytes of memory are still counted after the release", used)
	}
}

// outline is a tree in lines: what the .parts files hold.
func outline(t testing.TB, tree *message.Tree) string {
	t.Helper()
	var b strings.Builder
	for i := range tree.Parts {
		p := &tree.Parts[i]
		fmt.Fprintf(&b, "%s%s %s %s, %s", strings.Repeat("  ", p.Depth), p.Path, p.Kind, p.Declared, p.Reading)
		if p.Body != nil {
			content, err := contentOf(p.Body)
			if err != nil {
				t.Fatal(err)
			}
			if int64(len(content)) != p.Size {
				t.Errorf("part %s has %d bytes and says %d", p.Path, len(content), p.Size)
			}
			sha1sum, sha256sum, err := Digests(p.Body)
			if err != nil || sha1sum != p.SHA1 || sha256sum != p.SHA256 {
				t.Errorf("part %s has other digests than it says (%v)", p.Path, err)
			}
			fmt.Fprintf(&b, ", %d bytes %.60q", p.Size, content)
		}
		for _, name := range p.Names {
			fmt.Fprintf(&b, "\n%s  name %q", strings.Repeat("  ", p.Depth), name)
		}
		b.WriteByte('\n')
	}
	for _, u := range tree.URLs {
		fmt.Fprintf(&b, "link %s in %s, raw %q, text %q\n", u.URL, tree.Parts[u.Part].Path, u.Raw, u.Text)
	}
	for _, trouble := range tree.Troubles {
		fmt.Fprintf(&b, "%s: %s, %s\n", trouble.Exception, trouble.Reason, trouble.Detail)
	}
	return b.String()
}

func contentOf(body message.Body) ([]byte, error) {
	data, unmap, err := view(body)
	if err != nil {
		return nil, err
	}
	return bytes.Clone(data), unmap()
}

// TestRead holds every testdata/*.eml against the outline beside it.
func TestRead(t *testing.T) {
	mails, err := filepath.Glob("testdata/*.eml")
	if err != nil || len(mails) == 0 {
		t.Fatalf("no mails: %v", err)
	}
	for _, path := range mails {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".eml"), func(t *testing.T) {
			mail, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			read(t, crlf(mail), Limits{}, func(tree *message.Tree) {
				got := outline(t, tree)
				expected := strings.TrimSuffix(path, ".eml") + ".parts"
				if *update {
					if err := os.WriteFile(expected, []byte(got), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(expected)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), got); diff != "" {
					t.Errorf("want -, got +:\n%s", diff)
				}
			})
		})
	}
}

func multiparts(levels int) []byte {
	var b bytes.Buffer
	b.WriteString("From: a@outside.example\r\n")
	for i := range levels {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	b.WriteString("Content-Type: text/plain\r\n\r\ninnermost\r\n")
	for i := levels - 1; i >= 0; i-- {
		fmt.Fprintf(&b, "--b%d--\r\n", i)
	}
	return b.Bytes()
}

func manyParts(n int) []byte {
	var b bytes.Buffer
	b.WriteString("Content-Type: multipart/mixed; boundary=b\r\n\r\n")
	for i := range n {
		fmt.Fprintf(&b, "--b\r\n\r\npart %d\r\n", i)
	}
	b.WriteString("--b--\r\n")
	return b.Bytes()
}

// TestLimits goes up to each limit, and one beyond.
func TestLimits(t *testing.T) {
	header := func(n int) []byte {
		return append(bytes.Repeat([]byte("X-Filler: "+strings.Repeat("f", 88)+"\r\n"), n/100), "\r\nbody\r\n"...)
	}
	tests := []struct {
		name   string
		mail   []byte
		reason string
	}{
		{"64 levels", multiparts(64), ""},
		{"65 levels", multiparts(65), ReasonDepth},
		{"10,000 levels", multiparts(10_000), ReasonDepth},
		{"999 parts", manyParts(999), ""},
		{"1,000 parts", manyParts(1000), ReasonParts},
		{"100,000 parts", manyParts(100_000), ReasonParts},
		{"a header of 64 KiB", header(64 << 10), ""},
		{"a header of 65 KiB", header(66 << 10), ReasonHeader},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			read(t, test.mail, Limits{}, func(tree *message.Tree) {
				var reasons []string
				for _, trouble := range tree.Troubles {
					if trouble.Exception != message.ExceptionMalformed {
						t.Errorf("the limit is %s", trouble.Exception)
					}
					reasons = append(reasons, trouble.Reason)
				}
				if got := strings.Join(reasons, " "); got != test.reason {
					t.Errorf("troubles %q, want %q", got, test.reason)
				}
			})
		})
	}
}

// TestLargeBodies: what does not fit into memory is in files, and the same.
func TestLargeBodies(t *testing.T) {
	const size = 3 << 20
	line := strings.Repeat("QUJD", 19) + "\r\n"
	mail := []byte("Content-Type: application/pdf; name=large.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n" + strings.Repeat(line, size/57))
	read(t, mail, Limits{}, func(tree *message.Tree) {
		if len(tree.Parts) != 1 || tree.Parts[0].Size != size/57*57 || tree.Parts[0].Body.Path() == "" {
			t.Fatalf("parts are %+v", tree.Parts)
		}
		content, err := contentOf(tree.Parts[0].Body)
		if err != nil || !bytes.Equal(content, bytes.Repeat([]byte("ABC"), size/57*19)) {
			t.Errorf("the content is another (%v)", err)
		}
	})
}

func TestReadEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	spooled, err := spool.Open(t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Read(ctx, spool.FromBytes(manyParts(3)), spooled.NewScope(), Limits{}, nil); err == nil {
		t.Error("the message was read although nobody waits for it")
	}
}

// FuzzRead: whatever the bytes, reading ends, its tree is whole, and a body that is there can be read.
func FuzzRead(f *testing.F) {
	mails, err := filepath.Glob("testdata/*.eml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range mails {
		mail, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(crlf(mail))
	}
	f.Fuzz(func(t *testing.T, mail []byte) {
		read(t, mail, Limits{}, func(tree *message.Tree) {
			for i := range tree.Parts {
				p := &tree.Parts[i]
				if p.ID != i || p.Parent >= i || p.Parent < -1 || p.Start < 0 || p.End > int64(len(mail)) || p.Start > p.End {
					t.Fatalf("part %d does not fit: %+v", i, p)
				}
			}
			for _, u := range tree.URLs {
				if again, ok := NormalizeURL(u.URL); !ok || again != u.URL {
					t.Errorf("%q normalises to %q", u.URL, again)
				}
			}
			outline(t, tree)
		})
	})
}

// BenchmarkRead takes a mail of 200 KiB apart, as most of the work on ordinary mail is.
func BenchmarkRead(b *testing.B) {
	var mail bytes.Buffer
	mail.WriteString("From: a@outside.example\r\nSubject: bench\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" +
		"Content-Type: text/plain\r\n\r\nSee https://www.example.com/page for more.\r\n--b\r\nContent-Type: application/pdf; name=a.pdf\r\n" +
		"Content-Transfer-Encoding: base64\r\n\r\n")
	for range 200 << 10 / 78 {
		mail.WriteString(strings.Repeat("QUJD", 19) + "\r\n")
	}
	mail.WriteString("--b--\r\n")
	spooled, err := spool.Open(b.TempDir(), 64<<20)
	if err != nil {
		b.Fatal(err)
	}
	body := spool.FromBytes(mail.Bytes())
	b.SetBytes(int64(mail.Len()))
	b.ReportAllocs()
	for b.Loop() {
		scope := spooled.NewScope()
		if _, err := Read(context.Background(), body, scope, Limits{}, nil); err != nil {
			b.Fatal(err)
		}
		if err := scope.Release(); err != nil {
			b.Fatal(err)
		}
	}
}
