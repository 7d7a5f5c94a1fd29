package compose

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/policy"
)

// Incident is what a notification is about.
type Incident struct {
	Message *message.Message
	Tree    *message.Tree
	Match   *message.Match
	At      time.Time
}

// Notification writes the mail of a notification block with its tokens filled in.
func (c *Composer) Notification(n *policy.Notification, hostname string, incident *Incident) ([]byte, error) {
	fill := tokens(incident)
	var b bytes.Buffer
	c.header(&b, "Postern <postmaster@"+hostname+">", strings.Join(n.To, ", "), fill.Replace(n.Subject), hostname, "auto-generated")
	textBody(&b, fill.Replace(n.Body))
	return b.Bytes(), nil
}

// tokens are the appliance's, all of them; those that have nothing to say are empty. Values are not searched for tokens.
func tokens(i *Incident) *strings.Replacer {
	m := i.Match
	names, size := affected(i)
	virus := ""
	detected := string(m.Exception)
	if len(m.Troubles) > 0 {
		detected = m.Troubles[0].Reason
	}
	for j := range m.Findings {
		if detected == "" {
			detected = m.Findings[j].Name
		}
		if m.Findings[j].Kind == "virus" && virus == "" {
			virus = m.Findings[j].Name
		}
	}
	terminal, others := labels(m)
	virusAction := ""
	if virus != "" {
		virusAction = terminal
	}
	return strings.NewReplacer(
		"%SENDER%", i.Message.Envelope.From,
		"%RCPTS%", strings.Join(i.Message.Envelope.To, ", "),
		"%SUBJECT%", i.Message.Subject,
		"%DATE&TIME%", i.At.Local().Format("2006-01-02 15:04:05"),
		"%MAILID%", i.Message.ID,
		"%RULENAME%", m.Rule,
		"%RULETYPE%", ruleType(m),
		"%DETECTED%", detected,
		"%FILENAME%", strings.Join(names, ", "),
		"%DEF_CHARSET%", "UTF-8",
		"%MSG_SIZE%", fmt.Sprint(i.Message.Size),
		"%ATTACH_SIZE%", fmt.Sprint(size),
		"%ATTACH_COUNT%", fmt.Sprint(len(names)),
		"%TACTION%", terminal,
		"%ACTION%", others,
		"%VIRUSNAME%", virus,
		"%VIRUSACTION%", virusAction,
	)
}

func ruleType(m *message.Match) string {
	switch {
	case m.Exception != "":
		return "scanning exception"
	case m.Kind == "virus":
		return "virus"
	}
	return "content filter"
}

// affected are the parts that the match is about, each once, with their size.
func affected(i *Incident) (names []string, size int64) {
	seen := map[int]bool{}
	add := func(id int) {
		if id < 0 || id >= len(i.Tree.Parts) || seen[id] {
			return
		}
		seen[id] = true
		names = append(names, i.Tree.Parts[id].Display)
		size += i.Tree.Parts[id].Size
	}
	for j := range i.Match.Findings {
		add(i.Match.Findings[j].Part)
	}
	for j := range i.Match.Troubles {
		add(i.Match.Troubles[j].Part)
	}
	return names, size
}

// labels are the terminal action's word and the others'.
func labels(m *message.Match) (terminal, others string) {
	terminal = "Passed"
	if m.Final != nil {
		terminal = m.Final.Label
	}
	var list []string
	for i := range m.Actions {
		if !m.Actions[i].Effect.Final() {
			list = append(list, m.Actions[i].Label)
		}
	}
	return terminal, strings.Join(list, "; ")
}
