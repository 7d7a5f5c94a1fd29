package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/sdk/objects"
	"github.com/postern-mail/postern/sdk/plugintest/program"
	"github.com/postern-mail/postern/sdk/serve"
)

const testKey = "key-that-nobody-tells"

// lab is running examples/object-servers, and the plugin configured for them.
type lab struct {
	t                    *testing.T
	servers              *program.Program
	url, ca              string
	file                 string
	plugin               *connector
	clock                time.Time
	cursors              map[string]string
	log                  *strings.Builder
	controlManagerByHost string
}

func newLab(t *testing.T, lines string) *lab {
	t.Helper()
	folder := t.TempDir()
	l := &lab{t: t, ca: filepath.Join(folder, "ca.pem"), file: filepath.Join(folder, "list.csv"), clock: time.Now(), cursors: map[string]string{}, log: &strings.Builder{}}
	list := filepath.Join(folder, "objects.csv")
	l.write(list, lines)
	l.write(l.file, "type,value,action,expires,note\n"+lines)
	servers, err := program.Start(t.Context(), "../../bin/object-servers", "-listen", "127.0.0.1:0", "-control", "127.0.0.1:0", "-ca", l.ca,
		"-objects", list, "-key", testKey)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = servers.Stop() }) // it is killed
	l.servers, l.url = servers, servers.Printed["lists"]
	l.controlManagerByHost = strings.TrimPrefix(l.url, "https://")
	l.start()
	return l
}

// start configures a new plugin, as after a restart.
func (l *lab) start() {
	l.t.Helper()
	l.plugin = &connector{now: func() time.Time { return l.clock }, open: func(path string) (file, error) { return os.Open(path) }}
	source := func(name, url string, more map[string]any) []any {
		more["name"], more["url"], more["ca_file"], more["action"], more["full_every"] = name, url, l.ca, "quarantine", 3600
		return []any{more}
	}
	config, err := json.Marshal(map[string][]any{
		"control_manager": source("", l.url, map[string]any{"application_id": "app", "api_key": testKey}),
		"taxii":           source("taxii", l.url+"/taxii2/", map[string]any{"collection": "Objects", "token": testKey}),
		"misp_feed":       source("feed", l.url+"/feed", map[string]any{}),
		"misp":            source("misp", l.url, map[string]any{"api_key": testKey}),
		"file":            {map[string]any{"name": "file", "path": l.file, "action": "quarantine"}},
	})
	if err != nil {
		l.t.Fatal(err)
	}
	done, err := l.plugin.configure(l.t.Context(), &serve.Configuration{Config: config, Log: hclog.New(&hclog.LoggerOptions{Output: l.log})})
	if err != nil || len(done.Problems) != 0 {
		l.t.Fatal(done, err)
	}
}

func (l *lab) write(path, text string) {
	l.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) tell(path, body string) {
	l.t.Helper()
	if err := l.servers.Tell(path, body); err != nil {
		l.t.Fatal(err)
	}
}

// fetched is what came of one list.
type fetched struct {
	objects []string
	state   objects.State
}

type sink struct {
	mu    sync.Mutex
	lists map[string]*fetched
}

func (s *sink) list(name string) *fetched {
	if s.lists[name] == nil {
		s.lists[name] = &fetched{}
	}
	return s.lists[name]
}

func (s *sink) Objects(batch []objects.Object) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range batch {
		l := s.list(o.List)
		l.objects = append(l.objects, show(o))
	}
	return nil
}

func (s *sink) Done(state objects.State) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list(state.List).state = state
	return nil
}

