package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/postern-mail/postern/core/plugincatalog"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// draft is a rule with what is only needed until it is numbered and checked against the others.
type draft struct {
	rule  Rule
	scans []scanDraft // as rule.Scans
	// pairs are the places of rule.Except.
	pairs []hcl.Range
}

// scanDraft is what a scan's plugin is configured with, and where the attribute `analyze` stands.
type scanDraft struct {
	config  json.RawMessage
	ranges  map[string]hcl.Range
	analyze hcl.Range
}

func (l *loader) rule(b topBlock) {
	r := l.read(b.Block, shape{
		optional: []string{"kind", "enabled", "hidden", "notes", "route", "from", "to", "except", "match", "security_level"},
		blocks:   []hcl.BlockHeaderSchema{{Type: "scan", LabelNames: []string{"plugin"}}, actionHeader, {Type: "when"}},
	})
	if r.has("hidden") && !b.builtin {
		l.fail(r.place("hidden"), "Misplaced attribute", "Only rules that come with the product can be hidden.")
	}
	d := &draft{rule: Rule{
		Name:          b.Labels[0],
		Virus:         r.choice("kind", "other", "virus", "other") == "virus",
		Hidden:        r.flag("hidden", false),
		Enabled:       r.flag("enabled", true),
		Notes:         r.text("notes", ""),
		Route:         Route(r.choice("route", string(RouteAll), string(RouteIncoming), string(RouteOutgoing), string(RouteBoth), string(RouteAll))),
		From:          some(r, "from", ParseAddressPattern),
		To:            some(r, "to", ParseAddressPattern),
		MatchAll:      r.choice("match", "any", "any", "all") == "all",
		SecurityLevel: r.level("security_level", ""),
		Range:         b.DefRange,
	}}
	d.rule.Except, d.pairs = r.except()
	scans := r.content.Blocks.OfType("scan")
	for _, block := range scans {
		l.scan(d, block)
	}
	d.rule.Actions = l.actions(r.content.Blocks.OfType("action"), inRule)
	whens := r.content.Blocks.OfType("when")
	d.rule.When = l.whens(whens)
	if len(whens) > 0 && len(d.rule.Scans) == len(scans) && !slices.ContainsFunc(d.rule.Scans, Scan.ofObjects) {
		l.fail(whens[0].DefRange, "Misplaced block", "A rule can have `when` only if it scans for suspicious objects.")
	}
	if len(scans) == 0 {
		l.fail(b.DefRange, "Rule without scan", "A rule that looks for nothing never matches; add a block `scan`.")
	}
	if len(r.content.Blocks.OfType("action"))+len(whens) == 0 {
		l.fail(b.DefRange, "Rule without action", `Say what the rule does; action "pass" only logs.`)
	}
	l.drafts = append(l.drafts, d)
}

// ofObjects reports whether the core's matcher of suspicious objects answers the scan.
func (s Scan) ofObjects() bool { return len(s.Objects) > 0 }

var objectTypes = []string{"file", "url", "domain", "ip"}

