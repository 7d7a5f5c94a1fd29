package main

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// disguiseReasons is about text written so that programs do not read it as people do.
func disguiseReasons(m *mail, r *reasons) {
	subject := strings.TrimSpace(m.subject)
	if hasInvisible(subject) {
		r.add("subject-invisible", "the subject has characters that cannot be seen: %s", quote(subject))
	}
	for _, w := range words(subject) {
		if mixed(strings.ToLower(w)) || standIns(w) {
			r.add("subject-mixed", "a word of the subject mixes letters that look alike: %s", quote(w))
		}
	}
	if styled(subject) > 2 {
		r.add("subject-styled", "the subject is written in letters that only look like Latin ones: %s", quote(subject))
	}
	if pictographs(subject) > 0 {
		r.add("subject-pictures", "the subject has pictures in it: %s", quote(subject))
	}
	if shouts(subject) {
		r.add("subject-shouts", "the subject shouts: %s", quote(subject))
	}
	if spaced(subject) {
		r.add("subject-spaced", "the letters of the subject are set apart: %s", quote(subject))
	}
	if at := decorated(subject); at != "" {
		r.add("subject-decorated", "the subject is dressed with marks: %s in %s", quote(at), quote(subject))
	}
	if w := randomWord(subject); w != "" {
		r.add("subject-random", "the subject has a word of random letters: %s", quote(w))
	}
	if answer(subject) && len(m.values("In-Reply-To")) == 0 && len(m.values("References")) == 0 && !m.list {
		r.add("subject-answer", "the subject %s would be an answer, and the mail answers none", quote(subject))
	}
	if subject == "" {
		r.add("subject-empty", "the mail has no subject")
	}
	bodyDisguise(m.text, r)
}

// bodyDisguise counts words that are not what they look like.
func bodyDisguise(text string, r *reasons) {
	cutWords, mixedWords := 0, 0
	example := ""
	for _, field := range strings.Fields(text) {
		if hidden(field) {
			cutWords++
		}
		if len(field) < 60 && !asciiOnly(field) {
			for _, w := range words(strings.ToLower(field)) {
				if mixed(w) {
					mixedWords++
					example = w
				}
			}
		}
	}
	if cutWords >= 3 {
		r.add("text-invisible", "%d words have characters in them that cannot be seen", cutWords)
	}
	if mixedWords >= 2 {
		r.add("text-mixed", "%d words mix letters that look alike, as %s", mixedWords, quote(example))
	}
	if n, of := loneLetters(text); n >= 6 && n*10 >= of {
		r.add("text-broken-words", "its words are cut by blanks: %d of %d are a single consonant", n, of)
	}
	if n := styled(text); n >= 10 {
		r.add("text-styled", "%d letters of the text only look like Latin ones", n)
	}
}

// decorated is what a subject begins with, or is filled with, that no writer of a subject needs; "" where nothing.
func decorated(subject string) string {
	if subject == "" {
		return ""
	}
	if strings.ContainsRune("-.,;:_=|~*+!'`^<>%", rune(subject[0])) || strings.HasPrefix(subject, "\"") && !strings.Contains(subject[1:], "\" ") {
		return subject[:1]
	}
	for _, marks := range []string{"....", "!!", "??", ">>", "<<", "**", "==", "~~", "||", "    ", "!.", ". !", "-!", "$$"} {
		if strings.Contains(subject, marks) {
			return marks
		}
	}
	return ""
}

// randomWord is a word that looks as if nobody had thought of it; letters alone, since numbers of orders and versions are words too.
func randomWord(text string) string {
	for _, w := range words(text) {
		if asciiOnly(w) && strings.Trim(w, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == "" && random(w) {
			return w
		}
	}
	return ""
}

// answer reports whether a subject says that it answers or passes on.
func answer(subject string) bool {
	before, _, found := strings.Cut(strings.ToLower(subject), ":")
	switch strings.TrimSpace(before) {
	case "re", "aw", "sv", "antw", "res", "rif", "odp":
		return found
	}
	return false
}

// standIns reports whether letters of a word in capitals have others stand for them: an l for an I, a 0 for an O ("VlAGRA", "CL0UD").
func standIns(word string) bool {
	capitals, others := 0, 0
	for i := range len(word) {
		switch c := word[i]; {
		case c >= 'A' && c <= 'Z':
			capitals++
		case (c == 'l' || c == '0') && i > 0 && i+1 < len(word) && capital(word[i-1]) && capital(word[i+1]):
			others++
		default:
			return false
		}
	}
	return others > 0 && capitals >= 4
}

func capital(c byte) bool { return c >= 'A' && c <= 'Z' }

// loneLetters counts the words of a text, and those that are one consonant, which no language of Latin script writes by itself.
func loneLetters(text string) (n, of int) {
	for _, w := range strings.Fields(text) {
		w = strings.Trim(w, ".,;:!?()\"'")
		if len(w) == 1 && isLetter(rune(w[0])) && !strings.Contains("aeiouyAEIOUY", w) {
			n++
		}
		if w != "" {
			of++
		}
	}
	return n, of
}

func asciiOnly(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// hidden reports whether a word has something without width between two Latin letters.
func hidden(word string) bool {
	if asciiOnly(word) {
		return false
	}
	between, letter := false, false
	for _, c := range word {
		switch {
		case invisible(c) && c != 0xad:
			between = letter
		case between && unicode.IsLetter(c) && c < 0x600:
			return true
		default:
			letter, between = unicode.IsLetter(c) && c < 0x600, false
		}
	}
	return false
}

// shouts reports whether a text is in capitals.
func shouts(text string) bool {
	upper, lower := 0, 0
	for _, c := range text {
		switch {
		case unicode.IsUpper(c):
			upper++
		case unicode.IsLower(c):
			lower++
		}
	}
	return upper >= 10 && upper > 4*lower
}

// spaced reports whether letters stand by themselves: "V e r i f y", or with dots or dashes between "c-a-s-h", or "__".
func spaced(text string) bool {
	run := 0
	for _, w := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" .-_*", r) }) {
		if utf8.RuneCountInString(w) == 1 && unicode.IsLetter([]rune(w)[0]) {
			if run++; run >= 4 {
				return true
			}
			continue
		}
		run = 0
	}
	return strings.Count(text, "__") >= 2
}
