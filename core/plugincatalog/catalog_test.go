package plugincatalog_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/postern-mail/postern/core/plugincatalog"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

func described(name string) *pluginv1.DescribeResponse {
	return &pluginv1.DescribeResponse{Name: name, Version: "1.0.0", Roles: []pluginv1.Role{pluginv1.Role_ROLE_SCANNER}}
}

func pinned(name string, d *pluginv1.DescribeResponse) plugincatalog.Entry {
	return plugincatalog.Entry{Name: name, Digest: "sha256:" + strings.Repeat("0a", 32), Description: d}
}

func attribute(name string, kind pluginv1.Type, change func(*pluginv1.Attribute)) *pluginv1.Attribute {
	a := &pluginv1.Attribute{Name: name, Type: kind}
	if change != nil {
		change(a)
	}
	return a
}

// A description comes back from the lock file bit for bit, whatever a plugin writes into it.
func TestLockFile(t *testing.T) {
	odd := described("odd")
	odd.Summary = "${template} %{ if } $${ \\ \" </script> JSON\nJSON\n e\u0301 \u00e9 \u2028 \U0001f600 \x01 \x7f"
	odd.Config = &pluginv1.Schema{Attributes: []*pluginv1.Attribute{
		attribute("level", pluginv1.Type_TYPE_NUMBER, func(a *pluginv1.Attribute) {
			a.Min, a.Max, a.DefaultJson = proto.Float64(0), proto.Float64(2.5), "1"
		}),
	}}
	catalog := plugincatalog.Catalog{"odd": pinned("odd", odd), "another": pinned("another", described("original-name"))}
	// One that was swapped in has a file of the gateway's, and what it replaced.
	swapped := pinned("swapped", described("swapped"))
	swapped.File = `/var/lib/"${odd}"/swapped-0a`
	catalog["swapped"] = swapped.Replaced(pinned("swapped", odd))
	path := filepath.Join(t.TempDir(), "plugins.lock.hcl")
	if empty, err := plugincatalog.Load(path); err != nil || len(empty) != 0 {
		t.Fatalf("a missing file: %v, %v", empty, err)
	}
	for range 2 { // the second time replaces the first file
		if err := plugincatalog.Save(path, catalog); err != nil {
			t.Fatal(err)
		}
		got, err := plugincatalog.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(catalog, got, protocmp.Transform()); diff != "" {
			t.Errorf("saved and loaded (-want +got):\n%s", diff)
		}
	}
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(files) != 1 {
		t.Errorf("files left behind: %v, %v", files, err)
	}
	first, err := plugincatalog.Format(catalog)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := plugincatalog.Format(catalog); err != nil || string(again) != string(first) {
		t.Errorf("the same catalog is written differently:\n%s\n%s", first, again)
	}
	if !strings.Contains(string(first), "plugin \"another\" {\n  digest      = \"sha256:0a0a") {
		t.Errorf("lock file:\n%s", first)
	}
	if err := plugincatalog.Save(filepath.Join(path, "no folder"), catalog); err == nil {
		t.Error("saving into a file succeeds")
	}
}

func TestBrokenLockFile(t *testing.T) {
	good, err := plugincatalog.Format(plugincatalog.Catalog{"a": pinned("a", described("a"))})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ text, want string }{
		"syntax":      {"plugin {", "lock.hcl:1"},
		"twice":       {string(good) + string(good), "pinned twice"},
		"digest":      {strings.Replace(string(good), "sha256:0a", "sha256:0A", 1), "hexadecimal"},
		"role":        {strings.Replace(string(good), "ROLE_SCANNER", "ROLE_UNSPECIFIED", 1), "role 0"},
		"json":        {strings.Replace(string(good), `"version"`, `"verison"`, 1), "verison"},
		"description": {"plugin \"a\" {\n digest = \"x\"\n}", "description"},
	} {
		path := filepath.Join(t.TempDir(), "lock.hcl")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		catalog, err := plugincatalog.Load(path)
		var diags hcl.Diagnostics
		if catalog != nil || !errors.As(err, &diags) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v", name, catalog, err)
		}
	}
}