// scan reads one scan block: the core's own attributes, and the rest by the plugin's schema.
func (l *loader) scan(d *draft, block *hcl.Block) {
	name := block.Labels[0]
	source := ""
	if l.policy.Objects != nil {
		source = l.policy.Objects.Source
	}
	own := []*pluginv1.Attribute{
		{Name: "not", Type: pluginv1.Type_TYPE_BOOL}, {Name: "analyze", Type: pluginv1.Type_TYPE_BOOL},
	}
	var schema *pluginv1.Schema
	switch {
	case name == ObjectMatcher && source == "":
		l.fail(block.LabelRanges[0], "No suspicious objects", "The policy has no block `suspicious_objects`.")
		return
	case name == ObjectMatcher || name == source:
		name = source
		own = append(own, &pluginv1.Attribute{Name: "objects", Type: pluginv1.Type_TYPE_STRINGS, OneOf: objectTypes})
	default:
		p := l.withRole(name, pluginv1.Role_ROLE_SCANNER, block.LabelRanges[0], "a scanner")
		if p == nil {
			return
		}
		schema = p.entry.Description.GetScan()
	}
	body, ok := block.Body.(*hclsyntax.Body)
	if !ok {
		return
	}
	decoded, diags := plugincatalog.Decode(body, &pluginv1.Schema{
		Attributes: append(own, schema.GetAttributes()...), Blocks: schema.GetBlocks(),
	}, l.context)
	l.diags = append(l.diags, diags...)
	if decoded == nil {
		return
	}
	scan := Scan{Plugin: name, Not: decoded.Flag("not"), Analyze: decoded.Flag("analyze"), Range: block.DefRange}
	if name == source {
		if scan.Objects = decoded.Texts("objects"); len(scan.Objects) == 0 {
			scan.Objects = objectTypes
		}
	}
	analyze := decoded.Ranges["analyze"]
	for _, attribute := range plugincatalog.ScanAttributes() {
		delete(decoded.Values, attribute)
	}
	config, ok := l.json(decoded, block.DefRange)
	if !ok {
		return
	}
	d.rule.Scans = append(d.rule.Scans, scan)
	d.scans = append(d.scans, scanDraft{config: config, ranges: decoded.Ranges, analyze: analyze})
}

// whens reads what is done by the suspicious object's own action.
func (l *loader) whens(blocks hcl.Blocks) []When {
	var out []When
	taken := map[string]bool{}
	for _, block := range blocks {
		r := l.read(block, shape{required: []string{"object_action"}, blocks: []hcl.BlockHeaderSchema{actionHeader}})
		when := When{ObjectAction: some(r, "object_action", parseObjectAction), Actions: l.actions(r.content.Blocks.OfType("action"), inRule)}
		for _, action := range when.ObjectAction {
			if taken[action] {
				r.fail(r.place("object_action"), "object_action", fmt.Sprintf("there is a `when` for %q already", action))
			}
			taken[action] = true
		}
		if len(r.content.Blocks) == 0 {
			l.fail(block.DefRange, "No action", `Say what is done; action "pass" only logs.`)
		}
		out = append(out, when)
	}
	return out
}

func parseObjectAction(text string) (string, error) {
	known := []string{"none", "log", "block", "quarantine"}
	if !slices.Contains(known, text) {
		return "", fmt.Errorf("it must be one of %s", strings.Join(known, ", "))
	}
	return text, nil
}

// except reads the pairs of a route's exceptions: [{ from = "...", to = "..." }], where what is left out is anyone.
func (r *reader) except() (pairs []Pair, places []hcl.Range) {
	a := r.content.Attributes["except"]
	if a == nil {
		return nil, nil
	}
	exprs, diags := hcl.ExprList(a.Expr)
	if diags.HasErrors() {
		r.fail(a.Expr.Range(), "except", "it must be a list of { from = ..., to = ... }")
		return nil, nil
	}
	for _, expr := range exprs {
		if pair, ok := r.pair(expr); ok {
			pairs = append(pairs, pair)
			places = append(places, expr.Range())
		}
	}
	return pairs, places
}

func (r *reader) pair(expr hcl.Expression) (Pair, bool) {
	pair := Pair{From: anyone, To: anyone}
	value, ok := r.convert("except", expr, cty.DynamicPseudoType)
	if !ok {
		return pair, false
	}
	wrong := func(detail string) (Pair, bool) {
		r.fail(expr.Range(), "except", detail)
		return pair, false
	}
	if !value.Type().IsObjectType() || value.LengthInt() == 0 {
		return wrong("it must be a list of { from = ..., to = ... }")
	}
	for name, v := range value.AsValueMap() {
		if name != "from" && name != "to" {
			return wrong("a pair has only `from` and `to`")
		}
		if v.IsNull() || v.Type() != cty.String {
			return wrong("`from` and `to` are strings")
		}
		pattern, err := ParseAddressPattern(v.AsString())
		if err != nil {
			return wrong(err.Error())
		}
		if name == "from" {
			pair.From = pattern
		} else {
			pair.To = pattern
		}
	}
	return pair, true
}
