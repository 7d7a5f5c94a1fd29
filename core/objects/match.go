package objects

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/store"
)

const (
	// maxFindings bounds the findings of one message; of more the strictest are kept.
	maxFindings = 256
	// maxCarried bounds what is remembered of one message.
	maxCarried = 200
)

// Matcher finds listed objects in messages. It does no I/O.
type Matcher struct {
	// Name is what findings say found them: the source of the policy.
	Name  string
	Lists func() *Lists
	Now   func() time.Time
}

// Match returns a finding for each file and link that is listed, by its strictest object. What an exception is about is left out.
func (m *Matcher) Match(tree *message.Tree) message.Report {
	lists, now := m.Lists(), uint32(m.Now().Unix())
	report := message.Report{Plugin: m.Name, Signatures: plural(lists.Len())}
	add := func(part int, name string, candidates []candidate) {
		if f, found := m.finding(lists, now, candidates); found {
			f.Part = part
			if name != "" {
				f.Name = name
			}
			report.Findings = append(report.Findings, f)
		}
	}
	for i := range tree.Parts {
		if p := &tree.Parts[i]; p.Leaf() {
			// The name is the same whichever digest is listed, so that a release stays one.
			add(p.ID, p.SHA256, fileCandidates(p.SHA1, p.SHA256))
		}
	}
	for i := range tree.URLs {
		add(tree.URLs[i].Part, "", urlCandidates(tree.URLs[i].URL, lists.shapes))
	}
	if len(report.Findings) > maxFindings {
		slices.SortStableFunc(report.Findings, func(a, b message.Finding) int { return cmp.Compare(actionOf(&b), actionOf(&a)) })
		report.Findings = report.Findings[:maxFindings]
	}
	return report
}

func actionOf(f *message.Finding) (a store.ObjectAction) {
	_ = a.UnmarshalText([]byte(f.ObjectAction)) // written by finding
	return a
}

func (m *Matcher) finding(lists *Lists, now uint32, candidates []candidate) (message.Finding, bool) {
	hits, exempt := lists.lookUp(candidates, now)
	if len(hits) == 0 || exempt {
		return message.Finding{}, false
	}
	strictest := &hits[0]
	said := make([]string, 0, len(hits))
	for i := range hits {
		if hits[i].entry.action() > strictest.entry.action() {
			strictest = &hits[i]
		}
		said = append(said, hits[i].String())
	}
	return message.Finding{
		Plugin: m.Name, Kind: strictest.kind, Certainty: message.Sure, Name: strictest.value, Evidence: strings.Join(said, ", "),
		ObjectAction: strictest.entry.action().String(),
	}, true
}

// Carried are the keys of the files and links in a message, and of the domains and addresses that its links lead to, by which it is
// found again when an object becomes known later. Beginnings of URLs and networks are not among them.
func Carried(tree *message.Tree) [][]byte {
	var out [][]byte
	seen := map[Key]bool{}
	add := func(candidates []candidate) {
		for _, c := range candidates {
			if !seen[c.key] && len(out) < maxCarried {
				seen[c.key] = true
				out = append(out, slices.Clone(c.key[:]))
			}
		}
	}
	for i := range tree.Parts {
		if p := &tree.Parts[i]; p.Leaf() && p.Kind != message.PartText && p.Kind != message.PartHTML {
			add(fileCandidates(p.SHA1, p.SHA256))
		}
	}
	for i := range tree.URLs {
		add(urlCandidates(tree.URLs[i].URL, shapes{}))
	}
	return out
}

// Explained is what the lists say of a value.
type Explained struct {
	Type    string         `json:"type"`
	Value   string         `json:"value"` // as it is compared
	Matches []store.Object `json:"matches"`
	// Exempt says that an exception is among the matches, Action what is done otherwise.
	Exempt bool               `json:"exempt"`
	Action store.ObjectAction `json:"action"`
}

// Keys are the keys of all objects that would match a value of the type, for store.Objects.FindObjects.
func Keys(kind, raw string) (value string, keys [][]byte, err error) {
	value, own, err := Normalize(kind, raw)
	if err != nil {
		return "", nil, err
	}
	keys = [][]byte{own[:]}
	var candidates []candidate
	switch kind {
	case URL:
		candidates = urlCandidates("http://"+strings.TrimSuffix(value, "*"), allShapes(value))
	case Domain:
		candidates = domainCandidates(value)
	case IP:
		candidates = urlCandidates("http://"+hostOf(value)+"/", allShapes(""))
	}
	for _, c := range candidates {
		if c.key != own {
			keys = append(keys, slices.Clone(c.key[:]))
		}
	}
	return value, keys, nil
}

func hostOf(network string) string {
	address, _, _ := strings.Cut(network, "/")
	if strings.Contains(address, ":") {
		return "[" + address + "]"
	}
	return address
}

// Explain sorts out what was found for a value.
func Explain(kind, value string, found []store.Object, now time.Time) Explained {
	e := Explained{Type: kind, Value: value}
	for _, o := range found {
		if !o.Expires.IsZero() && !o.Expires.After(now) {
			continue
		}
		e.Matches = append(e.Matches, o)
		e.Exempt = e.Exempt || o.Exception
		if !o.Exception {
			e.Action = max(e.Action, o.Action)
		}
	}
	return e
}

func (e *Explained) String() string {
	switch {
	case len(e.Matches) == 0:
		return fmt.Sprintf("%s %s is in no list", e.Type, e.Value)
	case e.Exempt:
		return fmt.Sprintf("%s %s is excepted: it never matches", e.Type, e.Value)
	}
	return fmt.Sprintf("%s %s matches, with the action %s", e.Type, e.Value, e.Action)
}
