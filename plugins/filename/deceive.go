package main

import (
	"slices"
	"strings"
	"unicode"
)

// programs are extensions that run when they are opened.
func programs() []string {
	return strings.Fields("exe scr com pif cpl bat cmd js jse vbs vbe vb wsf wsh hta ps1 lnk msi msp jar dll url reg scf sct appref-ms iso img vhd " +
		"vhdx one chm xll")
}

// harmless are extensions that a reader trusts, and that a name shows in front of the real one.
func harmless() []string {
	return strings.Fields("pdf doc docx xls xlsx ppt pptx rtf txt csv odt ods jpg jpeg png gif bmp tif tiff mp3 mp4 avi wav mov htm html xml zip rar 7z eml")
}

// deception tells in words how a name shows another type than the file has, or "".
func deception(name string) string {
	const manySpaces = "     "
	plain := strings.TrimRight(fold(name), " .")
	if file, _, found := strings.Cut(plain, ":"); found {
		plain = strings.TrimRight(file, " .")
	}
	dot := strings.LastIndexByte(plain, '.')
	stem, extension := plain, ""
	if dot >= 0 {
		stem, extension = plain[:dot], strings.TrimSpace(plain[dot+1:])
	}
	runs := slices.Contains(programs(), extension)
	switch {
	case strings.ContainsAny(name, "\u202e\u202d\u2066\u2067\u2068\u202a\u202b"):
		if turnsLatin(name) {
			return "turns the direction of its letters, so that its end is shown elsewhere"
		}
	case strings.ContainsRune(name, 0):
		return "has a NUL, at which some programs end it"
	case strings.Contains(plain, manySpaces) && dot > strings.LastIndex(plain, manySpaces):
		return "hides its extension behind spaces"
	}
	if runs {
		shows := stem[strings.LastIndexByte(stem, '.')+1:]
		if strings.Contains(stem, ".") && slices.Contains(harmless(), strings.Trim(shows, " _-")) {
			return "shows one extension in front of the one that it is opened by"
		}
		if hidden(name) {
			return "has characters in it that cannot be seen or only look like others"
		}
	}
	if strings.Contains(strings.ToLower(name), "::$data") {
		return "names a data stream, which is dropped from it"
	}
	return ""
}

// turnsLatin reports whether the mark stands in a name of Latin letters: a name in Hebrew or Arabic may need one.
func turnsLatin(name string) bool {
	for _, r := range name {
		if unicode.In(r, unicode.Hebrew, unicode.Arabic, unicode.Syriac, unicode.Thaana) {
			return strings.ContainsAny(name, "\u202e\u202d")
		}
	}
	return true
}

// hidden reports whether the extension is written with anything but the ASCII letters that it is read as.
func hidden(name string) bool {
	dot := strings.LastIndexByte(name, '.')
	for _, r := range name[dot+1:] {
		if r >= 0x80 {
			return true
		}
	}
	return dot < 0
}