func TestCheck(t *testing.T) {
	text := pluginv1.Type_TYPE_STRING
	schema := func(list ...*pluginv1.Attribute) *pluginv1.Schema { return &pluginv1.Schema{Attributes: list} }
	deep := schema()
	for range 20 {
		deep = &pluginv1.Schema{Blocks: []*pluginv1.Block{{Name: "b", Body: deep}}}
	}
	for name, change := range map[string]func(*pluginv1.DescribeResponse){
		"name":           func(d *pluginv1.DescribeResponse) { d.Name = "../x" },
		"no role":        func(d *pluginv1.DescribeResponse) { d.Roles = nil },
		"unknown role":   func(d *pluginv1.DescribeResponse) { d.Roles = append(d.Roles, 99) },
		"attribute name": func(d *pluginv1.DescribeResponse) { d.Config = schema(attribute("a b", text, nil)) },
		"twice": func(d *pluginv1.DescribeResponse) {
			d.Config = schema(attribute("a", text, nil), attribute("a", text, nil))
		},
		"type":       func(d *pluginv1.DescribeResponse) { d.Config = schema(attribute("a", 77, nil)) },
		"core's own": func(d *pluginv1.DescribeResponse) { d.Scan = schema(attribute("analyze", text, nil)) },
		"depth":      func(d *pluginv1.DescribeResponse) { d.Config = deep },
		"default type": func(d *pluginv1.DescribeResponse) {
			d.Config = schema(attribute("a", pluginv1.Type_TYPE_NUMBER, func(a *pluginv1.Attribute) { a.DefaultJson = `"x"` }))
		},
		"default json": func(d *pluginv1.DescribeResponse) {
			d.Config = schema(attribute("a", text, func(a *pluginv1.Attribute) { a.DefaultJson = `{` }))
		},
		"default not of the choices": func(d *pluginv1.DescribeResponse) {
			d.Config = schema(attribute("a", text, func(a *pluginv1.Attribute) { a.DefaultJson, a.OneOf = `"x"`, []string{"y"} }))
		},
		"bounds": func(d *pluginv1.DescribeResponse) {
			d.Config = schema(attribute("a", pluginv1.Type_TYPE_NUMBER, func(a *pluginv1.Attribute) { a.Min, a.Max = proto.Float64(2), proto.Float64(1) }))
		},
		"label like an attribute": func(d *pluginv1.DescribeResponse) {
			d.Config = &pluginv1.Schema{Blocks: []*pluginv1.Block{{Name: "b", Labels: []string{"x"}, Body: schema(attribute("x", text, nil))}}}
		},
		"two labels alike": func(d *pluginv1.DescribeResponse) {
			d.Config = &pluginv1.Schema{Blocks: []*pluginv1.Block{{Name: "b", Labels: []string{"x", "x"}}}}
		},
		"effect": func(d *pluginv1.DescribeResponse) { d.Actions = []*pluginv1.ActionDescription{{Name: "a"}} },
		"action twice": func(d *pluginv1.DescribeResponse) {
			a := &pluginv1.ActionDescription{Name: "a", Effect: pluginv1.Effect_EFFECT_PASS}
			d.Actions = []*pluginv1.ActionDescription{a, a}
		},
		"action's schema": func(d *pluginv1.DescribeResponse) {
			d.Actions = []*pluginv1.ActionDescription{{Name: "a", Effect: pluginv1.Effect_EFFECT_PASS, Config: schema(attribute("", text, nil))}}
		},
	} {
		d := described("a")
		if err := plugincatalog.Check(d); err != nil {
			t.Fatal(err)
		}
		change(d)
		if err := plugincatalog.Check(d); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := plugincatalog.Check(nil); err == nil {
		t.Error("no description is accepted")
	}
}

var everything = &pluginv1.Schema{
	Attributes: []*pluginv1.Attribute{
		attribute("text", pluginv1.Type_TYPE_STRING, func(a *pluginv1.Attribute) { a.OneOf = []string{"a", "b"} }),
		attribute("count", pluginv1.Type_TYPE_NUMBER, func(a *pluginv1.Attribute) { a.Min, a.Max = proto.Float64(-1), proto.Float64(10) }),
		attribute("flag", pluginv1.Type_TYPE_BOOL, func(a *pluginv1.Attribute) { a.DefaultJson = "true" }),
		attribute("list", pluginv1.Type_TYPE_STRINGS, func(a *pluginv1.Attribute) { a.OneOf = []string{"x", "y"} }),
		attribute("wait", pluginv1.Type_TYPE_DURATION, func(a *pluginv1.Attribute) {
			a.DefaultJson, a.Min, a.Max = `"20s"`, proto.Float64(0.5), proto.Float64(86400)
		}),
		attribute("server", pluginv1.Type_TYPE_ENDPOINT, nil),
		attribute("folder", pluginv1.Type_TYPE_PATH, nil),
		attribute("files", pluginv1.Type_TYPE_PATHS, nil),
		attribute("key", pluginv1.Type_TYPE_STRING, func(a *pluginv1.Attribute) { a.Sensitive, a.OneOf = true, []string{"k"} }),
	},
	Blocks: []*pluginv1.Block{
		{Name: "one", Body: &pluginv1.Schema{Attributes: []*pluginv1.Attribute{
			attribute("must", pluginv1.Type_TYPE_STRING, func(a *pluginv1.Attribute) { a.Required = true }),
		}}},
		{Name: "many", Repeated: true, Labels: []string{"kind", "name"}, Body: &pluginv1.Schema{Attributes: []*pluginv1.Attribute{
			attribute("x", pluginv1.Type_TYPE_NUMBER, nil),
		}}},
	},
}

func decode(t *testing.T, text string) (*plugincatalog.Block, hcl.Diagnostics) {
	t.Helper()
	file, diags := hclsyntax.ParseConfig([]byte(text), "x.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return plugincatalog.Decode(file.Body.(*hclsyntax.Body), everything, &hcl.EvalContext{})
}

func TestDecode(t *testing.T) {
	const defaults = `"flag":true,"many":[],"wait":20`
	for text, want := range map[string]string{
		``:                               `{` + defaults + `}`,
		`text = "a"`:                     `{"flag":true,"many":[],"text":"a","wait":20}`,
		`text = null`:                    `{` + defaults + `}`,
		`wait = null`:                    `{` + defaults + `}`,
		`count = "7"`:                    `{"count":7,` + defaults + `}`,
		`count = 1.5`:                    `{"count":1.5,` + defaults + `}`,
		`flag = false`:                   `{"flag":false,"many":[],"wait":20}`,
		`list = ["x", "y"]`:              `{"flag":true,"list":["x","y"],"many":[],"wait":20}`,
		`list = []`:                      `{"flag":true,"list":[],"many":[],"wait":20}`,
		`wait = "1500ms"`:                `{"flag":true,"many":[],"wait":1.5}`,
		`wait = "1d"`:                    `{"flag":true,"many":[],"wait":86400}`,
		`server = "unix:/run/x"`:         `{"flag":true,"many":[],"server":"unix:/run/x","wait":20}`,
		`server = "[::1]:25"`:            `{"flag":true,"many":[],"server":"[::1]:25","wait":20}`,
		`server = "https://h.example/p"`: `{"flag":true,"many":[],"server":"https://h.example/p","wait":20}`,
		`files = ["/a"]`:                 `{"files":["/a"],"flag":true,"many":[],"wait":20}`,
		`one { must = "m" }`:             `{"flag":true,"many":[],"one":{"must":"m"},"wait":20}`,
		"many \"k\" \"n\" { x = 1 }\nmany \"k\" \"o\" {}": `{"flag":true,"many":[{"kind":"k","name":"n","x":1},{"kind":"k","name":"o"}],"wait":20}`,
	} {
		block, diags := decode(t, text)
		if block == nil {
			t.Errorf("%s: %v", text, diags)
			continue
		}
		got, err := block.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`text = "c"`:               "x.hcl:1,8-11: Unsuitable value; Attribute \"text\": it must be one of a, b.",
		`txet = "a"`:               "Did you mean \"text\"?",
		`count = 11`:               "it must be at most 10",
		`count = -2`:               "it must be at least -1",
		`count = 1e400`:            "the number is too large",
		`count = "x"`:              "a number is required",
		`list = ["x", "z"]`:        "it must be one of x, y",
		`list = ["x", null]`:       "an element is null",
		`wait = "2d"`:              "it must be at most 86400 seconds",
		`wait = "0s"`:              "it must be at least 0.5 seconds",
		`wait = 20`:                "a duration is a number with a unit",
		`server = "host"`:          "an endpoint is",
		`server = "host:0"`:        "the port must be a number from 1 to 65535",
		`server = "unix:relative"`: "an endpoint is",
		`server = "http://"`:       "an endpoint is",
		`folder = ""`:              "a path must not be empty",
		`files = ["/a", ""]`:       "a path must not be empty",
		`one {}`:                   "Attribute \"must\" is required",
		`one { must = null }`:      "x.hcl:1,14-18: Missing required attribute",
		"one { must = \"a\" }\none { must = \"b\" }": "Only one block of type \"one\" is allowed",
		`many "k" {}`: "label",
	} {
		block, diags := decode(t, text)
		if block != nil || !strings.Contains(diags.Error(), want) {
			t.Errorf("%s: %v, want %q", text, diags, want)
		}
	}
	if _, diags := decode(t, `key = "hidden"`); !diags.HasErrors() || strings.Contains(diags.Error(), "hidden") {
		t.Errorf("a secret of the wrong kind: %v", diags)
	}
}

func TestSecretRanges(t *testing.T) {
	const text = "text = \"open\"\nkey = \"hid${f(\"open\")}den\"\nkye = [hidden, 12]\none {\n  mist = \"hidden\"\n  must = \"open\"\n}\n"
	file, diags := hclsyntax.ParseConfig([]byte(text), "x.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	shown := []byte(text)
	for _, r := range plugincatalog.SecretRanges(file.Body.(*hclsyntax.Body), everything, true) {
		for i := r.Start.Byte; i < r.End.Byte; i++ {
			shown[i] = '*'
		}
	}
	const want = "text = \"open\"\nkey = \"***${f(\"open\")}***\"\nkye = [******, **]\none {\n  mist = \"******\"\n  must = \"open\"\n}\n"
	if diff := cmp.Diff(want, string(shown)); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"30d": 30 * 24 * time.Hour, "1d12h": 36 * time.Hour, "0s": 0, "1h30m": 90 * time.Minute, "1.5s": 1500 * time.Millisecond,
	} {
		if got, err := plugincatalog.ParseDuration(text); err != nil || got != want {
			t.Errorf("%q is %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "30", "d", "-1s", "-1d", "1.5d", "1d-2h", "106752d", "106751d24h", "4294967295d", "1h1d", "soon", "1d1d"} {
		if got, err := plugincatalog.ParseDuration(text); err == nil {
			t.Errorf("%q is taken as %s", text, got)
		}
	}
}

// Descriptions come from plugins: whatever one says, it is refused or can be pinned, read back and used.
func FuzzDescription(f *testing.F) {
	full, err := protojson.Marshal(&pluginv1.DescribeResponse{Name: "a", Roles: []pluginv1.Role{pluginv1.Role_ROLE_SCANNER}, Config: everything})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(full))
	f.Add(`{"name":"a","roles":["ROLE_ACTION"],"summary":"${x}","actions":[{"name":"q","effect":"EFFECT_PASS"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		var d pluginv1.DescribeResponse
		if protojson.Unmarshal([]byte(text), &d) != nil || plugincatalog.Check(&d) != nil {
			return
		}
		lock, err := plugincatalog.Format(plugincatalog.Catalog{"a": pinned("a", &d)})
		if err != nil {
			t.Fatal(err)
		}
		catalog, diags := plugincatalog.Parse(lock, "lock.hcl")
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		if diff := cmp.Diff(&d, catalog["a"].Description, protocmp.Transform()); diff != "" {
			t.Fatalf("pinned and read back (-want +got):\n%s", diff)
		}
		block, diags := plugincatalog.Decode(&hclsyntax.Body{}, d.GetConfig(), nil)
		if (block == nil) != diags.HasErrors() {
			t.Fatalf("block %v, diagnostics %v", block, diags)
		}
	})
}

func FuzzParse(f *testing.F) {
	good, err := plugincatalog.Format(plugincatalog.Catalog{"a": pinned("a", described("a"))})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, text []byte) {
		catalog, diags := plugincatalog.Parse(text, "lock.hcl")
		if (catalog == nil) != diags.HasErrors() {
			t.Fatalf("catalog %v, diagnostics %v", catalog, diags)
		}
	})
}
