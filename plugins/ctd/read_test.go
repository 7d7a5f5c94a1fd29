package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/sdk/objects"
)

// show is an object as "type value action [until] [except]".
func show(o objects.Object) string {
	kinds := []string{"?", "sha1", "sha256", "url", "domain", "ip"}
	actions := []string{"-", "none", "log", "block", "quarantine"}
	text := kinds[o.Type] + " " + o.Value + " " + actions[o.Action]
	if !o.Expires.IsZero() {
		text += " until " + o.Expires.UTC().Format("2006-01-02T15:04")
	}
	if o.Exception {
		text += " except"
	}
	return text
}

func shown(list []objects.Object) string {
	var out []string
	for _, o := range list {
		out = append(out, show(o))
	}
	return strings.Join(out, ", ")
}

func TestPattern(t *testing.T) {
	for _, test := range []struct{ pattern, want string }{
		{"[file:hashes.'SHA-256' = 'ab']", "sha256 ab -"},
		{"[ file:hashes.\"SHA-1\"='ab' ]", "sha1 ab -"},
		{"[file:hashes.MD5 = 'x' OR file:hashes.'SHA-1' = 'y']", "sha1 y -"},
		{"[file:hashes.MD5 = 'x']", ""},
		{"[url:value = 'http://a.example/it\\'s\\\\x']", `url http://a.example/it's\x -`},
		{"[url:value LIKE 'http://a.example/%']", "url http://a.example/* -"},
		{"[domain-name:value = 'a.example'] OR [ipv4-addr:value = '10.0.0.1' OR ipv6-addr:value = '::1']", "domain a.example -, ip 10.0.0.1 -, ip ::1 -"},
		{"([domain-name:value = 'a.example'] or [domain-name:value = 'b.example'])", "domain a.example -, domain b.example -"},
		{"[(domain-name:value IN ('a.example', 'b.example'))]", "domain a.example -, domain b.example -"},
		{"[domain-name:value = 'a.example' AND ipv4-addr:value = '10.0.0.1']", "refused"},
		{"[domain-name:value = 'a.example'] AND [domain-name:value = 'b.example']", "refused"},
		{"[domain-name:value = 'a.example'] FOLLOWEDBY [domain-name:value = 'b.example']", "refused"},
		{"[domain-name:value = 'a.example'] WITHIN 5 SECONDS", "refused"},
		{"[domain-name:value != 'a.example']", "refused"},
		{"[NOT domain-name:value = 'a.example']", "refused"},
		{"[domain-name:value LIKE '%.example']", "refused"},
		{"[url:value LIKE 'http://%/x']", "refused"},
		{"[url:value MATCHES '.*']", "refused"},
		{"[file:size = 25]", "refused"},
		{"[domain-name:value = 'a.example'", "refused"},
		{"[domain-name:value = 'a.example", "refused"},
		{"", "refused"},
		{strings.Repeat("(", 100000), "refused"},
	} {
		list, err := readPattern(test.pattern)
		got := shown(list)
		if err != nil {
			got = "refused"
			if !errors.Is(err, errPattern) {
				t.Errorf("%.80q: %v", test.pattern, err)
			}
		}
		if got != test.want {
			t.Errorf("%.80q is %q (%v), want %q", test.pattern, got, err, test.want)
		}
	}
}

func now() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func TestIndicator(t *testing.T) {
	const form = `{"type":"indicator","pattern_type":"stix","pattern":"[domain-name:value = 'a.example']","valid_from":"2026-01-01T00:00:00Z"%s}`
	for more, want := range map[string]string{
		"": "domain a.example -", `,"valid_until":"2026-04-01T00:00:00Z"`: "domain a.example - until 2026-04-01T00:00",
		`,"revoked":true`: "domain a.example - until 1970-01-01T00:00", `,"indicator_types":["benign"]`: "", `,"pattern_type":"sigma"`: "", `,"type":"malware"`: "",
		`,"valid_from":"2027-01-01T00:00:00Z"`: "", `,"valid_until":"never"`: "refused", `,"pattern":7`: "refused",
	} {
		list, err := readIndicator(fmt.Appendf(nil, form, more), now())
		got := shown(list)
		if err != nil {
			got = "refused"
		}
		if got != want {
			t.Errorf("with %s it is %q (%v), want %q", more, got, err, want)
		}
	}
}

