package policy

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/hashicorp/hcl/v2"

	"github.com/postern-mail/postern/core/plugincatalog"
)

// MainFile is the policy's file in the folder that LoadDir reads; the folder RulesFolder beside it holds the rule files.
const (
	MainFile    = "postern.hcl"
	RulesFolder = "rules"
)

// Source is one file of a policy.
type Source struct {
	Name  string // as diagnostics show it; unique
	Bytes []byte
}

// Options is all that a policy depends on besides its sources.
type Options struct {
	Catalog plugincatalog.Catalog
	// Builtin are the files of hidden rules that come with the product. They count where suspicious objects are configured.
	Builtin []Source
	// Env answers env("NAME"). Nil: no variable is set.
	Env func(name string) (value string, set bool)
	// ReadFile answers file("path"), relative to the policy's folder. Nil: no file exists.
	ReadFile func(name string) ([]byte, error)
}

// LoadDir reads the sources of a policy: MainFile, and the rule files in name order, which is the order their rules have. Names in
// diagnostics begin with prefix, usually the folder as the operator gave it.
func LoadDir(fsys fs.FS, prefix string) ([]Source, error) {
	main, err := fs.ReadFile(fsys, MainFile)
	if err != nil {
		return nil, fmt.Errorf("read policy: %w", err)
	}
	rules, err := LoadRules(fsys, RulesFolder, prefix)
	if err != nil {
		return nil, err
	}
	return append([]Source{{Name: path.Join(prefix, MainFile), Bytes: main}}, rules...), nil
}

// LoadRules reads the *.hcl files of one folder in name order. A folder that does not exist has none.
func LoadRules(fsys fs.FS, folder, prefix string) ([]Source, error) {
	entries, err := fs.ReadDir(fsys, folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read policy: %w", err)
	}
	var sources []Source
	for _, entry := range entries {
		if entry.IsDir() || path.Ext(entry.Name()) != ".hcl" {
			continue
		}
		name := path.Join(folder, entry.Name())
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("read policy: %w", err)
		}
		sources = append(sources, Source{Name: path.Join(prefix, name), Bytes: text})
	}
	return sources, nil
}

// FilesIn is an Options.ReadFile that takes names relative to the folder.
func FilesIn(folder string) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		if !filepath.IsAbs(name) {
			name = filepath.Join(folder, name)
		}
		return os.ReadFile(name)
	}
}

// WriteDiagnostics prints diagnostics with the source lines they are about. A width of 0 wraps nothing.
func WriteDiagnostics(w io.Writer, files map[string]*hcl.File, diags hcl.Diagnostics, width uint, color bool) error {
	if err := hcl.NewDiagnosticTextWriter(w, files, width, color).WriteDiagnostics(diags); err != nil {
		return fmt.Errorf("write diagnostics: %w", err)
	}
	return nil
}
