package policy

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/postern-mail/postern/core/message"
)

// WriteRules prints the rules as a table, in the order of judgement. Hidden rules are left out unless asked for; the numbers stay.
func WriteRules(w io.Writer, p *Policy, showHidden bool) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	rows := []string{"NO\tNAME\tKIND\tENABLED\tROUTE\tFROM\tTO\tSCANS\tACTIONS\tSOURCE"}
	for i := range p.Rules {
		if r := &p.Rules[i]; showHidden || !r.Hidden {
			rows = append(rows, r.row())
		}
	}
	for _, row := range rows {
		if _, err := fmt.Fprintln(table, row); err != nil {
			return fmt.Errorf("write rules: %w", err)
		}
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("write rules: %w", err)
	}
	return nil
}

func (r *Rule) row() string {
	kind := map[int]string{0: "virus", 1: "hidden", 2: "other"}[r.stage()]
	enabled := map[bool]string{true: "yes", false: "no"}[r.Enabled]
	route := string(r.Route)
	if n := len(r.Except); n > 0 {
		route += fmt.Sprintf(" (%d excepted)", n)
	}
	between := " or "
	if r.MatchAll {
		between = " and "
	}
	var scans, actions []string
	for i := range r.Scans {
		scans = append(scans, r.Scans[i].String())
	}
	if len(r.Actions) > 0 {
		actions = append(actions, actionNames(r.Actions))
	}
	for _, when := range r.When {
		actions = append(actions, strings.Join(when.ObjectAction, "/")+": "+actionNames(when.Actions))
	}
	cells := []string{
		fmt.Sprint(r.Number), r.Name, kind, enabled, route, addresses(r.From), addresses(r.To), strings.Join(scans, between),
		strings.Join(actions, "; "), fmt.Sprintf("%s:%d", filepath.ToSlash(r.Range.Filename), r.Range.Start.Line),
	}
	for i := range cells {
		cells[i] = printable(cells[i])
	}
	return strings.Join(cells, "\t")
}

// String is the scan in short: "not filename", "filetype (analyze)", "ctd (file)".
func (s Scan) String() string {
	var more []string
	if s.Analyze {
		more = append(more, "analyze")
	}
	text := s.Plugin
	if s.Not {
		text = "not " + text
	}
	if more = append(more, s.Objects...); len(more) > 0 {
		text += " (" + strings.Join(more, ", ") + ")"
	}
	return text
}

func addresses(patterns []AddressPattern) string {
	var out []string
	for _, pattern := range orAnyone(patterns) {
		out = append(out, string(pattern))
	}
	return strings.Join(out, ", ")
}

func actionNames(actions []message.Action) string {
	var names []string
	for i := range actions {
		names = append(names, actions[i].Name)
	}
	return strings.Join(names, ", ")
}

// printable takes out what could move a terminal's cursor or break a table.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}
