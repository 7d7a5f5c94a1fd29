package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
)

// mix is a hundred mails as they are met: most are small, a few large; with text, HTML with links, and documents, pictures and archives.
// It is the same every time.
func mix() [][]byte {
	random := rand.New(rand.NewPCG(42, 42))
	var out [][]byte
	for _, kind := range []struct{ size, count int }{
		{4 << 10, 30}, {16 << 10, 25}, {64 << 10, 20}, {256 << 10, 15}, {1 << 20, 8}, {3 << 20, 2},
	} {
		for range kind.count {
			out = append(out, mixed(random, len(out), kind.size))
		}
	}
	random.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// mixed is one mail of about the size.
func mixed(random *rand.Rand, number, size int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: Alice <alice@outside.example>\r\nTo: Bob <bob@example.org>\r\nSubject: Report %d\r\nMessage-ID: <%d@outside.example>\r\n"+
		"Date: Mon, 02 Mar 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"=-mix\"\r\n\r\n"+
		"--=-mix\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n", number, number)
	for range 12 {
		fmt.Fprintf(&b, "The figures of week %d are in the attachment, see https://www.example.com/%d too.\r\n", random.IntN(52), random.IntN(1000))
	}
	b.WriteString("--=-mix\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<html><body>\r\n")
	for range 8 {
		fmt.Fprintf(&b, "<p>The figures of <a href=\"https://www.example.com/week/%d\">week %d</a> are attached.</p>\r\n", random.IntN(1000), random.IntN(52))
	}
	b.WriteString("</body></html>\r\n")
	names := []struct{ name, begins string }{
		{"report.pdf", "%PDF-1.7\n"}, {"photo.jpg", "\xff\xd8\xff\xe0\x00\x10JFIF\x00"}, {"table.txt", "week;sum\n"}, {"data.zip", ""},
	}
	attachment := names[number%len(names)]
	content := make([]byte, max(64, (size-b.Len())*3/4*76/78))
	for i := range content {
		content[i] = byte(random.Uint32())
	}
	if attachment.begins == "" {
		content, _ = zipped("data.dat", content) // a buffer in memory does not fail
	} else {
		copy(content, attachment.begins)
	}
	fmt.Fprintf(&b, "--=-mix\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n"+
		"Content-Disposition: attachment; filename=\"%s\"\r\n\r\n", attachment.name)
	encoded := base64.StdEncoding.EncodeToString(content)
	for len(encoded) > 76 {
		b.WriteString(encoded[:76] + "\r\n")
		encoded = encoded[76:]
	}
	b.WriteString(encoded + "\r\n--=-mix--\r\n")
	return b.Bytes()
}
