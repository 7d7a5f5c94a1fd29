package main

import (
	"path"
	"slices"
	"strings"
)

// attachmentReasons is about files that are not what they pretend to be, or that bring the page to sign in along.
func (st *state) attachmentReasons(m *mail, r *reasons) {
	seen := len(strings.Fields(m.text))
	for _, part := range m.files {
		for _, name := range part.Names {
			nameReasons(name, part.Declared, r)
		}
		ext := strings.ToLower(path.Ext(part.Name()))
		if ext == ".pdf" && seen < 80 && st.lists.is(freeMail, m.author().domain) {
			r.add("free-file", "a mailbox that anybody can have sends the document %s with %d words", quote(part.Display), seen)
		}
		switch {
		case part.Kind == "member":
		case slices.Contains([]string{".html", ".htm", ".shtml", ".xhtml", ".mht", ".svg", ".svgz"}, ext) || part.Declared == "image/svg+xml":
			r.add("attach-page", "a page comes as a file: %s", quote(part.Display))
		case slices.Contains([]string{".pdf", ".docx", ".doc", ".rtf", ".xlsx", ".xls", ".pptx", ".one"}, ext) && seen < 30:
			r.add("attach-alone", "the file %s comes with %d words", quote(part.Display), seen)
		case slices.Contains([]string{".zip", ".rar", ".7z", ".iso", ".img", ".gz", ".cab", ".ace", ".arj"}, ext) && seen < 60:
			r.add("attach-packed", "the packed file %s comes with %d words", quote(part.Display), seen)
		case ext == ".ics" || part.Declared == "text/calendar":
			r.add("attach-invite", "it puts an entry into its reader's calendar")
		}
	}
}

// nameReasons looks at one name of a file.
func nameReasons(name, declared string, r *reasons) {
	runs := []string{".exe", ".scr", ".com", ".pif", ".bat", ".cmd", ".js", ".jse", ".vbs", ".vbe", ".wsf", ".hta", ".lnk", ".ps1", ".jar", ".msi", ".html", ".htm", ".svg"}
	shows := []string{".pdf", ".doc", ".docx", ".xls", ".xlsx", ".txt", ".jpg", ".jpeg", ".png", ".gif", ".mp3", ".wav", ".csv", ".ppt"}
	lower := strings.ToLower(strings.TrimRight(name, " ."))
	ext := path.Ext(lower)
	inner := path.Ext(strings.TrimRight(strings.TrimSuffix(lower, ext), " _"))
	if slices.Contains(runs, ext) && slices.Contains(shows, inner) {
		r.add("attach-two-types", "the file %s shows one type and is another", quote(name))
	}
	if strings.ContainsAny(name, "\u202e\u202d\u2066\u2067") || strings.Contains(name, "     ") {
		r.add("attach-name-disguised", "the file's name %s is written so that its end is not seen", quote(name))
	}
	program := slices.Contains(runs, ext) && ext != ".html" && ext != ".htm" && ext != ".svg"
	if program && (strings.HasPrefix(declared, "image/") || strings.HasPrefix(declared, "text/") || strings.HasPrefix(declared, "audio/") || declared == "application/pdf") {
		r.add("attach-pretends", "the file %s is said to be %s", quote(name), declared)
	}
}
