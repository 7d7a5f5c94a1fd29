package main

import (
	_ "embed"
	"slices"
	"strings"
)

//go:embed data/brands.tsv
var brandsFile string

// brand is somebody others like to write as.
type brand struct {
	name    string   // as shown
	words   []string // folded
	label   string   // the name as it would stand in a host name
	shape   string   // the label's skeleton
	domains []string
	orgs    []string // the organisations of the domains
	common  bool     // the name is a word or a person's name too
}

// brands finds brands by their names.
type brands struct {
	lists *lists
	first map[string][]*brand
	all   []*brand
}

// readBrands reads lines of names and domains.
func readBrands(text string, l *lists) (*brands, error) {
	b := &brands{lists: l, first: map[string][]*brand{}}
	err := eachLine(text, 2, func(f []string) error {
		for _, name := range strings.Split(f[0], ",") {
			plain := strings.TrimPrefix(name, "~")
			b.add(plain, strings.Fields(f[1]), plain != name)
		}
		return nil
	})
	return b, err
}

func (b *brands) add(name string, domains []string, common bool) {
	one := &brand{name: name, words: words(fold(name)), common: common}
	one.label = strings.Join(one.words, "")
	one.shape = b.lists.skeleton(one.label)
	for _, d := range domains {
		d = strings.ToLower(strings.TrimPrefix(d, "*."))
		one.domains, one.orgs = append(one.domains, d), append(one.orgs, organisation(d))
	}
	b.all = append(b.all, one)
	b.first[one.words[0]] = append(b.first[one.words[0]], one)
}

// in is the brand that a text names, nil where none. A common name counts only where nothing but words of a role stand beside it; alone says
// whether it does by itself.
func (b *brands) in(list []string, alone bool, role func(word string) bool) *brand {
	for i, word := range list {
		for _, one := range b.first[word] {
			n := len(one.words)
			if n > len(list)-i || !slices.Equal(one.words, list[i:i+n]) {
				continue
			}
			if !one.common {
				return one
			}
			rest := slices.Concat(list[:i], list[i+n:])
			if (alone || len(rest) > 0) && !slices.ContainsFunc(rest, func(w string) bool { return !role(w) }) {
				return one
			}
		}
	}
	return nil
}

// owns reports whether a host is the brand's: it is listed, or is the brand's own label below a country's top-level domain, com, net or
// org, where a stranger would not be let have it for long.
func (b *brand) owns(host string) bool {
	return b.ownsBelow(host, organisation(host))
}

// ownsBelow is owns for a host whose organisation is known.
func (b *brand) ownsBelow(host, org string) bool {
	if slices.Contains(b.orgs, org) || slices.ContainsFunc(b.domains, func(d string) bool { return below(host, d) }) {
		return true
	}
	top := topLevel(host)
	label, _, _ := strings.Cut(org, ".")
	if label != b.label && label != strings.Join(b.words, "-") {
		return false
	}
	return len(top) == 2 && top != "ru" && top != "cc" && top != "ws" || top == "com" || top == "net" || top == "org" || top == b.label
}

// inHost is the brand whose name a host carries without being its: as a label or a piece between hyphens, at the length where that is no
// chance, or in letters that look like it. how says which.
func (st *state) inHost(host string) (found *brand, how string) {
	host = strings.TrimSuffix(host, "."+topLevel(host))
	pieces := strings.FieldsFunc(unicodeHost(host), func(r rune) bool { return r == '.' || r == '-' || r == '_' })
	for _, b := range st.brands.all {
		label := b.label
		if b.common || len(label) < 4 {
			continue
		}
		for _, piece := range pieces {
			switch {
			case piece == label:
				return b, "carries the name of"
			case len(label) >= shortestEdited && strings.Contains(piece, label):
				return b, "contains the name of"
			}
		}
	}
	return nil, ""
}

// lookalikeOf is the brand or own domain whose registered name a host imitates.
func (st *state) lookalikeOf(host string) (of, how string) {
	own := st.internalLike(host)
	if own != "" {
		return own, "looks like"
	}
	org := organisation(host)
	seen, _, _ := strings.Cut(organisation(unicodeHost(host)), ".")
	if len(seen) < 4 {
		return "", ""
	}
	shape := st.lists.skeleton(seen)
	for _, b := range st.brands.all {
		if b.common || seen == b.label {
			continue
		}
		if how := likeness(shape, b.shape, len(b.label)); how != "" && !b.ownsBelow(host, org) {
			return b.name, how
		}
	}
	return "", ""
}

// internalLike is the own domain that a foreign host imitates, "" where none.
func (st *state) internalLike(host string) string {
	org := organisation(host)
	for _, d := range st.internal {
		if below(host, d) || org == organisation(d) {
			return ""
		}
	}
	seen, _, _ := strings.Cut(organisation(unicodeHost(host)), ".")
	for _, d := range st.internal {
		label := mainLabel(d)
		if len(label) >= 4 && (seen == label || likeness(st.lists.skeleton(seen), st.lists.skeleton(label), len(label)) != "") {
			return d
		}
	}
	return ""
}

// isInternal reports whether the domain is one's own.
func (st *state) isInternal(domain string) bool {
	return slices.ContainsFunc(st.internal, func(d string) bool { return below(domain, d) })
}

// below reports whether a host is the domain or lies below it.
func below(host, domain string) bool {
	rest, found := strings.CutSuffix(host, domain)
	return found && (rest == "" || rest[len(rest)-1] == '.')
}

// named is the brand that a shown text names, whatever letters it is written in.
func (st *state) named(text string, alone bool) *brand {
	list := words(fold(text))
	if b := st.brands.in(list, alone, st.lists.isRole); b != nil {
		return b
	}
	changed := false
	latinised := make([]string, len(list))
	for i, w := range list {
		latinised[i] = w
		if mixed(w) || strings.ContainsAny(w, "0135") {
			latinised[i] = st.lists.latin(w)
			changed = changed || latinised[i] != w
		}
	}
	if !changed {
		return nil
	}
	return st.brands.in(latinised, alone, st.lists.isRole)
}
