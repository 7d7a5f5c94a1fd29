package plugincatalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// Block is what an operator wrote in one block, checked.
type Block struct {
	// Values are the attributes and nested blocks by name, ready for JSON. What was left out and has no default is absent.
	Values map[string]any
	// Ranges are the places of attributes and nested blocks by their path, joined with "/": "server/192.0.2.1/port". Unlabelled
	// blocks are found by their number from 0 too: "server/0/port".
	Ranges map[string]hcl.Range
}

// JSON is the block as the plugin gets it. Equal blocks have equal JSON, however they were written.
func (b *Block) JSON() (json.RawMessage, error) {
	text, err := json.Marshal(b.Values)
	if err != nil {
		return nil, fmt.Errorf("encode block: %w", err)
	}
	return text, nil
}

// Text is a string attribute, or "" where it is absent.
func (b *Block) Text(name string) string {
	text, _ := b.Values[name].(string)
	return text
}

// Texts is an attribute that is a list of strings, or nil where it is absent.
func (b *Block) Texts(name string) []string {
	list, _ := b.Values[name].([]string)
	return list
}

// Flag is a boolean attribute, or false where it is absent.
func (b *Block) Flag(name string) bool {
	flag, _ := b.Values[name].(bool)
	return flag
}

// encodeBody makes plain values of a decoded body.
func encodeBody(schema *pluginv1.Schema, value cty.Value) map[string]any {
	out := map[string]any{}
	for _, a := range schema.GetAttributes() {
		if v := value.GetAttr(a.GetName()); !v.IsNull() {
			out[a.GetName()] = encodeAttribute(a, v)
		}
	}
	for _, b := range schema.GetBlocks() {
		v := value.GetAttr(b.GetName())
		switch {
		case v.IsNull():
		case b.GetRepeated():
			list := []any{}
			for _, element := range v.AsValueSlice() {
				list = append(list, encodeBlock(b, element))
			}
			out[b.GetName()] = list
		default:
			out[b.GetName()] = encodeBlock(b, v)
		}
	}
	return out
}

func encodeBlock(b *pluginv1.Block, value cty.Value) map[string]any {
	out := encodeBody(b.GetBody(), value)
	for _, label := range b.GetLabels() {
		out[label] = value.GetAttr(label).AsString()
	}
	return out
}

// encodeAttribute expects a value that checkValue has accepted.
func encodeAttribute(a *pluginv1.Attribute, value cty.Value) any {
	switch a.GetType() {
	case pluginv1.Type_TYPE_NUMBER:
		return number(value.AsBigFloat())
	case pluginv1.Type_TYPE_BOOL:
		return value.True()
	case pluginv1.Type_TYPE_STRINGS, pluginv1.Type_TYPE_PATHS:
		return stringsOf(value)
	case pluginv1.Type_TYPE_DURATION:
		d, err := ParseDuration(value.AsString())
		if err != nil {
			return nil // checkValue has parsed it before
		}
		return number(big.NewFloat(d.Seconds()))
	}
	return value.AsString()
}

func number(f *big.Float) json.Number {
	if i, accuracy := f.Int64(); accuracy == big.Exact {
		return json.Number(strconv.FormatInt(i, 10))
	}
	x, _ := f.Float64()
	return json.Number(strconv.FormatFloat(x, 'g', -1, 64))
}

func stringsOf(list cty.Value) []string {
	out := []string{}
	for _, v := range list.AsValueSlice() {
		out = append(out, v.AsString())
	}
	return out
}

// defaultValue reads an attribute's default and checks it as if it had been written.
func defaultValue(a *pluginv1.Attribute) (cty.Value, error) {
	kind, err := attributeType(a)
	if err != nil {
		return cty.NilVal, err
	}
	value, err := ctyjson.Unmarshal([]byte(a.GetDefaultJson()), kind)
	if err != nil {
		return cty.NilVal, fmt.Errorf("default of attribute %q: %w", a.GetName(), err)
	}
	if err := checkValue(a, value); err != nil {
		return cty.NilVal, fmt.Errorf("default of attribute %q: %w", a.GetName(), err)
	}
	return value, nil
}

// checkValue holds a value against what the schema says beyond the type. The error never holds the value, which may be secret.
func checkValue(a *pluginv1.Attribute, value cty.Value) error {
	if value.IsNull() {
		return nil
	}
	switch a.GetType() {
	case pluginv1.Type_TYPE_NUMBER:
		x, _ := value.AsBigFloat().Float64()
		if math.IsInf(x, 0) {
			return errors.New("the number is too large")
		}
		return checkBounds(a, x, "")
	case pluginv1.Type_TYPE_DURATION:
		d, err := ParseDuration(value.AsString())
		if err != nil {
			return err
		}
		return checkBounds(a, d.Seconds(), " seconds")
	case pluginv1.Type_TYPE_STRING:
		return checkOneOf(a, value.AsString())
	case pluginv1.Type_TYPE_ENDPOINT:
		return CheckEndpoint(value.AsString())
	case pluginv1.Type_TYPE_PATH:
		return checkPath(value.AsString())
	case pluginv1.Type_TYPE_STRINGS, pluginv1.Type_TYPE_PATHS:
		return checkList(a, value)
	}
	return nil
}

func checkList(a *pluginv1.Attribute, list cty.Value) error {
	for _, v := range list.AsValueSlice() {
		if v.IsNull() {
			return errors.New("an element is null")
		}
		check := checkOneOf(a, v.AsString())
		if a.GetType() == pluginv1.Type_TYPE_PATHS {
			check = checkPath(v.AsString())
		}
		if check != nil {
			return check
		}
	}
	return nil
}

func checkBounds(a *pluginv1.Attribute, x float64, unit string) error {
	switch {
	case a.Min != nil && x < a.GetMin():
		return fmt.Errorf("it must be at least %v%s", a.GetMin(), unit)
	case a.Max != nil && x > a.GetMax():
		return fmt.Errorf("it must be at most %v%s", a.GetMax(), unit)
	}
	return nil
}

func checkOneOf(a *pluginv1.Attribute, text string) error {
	if len(a.GetOneOf()) == 0 || slices.Contains(a.GetOneOf(), text) {
		return nil
	}
	return fmt.Errorf("it must be one of %s", strings.Join(a.GetOneOf(), ", "))
}

// CheckEndpoint accepts what can become a grant to connect: host:port, unix:/path, or a URL with a host.
func CheckEndpoint(text string) error {
	wrong := errors.New(`an endpoint is "host:port", "unix:/path" or a URL`)
	if path, found := strings.CutPrefix(text, "unix:"); found {
		if !strings.HasPrefix(path, "/") {
			return wrong
		}
		return checkPath(path)
	}
	if strings.Contains(text, "://") {
		u, err := url.Parse(text)
		if err != nil || u.Hostname() == "" {
			return wrong // not err itself: it quotes the text, which may hold a password
		}
		return nil
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil || host == "" {
		return wrong
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return errors.New("the port must be a number from 1 to 65535")
	}
	return nil
}

func checkPath(text string) error {
	if text == "" || strings.ContainsRune(text, 0) {
		return errors.New("a path must not be empty or hold a NUL")
	}
	return nil
}