// fetch fetches all lists, going on from the last good ones.
func (l *lab) fetch() map[string]*fetched {
	l.t.Helper()
	s := &sink{lists: map[string]*fetched{}}
	if err := l.plugin.Fetch(l.t.Context(), l.cursors, s); err != nil {
		l.t.Fatal(err)
	}
	for name, f := range s.lists {
		slices.Sort(f.objects)
		if f.state.Err == nil {
			l.cursors[name] = f.state.Cursor
		} else if strings.Contains(f.state.Err.Error(), testKey) {
			l.t.Errorf("%s tells the key: %v", name, f.state.Err)
		}
	}
	if strings.Contains(l.log.String(), testKey) {
		l.t.Error("the key is in the log")
	}
	return s.lists
}

func (l *lab) names() []string {
	return []string{l.controlManagerByHost, "taxii", "feed", "misp", "file"}
}

// TestFetch: the whole list at first, what is new afterwards, the whole again after a while and after a restart with another configuration.
func TestFetch(t *testing.T) {
	l := newLab(t, "domain,a.example,block\nip,10.0.0.1,log\nurl,http://b.example/*,quarantine\n")
	withActions := []string{"domain a.example block", "ip 10.0.0.1 log", "url http://b.example/* quarantine"}
	quarantined := []string{"domain a.example quarantine", "ip 10.0.0.1 quarantine", "url http://b.example/* quarantine"}
	expect := func(name string) []string {
		if name == "file" || name == l.controlManagerByHost {
			return withActions
		}
		return quarantined
	}
	first := l.fetch()
	for _, name := range l.names() {
		f := first[name]
		if f == nil || f.state.Err != nil || !f.state.Complete || !slices.Equal(f.objects, expect(name)) {
			t.Errorf("%s: %+v", name, f)
		}
	}

	// Nothing is new: those that can tell say so, and what comes again is a part.
	for name, f := range l.fetch() {
		whole := name == l.controlManagerByHost
		again := whole || name == "misp" // a search by time gives what has the last time again
		if f.state.Err != nil || f.state.Complete != whole || (len(f.objects) > 0) != again {
			t.Errorf("%s, unchanged: %+v", name, f)
		}
	}

	// One goes, one comes.
	const after = "domain,a.example,block\nip,10.0.0.1,log\ndomain,new.example,block\n"
	l.tell("objects", after)
	l.write(l.file, "type,value,action\n"+after)
	changed := l.fetch()
	for name, want := range map[string]string{
		l.controlManagerByHost: "true domain a.example block, domain new.example block, ip 10.0.0.1 log",
		"file":                 "true domain a.example block, domain new.example block, ip 10.0.0.1 log",
		"feed":                 "true domain a.example quarantine, domain new.example quarantine, ip 10.0.0.1 quarantine",
		"taxii":                "false domain new.example quarantine, url http://b.example/* quarantine until 1970-01-01T00:00",
	} {
		if got := fmt.Sprint(changed[name].state.Complete, " ", strings.Join(changed[name].objects, ", ")); got != want || changed[name].state.Err != nil {
			t.Errorf("%s is %s (%v), want %s", name, got, changed[name].state.Err, want)
		}
	}
	misp := strings.Join(changed["misp"].objects, ", ")
	if changed["misp"].state.Complete || !strings.Contains(misp, "new.example quarantine") || !strings.Contains(misp, "b.example/* quarantine until 1970") {
		t.Errorf("misp is %s", misp)
	}

	// An hour later the whole list is due.
	l.clock = l.clock.Add(time.Hour)
	whole := l.fetch()
	for _, name := range []string{"taxii", "misp"} {
		if f := whole[name]; !f.state.Complete || len(f.objects) != 3 {
			t.Errorf("%s an hour later: %+v", name, f)
		}
	}
	// A restart goes on; another configuration does not go on from its cursor.
	l.start()
	if f := l.fetch()["feed"]; f.state.Complete || f.state.Err != nil {
		t.Errorf("feed after a restart: %+v", f)
	}
	l.cursors["feed"] = "other" + l.cursors["feed"]
	if f := l.fetch()["feed"]; !f.state.Complete || len(f.objects) != 3 {
		t.Errorf("feed with another configuration: %+v", f)
	}
}

