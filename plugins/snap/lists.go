package main

import (
	_ "embed"
	"fmt"
	"strings"
	"unicode/utf8"
)

// The lists that are built in, each a file of its own with a comment at its head.
var (
	//go:embed data/hosts.tsv
	hostsFile string
	//go:embed data/words.tsv
	wordsFile string
	//go:embed data/confusables.tsv
	confusablesFile string
)

// The kinds of hosts in hosts.tsv.
const (
	freeMail   = "mail"      // mailboxes that anybody opens
	freeSite   = "site"      // pages and files that anybody puts up
	shortener  = "shortener" // links that hide their target
	pictures   = "pictures"  // anonymous picture hosts
	cheapTop   = "top"       // top-level domains that are given away
	commonHost = "common"    // what every mail may name: standards, fonts, social networks' badges
)

// lists are the word and host lists.
type lists struct {
	hosts      map[string]map[string]bool // by kind
	confusable map[rune]string
	phrases    *phrases
}

func readLists() (*lists, error) {
	l := &lists{hosts: map[string]map[string]bool{}, confusable: map[rune]string{}}
	err := eachLine(hostsFile, 2, func(f []string) error {
		if l.hosts[f[0]] == nil {
			l.hosts[f[0]] = map[string]bool{}
		}
		for _, host := range strings.Fields(f[1]) {
			l.hosts[f[0]][host] = true
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read hosts: %w", err)
	}
	err = eachLine(confusablesFile, 2, func(f []string) error {
		for _, like := range strings.Fields(f[1]) {
			r, size := utf8.DecodeRuneInString(like)
			if size != len(like) {
				return fmt.Errorf("%q is not one character", like)
			}
			l.confusable[r] = f[0]
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read confusables: %w", err)
	}
	if l.phrases, err = readPhrases(wordsFile); err != nil {
		return nil, fmt.Errorf("read words: %w", err)
	}
	return l, nil
}

// eachLine yields the fields of every line that is neither empty nor a comment.
func eachLine(text string, fields int, yield func(fields []string) error) error {
	for number, line := range strings.Split(text, "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) != fields {
			return fmt.Errorf("line %d: %d fields, want %d", number+1, len(f), fields)
		}
		if err := yield(f); err != nil {
			return fmt.Errorf("line %d: %w", number+1, err)
		}
	}
	return nil
}

// is reports whether the host, or a domain above it, is listed.
func (l *lists) is(kind, host string) bool {
	set := l.hosts[kind]
	for host != "" {
		if set[host] {
			return true
		}
		_, above, found := strings.Cut(host, ".")
		if !found {
			return false
		}
		host = above
	}
	return false
}
