package main

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/sdk/scanner"
	"github.com/postern-mail/postern/sdk/serve"
)

type body []byte

func (b body) Open() (io.ReadSeekCloser, error) { return nopCloser{bytes.NewReader(b)}, nil }
func (b body) Bytes() ([]byte, error)           { return b, nil }

type nopCloser struct{ io.ReadSeeker }

func (nopCloser) Close() error { return nil }

func part(kind string, content []byte) scanner.Part {
	s1, s256 := sha1.Sum(content), sha256.Sum256(content)
	return scanner.Part{
		ID: 1, Parent: 0, Kind: kind, Names: []string{"file"}, Size: int64(len(content)), SHA1: hex.EncodeToString(s1[:]),
		SHA256: hex.EncodeToString(s256[:]), Body: body(content),
	}
}

// configured is the engine as an operator's block makes it.
func configured(t testing.TB, config map[string]any) (*engine, *serve.Configured) {
	t.Helper()
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{}
	done, err := e.configure(context.Background(), &serve.Configuration{Config: text, Log: hclog.NewNullLogger()})
	if err != nil {
		t.Fatal(err)
	}
	return e, done
}

func scan(t *testing.T, e *engine, p scanner.Part) *scanner.Report {
	t.Helper()
	report, err := e.Scan(context.Background(), &scanner.Message{Queries: []int{3}, Parts: []scanner.Part{p}})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func names(report *scanner.Report) (out []string) {
	for _, f := range report.Findings {
		out = append(out, f.Name)
	}
	return out
}

func TestEICAR(t *testing.T) {
	e, _ := configured(t, nil)
	test := string(eicar())
	for name, c := range map[string]struct {
		kind, content string
		found         bool
	}{
		"the file":                         {"attachment", test, true},
		"with a line end":                  {"member", test + "\r\n", true},
		"with blanks before":               {"attachment", " \t" + test, true},
		"with something behind":            {"attachment", test + "x", false},
		"within a text body":               {"text", "Look:\r\n" + test + "\r\nBye.", true},
		"within an attached document":      {"attachment", "Look:\r\n" + test, false},
		"all but the last character":       {"attachment", test[:len(test)-1], false},
		"within a text longer than 64 KiB": {"text", strings.Repeat("x", 65<<10) + test, false},
		"nothing":                          {"attachment", "", false},
	} {
		report := scan(t, e, part(c.kind, []byte(c.content)))
		if got := len(report.Findings) == 1 && report.Findings[0].Query == 3 && report.Findings[0].Certainty == scanner.Sure; got != c.found {
			t.Errorf("%s: found %v", name, report.Findings)
		}
	}
}

func TestSignatures(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	digest := func(content string) (string, string, string) {
		m, s, l := md5.Sum([]byte(content)), sha1.Sum([]byte(content)), sha256.Sum256([]byte(content))
		return hex.EncodeToString(m[:]), hex.EncodeToString(s[:]), hex.EncodeToString(l[:])
	}
	m, _, _ := digest("by md5")
	_, s, _ := digest("by sha1")
	_, _, l := digest("by sha256")
	ma, _, _ := digest("by md5 of any size")
	write("a.hdb", "# comment\n"+strings.ToUpper(m)+":6:Test.MD5\n\n"+ma+":*:Test.Any:73\n")
	write("b.hsb", s+":7:Test.SHA1\n"+l+":9:Test.SHA256\n"+l[:63]+"0:9:Test.Other\n")
	write("c.hsb", l+":9:Test.Broken\nnonsense\n")
	write("d.txt", "not a signature file")
	e, done := configured(t, map[string]any{"signatures": []string{dir, filepath.Join(dir, "absent")}})
	var said []string
	for _, p := range done.Problems {
		if !p.Warning {
			t.Errorf("%+v turns mail away", p)
		}
		said = append(said, p.Detail)
	}
	slices.Sort(said)
	if len(said) != 2 || !strings.Contains(said[0], "c.hsb:2") || !strings.Contains(said[1], "absent") {
		t.Errorf("problems are %q", said)
	}
	for content, want := range map[string]string{
		"by md5": "Test.MD5", "by sha1": "Test.SHA1", "by sha256": "Test.SHA256", "by md5 of any size": "Test.Any", "by none": "",
	} {
		if got := strings.Join(names(scan(t, e, part("attachment", []byte(content)))), " "); got != want {
			t.Errorf("%q is %q, want %q", content, got, want)
		}
	}
}

func FuzzSignature(f *testing.F) {
	f.Add("d41d8cd98f00b204e9800998ecf8427e:0:Empty")
	f.Add("x:*:")
	f.Fuzz(func(t *testing.T, line string) {
		digest, sig, err := parseSignature(line)
		if err == nil && (len(digest) != 32 && len(digest) != 40 && len(digest) != 64 || sig.name == "" || sig.size < -1) {
			t.Errorf("%q gives %q, %+v", line, digest, sig)
		}
	})
}

// startClamd runs Debian's clamd with a database of one signature, ours, and returns its socket.
func startClamd(t *testing.T, content string) string {
	t.Helper()
	binary, err := exec.LookPath("clamd")
	if err != nil {
		if binary = "/usr/sbin/clamd"; !exists(binary) {
			t.Fatal("clamd is missing: run `make test`, which installs it")
		}
	}
	dir, err := os.MkdirTemp("", "cl") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	sum := md5.Sum([]byte(content))
	files := map[string]string{
		"db/own.hdb": fmt.Sprintf("%x:%d:Own.Test\n", sum, len(content)),
		"clamd.conf": "LocalSocket " + dir + "/s\nDatabaseDirectory " + dir + "/db\nForeground yes\nUser root\nStreamMaxLength 1M\n",
	}
	if os.Getuid() != 0 {
		files["clamd.conf"] = strings.Replace(files["clamd.conf"], "User root\n", "", 1)
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var said bytes.Buffer
	command := exec.Command(binary, "-c", filepath.Join(dir, "clamd.conf"))
	command.Stdout, command.Stderr = &said, &said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		_ = command.Wait()
		close(exited)
	}()
	t.Cleanup(func() {
		_ = command.Process.Kill()
		<-exited
	})
	socket := filepath.Join(dir, "s")
	ticks := time.NewTicker(20 * time.Millisecond)
	defer ticks.Stop()
	for {
		if conn, err := net.Dial("unix", socket); err == nil {
			_ = conn.Close()
			return socket
		}
		select {
		case <-ticks.C:
		case <-exited:
			t.Fatalf("clamd ended: %s", said.String())
		case <-t.Context().Done():
			t.Fatal("clamd does not listen")
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// TestClamd asks a real clamd.
func TestClamd(t *testing.T) {
	const known = "content that only our database knows"
	socket := startClamd(t, known)
	e, done := configured(t, map[string]any{"clamd": "unix:" + socket})
	if len(done.Problems) > 0 || !strings.Contains(done.Signatures, "ClamAV") {
		t.Errorf("problems %v, signatures %q", done.Problems, done.Signatures)
	}
	for content, want := range map[string]string{known: "Own.Test.UNOFFICIAL", "anything else": "", string(eicar()): eicarName} {
		report := scan(t, e, part("attachment", []byte(content)))
		if got := strings.Join(names(report), " "); got != want || len(report.Troubles) > 0 {
			t.Errorf("%q is %q, want %q; troubles %v", content, got, want, report.Troubles)
		}
	}
	report := scan(t, e, part("attachment", bytes.Repeat([]byte("large "), 300<<10)))
	if len(report.Findings) > 0 || len(report.Troubles) != 1 || report.Troubles[0].Kind != scanner.TroubleLimit {
		t.Errorf("what clamd does not take is %+v", report)
	}
}

// TestClamdAway: a clamd that does not answer is trouble and no clean bill; what is known without it is found.
func TestClamdAway(t *testing.T) {
	e, done := configured(t, map[string]any{"clamd": "unix:" + filepath.Join(t.TempDir(), "s")})
	if len(done.Problems) != 1 || !done.Problems[0].Warning {
		t.Errorf("problems are %+v", done.Problems)
	}
	report := scan(t, e, part("attachment", []byte("anything")))
	if len(report.Troubles) != 1 || report.Troubles[0].Kind != scanner.TroubleDownstream {
		t.Errorf("the report is %+v", report)
	}
	if got := names(scan(t, e, part("attachment", eicar()))); len(got) != 1 {
		t.Errorf("found is %v", got)
	}
	if _, done := configured(t, map[string]any{"clamd": "nonsense"}); len(done.Problems) != 1 || done.Problems[0].Warning {
		t.Errorf("a wrong socket is %+v", done.Problems)
	}
}

func FuzzClamdAnswer(f *testing.F) {
	for _, answer := range []string{"stream: OK", "stream: X FOUND", "INSTREAM size limit exceeded. ERROR", " FOUND", ""} {
		f.Add(answer)
	}
	f.Fuzz(func(t *testing.T, answer string) {
		name, err := parseAnswer(answer)
		if err == nil && name == "" && strings.TrimPrefix(answer, "stream: ") != "OK" {
			t.Errorf("%q is clean", answer)
		}
	})
}