// TestPages: lists that are longer than a page.
func TestPages(t *testing.T) {
	for _, n := range []int{999, 1000, 2000, 2345} {
		var lines strings.Builder
		for i := range n {
			fmt.Fprintf(&lines, "domain,d%d.example,block\n", i)
		}
		l := newLab(t, lines.String())
		for name, f := range l.fetch() {
			if slices.Sort(f.objects); f.state.Err != nil || len(slices.Compact(f.objects)) != n {
				t.Errorf("%s has %d of %d: %v", name, len(f.objects), n, f.state.Err)
			}
		}
	}
}

// TestTrouble: one source that fails takes no other with it, and says why.
func TestTrouble(t *testing.T) {
	l := newLab(t, "domain,a.example,block\n")
	for kind, want := range map[string]string{
		"500": "500", "garbage": "invalid character", "half": "unexpected end of JSON input", "redirect": "redirects are not followed",
	} {
		for protocol, name := range map[string]string{"control_manager": l.controlManagerByHost, "taxii": "taxii", "misp_feed": "feed", "misp": "misp"} {
			l.cursors = map[string]string{}
			l.tell("fault?kind="+kind+"&protocol="+protocol, "")
			l.start()
			for list, f := range l.fetch() {
				if (f.state.Err != nil) != (list == name) {
					t.Errorf("%s of %s: %s says %v", kind, protocol, list, f.state.Err)
				}
				if list == name && !strings.Contains(fmt.Sprint(f.state.Err), want) {
					t.Errorf("%s of %s: %v, want %q", kind, protocol, f.state.Err, want)
				}
			}
			l.tell("fault?kind=&protocol="+protocol, "")
		}
	}
	l.tell("fault?kind=expired", "")
	for list, f := range l.fetch() {
		if list != "file" && !strings.Contains(fmt.Sprint(f.state.Err), "certificate has expired") {
			t.Errorf("expired: %s says %v", list, f.state.Err)
		}
	}
}

func TestConfigure(t *testing.T) {
	for config, want := range map[string]string{
		`{}`: "No list is fetched",
		`{"taxii":[{"name":"a","url":"ftp://x"}]}`:                                                "Not the address of a list",
		`{"taxii":[{"name":"a","url":"https://u:p@x/"}]}`:                                         "Not the address of a list",
		`{"misp_feed":[{"name":"a","url":"http://x/"}]}`:                                          "The list is fetched in the clear",
		`{"misp_feed":[{"name":"a","url":"https://x/","insecure":true}]}`:                         "The server's certificate is not checked",
		`{"misp_feed":[{"name":"a","url":"https://x/","fingerprint":"ab"}]}`:                      "No way to reach the server",
		`{"misp_feed":[{"name":"a","url":"https://x/","proxy":"proxy:3128"}]}`:                    "No way to reach the server",
		`{"file":[{"name":"a","path":"list.csv"}]}`:                                               "Not an absolute path",
		`{"file":[{"name":"local","path":"/list.csv"}]}`:                                          "Unsuitable name",
		`{"file":[{"name":"a","path":"/a"}],"misp_feed":[{"name":"a","url":"https://x/"}]}`:       "Two lists of one name",
		`{"control_manager":[{"url":"https://x/"},{"url":"https://x/other"}]}`:                    "Two lists of one name",
		`{"file":[{"name":"a","path":"/a"}],"control_manager":[{"url":"https://x.example:444"}]}`: "",
	} {
		c := &connector{now: time.Now}
		done, err := c.configure(t.Context(), &serve.Configuration{Config: []byte(config), Log: hclog.NewNullLogger()})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if len(done.Problems) > 0 {
			got = done.Problems[0].Summary
		}
		if got != want || len(done.Problems) > 1 {
			t.Errorf("%s: %+v, want %q", config, done.Problems, want)
		}
	}
}
