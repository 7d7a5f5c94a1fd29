package schema

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type common struct {
	Enabled bool `summary:"whether it serves" default:"true"`
}

type server struct {
	common
	Host   string `label:"true"`
	APIKey string `summary:"its key" required:"true" sensitive:"true"`
}

type options struct {
	Words   []string      `summary:"words" one_of:"a,b" default:"a,b"`
	Wait    time.Duration `summary:"patience" default:"20s" min:"1"`
	Most    int           `summary:"how many" default:"3" min:"1" max:"9"`
	Level   *float64      `summary:"level"`
	Files   []string      `summary:"files" type:"path"`
	Address string        `config:"clamd" summary:"socket" type:"endpoint"`
	Servers []server      `config:"server" summary:"a server" required:"true" endpoint:"{host}:443"`
	Limits  struct {
		Size float64 `summary:"bytes"`
	} `summary:"limits"`
}

func TestOf(t *testing.T) {
	one, nine := 1.0, 9.0
	want := Body{
		Attributes: []Attribute{
			{Name: "words", Summary: "words", Type: Strings, OneOf: []string{"a", "b"}, Default: []string{"a", "b"}},
			{Name: "wait", Summary: "patience", Type: Duration, Default: "20s", Min: &one},
			{Name: "most", Summary: "how many", Type: Number, Default: 3.0, Min: &one, Max: &nine},
			{Name: "level", Summary: "level", Type: Number},
			{Name: "files", Summary: "files", Type: Paths},
			{Name: "clamd", Summary: "socket", Type: Endpoint},
		},
		Blocks: []Block{
			{Name: "server", Summary: "a server", Required: true, Repeated: true, Endpoint: "{host}:443", Labels: []string{"host"}, Body: Body{
				Attributes: []Attribute{
					{Name: "enabled", Summary: "whether it serves", Type: Bool, Default: true},
					{Name: "api_key", Summary: "its key", Type: String, Required: true, Sensitive: true},
				}}},
			{Name: "limits", Summary: "limits", Body: Body{Attributes: []Attribute{{Name: "size", Summary: "bytes", Type: Number}}}},
		},
	}
	if diff := cmp.Diff(want, Of(options{})); diff != "" {
		t.Error(diff)
	}
}

func TestOfRefusesWhatNobodyCanWrite(t *testing.T) {
	for name, wrong := range map[string]any{
		"map":       struct{ M map[string]string }{},
		"no struct": 1,
		"grant": struct {
			N int `type:"path"`
		}{},
		"default": struct {
			N int `default:"many"`
		}{},
		"bound": struct {
			N int `min:"few"`
		}{},
		"label in front": struct {
			L string `label:"true"`
		}{},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("it was accepted")
				}
			}()
			Of(wrong)
		})
	}
}

func TestDecode(t *testing.T) {
	level := 0.5
	want := options{
		Words: []string{"a"}, Wait: 1500 * time.Millisecond, Most: 4, Level: &level, Files: []string{"/f"}, Address: "unix:/s",
		Servers: []server{{common{true}, "h", "k"}},
	}
	want.Limits.Size = 7
	var got options
	err := Decode(json.RawMessage(`{"words":["a"],"wait":1.5,"most":4,"level":0.5,"files":["/f"],"clamd":"unix:/s",
		"server":[{"host":"h","api_key":"k","enabled":true}],"limits":{"size":7}}`), &got)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(server{})); diff != "" {
		t.Error(diff)
	}
}

func TestDecodeSaysWhere(t *testing.T) {
	for text, path := range map[string][]string{
		`{"most":1.5}`:                  {"most"},
		`{"other":1}`:                   {"other"},
		`{"server":[{},{"api_key":1}]}`: {"server", "1", "api_key"},
		`{"wait":"20s"}`:                {"wait"},
		`{`:                             nil,
	} {
		var wrong *ValueError
		if err := Decode(json.RawMessage(text), &options{}); !errors.As(err, &wrong) || !slices.Equal(wrong.Path, path) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
