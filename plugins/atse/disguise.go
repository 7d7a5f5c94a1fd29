package main

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/postern-mail/postern/sdk/scanner"
)

// isDisguisable knows names that run when they are opened.
func isDisguisable(s *subject) bool { return s.part.Attachment() && runsByName(s.extension()) }

func runsByName(extension string) bool {
	return languageOf(extension) != noScript || slices.Contains([]string{".exe", ".scr", ".com", ".pif", ".lnk", ".cpl", ".msi", ".url", ".chm", ".jar"}, extension)
}

// disguised finds what runs and looks like something else: by its name, or by the disk image it comes in, out of which Windows runs it without
// the mark of what came from the net.
func disguised(s *subject) []hit {
	found := &signs{}
	base := s.base()
	stem := strings.TrimSuffix(base, s.extension())
	if m := regexp.MustCompile(`\.(?:pdf|docx?|xlsx?|pptx?|txt|rtf|jpe?g|png|gif|mp[34]|html?|csv|zip)\s*$`).FindString(stem); m != "" {
		found.add(1, "the name ends as a document's (%s) and then as a program's (%s)", strings.TrimSpace(m), s.extension())
	}
	if m := regexp.MustCompile(`[ \x{a0}\x{2000}-\x{200b}\x{3000}_]{8,}$`).FindString(stem); m != "" {
		found.add(1, "%d blanks push its end out of sight", len([]rune(m)))
	}
	if strings.ContainsFunc(base, func(r rune) bool { return unicode.Is(unicode.Bidi_Control, r) }) {
		found.add(1, "the name turns the direction of writing")
	}
	parent := s.parent()
	switch {
	case parent == nil:
	case isDiskImage(parent) && len(s.siblings()) < 10:
		found.add(1, "it comes in a disk image (%s)", quoted(parent.Name()))
		if runnable(s.data) != "" || languageOf(s.extension()) != noScript {
			found.add(1, "and runs when it is opened (%s)", s.extension())
		}
	case len(s.siblings()) == 0 && len(found.words) > 0:
		found.add(1, "it is the only file of its archive")
	}
	if len(found.words) == 1 && s.part.Kind == "attachment" && runnable(s.data) != "" {
		found.add(1, "and it is %s", runnable(s.data))
	}
	return found.hit("HEUR_DISGUISED_FILE", 2)
}

// isDiskImage knows images of disks by name and by content: ISO 9660, UDF, VHD, VHDX.
func isDiskImage(p *scanner.Part) bool {
	name := strings.ToLower(p.Name())
	for _, end := range []string{".iso", ".img", ".vhd", ".vhdx", ".udf"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	if p.Body == nil {
		return false
	}
	const volume = 32769
	head, err := beginning(p, volume+16)
	if err != nil { // what cannot be read gives no sign
		return false
	}
	return begins(head, "conectix", "vhdxfile") || len(head) > volume+5 && (bytes.Equal(head[volume:volume+5], []byte("CD001")) || bytes.Equal(head[volume:volume+5], []byte("BEA01")))
}
