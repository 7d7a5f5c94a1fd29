package plugintest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/postern-mail/postern/sdk/schema"
)

// fit makes the JSON that the core would send for the values: defaults filled in, durations in seconds. What the core would refuse is an
// error.
func fit(body schema.Body, values map[string]any) (string, error) {
	fitted, err := fitBody(body, values)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(fitted)
	return string(text), err
}

func fitBody(body schema.Body, values map[string]any) (map[string]any, error) {
	out, rest := map[string]any{}, maps.Clone(values)
	for _, a := range body.Attributes {
		value, given := values[a.Name]
		delete(rest, a.Name)
		if !given {
			value = a.Default
		}
		if value == nil {
			if a.Required {
				return nil, fmt.Errorf("attribute %q is required", a.Name)
			}
			continue
		}
		var err error
		if out[a.Name], err = fitAttribute(a, value); err != nil {
			return nil, fmt.Errorf("attribute %q: %w", a.Name, err)
		}
	}
	for _, b := range body.Blocks {
		value, given := values[b.Name]
		delete(rest, b.Name)
		if !given && b.Required {
			return nil, fmt.Errorf("block %q is required", b.Name)
		}
		if !given {
			continue
		}
		var err error
		if out[b.Name], err = fitBlock(b, value); err != nil {
			return nil, fmt.Errorf("block %q: %w", b.Name, err)
		}
	}
	for name := range rest {
		return nil, fmt.Errorf("there is no attribute or block %q", name)
	}
	return out, nil
}

func fitBlock(b schema.Block, value any) (any, error) {
	list, repeated := value.([]map[string]any)
	if one, single := value.(map[string]any); single {
		list = []map[string]any{one}
	} else if !repeated {
		return nil, fmt.Errorf("%T is neither map[string]any nor a list of them", value)
	}
	if !b.Repeated && len(list) != 1 {
		return nil, fmt.Errorf("it stands once, not %d times", len(list))
	}
	inside := b.Body
	for _, label := range b.Labels {
		inside.Attributes = append(slices.Clip(inside.Attributes), schema.Attribute{Name: label, Type: schema.String, Required: true})
	}
	out := []any{}
	for _, one := range list {
		fitted, err := fitBody(inside, one)
		if err != nil {
			return nil, err
		}
		out = append(out, fitted)
	}
	if !b.Repeated {
		return out[0], nil
	}
	return out, nil
}

func fitAttribute(a schema.Attribute, value any) (any, error) {
	switch a.Type {
	case schema.Number:
		number, err := numberOf(value)
		if err != nil {
			return nil, err
		}
		return number, inBounds(a, number)
	case schema.Duration:
		text, ok := value.(string)
		if !ok {
			return nil, fmt.Errorf("a duration is a text like \"20s\", not %T", value)
		}
		d, err := time.ParseDuration(text)
		if err != nil {
			return nil, err
		}
		return d.Seconds(), inBounds(a, d.Seconds())
	case schema.Bool:
		if _, ok := value.(bool); !ok {
			return nil, fmt.Errorf("it is a bool, not %T", value)
		}
	case schema.Strings, schema.Paths:
		list, ok := value.([]string)
		if !ok {
			return nil, fmt.Errorf("it is a []string, not %T", value)
		}
		for _, text := range list {
			if err := oneOf(a, text); err != nil {
				return nil, err
			}
		}
	default:
		text, ok := value.(string)
		if !ok {
			return nil, fmt.Errorf("it is a string, not %T", value)
		}
		return text, oneOf(a, text)
	}
	return value, nil
}

func numberOf(value any) (float64, error) {
	switch n := value.(type) {
	case int:
		return float64(n), nil
	case float64:
		return n, nil
	}
	return 0, fmt.Errorf("it is an int or float64, not %T", value)
}

func inBounds(a schema.Attribute, value float64) error {
	if a.Min != nil && value < *a.Min || a.Max != nil && value > *a.Max {
		return fmt.Errorf("%v is out of bounds", value)
	}
	return nil
}

func oneOf(a schema.Attribute, text string) error {
	if len(a.OneOf) > 0 && !slices.Contains(a.OneOf, text) {
		return fmt.Errorf("%q is none of %q", text, a.OneOf)
	}
	return nil
}
