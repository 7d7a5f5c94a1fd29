package main

import (
	"archive/zip"
	"bytes"
	"context"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/sdk/scanner"
	"github.com/postern-mail/postern/sdk/unpacker"
)

// TestMain lets the test be the confined process too.
func TestMain(m *testing.M) {
	if isConfined() {
		os.Exit(runConfined(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// collector takes members and notes their paths with their content.
type collector struct {
	names    []string
	contents []*bytes.Buffer
	troubles []string
	details  []string
	links    []string
}

func (c *collector) Member(m unpacker.Member) (int, io.Writer, error) {
	name := m.Name
	if m.Parent > 0 {
		name = c.names[m.Parent-1] + "/" + name
	}
	if m.Encrypted {
		name += " (encrypted)"
	}
	if m.OpenedWith != "" {
		name += " (opened with " + m.OpenedWith + ")"
	}
	c.names, c.contents = append(c.names, name), append(c.contents, &bytes.Buffer{})
	return len(c.names), c.contents[len(c.contents)-1], nil
}

func (c *collector) Trouble(t scanner.Trouble) error {
	c.troubles = append(c.troubles, t.Reason)
	c.details = append(c.details, t.Detail)
	return nil
}

func (c *collector) Link(member int, raw, text string) error {
	c.links = append(c.links, raw)
	return nil
}

func (c *collector) listing() []string {
	var out []string
	for i, name := range c.names {
		text := c.contents[i].String()
		if len(text) > 20 || strings.ContainsRune(text, 0) {
			text = "..."
		}
		out = append(out, name+"="+text)
	}
	return append(out, c.troubles...)
}

// unpackAll unpacks for a mail whose body has the password of the seeds.
func unpackAll(t *testing.T, name string, content []byte) *collector {
	t.Helper()
	c := &collector{}
	unpackInto(t, newUnpack(""), name, content, c, unpacker.Password{Text: "wrong", Source: "subject"}, unpacker.Password{Text: "password", Source: "body"})
	return c
}

func unpackInto(t *testing.T, u *unpack, name string, content []byte, c *collector, passwords ...unpacker.Password) {
	t.Helper()
	err := u.Unpack(t.Context(), &unpacker.Container{
		Name: name, Size: int64(len(content)), Content: bytes.NewReader(content), Budget: testBudget(), Passwords: passwords,
	}, c)
	if err != nil {
		t.Fatalf("unpack %s: %v", name, err)
	}
}

func newUnpack(tool string, passwords ...string) *unpack {
	u := &unpack{}
	u.current.Store(newSettings(passwords, tool))
	return u
}

func testBudget() unpacker.Budget {
	return unpacker.Budget{Layers: 5, FileBytes: 1 << 20, Bytes: 8 << 20, Files: 300, Time: 20 * time.Second}
}

func TestMembersAtEveryDepth(t *testing.T) {
	inner := zipOf(t, zip.Deflate, "deep.txt", "deep")
	stored := zipOf(t, zip.Store, "inner.zip", string(inner), "b.txt", "b")
	encrypted := zipOf(t, zip.Store, "secret.doc", "x")
	for _, at := range []int{6, bytes.Index(encrypted, []byte("PK\x01\x02")) + 8} {
		encrypted[at] |= 1
	}
	broken := zipOf(t, zip.Deflate, "a.txt", strings.Repeat("abc", 500))
	withoutDirectory := zipOf(t, zip.Deflate, "a.txt", "a")
	withoutDirectory = withoutDirectory[:bytes.Index(withoutDirectory, []byte("PK\x01\x02"))]
	tests := []struct {
		name, file string
		content    []byte
		want       []string
	}{
		{"zip", "a.zip", zipOf(t, zip.Deflate, "a.txt", "a", "dir/b.txt", "b"), []string{"a.txt=a", "dir/b.txt=b"}},
		{"zip in zip, each member once", "a.zip", stored, []string{"inner.zip=...", "inner.zip/deep.txt=deep", "b.txt=b"}},
		{"zip behind a program", "a.exe", append([]byte("MZ-program"), zipOf(t, zip.Deflate, "a.txt", "a")...), []string{"a.txt=a"}},
		{"zip without its directory", "a.zip", withoutDirectory, []string{"a.txt=a"}},
		{"encrypted member", "a.zip", encrypted, []string{"secret.doc (encrypted)="}},
		{"tar in gzip", "a.tar.gz", gzipOf(t, tarOf(t, "x.js", "js")), []string{"a.tar=...", "a.tar/x.js=js"}},
		{"broken", "a.zip", append(broken[:40:40], bytes.Repeat([]byte{0xff}, 30)...), []string{"a.txt=...", "archive_broken"}},
		{"no container", "a.txt", []byte("hello"), nil},
		{"empty", "a.zip", nil, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, unpackAll(t, test.file, test.content).listing()); diff != "" {
				t.Errorf("members (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLayersAreLimited(t *testing.T) {
	content := []byte("x")
	for range 8 {
		content = zipOf(t, zip.Store, "a.zip", string(content))
	}
	c := unpackAll(t, "a.zip", content)
	if len(c.names) != 5 || !slices.Contains(c.troubles, "layers") {
		t.Errorf("got %d members and troubles %v, want 5 members and the trouble layers", len(c.names), c.troubles)
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte("PK\x03\x04"))
	f.Add([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("BZh91AY&SY"))
	f.Add([]byte("\x28\xb5\x2f\xfd\x24\x01\x09\x00\x00a\x00\x00\x00\x00"))
	u := newUnpack("")
	f.Fuzz(func(t *testing.T, content []byte) {
		c := &counting{left: 200}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		err := u.Unpack(ctx, &unpacker.Container{
			Name: "a", Size: int64(len(content)), Content: bytes.NewReader(content),
			Budget: unpacker.Budget{Layers: 3, FileBytes: 1 << 16, Bytes: 1 << 20, Files: 100},
		}, c)
		if err != nil && err != io.ErrShortBuffer {
			t.Fatalf("error that is not the emitter's: %v", err)
		}
	})
}

// counting refuses members beyond a number.
type counting struct{ left, number int }

func (c *counting) Member(unpacker.Member) (int, io.Writer, error) {
	if c.number++; c.number > c.left {
		return 0, nil, io.ErrShortBuffer
	}
	return c.number, io.Discard, nil
}

func (c *counting) Link(int, string, string) error { return nil }

func (c *counting) Trouble(scanner.Trouble) error { return nil }
