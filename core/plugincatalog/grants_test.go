package plugincatalog_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

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
		}}, {Name: "box", Labels: []string{"host"}, Repeated: true, Endpoint: "{host}:{port}", Body: &pluginv1.Schema{
			Attributes: []*pluginv1.Attribute{attribute("port", pluginv1.Type_TYPE_NUMBER)},
		}}},
	}
	got, err := plugincatalog.Grants(schema, []byte(`{"clamd":"unix:/run/c","signatures":["/b","/a","/b"],"key":"/secret","server":[{"url":"https://x"},{"url":"https://y"}],
		"box":[{"host":"192.0.2.1","port":8443},{"host":"2001:db8::1","port":443}]}`))
	want := []string{"connect 192.0.2.1:8443", "connect [2001:db8::1]:443", "connect https://x", "connect https://y", "connect unix:/run/c", "read /a", "read /b"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	if got, err := plugincatalog.Grants(schema, []byte(`{}`)); err != nil || len(got) != 0 {
		t.Errorf("%q, %v", got, err)
	}
}

func TestReach(t *testing.T) {
	got := plugincatalog.ReachOf([]string{
		"read /a", "write /b", "connect unix:/run/c", "connect https://x", "connect tcp://y:3310", "connect [2001:db8::1]:8443", "connect http://z:80/",
		"connect https://w:443/path", "connect ftp://v",
	})
	want := plugincatalog.Reach{Read: []string{"/a"}, Write: []string{"/b"}, Ports: []uint16{443, 3310, 8443, 80}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
