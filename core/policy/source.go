package policy

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/postern-mail/postern/core/plugincatalog"
)

// MainFile is the policy's file in the folder that LoadDir reads; the folder RulesFolder beside it holds the rule files.
const (
	MainFile    = "postern.hcl"
	RulesFolder = "rules"
	// lockSuffix ends the names of files that are no part of a policy.
	lockSuffix = ".lock.hcl"
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

// LoadDir reads the sources of a policy: MainFile, which has to be there, the other *.hcl files beside it, and the rule files, both in name
// order, which is the order their rules have. Names in diagnostics begin with prefix, usually the folder as the operator gave it.
func LoadDir(fsys fs.FS, prefix string) ([]Source, error) {
	if _, err := fs.Stat(fsys, MainFile); err != nil {
		return nil, fmt.Errorf("read policy: %w", err)
	}
	beside, err := LoadRules(fsys, ".", prefix)
	if err != nil {
		return nil, err
	}
	rules, err := LoadRules(fsys, RulesFolder, prefix)
	if err != nil {
		return nil, err
	}
	main := path.Join(prefix, MainFile)
	slices.SortStableFunc(beside, func(a, b Source) int {
		switch {
		case a.Name == main:
			return -1
		case b.Name == main:
			return 1
		}
		return 0
	})
	return append(beside, rules...), nil
}

// LoadRules reads the *.hcl files of one folder in name order. A folder that does not exist has none.
func LoadRules(fsys fs.FS, folder, prefix string) ([]Source, error) {
	entries, err := fs.ReadDir(fsys, folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read policy: %w", err)
	}
	var sources []Source
	for _, entry := range entries {
		if entry.IsDir() || path.Ext(entry.Name()) != ".hcl" || strings.HasSuffix(entry.Name(), lockSuffix) {
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
