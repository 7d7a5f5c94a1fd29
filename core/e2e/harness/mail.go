package harness

import (
	"bytes"
	"encoding/base64"
	"fmt"
)

// Document is a mail from alice@outside.example with a text and an attachment of the name. The subject, one word, makes its Message-ID.
func Document(subject, name string, content []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: Alice <alice@outside.example>\r\nTo: Bob <bob@example.org>\r\nSubject: %s\r\nMessage-ID: <%s@outside.example>\r\n"+
		"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"=-b\"\r\n\r\n--=-b\r\nContent-Type: text/plain\r\n\r\nSee the file.\r\n"+
		"--=-b\r\nContent-Type: application/octet-stream; name=\"%s\"\r\nContent-Transfer-Encoding: base64\r\n"+
		"Content-Disposition: attachment; filename=\"%s\"\r\n\r\n", subject, subject, name, name)
	encoded := base64.StdEncoding.EncodeToString(content)
	for len(encoded) > 76 {
		b.WriteString(encoded[:76] + "\r\n")
		encoded = encoded[76:]
	}
	b.WriteString(encoded + "\r\n--=-b--\r\n")
	return b.Bytes()
}

// AsSent reports whether the mail that arrived is the one that was sent, byte for byte behind the trace, which stands in front or, where
// the mail begins with a mailbox's "From " line, behind that.
func AsSent(arrived, sent []byte) bool {
	head := ""
	if bytes.HasPrefix(sent, []byte("From ")) {
		line, rest, _ := bytes.Cut(sent, []byte("\r\n"))
		head, sent = string(line)+"\r\n", rest
	}
	return bytes.HasPrefix(arrived, []byte(head+"Received: ")) && bytes.HasSuffix(arrived, sent)
}
