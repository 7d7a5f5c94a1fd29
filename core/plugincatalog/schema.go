package plugincatalog

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hcldec"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// Decode checks a block's body against a schema that Check has accepted. The diagnostics name the source range; they never hold a
// value. Where one of them is an error the block is nil.
func Decode(body *hclsyntax.Body, schema *pluginv1.Schema, context *hcl.EvalContext) (*Block, hcl.Diagnostics) {
	spec, err := bodySpec(schema)
	if err != nil {
		return nil, hcl.Diagnostics{{
			Severity: hcl.DiagError, Summary: "Broken plugin description", Detail: err.Error() + ".", Subject: body.MissingItemRange().Ptr(),
		}}
	}
	value, diags := hcldec.Decode(body, spec, context)
	if diags.HasErrors() {
		return nil, diags
	}
	plain, _ := value.UnmarkDeep()
	block := &Block{Values: encodeBody(schema, plain), Ranges: map[string]hcl.Range{}}
	block.locate(nil, body, schema)
	return block, diags
}

// bodySpec is the schema in the words of hcldec.
func bodySpec(schema *pluginv1.Schema) (hcldec.ObjectSpec, error) {
	spec := hcldec.ObjectSpec{}
	for _, a := range schema.GetAttributes() {
		s, err := attributeSpec(a)
		if err != nil {
			return nil, err
		}
		spec[a.GetName()] = s
	}
	for _, b := range schema.GetBlocks() {
		nested, err := bodySpec(b.GetBody())
		if err != nil {
			return nil, err
		}
		for i, label := range b.GetLabels() {
			nested[label] = &hcldec.BlockLabelSpec{Index: i, Name: label}
		}
		if !b.GetRepeated() {
			spec[b.GetName()] = &hcldec.BlockSpec{TypeName: b.GetName(), Nested: nested, Required: b.GetRequired()}
			continue
		}
		list := &hcldec.BlockListSpec{TypeName: b.GetName(), Nested: nested}
		if b.GetRequired() {
			list.MinItems = 1
		}
		spec[b.GetName()] = list
	}
	return spec, nil
}

func attributeSpec(a *pluginv1.Attribute) (hcldec.Spec, error) {
	kind, err := attributeType(a)
	if err != nil {
		return nil, err
	}
	// Required is checked below, where null counts as missing.
	var spec hcldec.Spec = &hcldec.AttrSpec{Name: a.GetName(), Type: kind}
	if a.GetDefaultJson() != "" {
		value, err := defaultValue(a)
		if err != nil {
			return nil, err
		}
		spec = &hcldec.DefaultSpec{Primary: spec, Default: &hcldec.LiteralSpec{Value: value}}
	}
	return &hcldec.ValidateSpec{Wrapped: spec, Func: func(value cty.Value) hcl.Diagnostics {
		value, _ = value.UnmarkDeep()
		if a.GetRequired() && value.IsNull() {
			return hcl.Diagnostics{{
				Severity: hcl.DiagError, Summary: "Missing required attribute", Detail: fmt.Sprintf("Attribute %q is required.", a.GetName()),
			}}
		}
		if err := checkValue(a, value); err != nil {
			return hcl.Diagnostics{{
				Severity: hcl.DiagError, Summary: "Unsuitable value", Detail: fmt.Sprintf("Attribute %q: %s.", a.GetName(), err),
			}}
		}
		return nil
	}}, nil
}

// attributeType is the type the value has in the policy. Durations, endpoints and paths are written as strings.
func attributeType(a *pluginv1.Attribute) (cty.Type, error) {
	switch a.GetType() {
	case pluginv1.Type_TYPE_STRING, pluginv1.Type_TYPE_DURATION, pluginv1.Type_TYPE_ENDPOINT, pluginv1.Type_TYPE_PATH:
		return cty.String, nil
	case pluginv1.Type_TYPE_NUMBER:
		return cty.Number, nil
	case pluginv1.Type_TYPE_BOOL:
		return cty.Bool, nil
	case pluginv1.Type_TYPE_STRINGS, pluginv1.Type_TYPE_PATHS:
		return cty.List(cty.String), nil
	}
	return cty.NilType, fmt.Errorf("attribute %q has the unknown type %s", a.GetName(), a.GetType())
}

// locate notes where each attribute and block of the body stands.
func (b *Block) locate(path []string, body *hclsyntax.Body, schema *pluginv1.Schema) {
	for name, a := range body.Attributes {
		b.Ranges[rangeKey(append(path, name))] = a.Expr.Range()
	}
	counts := map[string]int{}
	for _, nested := range body.Blocks {
		i := counts[nested.Type]
		counts[nested.Type]++
		at := append(path[:len(path):len(path)], nested.Type)
		// A plugin may name a block by its labels or by its place in the list.
		var names [][]string
		if len(nested.Labels) > 0 {
			names = append(names, append(at[:len(at):len(at)], nested.Labels...))
		} else if i == 0 {
			names = append(names, at)
		}
		names = append(names, append(at[:len(at):len(at)], fmt.Sprint(i)))
		for _, name := range names {
			if _, taken := b.Ranges[rangeKey(name)]; taken {
				continue
			}
			b.Ranges[rangeKey(name)] = nested.DefRange()
			b.locate(name, nested.Body, blockOf(schema, nested.Type).GetBody())
		}
	}
}

func blockOf(schema *pluginv1.Schema, name string) *pluginv1.Block {
	for _, b := range schema.GetBlocks() {
		if b.GetName() == name {
			return b
		}
	}
	return nil
}

func rangeKey(path []string) string { return strings.Join(path, "/") }
