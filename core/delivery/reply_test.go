package delivery

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// FuzzReply: a server's reply is read or refused, and what is shown of it is printable.
func FuzzReply(f *testing.F) {
	f.Add([]byte("250-a\r\n250 2.0.0 b\r\n"))
	f.Add([]byte("250\r\n"))
	f.Add([]byte("421 4.3.2 \x1b[31m\xff\r\n"))
	f.Add([]byte("250 " + strings.Repeat("a", longestReplyText-1) + " b\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		reply, _, err := readReply(bufio.NewReaderSize(bytes.NewReader(in), longestReplyLine))
		if err != nil {
			if !errors.Is(err, errReply) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("the error is %v", err)
			}
			return
		}
		if reply.Code < 200 || reply.Code > 599 || clean(reply.Text) != reply.Text {
			t.Errorf("the reply is %+v", reply)
		}
	})
}
