package main

import (
	"fmt"
	"slices"
	"strings"
)

// phrases finds the phrases of words.tsv in a text, in one pass over its words.
type phrases struct {
	topics []string
	first  map[string][]phrase // by first word
	runs   []phrase            // of scripts that write without blanks
}

// phrase is some words of one topic.
type phrase struct {
	topic int
	words []string
	text  string
}

// readPhrases reads lines of topic, language and phrases, which are split by commas.
func readPhrases(text string) (*phrases, error) {
	p := &phrases{first: map[string][]phrase{}}
	err := eachLine(text, 3, func(f []string) error {
		topic := slices.Index(p.topics, f[0])
		if topic < 0 {
			topic = len(p.topics)
			p.topics = append(p.topics, f[0])
		}
		for _, one := range strings.Split(f[2], ",") {
			one = strings.TrimSpace(one)
			ph := phrase{topic: topic, text: one, words: words(fold(one))}
			switch {
			case len(ph.words) == 0:
				return fmt.Errorf("a phrase of %s without words", f[0])
			case f[1] == "ja" || f[1] == "zh":
				ph.text = fold(one)
				p.runs = append(p.runs, ph)
			default:
				p.first[ph.words[0]] = append(p.first[ph.words[0]], ph)
			}
		}
		return nil
	})
	return p, err
}

// find gives for each topic the distinct phrases that the words hold. text is the same, unsplit.
func (p *phrases) find(text string, list []string) map[string][]string {
	out := map[string][]string{}
	add := func(ph *phrase) {
		topic := p.topics[ph.topic]
		if !slices.Contains(out[topic], ph.text) {
			out[topic] = append(out[topic], ph.text)
		}
	}
	for i, word := range list {
		candidates := p.first[word]
		for n := range candidates {
			ph := &candidates[n]
			if len(ph.words) <= len(list)-i && slices.Equal(ph.words, list[i:i+len(ph.words)]) {
				add(ph)
			}
		}
	}
	ascii := true
	for i := 0; i < len(text) && ascii; i++ {
		ascii = text[i] < 0x80
	}
	if !ascii {
		for n := range p.runs {
			if strings.Contains(text, p.runs[n].text) {
				add(&p.runs[n])
			}
		}
	}
	return out
}

// isRole reports whether a word names a role or a service, as in "Account Team".
func (l *lists) isRole(word string) bool {
	for _, ph := range l.phrases.first[word] {
		if len(ph.words) == 1 && l.phrases.topics[ph.topic] == "role" {
			return true
		}
	}
	return false
}
