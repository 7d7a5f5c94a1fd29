package policy_test

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"

	"github.com/postern-mail/postern/core/plugincatalog"
	"github.com/postern-mail/postern/core/policy"
)

var update = flag.Bool("update", false, "write the expected files anew")

const canary = "c4nary-s3cret"

// options are those of all tests: the plugins of testdata/plugins.lock.hcl, the product's own hidden rules, no surroundings.
func options(tb testing.TB) policy.Options {
	tb.Helper()
	catalog, err := plugincatalog.Load("testdata/plugins.lock.hcl")
	if err != nil {
		tb.Fatal(err)
	}
	builtin, err := policy.LoadRules(os.DirFS("../../config"), "builtin", "")
	if err != nil {
		tb.Fatal(err)
	}
	if len(builtin) == 0 {
		tb.Fatal("no hidden rules found")
	}
	return policy.Options{
		Catalog: catalog,
		Builtin: builtin,
		Env: func(name string) (string, bool) {
			return canary + "-" + name, !strings.HasPrefix(name, "UNSET")
		},
		ReadFile: func(name string) ([]byte, error) {
			if name == "notifications/risk.txt" {
				return []byte("Sender: %SENDER%\n"), nil
			}
			return nil, fs.ErrNotExist
		},
	}
}

func load(tb testing.TB, text string) (*policy.Policy, string) {
	tb.Helper()
	p, files, diags := policy.Load([]policy.Source{{Name: "postern.hcl", Bytes: []byte(text)}}, options(tb))
	if (p == nil) != diags.HasErrors() {
		tb.Fatalf("policy is nil: %v, errors: %v", p == nil, diags)
	}
	return p, written(tb, files, diags)
}

func mustLoad(tb testing.TB, text string) *policy.Policy {
	tb.Helper()
	p, diags := load(tb, text)
	if p == nil {
		tb.Fatal(diags)
	}
	return p
}

func written(tb testing.TB, files map[string]*hcl.File, diags hcl.Diagnostics) string {
	tb.Helper()
	var out bytes.Buffer
	if err := policy.WriteDiagnostics(&out, files, diags, 100, false); err != nil {
		tb.Fatal(err)
	}
	return out.String()
}

// expect compares with a file; one that does not exist is empty.
func expect(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if got == "" {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			return
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("not as in %s (-want +got; `go test -update` writes it anew):\n%s", path, diff)
	}
}

// Every testdata/*.good.hcl loads, every *.bad.hcl does not, and each prints the diagnostics in the .diag file beside it.
func TestLoad(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.hcl")
	if err != nil {
		t.Fatal(err)
	}
	tried := map[bool]int{}
	for _, path := range paths {
		good, bad := strings.HasSuffix(path, ".good.hcl"), strings.HasSuffix(path, ".bad.hcl")
		if !good && !bad {
			continue
		}
		tried[good]++
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			p, files, diags := policy.Load([]policy.Source{{Name: filepath.Base(path), Bytes: text}}, options(t))
			if (p != nil) != good || diags.HasErrors() == good {
				t.Errorf("policy applied: %v, errors: %v", p != nil, diags.HasErrors())
			}
			got := written(t, files, diags)
			expect(t, strings.TrimSuffix(path, ".hcl")+".diag", got)
			if strings.Contains(got, "s3cret") {
				t.Errorf("a secret is shown:\n%s", got)
			}
		})
	}
	if tried[true] == 0 || tried[false] == 0 {
		t.Fatalf("files tried: %v", tried)
	}
}

func TestLoadDir(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"postern.hcl":      small + rule("main", `kind = "other"`),
		"rules/20-b.hcl":   rule("b", ""),
		"rules/10-a.hcl":   rule("a", "") + rule("virus of a", `kind = "virus"`),
		"rules/ignored.md": "no policy",
		"aside.hcl":        rule("aside", ""),
		"plugins.lock.hcl": "no policy",
		"notice.txt":       "from a file",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sources, err := policy.LoadDir(os.DirFS(dir), "etc")
	if err != nil {
		t.Fatal(err)
	}
	o := options(t)
	o.ReadFile = policy.FilesIn(dir)
	sources[0].Bytes = append(sources[0].Bytes, `notification "n" {
		subject = "s"
		body    = file("notice.txt")
	}`...)
	p, files, diags := policy.Load(sources, o)
	if p == nil {
		t.Fatal(written(t, files, diags))
	}
	var got []string
	for i, r := range p.Rules {
		if r.Number != i+1 {
			t.Errorf("rule %q has number %d", r.Name, r.Number)
		}
		got = append(got, r.Range.Filename+" "+r.Name)
	}
	want := []string{"etc/rules/10-a.hcl virus of a", "etc/postern.hcl main", "etc/aside.hcl aside", "etc/rules/10-a.hcl a", "etc/rules/20-b.hcl b"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order of judgement (-want +got):\n%s", diff)
	}
	if body := p.Notifications["n"].Body; body != "from a file" {
		t.Errorf("body = %q", body)
	}
	if _, err := policy.LoadDir(os.DirFS(t.TempDir()), ""); err == nil {
		t.Error("a folder without postern.hcl loads")
	}
}

func TestRevision(t *testing.T) {
	base := small + "plugin \"ddan\" {\n command = \"d\"\n config {\n server \"s\" { api_key = env(\"KEY\") }\n }\n}\n" +
		"plugin \"ctd\" {\n command = \"c\"\n config {\n control_manager \"m\" {\n api_key = env(\"K\")\n application_id = env(\"A\")\n }\n }\n}\n"
	revision := func(text, file string, change func(*policy.Options)) string {
		o := options(t)
		if change != nil {
			change(&o)
		}
		p, files, diags := policy.Load([]policy.Source{{Name: file, Bytes: []byte(text)}}, o)
		if p == nil {
			t.Fatal(written(t, files, diags))
		}
		return p.Revision
	}
	first := revision(base, "a.hcl", nil)
	for range 20 { // maps are walked in another order each time
		if again := revision(base, "elsewhere/b.hcl", nil); again != first {
			t.Fatal("the same policy elsewhere has another revision")
		}
	}
	for name, other := range map[string]string{
		"source": revision(base+"# more\n", "a.hcl", nil),
		"environment": revision(base, "a.hcl", func(o *policy.Options) {
			o.Env = func(string) (string, bool) { return "another key", true }
		}),
		"digest": revision(base, "a.hcl", func(o *policy.Options) {
			entry := o.Catalog["ddan"]
			entry.Digest = "sha256:" + strings.Repeat("f", 64)
			o.Catalog["ddan"] = entry
		}),
		"builtin": revision(base, "a.hcl", func(o *policy.Options) { o.Builtin = nil }),
	} {
		if other == first {
			t.Errorf("another %s has the same revision", name)
		}
	}
}

func FuzzLoad(f *testing.F) {
	paths, err := filepath.Glob("testdata/*.hcl")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	o := options(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		p, files, diags := policy.Load([]policy.Source{{Name: "postern.hcl", Bytes: text}}, o)
		if (p == nil) != diags.HasErrors() {
			t.Fatalf("policy is nil: %v, errors: %v", p == nil, diags)
		}
		if got := written(t, files, diags); strings.Contains(got, canary) && !bytes.Contains(text, []byte(canary)) {
			t.Fatalf("a value from the environment is shown:\n%s", got)
		}
		if p == nil {
			return
		}
		for i := range p.Rules {
			p.Rules[i].AppliesTo(p, "a@example.org", "b@example.net")
		}
		if err := policy.WriteRules(&bytes.Buffer{}, p, true); err != nil {
			t.Fatal(err)
		}
	})
}
