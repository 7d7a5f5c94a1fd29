// Package schema describes what an operator may write in a plugin's block: attributes go in, the contract's Schema comes out. The
// core checks the policy against it, so a plugin only ever sees configuration that fits.
package schema

import (
	"encoding/json"
	"fmt"

	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// Body is the inside of a block. The zero value allows nothing.
type Body struct {
	Attributes []Attribute
	Blocks     []Block
}

// Type is the type of an attribute's value.
type Type int

// The types. Duration values reach the plugin as a number of seconds; Endpoint and Path values are also grants.
const (
	String Type = iota + 1
	Number
	Bool
	Strings
	Duration
	Endpoint
	Path
	Paths
)

var wireTypes = map[Type]pluginv1.Type{
	String: pluginv1.Type_TYPE_STRING, Number: pluginv1.Type_TYPE_NUMBER, Bool: pluginv1.Type_TYPE_BOOL,
	Strings: pluginv1.Type_TYPE_STRINGS, Duration: pluginv1.Type_TYPE_DURATION, Endpoint: pluginv1.Type_TYPE_ENDPOINT,
	Path: pluginv1.Type_TYPE_PATH, Paths: pluginv1.Type_TYPE_PATHS,
}

// Attribute is one `name = value`.
type Attribute struct {
	Name     string
	Summary  string
	Type     Type
	Required bool
	// Default is the value when the attribute is left out; nil: it is then absent from the JSON. Durations are given in
	// the policy's form ("20s").
	Default   any
	Sensitive bool // never logged or shown
	OneOf     []string
	Min, Max  *float64
}

// Block is a nested block. Its labels become attributes of the names given.
type Block struct {
	Name     string
	Summary  string
	Labels   []string
	Body     Body
	Required bool
	Repeated bool
	// Endpoint is what each such block is granted to connect to where no attribute of the type Endpoint says it: names of labels and
	// attributes in braces, such as "{host}:{port}".
	Endpoint string
}

// Bound is a helper for Attribute.Min and Max.
func Bound(v float64) *float64 { return &v }

// Wire is the body as the contract carries it. It panics where a default cannot be written as JSON, which is a mistake in the
// plugin's own source.
func (b Body) Wire() *pluginv1.Schema {
	out := &pluginv1.Schema{}
	for _, a := range b.Attributes {
		w := &pluginv1.Attribute{
			Name: a.Name, Summary: a.Summary, Type: wireTypes[a.Type], Required: a.Required, Sensitive: a.Sensitive,
			OneOf: a.OneOf, Min: a.Min, Max: a.Max,
		}
		if a.Default != nil {
			text, err := json.Marshal(a.Default)
			if err != nil {
				panic(fmt.Sprintf("schema: default of %s: %v", a.Name, err))
			}
			w.DefaultJson = string(text)
		}
		out.Attributes = append(out.Attributes, w)
	}
	for _, n := range b.Blocks {
		out.Blocks = append(out.Blocks, &pluginv1.Block{
			Name: n.Name, Summary: n.Summary, Labels: n.Labels, Body: n.Body.Wire(), Required: n.Required, Repeated: n.Repeated,
			Endpoint: n.Endpoint,
		})
	}
	return out
}
