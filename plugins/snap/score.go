package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/postern-mail/postern/sdk/scanner"
)

// findingName is how logs and releases name the detection.
const findingName = "Social engineering attack"

// maxEvidence keeps within what the contract allows of a string, with room for the core's own words.
const maxEvidence = 3900

// reason is one thing seen, in words with its values.
type reason struct {
	id    string
	words string
}

// reasons gathers what is seen of one mail, each reason once: the first sight of it tells.
type reasons struct{ seen []reason }

func (r *reasons) add(id, format string, values ...any) {
	for i := range r.seen {
		if r.seen[i].id == id {
			return
		}
	}
	r.seen = append(r.seen, reason{id, fmt.Sprintf(format, values...)})
}

// scan looks at the mail once and answers each live query.
func (st *state) scan(m *scanner.Message) (*scanner.Report, error) {
	report := &scanner.Report{}
	mail := readHead(m)
	var open []int
	for _, number := range m.Queries {
		if q := st.queries[number]; !q.approves(mail.from) {
			open = append(open, number)
		}
	}
	if len(open) == 0 {
		return report, nil
	}
	if err := mail.readBodies(m); err != nil {
		return nil, err
	}
	found := st.reasonsOf(mail)
	score := st.score(found)
	for _, number := range open {
		q := st.queries[number]
		certainty := q.certainty(score)
		if certainty == 0 {
			continue
		}
		report.Findings = append(report.Findings, scanner.Finding{
			Query: number, Kind: "social", Certainty: certainty, Name: findingName, Part: -1,
			Evidence: st.evidence(&q, score, found),
		})
	}
	return report, nil
}

// reasonsOf is everything that speaks against a mail.
func (st *state) reasonsOf(m *mail) []reason {
	r := &reasons{}
	st.senderReasons(m, r)
	st.identityReasons(m, r)
	st.authReasons(m, r)
	routeReasons(m, r)
	dateReasons(m, r)
	charsetReasons(m, r)
	st.linkReasons(m, r)
	st.targetReasons(m, r)
	pageReasons(m, r)
	st.wordReasons(m, r)
	disguiseReasons(m, r)
	st.attachmentReasons(m, r)
	return r.seen
}

// score is the sum of the reasons' weights, to the two places that weights and thresholds have: a mail that reaches one exactly reaches it.
func (st *state) score(found []reason) float64 {
	sum := 0.0
	for i := range found {
		sum += st.weights.of[found[i].id]
	}
	return math.Round(sum*100) / 100
}

// evidence lists the reasons, the heaviest first. All of them are named; words are cut where there are too many.
func (st *state) evidence(q *query, score float64, found []reason) string {
	sorted := slices.Clone(found)
	slices.SortStableFunc(sorted, func(a, b reason) int { return cmp.Compare(st.weights.of[b.id], st.weights.of[a.id]) })
	each := maxEvidence
	if len(sorted) > 0 {
		each = (maxEvidence-100)/len(sorted) - 40
	}
	var text strings.Builder
	fmt.Fprintf(&text, "score %.2f (sure from %.2f, possible from %.2f)", score, q.conservative, q.aggressive)
	for _, r := range sorted {
		fmt.Fprintf(&text, "; %s [%s %.2f]", cut(r.words, each), r.id, st.weights.of[r.id])
	}
	return text.String()
}

// cut shortens a text to at most n bytes, at a character.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	n = max(n-3, 0)
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n] + "..."
}
