package schema

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Of is the body that a struct describes, so that names, types and values stand in one place; Decode fills such a struct. Each exported
// field is an attribute: a string, bool, number, time.Duration, list of strings, or a pointer to one where it matters whether it was
// written. A struct is a block, a slice of structs is a repeated one, and an embedded struct's fields count as fields of its own. The name
// is the field's in snake case (APIKey: api_key), or that of the tag `config`. The other tags:
//
//	summary:"..."  required:"true"  default:"..."  sensitive:"true"  one_of:"a,b"  min:"1"  max:"9"  of attributes
//	type:"path"    type:"endpoint"                 of strings and lists of strings that are grants
//	label:"true"                                   of a block's strings that are its labels
//	endpoint:"{host}:{port}"                       of blocks
//
// It panics where the struct describes nothing that can be written, which is a mistake in the plugin's own source.
func Of(options any) Body {
	body, labels, err := bodyOf(reflect.TypeOf(options))
	if err == nil && len(labels) > 0 {
		err = fmt.Errorf("the label %s is outside of a block", labels[0])
	}
	if err != nil {
		panic(fmt.Sprintf("schema: %T: %v", options, err))
	}
	return body
}

// ValueError says that a value does not fit into its field, and where it stands in the block.
type ValueError struct {
	Path []string
	Err  error
}

func (e *ValueError) Error() string { return strings.Join(e.Path, ".") + ": " + e.Err.Error() }

// Unwrap is what is wrong with the value.
func (e *ValueError) Unwrap() error { return e.Err }

// Decode fills a struct with a block's JSON as the core sends it, by the names that Of gives its fields. An attribute without a field is an
// error, so that none is described and then forgotten. The error is a *ValueError.
func Decode(text json.RawMessage, into any) error {
	target := reflect.ValueOf(into)
	if target.Kind() != reflect.Pointer || target.Elem().Kind() != reflect.Struct {
		return &ValueError{Err: fmt.Errorf("%T is no pointer to a struct", into)}
	}
	return decode(nil, text, target.Elem())
}

var durationType = reflect.TypeFor[time.Duration]()

// fieldsOf calls use for every field, those of embedded structs included.
func fieldsOf(t reflect.Type, use func(name string, field reflect.StructField, index []int) error) error {
	for _, field := range reflect.VisibleFields(t) {
		if field.Anonymous || !field.IsExported() {
			continue
		}
		name := field.Tag.Get("config")
		if name == "" {
			name = snake(field.Name)
		}
		if err := use(name, field, field.Index); err != nil {
			return fmt.Errorf("%s: %w", field.Name, err)
		}
	}
	return nil
}

// snake is a field's name as it is written in policies: a word begins at each capital that follows a small letter or precedes one.
func snake(name string) string {
	var out strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		begins := unicode.IsUpper(r) && i > 0 && (!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1]))
		if begins {
			out.WriteByte('_')
		}
		out.WriteRune(unicode.ToLower(r))
	}
	return out.String()
}

