package content

import (
	"bytes"
	"path"
	"strings"

	"github.com/postern-mail/postern/core/message"
)

// looksLikeMail reports whether content begins with a header as mails have it: a file that holds a mail is often declared as
// something else. A few lines may be wrong, because hostile mails have such.
func looksLikeMail(head []byte) bool {
	const lines, wrongLines = 40, 3
	if isMboxLine(head) {
		return false // a mailbox is a container: it may hold many
	}
	fields, wrong := 0, 0
	for i, n := 0, 0; i < len(head) && n < lines; n++ {
		end := lineEnd(head, i)
		line := bytes.TrimRight(head[i:end], "\r\n")
		i = end
		if len(line) == 0 {
			break
		}
		blank := line[0] == ' ' || line[0] == '\t'
		if n > 0 && blank {
			continue
		}
		name, _, found := bytes.Cut(line, []byte(":"))
		name, _, _ = bytes.Cut(name, []byte(" "))
		if blank || !found || len(name) == 0 || len(name) > 60 || bytes.ContainsAny(name, "\t<>{}\"'\\/;=\x00") {
			if wrong++; n == 0 || wrong > wrongLines {
				return false
			}
			continue
		}
		if isMailField(strings.ToLower(string(name))) {
			fields++
		}
	}
	return fields >= 2
}

// hasMailName reports whether one of the part's names is that of a saved mail or page: a program that opens it reads it as one.
func hasMailName(part *message.Part) bool {
	for _, name := range part.Names {
		switch strings.ToLower(path.Ext(name)) {
		case ".eml", ".mht", ".mhtml":
			return true
		}
	}
	return false
}

func isMailField(name string) bool {
	switch name {
	case "from", "to", "subject", "date", "message-id", "received", "return-path", "mime-version", "content-type", "delivered-to",
		"reply-to", "content-transfer-encoding", "content-disposition", "x-mailer", "dkim-signature", "sender", "cc":
		return true
	}
	return false
}

// mailInside reads a mail that was attached as a file or found inside of a container: strictly, and leniently where that met anything
// odd. It does not make the message malformed, because the file only looks like a mail.
func (r *reader) mailInside(id int) error {
	part := r.tree.Parts[id]
	data, err := r.stored(id)
	if err != nil {
		return err
	}
	outer := r.odd
	r.odd = map[oddity]bool{}
	defer func() { r.odd = outer }()
	inner := entity{data: data, offset: -1, parent: id, path: part.Path + "/1", depth: part.Depth + 1, reading: part.Reading}
	if err := r.entity(inner); err != nil || len(r.odd) == 0 {
		return err
	}
	if err := r.reserveMemory(len(data)); err != nil {
		return err
	}
	return r.carve(data, entity{parent: id, path: inner.path, depth: inner.depth})
}
