package gate

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/store"
)

// notApplicable fills the columns that a match has nothing for (guide page 11).
const notApplicable = "N/A"

// events adds one policy event for each match of the fate. Those that the watched copy is to complete later carry its id.
func (p *plan) events(fate *message.Fate, copyID, watched string) {
	for i := range fate.Matches {
		m := &fate.Matches[i]
		p.gate.Telemetry.Match(m.Rule, string(m.Exception))
		id := p.gate.NewID()
		if m.ThreatType == message.ThreatSubmitted {
			id = submittedID(watched, m)
		}
		p.change.Events = append(p.change.Events, p.event(m, id, copyID))
	}
}

// submittedID is the id of the event about a match whose samples a watched copy was made for.
func submittedID(watched string, m *message.Match) string {
	sum := sha256.Sum256([]byte(watched + "\x00" + m.Rule))
	return hex.EncodeToString(sum[:16])
}

// event is the policy event of one match.
func (p *plan) event(m *message.Match, id, copyID string) store.Event {
	e := store.Event{
		ID: id, At: p.now, Subtype: subtype(m), Rule: m.Rule, Action: labels(m.Actions),
		Name: notApplicable, Type: notApplicable, ThreatType: m.ThreatType, Sender: p.work.message.Envelope.From,
		Recipients: m.Recipients, Subject: p.work.message.Subject, HeaderID: p.work.message.HeaderID,
		MessageID: p.work.message.ID, CopyID: copyID, Size: p.work.message.Size, Reason: reason(m),
		TrueFileType: notApplicable, Scanner: p.work.policy.Gateway.Hostname,
	}
	p.fillFindings(&e, m)
	return e
}

// fillFindings takes names, types, attachments and evidence over from the findings and troubles.
func (p *plan) fillFindings(e *store.Event, m *message.Match) {
	var texts []string
	attach := func(part int) {
		if p.work.facts == nil || part < 0 || part >= len(p.work.facts.Tree.Parts) {
			return
		}
		display := p.work.facts.Tree.Parts[part].Display
		if display != "" && !slices.Contains(e.Attachments, display) {
			e.Attachments = append(e.Attachments, display)
		}
	}
	for i := range m.Findings {
		f := &m.Findings[i]
		attach(f.Part)
		switch f.Kind {
		case "virus":
			e.Name, e.Type = f.Name, "Virus"
		case "type":
			e.TrueFileType = f.Name
		}
		texts = append(texts, strings.TrimSpace(f.Plugin+": "+f.Name+" "+f.Evidence))
	}
	for i := range m.Verdicts {
		if e.Name == notApplicable && m.Verdicts[i].Name != "" {
			e.Name = m.Verdicts[i].Name
		}
	}
	for i := range m.Troubles {
		attach(m.Troubles[i].Part)
		texts = append(texts, strings.TrimSpace(m.Troubles[i].Plugin+" "+m.Troubles[i].Reason+" "+m.Troubles[i].Detail))
	}
	e.Evidence = strings.Join(texts, "; ")
}

// labels joins the actions' words as the log shows them.
func labels(actions []message.Action) string {
	var out []string
	for i := range actions {
		out = append(out, actions[i].Label)
	}
	if len(out) == 0 {
		return "Passed"
	}
	return strings.Join(out, "; ")
}

// subtype sorts a match into the subtypes of policy events (product-behaviour 10).
func subtype(m *message.Match) string {
	switch {
	case m.ThreatType != "":
		return "advanced-persistent-threat"
	case m.Exception != "":
		return "scanning-exceptions"
	case m.Kind == "virus":
		return "virus-or-malicious-code"
	}
	for i := range m.Findings {
		switch {
		case m.Findings[i].ObjectAction != "":
			return "suspicious-objects"
		case m.Findings[i].Kind == "social":
			return "spam-phish"
		case m.Findings[i].Kind == "virus":
			return "virus-or-malicious-code"
		case m.Findings[i].Kind == "type", m.Findings[i].Kind == "name":
			return "attachment"
		}
	}
	return "others"
}

// reason is the Violation reason column (product-behaviour 10).
func reason(m *message.Match) string {
	if m.Exception != "" {
		return string(m.Exception)
	}
	for i := range m.Findings {
		f := &m.Findings[i]
		switch {
		case f.ObjectAction != "":
			return "Suspicious Objects"
		case f.Kind == "virus" && f.Certainty == message.Possible:
			return "Possible virus"
		case f.Kind == "virus":
			return "Virus"
		case f.Kind == "social":
			return "Social engineering"
		case f.Kind == "type":
			return "True file type"
		case f.Kind == "name":
			return "Name or extension"
		}
	}
	return m.Rule
}

// noticeLimiter caps the notifications of each kind per minute and counts those left out.
type noticeLimiter struct {
	mu    sync.Mutex
	kinds map[string]*noticeCount
}

type noticeCount struct {
	minute     time.Time
	sent       int
	suppressed int
}

// take reports whether one more of the kind may be sent now, and how many were left out since the last that was.
func (l *noticeLimiter) take(kind string, now time.Time, limit int) (suppressed int, allowed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kinds == nil {
		l.kinds = map[string]*noticeCount{}
	}
	c := l.kinds[kind]
	if c == nil {
		c = &noticeCount{}
		l.kinds[kind] = c
	}
	if minute := now.Truncate(time.Minute); !minute.Equal(c.minute) {
		c.minute, c.sent = minute, 0
	}
	if limit > 0 && c.sent >= limit {
		c.suppressed++
		return 0, false
	}
	c.sent++
	suppressed, c.suppressed = c.suppressed, 0
	return suppressed, true
}
