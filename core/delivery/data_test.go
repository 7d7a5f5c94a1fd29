package delivery

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"testing"
)

// TestDataWriter: whatever comes in, only CRLF ends a line, no line but the last is a dot, and proper mail is not changed but for dots.
func TestDataWriter(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "",
		"a":                      "a\r\n",
		"a\r\n":                  "a\r\n",
		".\r\n..\r\n.a":          "..\r\n...\r\n..a\r\n",
		"a\n.\nb\r.\rc":          "a\r\n..\r\nb\r\n..\r\nc\r\n",
		"a\r\r\n.\r\n":           "a\r\n\r\n..\r\n",
		"\r\n.\r\r\n":            "\r\n..\r\n\r\n",
		"a\r":                    "a\r\n",
		"\n":                     "\r\n",
		"b\r\n\x00.\r\n":         "b\r\n\x00.\r\n",
		"x\r\n.\r\nMAIL FROM:<>": "x\r\n..\r\nMAIL FROM:<>\r\n",
	} {
		for _, piece := range []int{1, 2, len(in) + 1} {
			if got := throughDataWriter(t, []byte(in), piece); got != want {
				t.Errorf("%q in pieces of %d becomes %q, want %q", in, piece, got, want)
			}
		}
	}
}

func throughDataWriter(t testing.TB, in []byte, piece int) string {
	t.Helper()
	var b bytes.Buffer
	w := bufio.NewWriterSize(&b, 16)
	d := &dataWriter{w: w}
	for rest := in; len(rest) > 0; {
		n := min(piece, len(rest))
		if _, err := d.Write(rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	d.finish()
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func FuzzDataWriter(f *testing.F) {
	f.Add([]byte("a\r\n.\r\n.b\n\r.\r"), 3)
	f.Fuzz(func(t *testing.T, in []byte, piece int) {
		out := throughDataWriter(t, in, max(1, piece))
		if strings.ContainsAny(strings.ReplaceAll(out, "\r\n", ""), "\r\n") {
			t.Errorf("bare line ends in %q", out)
		}
		if strings.Contains("\r\n"+out, "\r\n.\r\n") {
			t.Errorf("an end of data in %q", out)
		}
		if out != throughDataWriter(t, in, len(in)+1) {
			t.Error("the pieces make a difference")
		}
	})
}

// BenchmarkDataWriter writes 1 MiB of lines.
func BenchmarkDataWriter(b *testing.B) {
	mail := bytes.Repeat([]byte(strings.Repeat("x", 76)+"\r\n"), 1<<20/78)
	w := bufio.NewWriterSize(io.Discard, ioBuffer)
	b.SetBytes(int64(len(mail)))
	b.ReportAllocs()
	for b.Loop() {
		d := &dataWriter{w: w}
		if _, err := d.Write(mail); err != nil {
			b.Fatal(err)
		}
		d.finish()
	}
}
