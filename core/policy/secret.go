package policy

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/postern-mail/postern/core/plugincatalog"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// secrets finds what must not be shown of a file: the store's address, the environment of plugins, and what their schemas call
// sensitive. A plugin that is not pinned has no schema, so all its configuration is hidden.
func (l *loader) secrets(body hcl.Body) []hcl.Range {
	top, ok := body.(*hclsyntax.Body)
	if !ok {
		return nil
	}
	var out []hcl.Range
	for _, block := range top.Blocks {
		switch block.Type {
		case "store":
			out = append(out, written(block.Body, "url")...)
		case "plugin":
			out = append(out, written(block.Body, "env")...)
			for _, config := range block.Body.Blocks {
				if config.Type == "config" && len(block.Labels) > 0 {
					schema := l.options.Catalog[block.Labels[0]].Description.GetConfig()
					out = append(out, plugincatalog.SecretRanges(config.Body, schema, true)...)
				}
			}
		default:
			out = append(out, l.secretsOfUse(block.Body)...)
		}
	}
	return out
}

// secretsOfUse finds sensitive attributes of scan and action blocks, wherever they are nested.
func (l *loader) secretsOfUse(body *hclsyntax.Body) []hcl.Range {
	var out []hcl.Range
	for _, block := range body.Blocks {
		for _, schema := range l.schemasOf(block) {
			out = append(out, plugincatalog.SecretRanges(block.Body, schema, false)...)
		}
		out = append(out, l.secretsOfUse(block.Body)...)
	}
	return out
}

func (l *loader) schemasOf(block *hclsyntax.Block) []*pluginv1.Schema {
	if len(block.Labels) == 0 {
		return nil
	}
	var out []*pluginv1.Schema
	switch block.Type {
	case "scan":
		out = append(out, l.options.Catalog[block.Labels[0]].Description.GetScan())
	case "action":
		for _, entry := range l.options.Catalog {
			for _, a := range entry.Description.GetActions() {
				if a.GetName() == block.Labels[0] {
					out = append(out, a.GetConfig())
				}
			}
		}
	}
	return out
}

func written(body *hclsyntax.Body, name string) []hcl.Range {
	if a := body.Attributes[name]; a != nil {
		return plugincatalog.WrittenValues(a.Expr)
	}
	return nil
}

// stringsOfBroken finds the strings of a file that does not parse, so that nothing tells which of them are secrets: all but labels
// and the arguments of functions.
func stringsOfBroken(source Source) []hcl.Range {
	tokens, _ := hclsyntax.LexConfig(source.Bytes, source.Name, hcl.InitialPos) // what is wrong has been said by the parser
	var out []hcl.Range
	var open []bool // per quotation around: its text may be shown
	previous := hclsyntax.TokenNewline
	for _, token := range tokens {
		switch token.Type {
		case hclsyntax.TokenOQuote:
			open = append(open, previous == hclsyntax.TokenIdent || previous == hclsyntax.TokenCQuote || previous == hclsyntax.TokenOParen)
		case hclsyntax.TokenOHeredoc:
			open = append(open, false)
		case hclsyntax.TokenCQuote, hclsyntax.TokenCHeredoc:
			open = open[:max(0, len(open)-1)]
		case hclsyntax.TokenQuotedLit, hclsyntax.TokenStringLit:
			if len(open) == 0 || !open[len(open)-1] {
				out = append(out, token.Range)
			}
		}
		previous = token.Type
	}
	return out
}

// shortSecret is the length below which a value from outside is no secret worth the holes that hiding it would make in the text.
const shortSecret = 4

// hide takes values from env() and file() out of the diagnostics. Marked values are not shown with their variables, but HCL quotes
// even marked ones where two keys of a `for` are alike.
func (l *loader) hide() {
	for _, text := range l.outside.seen {
		if len(text) < shortSecret {
			continue
		}
		quoted := strconv.Quote(text)
		hider := strings.NewReplacer(text, "(hidden)", quoted[1:len(quoted)-1], "(hidden)")
		for _, d := range l.diags {
			d.Summary, d.Detail = hider.Replace(d.Summary), hider.Replace(d.Detail)
		}
	}
}

// blank is a copy of the text in which the ranges show nothing but their place.
func blank(text []byte, ranges []hcl.Range) []byte {
	text = bytes.Clone(text)
	for _, r := range ranges {
		for i := r.Start.Byte; i < r.End.Byte && i < len(text); i++ {
			if text[i] != '\n' && text[i] != '\r' {
				text[i] = '*'
			}
		}
	}
	return text
}
