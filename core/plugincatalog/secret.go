package plugincatalog

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// SecretRanges finds the places of a body that no diagnostic may show: what is written for sensitive attributes and, where unknown is
// set, for those that the schema does not know, because a misspelt name may hold a secret too.
func SecretRanges(body *hclsyntax.Body, schema *pluginv1.Schema, unknown bool) []hcl.Range {
	sensitive := map[string]bool{}
	for _, a := range schema.GetAttributes() {
		sensitive[a.GetName()] = a.GetSensitive()
	}
	var out []hcl.Range
	for name, a := range body.Attributes {
		secret, known := sensitive[name]
		if secret || unknown && !known {
			out = append(out, WrittenValues(a.Expr)...)
		}
	}
	for _, b := range body.Blocks {
		out = append(out, SecretRanges(b.Body, blockOf(schema, b.Type).GetBody(), unknown)...)
	}
	return out
}

// WrittenValues finds the literals and bare words of an expression. Arguments of functions are left out: env("KEY") names a secret
// and holds none.
func WrittenValues(expr hclsyntax.Expression) []hcl.Range {
	w := &valueWalker{}
	// The walker reports nothing, so there are no diagnostics.
	_ = hclsyntax.Walk(expr, w)
	return w.found
}

type valueWalker struct {
	calls int // how many function calls are around
	found []hcl.Range
}

func (w *valueWalker) Enter(node hclsyntax.Node) hcl.Diagnostics {
	switch node.(type) {
	case *hclsyntax.FunctionCallExpr:
		w.calls++
	case *hclsyntax.LiteralValueExpr, *hclsyntax.ScopeTraversalExpr:
		if w.calls == 0 {
			w.found = append(w.found, node.Range())
		}
	}
	return nil
}

func (w *valueWalker) Exit(node hclsyntax.Node) hcl.Diagnostics {
	if _, call := node.(*hclsyntax.FunctionCallExpr); call {
		w.calls--
	}
	return nil
}
