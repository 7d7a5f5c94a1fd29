package core

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/postern-mail/postern/"

// layers are the packages of core from the top down: each imports only what stands in a line below its own. Packages in one line are
// peers and know nothing of each other. "..." takes a folder with all below it.
func layers() []string {
	return []string{
		"e2e e2e/proof e2e/trial e2e/hostile robustness",
		"e2e/harness cmd/postern",
		"doctor",
		"host",
		"admin intake",
		"mailauth gate",
		"delivery analysis",
		"compose conform scaffold",
		"inspect rewrite",
		"exposure pluginpool",
		"pluginprocess engine",
		"policy",
		"plugincatalog objects",
		"content",
		"store/sqlite store/postgres store/journal store/storetest store/postgres/pgtest",
		"store/internal/rows",
		"store",
		"spool",
		"message observe clock",
	}
}

// levelOf is the line of a package, counted from the top.
func levelOf(name string) (int, bool) {
	for level, line := range layers() {
		if slices.Contains(strings.Fields(line), name) {
			return level, true
		}
	}
	return 0, false
}

// TestImportsPointDown reads the imports of every file and reports each that does not point down as drawn in docs/flow.md.
func TestImportsPointDown(t *testing.T) {
	err := filepath.WalkDir("..", func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name := entry.Name(); name == "testdata" || strings.HasPrefix(name, ".") && name != ".." {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(file) != ".go" {
			return nil
		}
		from := path.Dir(filepath.ToSlash(file))
		from = strings.TrimPrefix(strings.TrimPrefix(from, "../"), "..")
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range parsed.Imports {
			to, own := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), module)
			if !own || from == to || from == "" {
				continue
			}
			if why := forbidden(from, to, strings.HasSuffix(file, "_test.go")); why != "" {
				t.Errorf("%s imports %s: %s", file, to, why)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

const contract = "sdk/proto/plugin/v1"

// forbidden says why a package may not import another, or "".
func forbidden(from, to string, test bool) string {
	top, name, _ := strings.Cut(from, "/")
	toTop, toName, _ := strings.Cut(to, "/")
	switch {
	case toTop == "plugins":
		return "nothing imports a plugin"
	case top == "plugins" || top == "examples" || top == "sdk":
		if toTop != "sdk" {
			return top + " imports sdk alone"
		}
		if to == contract && top != "sdk" {
			return "the generated contract is for core and the inside of sdk"
		}
		return ""
	case top == "config":
		return "config imports nothing"
	case strings.HasPrefix(from, "core/e2e/") && strings.HasPrefix(to, "sdk/plugintest/"):
		return "" // they are tests, in their own programs
	case toTop == "sdk" && to != contract && !test:
		return "core knows the contract, not the SDK that authors use"
	case toTop != "core":
		return ""
	}
	upper, known := levelOf(name)
	lower, knownTo := levelOf(toName)
	switch {
	case !known:
		return fmt.Sprintf("%s is in no layer of this test", from)
	case !knownTo:
		return fmt.Sprintf("%s is in no layer of this test", to)
	case test && lower >= 0:
		return ""
	case lower == upper && !strings.HasPrefix(name, "e2e"):
		return "they are peers"
	case lower < upper:
		return "that points up"
	}
	return ""
}
