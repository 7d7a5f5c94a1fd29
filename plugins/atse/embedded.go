package main

import (
	"bytes"
	"strings"

	"github.com/postern-mail/postern/sdk/compound"
	"github.com/postern-mail/postern/sdk/scanner"
)

// maxAncestors is how far up from a file a document is looked for: an object lies within an object within the document.
const maxAncestors = 4

// isEmbedded knows members that run when they are opened.
func isEmbedded(s *subject) bool {
	return s.part.Kind == "member" && (runnable(s.data) != "" || languageOf(s.extension()) != noScript)
}

// embedded finds what runs within a document: documents hold pictures, tables and other documents.
func embedded(s *subject) []hit {
	p := s.part
	for range maxAncestors {
		if p = s.message.Part(p.Parent); p == nil || p.Kind != "attachment" && p.Kind != "member" {
			return nil
		}
		what := documentKind(s.message, p)
		if what == "" {
			continue
		}
		found := &signs{}
		found.add(1, "%s holds it (%s)", what, quoted(p.Name()))
		if runs := runnable(s.data); runs != "" {
			found.add(1, "it is %s", runs)
		} else {
			found.add(1, "it runs when it is opened (%s)", quoted(s.base()))
		}
		return found.hit("HEUR_DOCUMENT_PROGRAM", 2)
	}
	return nil
}

// documentKind says in words what document a part is, "" where it is none. Messages and installers are compound files as well, and hold
// programs.
func documentKind(m *scanner.Message, p *scanner.Part) string {
	if p.Body == nil {
		return ""
	}
	data, err := beginning(p, maxSubject)
	if err != nil { // what cannot be read gives no sign
		return ""
	}
	switch {
	case begins(data, "{\\rt"):
		return "a text"
	case bytes.Contains(data[:min(len(data), pdfHead)], []byte("%PDF-")):
		return "a PDF"
	case begins(data, "PK"):
		for i := range m.Parts {
			if m.Parts[i].Parent == p.ID && strings.EqualFold(m.Parts[i].Name(), "[Content_Types].xml") {
				return "a document"
			}
		}
	case begins(data, compound.Magic):
		o, _ := compound.Read(data)
		for _, stream := range []string{"WordDocument", "Workbook", "Book", "PowerPoint Document", "Ole10Native"} {
			if o != nil && o.Has(stream) {
				return "a document"
			}
		}
	}
	return ""
}
