package engine

import (
	"encoding/json"

	"github.com/postern-mail/postern/core/message"
)

// merge joins the fates whose copies leave, or wait, alike: the same final action and the same changes, whatever else was logged.
func merge(fates []fate) []message.Fate {
	var out []message.Fate
	index := map[string]int{}
	for i := range fates {
		key := likeness(&fates[i])
		at, known := index[key]
		if !known {
			index[key] = len(out)
			out = append(out, fates[i])
			continue
		}
		into := &out[at]
		into.Recipients = append(append([]string(nil), into.Recipients...), fates[i].Recipients...)
		into.Matches = mergeMatches(into.Matches, fates[i].Matches)
	}
	return out
}

// mergeMatches adds matches; the same rule with the same findings becomes one match for more recipients.
func mergeMatches(into, more []message.Match) []message.Match {
	into = append([]message.Match(nil), into...)
	for _, m := range more {
		found := false
		for i := range into {
			if into[i].Rule == m.Rule && into[i].Exception == m.Exception && sameJSON(into[i].Findings, m.Findings) {
				into[i].Recipients = append(append([]string(nil), into[i].Recipients...), m.Recipients...)
				found = true
				break
			}
		}
		if !found {
			into = append(into, m)
		}
	}
	return into
}

// likeness is equal for fates whose copies may be one.
func likeness(f *fate) string {
	type edit struct {
		Action *message.Action
		Parts  []int
	}
	var edits []edit
	for _, ra := range f.Edits() {
		e := edit{Action: ra.Action}
		for i := range ra.Match.Findings {
			e.Parts = append(e.Parts, ra.Match.Findings[i].Part)
		}
		edits = append(edits, e)
	}
	finalRule := ""
	if n := len(f.Matches); n > 0 && f.Final != nil {
		finalRule = f.Matches[n-1].Rule
	}
	return mustJSON([]any{f.State, f.Final, finalRule, edits, f.Waits, f.WaitRule, f.Submits})
}

func sameJSON(a, b any) bool { return mustJSON(a) == mustJSON(b) }

// mustJSON is a comparable form of plain values, which always marshal.
func mustJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic("engine: " + err.Error())
	}
	return string(text)
}
