package policy

import (
	"errors"
	"io/fs"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// fromOutside marks what env() and file() return. Marked values are never shown by a diagnostic.
const fromOutside = mark("from outside")

type mark string

// outside records what env() and file() have returned, for the revision.
type outside struct {
	options Options
	seen    []string
}

func (o *outside) context() *hcl.EvalContext {
	return &hcl.EvalContext{Functions: map[string]function.Function{
		"env":  o.function("name", o.env),
		"file": o.function("path", o.file),
	}}
}

// function takes what it looks up, and a second argument for where there is none.
func (o *outside) function(parameter string, get func(string) (string, error)) function.Function {
	return function.New(&function.Spec{
		Params:   []function.Parameter{{Name: parameter, Type: cty.String, AllowMarked: true}},
		VarParam: &function.Parameter{Name: "default", Type: cty.String, AllowMarked: true},
		Type:     function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if len(args) > 2 {
				return cty.NilVal, function.NewArgErrorf(2, "there is one default at most")
			}
			argument, marks := args[0].Unmark()
			text, err := get(argument.AsString())
			if errors.Is(err, errAbsent) && len(args) == 2 {
				return args[1], nil
			}
			if err == nil && !utf8.ValidString(text) {
				err = errors.New("its content is not UTF-8")
			}
			if err != nil {
				return cty.NilVal, function.NewArgError(0, err)
			}
			o.seen = append(o.seen, text)
			return cty.StringVal(text).WithMarks(marks).Mark(fromOutside), nil
		},
	})
}

// errAbsent is what a default stands in for.
var errAbsent = errors.New("absent")

type absent string

func (a absent) Error() string        { return string(a) }
func (a absent) Is(target error) bool { return target == errAbsent }

func (o *outside) env(name string) (string, error) {
	if o.options.Env != nil {
		if value, set := o.options.Env(name); set {
			return value, nil
		}
	}
	return "", absent("this environment variable is not set")
}

func (o *outside) file(name string) (string, error) {
	if o.options.ReadFile == nil {
		return "", absent("this file does not exist")
	}
	text, err := o.options.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", absent("this file does not exist")
	case errors.Is(err, fs.ErrPermission):
		return "", errors.New("this file may not be read")
	case err != nil:
		// The error would show the path, which may itself come from env().
		return "", errors.New("this file cannot be read")
	}
	return string(text), nil
}
