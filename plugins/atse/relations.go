package main

import (
	"bytes"
	"html"
	"path"
	"regexp"
	"slices"
	"strings"
)

// isRelations knows the relations of a document.
func isRelations(s *subject) bool {
	return s.part.Kind == "member" && strings.HasSuffix(s.base(), ".rels")
}

// relations finds what a document fetches from the net when it is opened.
func relations(s *subject) []hit {
	fetched := []string{"attachedTemplate", "oleObject", "frame", "subDocument", "aFChunk"}
	for _, tag := range regexp.MustCompile(`(?s)<Relationship\b[^>]*>`).FindAll(s.data[:min(len(s.data), 1<<20)], 10_000) {
		if !bytes.Contains(tag, []byte("xternal")) || !strings.EqualFold(attribute(tag, "TargetMode"), "External") {
			continue
		}
		kind, target := attribute(tag, "Type"), attribute(tag, "Target")
		kind = path.Base(kind)
		found := &signs{}
		if !slices.Contains(fetched, kind) {
			continue
		}
		lower := strings.ToLower(target)
		name := "HEUR_TEMPLATE_REMOTE"
		switch {
		case strings.HasPrefix(lower, "mhtml:") || strings.Contains(lower, "ms-msdt:") || strings.Contains(lower, "!x-usc:") ||
			kind == "oleObject" && strings.HasPrefix(lower, "http") && strings.HasSuffix(lower, "!"):
			found.add(2, "the target is of the shape of an exploit (%s)", quoted(target))
			name = "EXPL_CVE-2022-30190"
		case regexp.MustCompile(`^(?:https?|ftp):`).MatchString(lower), regexp.MustCompile(`^(?:file:)?[\\/]{2,}[^\\/]*[.@][^\\/]*[\\/]`).MatchString(lower):
			found.add(1, "the target is on a server (%s)", quoted(target))
		default:
			continue
		}
		found.add(1, "its %s is fetched when the document is opened", kind)
		return found.hit(name, 2)
	}
	return nil
}

func attribute(tag []byte, name string) string {
	m := regexp.MustCompile(`\b` + name + `\s*=\s*(?:"([^"]*)"|'([^']*)')`).FindSubmatch(tag)
	if m == nil {
		return ""
	}
	return html.UnescapeString(string(m[1]) + string(m[2]))
}
