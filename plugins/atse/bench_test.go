package main

import (
	"context"
	"strings"
	"testing"

	"github.com/postern-mail/postern/sdk/scanner"
)

// BenchmarkSuspect is what the look for possible malware costs for the parts of ordinary mail.
func BenchmarkSuspect(b *testing.B) {
	page := "<html><body>" + strings.Repeat("<p>The figures of <a href=\"https://www.example.com/week/1\">week 1</a> are attached.</p>\r\n", 100) + "</body></html>"
	noise := string(packedBytes(1 << 20))
	for _, c := range []struct{ name, kind, file, content string }{
		{"page", "html", "", page},
		{"picture", "attachment", "photo.jpg", "\xff\xd8\xff\xe0\x00\x10JFIF\x00" + noise},
		{"pdf", "attachment", "report.pdf", "%PDF-1.7\n" + noise},
		{"archive", "attachment", "data.zip", "PK\x03\x04" + noise},
		{"script", "member", "library.js", strings.Repeat("function f(a) { return a.split(\",\").map(g); }\n", 2000)},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := part(c.kind, []byte(c.content))
			p.Names = []string{c.file}
			m := &scanner.Message{Parts: []scanner.Part{p}}
			table := readers()
			b.SetBytes(int64(len(c.content)))
			for b.Loop() {
				if _, err := suspect(context.Background(), table, m, &p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
