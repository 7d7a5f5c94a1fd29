package scaffold

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

func TestMakeRefuses(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	sdk := "../.."
	for says, plan := range map[string]Plan{
		"of the form":       {Language: "node", Name: "Bad Name"},
		"with --sdk":        {Language: "go", Name: "x", Version: "f931261-dirty"},
		"is not the folder": {Language: "go", Name: "x", SDK: full},
		"is not empty":      {Language: "node", Name: "x", Folder: full},
	} {
		if plan.Folder == "" {
			plan.Folder = filepath.Join(t.TempDir(), "new")
		}
		if _, err := Make(plan); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v, want %q", plan, err, says)
		}
		if _, err := os.Stat(plan.Folder); plan.Folder != full && err == nil {
			t.Errorf("%+v: the folder was made all the same", plan)
		}
	}
	if _, err := Make(Plan{Language: "go", Name: "x", Folder: filepath.Join(t.TempDir(), "new"), SDK: sdk}); err != nil {
		t.Error(err)
	}
}

// TestReleased: outside of the repository there is only the published module, of the version that runs.
func TestReleased(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "new")
	if _, err := Make(Plan{Language: "go", Name: "x", Folder: folder, Version: "v1.4.0"}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(folder, "go.mod"))
	if err != nil || !strings.Contains(string(text), "require "+Module+" v1.4.0") || strings.Contains(string(text), "replace") {
		t.Errorf("%v\n%s", err, text)
	}
}

// TestTheExampleInNodeIsMadeLikeNewOnes: it has the same plugin's side of the contract.
func TestTheExampleInNodeIsMadeLikeNewOnes(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "new")
	if _, err := Make(Plan{Language: "node", Name: "invites", Folder: folder}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"postern.js", "plugin.proto", "main.js", ".npmrc"} {
		made, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		example, err := os.ReadFile(filepath.Join("../../examples/scanner-node", name))
		if err != nil {
			t.Fatal(err)
		}
		if string(made) != string(example) {
			t.Errorf("examples/scanner-node/%s differs from what a new plugin gets", name)
		}
	}
	if !strings.HasPrefix(pluginv1.Proto, "syntax") {
		t.Error("the contract is not built in")
	}
}

// TestTheLockFileNamesNoRegistry: where packages are taken from is each machine's own affair.
func TestTheLockFileNamesNoRegistry(t *testing.T) {
	text, err := os.ReadFile("../../examples/scanner-node/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), `"resolved"`) || !strings.Contains(string(text), `"integrity"`) {
		t.Error("package-lock.json has to have digests and no addresses: npm install with the folder's .npmrc")
	}
}
