package objects

import (
	"bytes"
	"encoding/csv"
	"slices"
	"strings"
	"testing"

	"github.com/postern-mail/postern/core/store"
)

func TestRead(t *testing.T) {
	for _, test := range []struct{ text, want, err string }{
		{"value\na.example\n198.51.100.1\n", "domain a.example block, ip 198.51.100.1 block", ""},
		{"\ufeffType, Value,action,note\n# a comment\nurl,http://a.example/*,Quarantine,why\n", "url a.example/* quarantine", ""},
		{"value,exception,expires\na.example,yes,2026-04-01\n", "domain a.example block", ""},
		{"{\"type\":\"domain\",\"value\":\"a.example\",\"action\":\"log\"}\n{\"value\":\"b.example\"}\n", "domain a.example log, domain b.example block", ""},
		{"a.example\n", "", "names the columns"},
		{"value\nword\n", "", "line 2"},
		{"value,action\na.example,delete\n", "", "line 2"},
		{"value\na.example,x\n", "", "line 2"},
		{"value,exception\na.example,perhaps\n", "", "yes or no"},
		{"value,expires\na.example,soon\n", "", "no expiry"},
		{"{\"value\":\"a.example\"} {\"value\":", "", "object 2"},
		{"value\n\"a", "", "read objects"},
		{"", "", "names the columns"},
	} {
		got, err := Read([]byte(test.text), store.ObjectBlock, start())
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%q: %v, want %q", test.text, err, test.err)
			}
			continue
		}
		var texts []string
		for i := range got {
			texts = append(texts, got[i].Type+" "+got[i].Value+" "+got[i].Action.String())
		}
		if text := strings.Join(texts, ", "); err != nil || text != test.want {
			t.Errorf("%q is %q, %v; want %q", test.text, text, err, test.want)
		}
	}
}

func TestParseExpiry(t *testing.T) {
	for text, want := range map[string]string{
		"2026-04-01": "2026-04-01T00:00:00Z", "2026-04-01T10:00:00+02:00": "2026-04-01T08:00:00Z", "30d": "2026-03-31T12:00:00Z", "12h": "2026-03-02T00:00:00Z",
		"-1h": "", "0d": "", "x": "", "3": "", "2d2": "",
	} {
		got, err := ParseExpiry(text, start())
		if (err != nil) != (want == "") || want != "" && got.Format("2006-01-02T15:04:05Z07:00") != want {
			t.Errorf("%q is %v, %v; want %q", text, got, err, want)
		}
	}
}

// FuzzRead: what was read is read again from what is written of it.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		"value,type,action,expires,note,exception\na.example,domain,log,2026-04-01,x,yes\n", "{\"value\":\"http://a.example/*\"}\n", "value\n\"", "\ufeffvalue\n10.0.0.0/8",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		read, err := Read(text, store.ObjectBlock, start())
		if err != nil {
			return
		}
		var b bytes.Buffer
		w := csv.NewWriter(&b)
		rows := [][]string{Columns()}
		for i := range read {
			rows = append(rows, Write(&read[i]))
		}
		if err := w.WriteAll(rows); err != nil {
			t.Fatal(err)
		}
		again, err := Read(b.Bytes(), store.ObjectNone, start())
		if err != nil || !slices.EqualFunc(read, again, func(x, y store.Object) bool {
			return x.Type == y.Type && x.Value == y.Value && x.Action == y.Action && x.Exception == y.Exception && x.Expires.Unix() == y.Expires.Unix()
		}) {
			t.Fatalf("%+v, then %+v, %v", read, again, err)
		}
	})
}
