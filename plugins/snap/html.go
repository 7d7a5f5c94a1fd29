package main

import (
	"strings"
)

// muchHidden is how much unseen text is more than the line that mail programs show beside the subject.
const muchHidden = 400

// pageReasons is what a page does that no honest one needs.
func pageReasons(m *mail, r *reasons) {
	forms, passwords := 0, 0
	for _, p := range m.pages {
		hidden, seen := len(strings.Join(strings.Fields(p.hidden), " ")), len(strings.Join(strings.Fields(p.text), " "))
		if hidden >= muchHidden || hidden > 60 && hidden > seen {
			r.add("page-hidden-text", "the page holds %d bytes of text that are not shown, beside %d that are", hidden, seen)
		}
		if p.split >= 3 {
			r.add("page-split-words", "%d words are cut by something that is not shown", p.split)
		}
		if p.encoded >= 20 {
			r.add("page-encoded", "%d plain letters of the page are written as numbers", p.encoded)
		}
		if p.comments > 4000 && p.comments > 2*seen {
			r.add("page-comments", "the page holds %d bytes of comments beside %d of text", p.comments, seen)
		}
		if p.scripts > 0 {
			r.add("page-script", "the page holds %s", count(p.scripts, "script"))
		}
		forms += len(p.forms)
		passwords += p.passwords
		if empty := strings.Count(p.text, "\u00a0") + strings.Count(p.text, "\u200c"); empty > 200 && empty > seen/3 {
			r.add("page-padded", "the page is filled up with %d blanks", empty)
		}
	}
	if passwords > 0 {
		r.add("form-password", "the mail itself asks for a password")
	} else if forms > 0 {
		r.add("form", "the mail holds a form to fill in")
	}
	if m.html && strings.TrimSpace(m.plain) == "" && !hasText(m) {
		r.add("page-only", "there is no text for readers without HTML")
	}
}

func hasText(m *mail) bool {
	for i := range m.source.Parts {
		if m.source.Parts[i].Kind == "text" {
			return true
		}
	}
	return false
}
