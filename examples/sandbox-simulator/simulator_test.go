package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func newTest(t *testing.T, strict bool, text string) (*simulator, *httptest.Server) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "verdicts.txt")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &simulator{
		options: options{key: "K", token: "T", strict: strict, notRegistered: 423}, lab: newLab(time.Now, &verdicts{path: file}),
		clients: map[string]bool{"U": true}, challenges: map[string]bool{}, counts: map[string]int{},
	}
	server := httptest.NewServer(s.sandbox())
	t.Cleanup(server.Close)
	return s, server
}

// TestChecksum: strict accepts the checksum over headers and body alone, tolerant the one over headers too; every field has to be covered.
func TestChecksum(t *testing.T) {
	const values = "K1.5U1700000000C"
	for _, test := range []struct {
		name, text, extra string
		strict, tolerant  int
	}{
		{"whole", values + "S1;S2", "", 200, 200},
		{"without the body", values, "", 420, 200},
		{"another key", "X" + values[1:] + "S1;S2", "", 420, 420},
		{"a header that is not covered", values + "S1;S2", "X-DTAS-SourceID", 420, 200},
	} {
		for strict, want := range map[bool]int{true: test.strict, false: test.tolerant} {
			_, server := newTest(t, strict, "")
			request, err := http.NewRequest(http.MethodPut, server.URL+"/web_service/sample_upload/check_duplicate_sample", strings.NewReader("S1;S2"))
			if err != nil {
				t.Fatal(err)
			}
			for name, value := range map[string]string{
				"ProtocolVersion": "1.5", "ClientUUID": "U", "Time": "1700000000", "Challenge": "C", "Checksum": checksumOf(test.text),
				"ChecksumCalculatingOrder": "X-DTAS-ProtocolVersion,X-DTAS-ClientUUID,X-DTAS-Time,X-DTAS-Challenge",
			} {
				request.Header.Set("X-DTAS-"+name, value)
			}
			if test.extra != "" {
				request.Header.Set(test.extra, "1")
			}
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if response.StatusCode != want {
				t.Errorf("%s, strict %v: %d, want %d", test.name, strict, response.StatusCode, want)
			}
		}
	}
}

func TestVerdictLines(t *testing.T) {
	s, _ := newTest(t, true, "")
	for line, wrong := range map[string]string{
		"*.js":                         "PATTERN LEVEL",
		"*.js bad":                     "level \"bad\"",
		"*.js high delay=soon":         "invalid duration",
		"*.js high fault=none":         "fault \"none\"",
		"*.js high colour=red":         "\"colour\"",
		"[ high":                       "syntax error",
		"*.js high then=bad":           "level \"bad\"",
		"# *.js":                       "",
		"*.js high name=A delay=1s #x": "",
	} {
		err := s.lab.verdicts.put(strings.NewReader("\n" + line))
		if (err == nil) != (wrong == "") || err != nil && !strings.Contains(err.Error(), wrong) {
			t.Errorf("%q: %v, want %q", line, err, wrong)
		}
	}
}

// TestVerdictsChange: the file is read again, and what control sets comes before it.
func TestVerdictsChange(t *testing.T) {
	s, _ := newTest(t, true, "*.js high\n")
	level := func() string {
		t.Helper()
		s.lab.mu.Lock()
		defer s.lab.mu.Unlock()
		v, err := s.lab.verdictOf(&sample{name: "A.JS"})
		if err != nil {
			t.Fatal(err)
		}
		return v.level
	}
	if got := level(); got != "high" {
		t.Errorf("it is %s", got)
	}
	if err := os.WriteFile(s.lab.verdicts.path, []byte("a.* low\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(s.lab.verdicts.path, later, later); err != nil {
		t.Fatal(err)
	}
	if got := level(); got != "low" {
		t.Errorf("after the change it is %s", got)
	}
	if err := os.WriteFile(s.lab.verdicts.path, []byte("a.js high\na.* low\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(s.lab.verdicts.path, later, later); err != nil {
		t.Fatal(err)
	}
	if got := level(); got != "high" {
		t.Errorf("after a change within one tick it is %s", got)
	}
	if err := os.WriteFile(s.lab.verdicts.path, []byte("a.* low\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.lab.verdicts.put(strings.NewReader("* medium")); err != nil || level() != "medium" {
		t.Errorf("set by control it is %s, %v", level(), err)
	}
	if err := s.lab.verdicts.put(strings.NewReader("")); err != nil || level() != "low" {
		t.Errorf("taken back it is %s, %v", level(), err)
	}
}
