package inspect

import (
	"encoding/hex"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/core/message"
)

func TestWhatIsAContainer(t *testing.T) {
	of := func(s string) string { return hex.EncodeToString([]byte(s)) }
	u, err := NewUnpacker("unpack", []string{"magic:" + of("PK"), "magic:" + of("ustar") + "@5", "text:" + of(";base64,"), "application/x-box", ".BOX"},
		nil, nil, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		part message.Part
		head string
		want bool
	}{
		{"begins so", message.Part{Kind: message.PartAttachment}, "PK..", true},
		{"begins so later", message.Part{Kind: message.PartAttachment}, "01234ustar", true},
		{"is shorter", message.Part{Kind: message.PartAttachment}, "01234ust", false},
		{"has the text", message.Part{Kind: message.PartAttachment}, "x;base64,y", true},
		{"has the type", message.Part{Kind: message.PartAttachment, Declared: "application/x-box"}, "", true},
		{"has the name", message.Part{Kind: message.PartAttachment, Names: []string{"a.txt", "a.box"}}, "", true},
		{"nothing of it", message.Part{Kind: message.PartAttachment, Names: []string{"box"}}, "plain", false},
		{"shown page with the text", message.Part{Kind: message.PartHTML}, "<img src=data:image/png;base64,x>", true},
		{"shown page that only begins so", message.Part{Kind: message.PartHTML}, "PK..", false},
	}
	for _, test := range tests {
		if got := u.Takes(&test.part, []byte(test.head)); got != test.want {
			t.Errorf("%s: Takes is %v", test.name, got)
		}
	}
}

func TestContainersThatCannotBeRead(t *testing.T) {
	for _, c := range []string{"magic:", "magic:zz", "magic:00@x", "magic:00@-1", "text:", "text:0"} {
		if _, err := NewUnpacker("unpack", []string{c}, nil, nil, hclog.NewNullLogger()); err == nil {
			t.Errorf("%q was taken", c)
		}
	}
}