// plain is the type behind a pointer.
func plain(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

func bodyOf(t reflect.Type) (body Body, labels []string, err error) {
	if t = plain(t); t.Kind() != reflect.Struct {
		return body, nil, fmt.Errorf("%s is no struct", t)
	}
	err = fieldsOf(t, func(name string, field reflect.StructField, _ []int) error {
		inner := plain(field.Type)
		repeated := inner.Kind() == reflect.Slice && plain(inner.Elem()).Kind() == reflect.Struct
		switch {
		case repeated || inner.Kind() == reflect.Struct:
			block := Block{
				Name: name, Summary: field.Tag.Get("summary"), Required: field.Tag.Get("required") == "true", Repeated: repeated,
				Endpoint: field.Tag.Get("endpoint"),
			}
			if repeated {
				inner = inner.Elem()
			}
			var err error
			if block.Body, block.Labels, err = bodyOf(inner); err != nil {
				return err
			}
			body.Blocks = append(body.Blocks, block)
		case field.Tag.Get("label") == "true":
			labels = append(labels, name)
		default:
			attribute, err := attributeOf(name, field.Tag, inner)
			if err != nil {
				return err
			}
			body.Attributes = append(body.Attributes, attribute)
		}
		return nil
	})
	return body, labels, err
}

func attributeOf(name string, tag reflect.StructTag, t reflect.Type) (a Attribute, err error) {
	a = Attribute{Name: name, Summary: tag.Get("summary"), Required: tag.Get("required") == "true", Sensitive: tag.Get("sensitive") == "true"}
	if a.Type, err = typeOf(t, tag.Get("type")); err != nil {
		return a, err
	}
	if words := tag.Get("one_of"); words != "" {
		a.OneOf = strings.Split(words, ",")
	}
	for key, bound := range map[string]**float64{"min": &a.Min, "max": &a.Max} {
		if text := tag.Get(key); text != "" {
			value, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return a, fmt.Errorf("%s: %w", key, err)
			}
			*bound = &value
		}
	}
	text, given := tag.Lookup("default")
	if !given {
		return a, nil
	}
	switch a.Type {
	case Number:
		a.Default, err = strconv.ParseFloat(text, 64)
	case Bool:
		a.Default, err = strconv.ParseBool(text)
	case Strings, Paths:
		a.Default = strings.Split(text, ",")
	default:
		a.Default = text
	}
	if err != nil {
		return a, fmt.Errorf("default: %w", err)
	}
	return a, nil
}

func typeOf(t reflect.Type, grant string) (Type, error) {
	list := t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.String
	switch kind := t.Kind(); {
	case grant == "path" && kind == reflect.String:
		return Path, nil
	case grant == "path" && list:
		return Paths, nil
	case grant == "endpoint" && kind == reflect.String:
		return Endpoint, nil
	case grant != "":
		return 0, fmt.Errorf("type %q does not go with %s", grant, t)
	case t == durationType:
		return Duration, nil
	case kind == reflect.String:
		return String, nil
	case list:
		return Strings, nil
	case kind == reflect.Bool:
		return Bool, nil
	case reflect.Zero(t).CanInt() || reflect.Zero(t).CanUint() || reflect.Zero(t).CanFloat():
		return Number, nil
	}
	return 0, fmt.Errorf("no attribute has the type %s", t)
}

func decode(path []string, text json.RawMessage, target reflect.Value) error {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(text, &values); err != nil {
		return &ValueError{path, err}
	}
	err := fieldsOf(target.Type(), func(name string, field reflect.StructField, index []int) error {
		value, given := values[name]
		delete(values, name)
		if !given || string(value) == "null" {
			return nil
		}
		return decodeField(append(path[:len(path):len(path)], name), value, target.FieldByIndex(index))
	})
	if err != nil {
		return err
	}
	for name := range values {
		return &ValueError{append(path[:len(path):len(path)], name), fmt.Errorf("%s has no field for it", target.Type())}
	}
	return nil
}

func decodeField(path []string, text json.RawMessage, field reflect.Value) error {
	if field.Kind() == reflect.Pointer {
		field.Set(reflect.New(field.Type().Elem()))
		field = field.Elem()
	}
	switch {
	case field.Type() == durationType:
		var seconds float64
		if err := json.Unmarshal(text, &seconds); err != nil {
			return &ValueError{path, err}
		}
		field.SetInt(int64(seconds * float64(time.Second)))
		return nil
	case field.Kind() == reflect.Struct:
		return decode(path, text, field)
	case field.Kind() == reflect.Slice && plain(field.Type().Elem()).Kind() == reflect.Struct:
		return decodeBlocks(path, text, field)
	}
	if err := json.Unmarshal(text, field.Addr().Interface()); err != nil {
		return &ValueError{path, err}
	}
	return nil
}

func decodeBlocks(path []string, text json.RawMessage, field reflect.Value) error {
	var blocks []json.RawMessage
	if err := json.Unmarshal(text, &blocks); err != nil {
		return &ValueError{path, err}
	}
	field.Set(reflect.MakeSlice(field.Type(), len(blocks), len(blocks)))
	for i, block := range blocks {
		if err := decodeField(append(path[:len(path):len(path)], strconv.Itoa(i)), block, field.Index(i)); err != nil {
			return err
		}
	}
	return nil
}
