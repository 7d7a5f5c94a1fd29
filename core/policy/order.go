package policy

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
)

// dropHidden takes out the hidden rules whose objects are not asked for, all of them where there is no source.
func (l *loader) dropHidden() {
	objects := l.policy.Objects
	l.drafts = slices.DeleteFunc(l.drafts, func(d *draft) bool {
		if !d.rule.Hidden {
			return false
		}
		for _, scan := range d.rule.Scans {
			for _, kind := range scan.Objects {
				if objects != nil && (kind == "file" && objects.Files || kind != "file" && objects.URLs) {
					return false
				}
			}
		}
		return true
	})
}

// number puts the rules into the order of judgement, and numbers them and the distinct scan configurations of the enabled ones.
func (l *loader) number() {
	slices.SortStableFunc(l.drafts, func(a, b *draft) int { return cmp.Compare(a.rule.stage(), b.rule.stage()) })
	numbers := map[string]int{} // by plugin and configuration
	for i, d := range l.drafts {
		d.rule.Number = i + 1
		for j := range d.rule.Scans {
			scan := &d.rule.Scans[j]
			declared := l.plugins[scan.Plugin]
			if !d.rule.Enabled || scan.ofObjects() || declared == nil {
				continue
			}
			p := &l.policy.Plugins[declared.at]
			key := p.Name + " " + string(d.scans[j].config)
			if numbers[key] == 0 {
				numbers[key] = len(p.Queries) + 1
				p.Queries = append(p.Queries, Query{Number: numbers[key], Config: d.scans[j].config})
				p.locateQuery(numbers[key], scan.Range, d.scans[j].ranges)
			}
			scan.Query = numbers[key]
		}
		l.policy.Rules = append(l.policy.Rules, d.rule)
	}
}

// stage is 0 for virus rules, 1 for hidden ones, 2 for the others (DESIGN, "Judgement, decided").
func (r *Rule) stage() int {
	switch {
	case r.Virus:
		return 0
	case r.Hidden:
		return 1
	}
	return 2
}

func (p *Plugin) locateQuery(number int, block hcl.Range, attributes map[string]hcl.Range) {
	prefix := fmt.Sprintf("scan/%d", number)
	p.Ranges[prefix] = block
	for path, at := range attributes {
		p.Ranges[prefix+"/"+path] = at
	}
}
