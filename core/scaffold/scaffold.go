// Package scaffold makes the folder that a new plugin begins in: a language and a name go in, a scanner that builds, is tested and runs
// comes out.
package scaffold

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"github.com/postern-mail/postern/core/plugincatalog"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// The files end in .tmpl, so that nothing takes them for what they are going to be.
//
//go:embed go node
var files embed.FS

// Module is what plugins in Go are written against.
const Module = "github.com/postern-mail/postern"

// Languages are those that a plugin can begin in.
func Languages() []string { return []string{"go", "node"} }

// Plan says what to make.
type Plan struct {
	Language string
	Name     string // of the plugin
	Folder   string // where; it must be empty, or not exist
	// Version is that of this program, whose module a plugin in Go is written against.
	Version string
	// SDK is a local copy of that module to use instead, "" for the published one.
	SDK string
}

var released = regexp.MustCompile(`^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`)

// Make writes the folder and returns the files in it, by name. Nothing is written where the plan cannot be carried out.
func Make(p Plan) ([]string, error) {
	wrap := func(err error) ([]string, error) { return nil, fmt.Errorf("new plugin %s: %w", p.Name, err) }
	switch {
	case !plugincatalog.ValidName(p.Name):
		return wrap(errors.New("a plugin's name is of the form [a-z][a-z0-9_-]*"))
	case p.Language == "go" && p.SDK == "" && !released.MatchString(p.Version):
		return wrap(fmt.Errorf("this program is no released version (%s), so that there is no module of it to build against; name a local copy "+
			"of the source with --sdk", p.Version))
	}
	if p.SDK != "" {
		sdk, err := filepath.Abs(p.SDK)
		if err != nil {
			return wrap(err)
		}
		text, err := os.ReadFile(filepath.Join(sdk, "go.mod"))
		if err != nil || !bytes.HasPrefix(text, []byte("module "+Module+"\n")) {
			return wrap(fmt.Errorf("--sdk: %s is not the folder of %s", sdk, Module))
		}
		p.SDK = sdk
	}
	if present, err := os.ReadDir(p.Folder); err == nil && len(present) > 0 {
		return wrap(fmt.Errorf("%s is not empty", p.Folder))
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return wrap(err)
	}
	made, err := render(p)
	if err != nil {
		return wrap(err)
	}
	names := make([]string, 0, len(made))
	for _, f := range made {
		to := filepath.Join(p.Folder, filepath.FromSlash(f.name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, f.content, 0o644)); err != nil {
			return wrap(err)
		}
		names = append(names, f.name)
	}
	return names, nil
}

type file struct {
	name    string
	content []byte
}

// render fills the templates in.
func render(p Plan) (out []file, err error) {
	values := struct {
		Plan
		Module string
	}{p, Module}
	err = fs.WalkDir(files, p.Language, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		made := file{name: strings.TrimSuffix(strings.TrimPrefix(name, p.Language+"/"), ".tmpl"), content: text}
		if base := path.Base(made.name); strings.HasPrefix(base, "dot.") {
			made.name = path.Join(path.Dir(made.name), strings.TrimPrefix(base, "dot"))
		}
		// What is no template is taken as it is: mail has line ends and braces of its own.
		if strings.HasSuffix(name, ".tmpl") {
			parsed, err := template.New(name).Delims("<%", "%>").Option("missingkey=error").Parse(string(text))
			if err != nil {
				return err
			}
			var filled bytes.Buffer
			if err := parsed.Execute(&filled, values); err != nil {
				return err
			}
			made.content = filled.Bytes()
		}
		out = append(out, made)
		return nil
	})
	if p.Language == "node" {
		out = append(out, file{"plugin.proto", []byte(pluginv1.Proto)})
	}
	return out, err
}