func TestManaged(t *testing.T) {
	rows, err := readManaged([]byte(`{"Data":[
		{"type":"file","content":"AA","notes":" x\n y","scan_action":"quarantine","expiration_utc_date":"2026-04-01T10:00:00"},
		{"type":"file_sha256","content":"BB","scan_action":"BLOCK","expiration_utc_date":""},{"type":"url","content":"http://a.example/","scan_action":"log"},
		{"type":"ip","content":"10.0.0.1","scan_action":"N/A"},{"type":"domain","content":"a.example","expiration_utc_date":"someday"},{"type":"sender","content":"x"}
		],"Meta":{"Result":1,"ErrorCode":0,"ErrorMsg":"Success"},"SystemCtrl":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	var list []objects.Object
	for i := range rows {
		list = append(list, rows[i].object())
	}
	const want = "sha1 AA quarantine until 2026-04-01T10:00, sha256 BB block, url http://a.example/ log, ip 10.0.0.1 none, ? a.example none, ? x none"
	if got := shown(list); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for _, bad := range []string{`{"Meta":{"Result":0,"ErrorCode":5,"ErrorMsg":"no"}}`, `{}`, `{"Data":null}`, `{"Data":[`, `[]`, ``, `<html>`} {
		if _, err := readManaged([]byte(bad)); err == nil {
			t.Errorf("%s is a list", bad)
		}
	}
}

func TestToken(t *testing.T) {
	// Claims and signature as the documentation's example makes them: the checksum is over the path in lower case.
	a := token("app", "key", "GET", "/WebApp/API/x?A=B", nil, now())
	b := token("app", "key", "GET", "/webapp/api/X?a=b", nil, now())
	if a != b || strings.Count(a, ".") != 2 || a == token("app", "other", "GET", "/webapp/api/x?a=b", nil, now()) || a == token("app", "key", "PUT", "/webapp/api/x?a=b", nil, now()) {
		t.Errorf("tokens are %s and %s", a, b)
	}
}

func TestEvent(t *testing.T) {
	list, err := readEvent([]byte(`{"Event":{"info":"Campaign","Attribute":[
		{"type":"sha1","value":"aa","to_ids":true},{"type":"filename|sha256","value":"a|b|bb","to_ids":"1"},{"type":"sha256","value":"cc","to_ids":false},
		{"type":"md5","value":"dd","to_ids":true},{"type":"ip-dst|port","value":"10.0.0.1|443","to_ids":1},{"type":"domain|ip","value":"a.example|10.0.0.2","to_ids":true},
		{"type":"url","value":"http://gone.example/","to_ids":true,"deleted":true}],
		"Object":[{"Attribute":[{"type":"hostname","value":"h.example","to_ids":true}]},{"deleted":true,"Attribute":[{"type":"hostname","value":"i.example","to_ids":true}]}]}}`), objects.Block)
	const want = "sha1 aa block, sha256 bb block, ip 10.0.0.1 block, domain a.example block, ip 10.0.0.2 block, domain h.example block"
	if got := shown(list); err != nil || got != want || list[0].Note != "Campaign" {
		t.Errorf("%s, %v, want %s", got, err, want)
	}
	for _, bad := range []string{`{}`, `{"Event":`, `{"Event":{"Attribute":[{"type":"url","to_ids":"perhaps"}]}}`, `[]`} {
		if _, err := readEvent([]byte(bad), objects.Block); err == nil {
			t.Errorf("%s is an event", bad)
		}
	}
	for _, bad := range []string{`{"../x":{}}`, `{"a":`, `null`, `[]`} {
		if _, err := readManifest([]byte(bad)); err == nil {
			t.Errorf("%s is a manifest", bad)
		}
	}
}

func TestFile(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"# list\na.example\nhttp://a.example/x\n10.0.0.0/8\n" + strings.Repeat("a", 40) + "\n",
			"domain a.example block, url http://a.example/x block, ip 10.0.0.0/8 block, sha1 " + strings.Repeat("a", 40) + " block"},
		{"\xef\xbb\xbfType,Value,Action,Match,Expires,Exception,other\nurl,http://a.example/x,log,prefix,2026-04-01,,z\nurl,http://b.example/x,,domain,,yes\n",
			"url http://a.example/x* log until 2026-04-01T00:00, domain b.example block except"},
		{`[{"value":"a.example","action":"quarantine"},{"type":"ip","value":"10.0.0.1","exception":true}]`, "domain a.example quarantine, ip 10.0.0.1 block except"},
		{"{\"value\":\"a.example\"}\n{\"value\":\"b.example\"}\n", "domain a.example block, domain b.example block"},
		{"[]", ""}, {"", ""},
		{`[{"value":"a.example"},{"value":`, "refused"}, {`[{"value":"a.example"}`, "refused"},
		{"a,b\nc,d\n", "refused"}, {"value\na,b\n", "refused"}, {"value,action\na.example,delete\n", "refused"}, {"value,match\nhttp://a.example/,regexp\n", "refused"},
		{"value,expires\na.example,soon\n", "refused"}, {"value,exception\na.example,perhaps\n", "refused"}, {"value,type\na.example,md5\n", "refused"}, {"\"a", "refused"},
	} {
		var list []objects.Object
		err := readFile([]byte(test.text), objects.Block, func(o objects.Object) error {
			list = append(list, o)
			return nil
		})
		got := shown(list)
		if err != nil {
			got = "refused"
		}
		if got != test.want {
			t.Errorf("%q is %q (%v), want %q", test.text, got, err, test.want)
		}
	}
}

// fuzzReader has a reader of bytes from a source meet what it will.
func fuzzReader(f *testing.F, read func([]byte) ([]objects.Object, error), seeds ...string) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := read(text)
		if err != nil && len(list) > 0 {
			t.Fatalf("%v, and %s", err, shown(list))
		}
		if slices.ContainsFunc(list, func(o objects.Object) bool {
			return o.Type < 0 || o.Type > objects.IP || o.Action < 0 || o.Action > objects.Quarantine
		}) {
			t.Fatal(shown(list))
		}
	})
}

func FuzzPattern(f *testing.F) {
	fuzzReader(f, func(b []byte) ([]objects.Object, error) { return readPattern(string(b)) },
		"[file:hashes.'SHA-1' = 'ab' OR url:value LIKE 'x%']", "([domain-name:value IN ('a', 'b')] OR [a:b = 'c\\'d'])", "[[", "'", "[a = 'b'] AND", "((((")
}

func FuzzIndicator(f *testing.F) {
	fuzzReader(f, func(b []byte) ([]objects.Object, error) {
		if e, err := readEnvelope(b); err == nil {
			for _, raw := range e.Objects {
				_, _ = readIndicator(raw, now())
			}
		}
		return readIndicator(b, now())
	}, `{"type":"indicator","pattern":"[domain-name:value = 'a']","valid_until":"2026-04-01","revoked":true}`, `{"more":true,"next":"1","objects":[{"type":"indicator"}]}`)
}

func FuzzManaged(f *testing.F) {
	fuzzReader(f, func(b []byte) ([]objects.Object, error) {
		rows, err := readManaged(b)
		var list []objects.Object
		for i := range rows {
			list = append(list, rows[i].object())
		}
		return list, err
	}, `{"Data":[{"type":"file","content":"a","scan_action":"log","expiration_utc_date":"2026-04-01T10:00:00"}],"Meta":{"Result":1}}`)
}

func FuzzMISP(f *testing.F) {
	fuzzReader(f, func(b []byte) ([]objects.Object, error) {
		_, _ = readManifest(b)
		if rows, err := readSearch(b); err == nil {
			for i := range rows {
				_ = rows[i].objects(objects.Log)
			}
		}
		return readEvent(b, objects.Block)
	}, `{"Event":{"info":"x","Attribute":[{"type":"domain|ip","value":"a|b","to_ids":"1","timestamp":"5"}],"Object":[{"Attribute":[]}]}}`,
		`{"00000000-0000-4000-8000-000000000000":{"timestamp":1}}`, `{"response":{"Attribute":[{"type":"ip-dst|port","value":"|"}]}}`)
}

func FuzzFile(f *testing.F) {
	fuzzReader(f, func(b []byte) ([]objects.Object, error) {
		var list []objects.Object
		err := readFile(b, objects.Block, func(o objects.Object) error {
			list = append(list, o)
			return nil
		})
		if err != nil {
			list = nil // what came before the error is discarded with its list
		}
		return list, err
	}, "value,match\nhttp://a/b,domain\n", `[{"value":"a.example"}]`, "a.example\n", "\"", "{}{", "type,value\nurl,%zz\n")
}
