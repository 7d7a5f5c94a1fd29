package plugincatalog_test

import (
	"slices"
	"testing"

	"github.com/postern-mail/postern/core/plugincatalog"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

func TestGrants(t *testing.T) {
	attribute := func(name string, kind pluginv1.Type) *pluginv1.Attribute {
		return &pluginv1.Attribute{Name: name, Type: kind}
	}
	schema := &pluginv1.Schema{
		Attributes: []*pluginv1.Attribute{
			attribute("clamd", pluginv1.Type_TYPE_ENDPOINT), attribute("signatures", pluginv1.Type_TYPE_PATHS), attribute("ca", pluginv1.Type_TYPE_PATH),
			attribute("key", pluginv1.Type_TYPE_STRING),
		},
		Blocks: []*pluginv1.Block{{Name: "server", Repeated: true, Body: &pluginv1.Schema{
			Attributes: []*pluginv1.Attribute{attribute("url", pluginv1.Type_TYPE_ENDPOINT)},
		}}},
	}
	got, err := plugincatalog.Grants(schema, []byte(`{"clamd":"unix:/run/c","signatures":["/b","/a","/b"],"key":"/secret","server":[{"url":"https://x"},{"url":"https://y"}]}`))
	want := []string{"connect https://x", "connect https://y", "connect unix:/run/c", "read /a", "read /b"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	if got, err := plugincatalog.Grants(schema, []byte(`{}`)); err != nil || len(got) != 0 {
		t.Errorf("%q, %v", got, err)
	}
}
