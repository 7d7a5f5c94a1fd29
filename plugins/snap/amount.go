package main

import (
	"slices"
	"strings"
	"unicode"
)

// largeSum is an amount of money of ten thousand or more in a text, as it is written; "" where none.
func largeSum(text string) string {
	for i := 0; i < len(text); i++ {
		if !digit(text[i]) {
			continue
		}
		end := numberEnd(text, i)
		if large(text[i:end]) {
			before, behind := text[max(0, i-8):i], text[end:min(len(text), end+8)]
			switch ahead, after := lastWord(before), firstWord(behind); {
			case currency(ahead):
				return ahead + " " + text[i:end]
			case currency(after):
				return text[i:end] + " " + after
			}
		}
		i = end
	}
	return ""
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// numberEnd is where a number ends that begins at from: digits with single marks between them, or a blank before three of them.
func numberEnd(text string, from int) int {
	end := from
	for end < len(text) {
		switch {
		case digit(text[end]):
			end++
		case strings.IndexByte(".,'", text[end]) >= 0 && end+1 < len(text) && digit(text[end+1]):
			end += 2
		case text[end] == ' ' && end+3 < len(text) && digit(text[end+1]) && digit(text[end+2]) && digit(text[end+3]):
			end += 4
		default:
			return end
		}
	}
	return end
}

// large reports whether a number has five digits or more before its fraction, which is two digits behind the last mark.
func large(number string) bool {
	if at := strings.LastIndexAny(number, ".,"); at >= 0 && len(number)-at == 3 {
		number = number[:at]
	}
	digits := 0
	for i := range len(number) {
		if digit(number[i]) {
			digits++
		}
	}
	return digits >= 5 && digits <= 12
}

// currency reports whether a word or sign is one of money.
func currency(word string) bool {
	return slices.Contains([]string{"$", "€", "£", "usd", "us$", "eur", "euro", "euros", "gbp", "dollar", "dollars", "r$", "btc", "chf"}, strings.ToLower(word))
}

// lastWord and firstWord are the word, or sign, that touches the end or the begin of a text but for a blank.
func lastWord(text string) string {
	text = strings.TrimRight(strings.TrimRightFunc(text, unicode.IsSpace), ".:")
	at := strings.LastIndexFunc(text, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune("(:;,>\"", r) })
	return text[at+1:]
}

func firstWord(text string) string {
	text = strings.TrimLeftFunc(text, unicode.IsSpace)
	if end := strings.IndexFunc(text, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(".,;:!?)<\"", r) }); end >= 0 {
		text = text[:end]
	}
	return text
}
