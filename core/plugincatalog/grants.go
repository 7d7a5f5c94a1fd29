package plugincatalog

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// Grants are the values of a checked configuration that a plugin's schema types as endpoint or path: what the operator lets it reach and
// read. Each is "connect VALUE" or "read VALUE", sorted and once.
func Grants(schema *pluginv1.Schema, config json.RawMessage) ([]string, error) {
	var values map[string]any
	if err := json.Unmarshal(config, &values); err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	out := grantsOf(schema, values)
	slices.Sort(out)
	return slices.Compact(out), nil
}

func grantsOf(schema *pluginv1.Schema, values map[string]any) (out []string) {
	for _, a := range schema.GetAttributes() {
		verb := map[pluginv1.Type]string{
			pluginv1.Type_TYPE_ENDPOINT: "connect ", pluginv1.Type_TYPE_PATH: "read ", pluginv1.Type_TYPE_PATHS: "read ",
		}[a.GetType()]
		if verb == "" {
			continue
		}
		switch v := values[a.GetName()].(type) {
		case string:
			if v != "" {
				out = append(out, verb+v)
			}
		case []any:
			for _, one := range v {
				out = append(out, verb+fmt.Sprint(one))
			}
		}
	}
	for _, b := range schema.GetBlocks() {
		switch v := values[b.GetName()].(type) {
		case map[string]any:
			out = append(out, grantsOfBlock(b, v)...)
		case []any:
			for _, one := range v {
				if nested, ok := one.(map[string]any); ok {
					out = append(out, grantsOfBlock(b, nested)...)
				}
			}
		}
	}
	return out
}

func grantsOfBlock(b *pluginv1.Block, values map[string]any) []string {
	out := grantsOf(b.GetBody(), values)
	if b.GetEndpoint() == "" {
		return out
	}
	endpoint := placeholder.ReplaceAllStringFunc(b.GetEndpoint(), func(name string) string {
		text := fmt.Sprint(values[strings.Trim(name, "{}")])
		if strings.Contains(text, ":") && !strings.Contains(text, "/") {
			return "[" + text + "]" // an IPv6 address
		}
		return text
	})
	if CheckEndpoint(endpoint) == nil {
		out = append(out, "connect "+endpoint)
	}
	return out
}

var placeholder = regexp.MustCompile(`\{[^{}]*\}`)
