package main

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// fold brings text to the form in which it is compared: compatibility forms resolved, lower case, no accents, nothing that cannot be seen.
func fold(text string) string {
	ascii := true
	for i := range len(text) {
		if text[i] >= 0x80 {
			ascii = false
			break
		}
	}
	if ascii {
		return strings.ToLower(text)
	}
	var out strings.Builder
	out.Grow(len(text))
	for _, r := range norm.NFKD.String(text) {
		if invisible(r) || unicode.Is(unicode.Mn, r) {
			continue
		}
		out.WriteRune(unicode.ToLower(r))
	}
	return strings.ReplaceAll(out.String(), "ß", "ss")
}

// invisible reports whether a character has no width: it serves to cut words where a filter reads but no reader sees. A joiner of
// emoji and of Indic and Arabic script is one too; who counts them has to ask what stands beside.
func invisible(r rune) bool {
	switch {
	case r == 0xad, r == 0x34f, r == 0x61c, r == 0x180e, r >= 0x200b && r <= 0x200f, r >= 0x202a && r <= 0x202e,
		r >= 0x2060 && r <= 0x206f, r == 0xfeff, r == 0x115f, r == 0x1160, r == 0x3164, r == 0xffa0, r >= 0xe0000 && r <= 0xe0fff:
		return true
	}
	return r >= 0xfe00 && r <= 0xfe0f
}

// words splits text into runs of letters and digits.
func words(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

// script is what a letter belongs to, as far as letters of it are taken for each other.
type script int

const (
	otherScript script = iota
	latin
	greek
	cyrillic
)

func scriptOf(r rune) script {
	switch {
	case r < 0x80:
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return latin
		}
		return otherScript
	case unicode.Is(unicode.Latin, r):
		return latin
	case unicode.Is(unicode.Greek, r) && unicode.IsLetter(r):
		return greek
	case unicode.Is(unicode.Cyrillic, r):
		return cyrillic
	}
	return otherScript
}

// mixed reports whether a word has letters of scripts that look alike. A single letter beside another script is no word (mu in a
// unit, pi in a formula).
func mixed(word string) bool {
	var count [4]int
	for _, r := range word {
		count[scriptOf(r)]++
	}
	others := count[greek] + count[cyrillic]
	return count[latin] > 0 && others > 0 && count[latin]+others > 2 || count[greek] > 0 && count[cyrillic] > 0
}

// styled counts letters and digits that are letters of Latin in another dress: mathematical alphabets, full width, circled.
func styled(text string) int {
	n := 0
	for _, r := range text {
		if r >= 0x1d400 && r <= 0x1d7ff || r >= 0xff21 && r <= 0xff5a || r >= 0x24b6 && r <= 0x24e9 || r >= 0x1f130 && r <= 0x1f189 {
			n++
		}
	}
	return n
}

// pictographs counts emoji and dingbats.
func pictographs(text string) int {
	n := 0
	for _, r := range text {
		if r >= 0x1f300 && r <= 0x1faff || r >= 0x2600 && r <= 0x27bf || r >= 0x1f1e6 && r <= 0x1f1ff || r >= 0x2b00 && r <= 0x2bff {
			n++
		}
	}
	return n
}

// quote shows a text of the mail within a reason: short, on one line, with what cannot be seen made visible.
func quote(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case invisible(r):
			return 0xb7 // a middle dot
		case unicode.IsControl(r):
			return ' '
		}
		return r
	}, text)
	return `"` + cut(strings.Join(strings.Fields(text), " "), 80) + `"`
}
