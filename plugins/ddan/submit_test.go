package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-mail/postern/sdk/analyzer"
)

func TestChecksumIsOverKeyValuesAndBody(t *testing.T) {
	fields := []field{{"ProtocolVersion", "1.5"}, {"ClientUUID", "U"}, {"Time", "1700000000"}, {"Challenge", "C"}}
	got, err := checksum("K", fields, strings.NewReader("S1;S2"))
	const want = "331d35db6e2baeab944766c4aeccbc39d7f81c8b" // printf 'K1.5U1700000000CS1;S2' | sha1sum
	if err != nil || got != want {
		t.Errorf("%s, %v", got, err)
	}
}

func TestArchiveHoldsSampleMetaAndLog(t *testing.T) {
	sample := sampleOf("in.zip/a&b=c\n.js", "content")
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.FixedZone("", 3600))
	a, err := pack(t.TempDir(), sample, "client", at)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(a.path)
	if err != nil {
		t.Fatal(err)
	}
	if sum := fmt.Sprintf("%x", sha1.Sum(raw)); a.sha1 != sum || a.name != "20260304-040607_"+sum+".tgz" || a.size != int64(len(raw)) {
		t.Errorf("%+v, the SHA-1 is %s", a, sum)
	}
	zipped, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for members := tar.NewReader(zipped); ; {
		member, err := members.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(members)
		if err != nil {
			t.Fatal(err)
		}
		got[strings.TrimPrefix(member.Name, sample.SHA1)] = string(text)
	}
	want := map[string]string{
		".dat": "content", ".log": "Date=03/04/2026 04:06:07",
		".meta": "SampleType=0&ClientUUID=client&SourceID=1&SampleFileSHA1=" + sample.SHA1 + "&SampleFileExist=1&OrigFileName=a_b_c_.js",
	}
	for name, text := range want {
		if got[name] != text {
			t.Errorf("%s is %q, want %q", name, got[name], text)
		}
	}
	if len(got) != len(want) {
		t.Errorf("members are %q", got)
	}
}

func TestSampleThatIsNotTheAnnouncedOneIsNotPacked(t *testing.T) {
	for name, change := range map[string]func(*analyzer.Sample){
		"longer":  func(s *analyzer.Sample) { s.Size-- },
		"shorter": func(s *analyzer.Sample) { s.Size++ },
		"other":   func(s *analyzer.Sample) { s.SHA1 = strings.Repeat("0", 40) },
	} {
		folder := t.TempDir()
		sample := sampleOf("a", "content")
		change(sample)
		if _, err := pack(folder, sample, "client", time.Now()); !errors.Is(err, errSample) {
			t.Errorf("%s: %v", name, err)
		}
		if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
			t.Errorf("%s: left behind %v, %v", name, left, err)
		}
	}
}

// TestOutcomes: what a server does to a submission, and what the core is told of it. State 0 is an error: not known.
func TestOutcomes(t *testing.T) {
	const unknown analyzer.State = 0
	tests := []struct {
		name     string
		fault    string // of the whole server
		verdict  string // of the sample
		askFirst bool
		want     analyzer.State
		uploads  int // asked for, not taken
	}{
		{name: "all is well", want: analyzer.Pending, uploads: 1},
		{name: "refuses connections", fault: "kind=refuse", want: analyzer.Unreachable},
		{name: "refuses connections and may have it", fault: "kind=refuse", askFirst: true, want: unknown},
		{name: "refuses the client", fault: "kind=status&code=401", want: analyzer.Unreachable},
		{name: "refuses the client and may have it", fault: "kind=status&code=401", askFirst: true, want: unknown},
		{name: "fails at the check", fault: "kind=status&code=500&service=check_duplicate_sample", want: analyzer.Unreachable},
		{name: "fails at the check once", fault: "kind=status&code=500&service=check_duplicate_sample&count=1", want: analyzer.Pending, uploads: 1},
		{name: "fails at the check and may have it", fault: "kind=status&code=500&service=check_duplicate_sample", askFirst: true, want: unknown},
		{name: "drops the check", fault: "kind=drop&service=check_duplicate_sample", want: analyzer.Unreachable},
		{name: "drops the check once", fault: "kind=drop&service=check_duplicate_sample&count=1", askFirst: true, want: analyzer.Pending, uploads: 1},
		{name: "hangs at the check", fault: "kind=hang&service=check_duplicate_sample", want: analyzer.Unreachable},
		{name: "fails inside the upload", fault: "kind=status&code=500&service=upload_sample", want: unknown, uploads: 1},
		{name: "is behind a gateway that gives up", fault: "kind=status&code=504&service=upload_sample", want: unknown, uploads: 1},
		{name: "drops the upload", fault: "kind=drop&service=upload_sample", want: unknown, uploads: 1},
		{name: "hangs at the upload", fault: "kind=hang&service=upload_sample", want: unknown, uploads: 1},
		{name: "is too busy for the upload", fault: "kind=status&code=503&retry_after=60&service=upload_sample", want: analyzer.Unreachable, uploads: 1},
		{name: "refuses the key at the upload", fault: "kind=status&code=403&service=upload_sample", want: analyzer.Unreachable, uploads: 2},
		{name: "does not take the kind", verdict: "sample.bin none upload=415", want: analyzer.Unsupported, uploads: 1},
		{name: "finds it too large", verdict: "sample.bin none upload=413", want: analyzer.Failed, uploads: 1},
		{name: "cannot read it", verdict: "sample.bin none upload=420", want: analyzer.Failed, uploads: 2}, // 420 may be "not registered"
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newSimulator(t, test.verdict+"\n")
			r := newRig(t, s.block())
			if test.fault != "" {
				s.control("fault?" + test.fault)
			}
			got, detail := r.submit(sampleOf("sample.bin", test.name), test.askFirst)
			if uploads := s.counters().Requests["upload_sample"]; got != test.want || uploads != test.uploads {
				t.Errorf("state %d after %d uploads, want %d after %d: %s", got, uploads, test.want, test.uploads, detail)
			}
		})
	}
}

// TestLostAnswer: the server took the sample and its answer was lost; it is asked and not given the sample again.
func TestLostAnswer(t *testing.T) {
	s := newSimulator(t, "* none fault=never\n")
	r := newRig(t, s.block())
	s.control("fault?kind=cut&service=upload_sample")
	if got, detail := r.submit(sampleOf("a", "lost"), false); got != 0 {
		t.Fatalf("state %d: %s", got, detail)
	}
	s.control("fault?kind=none")
	if got, detail := r.submit(sampleOf("a", "lost"), true); got != analyzer.Pending {
		t.Errorf("state %d: %s", got, detail)
	}
	if c := s.counters(); c.Requests["upload_sample"] != 1 || c.Doubled != 0 {
		t.Errorf("counted %+v", c)
	}
}

func TestClientRegistersOnceAndAgainWhenForgotten(t *testing.T) {
	s := newSimulator(t, "")
	r := newRig(t, s.block())
	var submitting sync.WaitGroup
	for i := range 20 {
		submitting.Go(func() {
			if got, detail := r.submit(sampleOf("a", fmt.Sprint("sample ", i)), false); got != analyzer.Pending {
				t.Errorf("state %d: %s", got, detail)
			}
		})
	}
	submitting.Wait()
	if c := s.counters(); c.Requests["register"] != 1 || len(c.Uploads) != 20 {
		t.Errorf("counted %+v", c)
	}
	s.control("forget?what=clients")
	if got, detail := r.submit(sampleOf("a", "afterwards"), false); got != analyzer.Pending {
		t.Errorf("state %d: %s", got, detail)
	}
	again := newRig(t, s.block()) // a restart
	if got, detail := again.submit(sampleOf("a", "after a restart"), false); got != analyzer.Pending {
		t.Errorf("state %d: %s", got, detail)
	}
	if c := s.counters(); c.Clients != 1 || c.Requests["register"] != 3 {
		t.Errorf("counted %+v", c)
	}
}

// TestKeyThatIsWithdrawn: the upload is refused, and so is the new registration. That is no word about the sample.
func TestKeyThatIsWithdrawn(t *testing.T) {
	var registrations atomic.Int64
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/register") && registrations.Add(1) > 1:
			w.WriteHeader(420)
		case strings.HasSuffix(r.URL.Path, "/upload_sample"):
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	defer server.Close()
	s := &simulator{port: server.Listener.Addr().(*net.TCPAddr).Port}
	r := newRig(t, s.block("insecure", true))
	if got, detail := r.submit(sampleOf("unsupported.js", "a"), false); got != analyzer.Unreachable {
		t.Errorf("state %d: %s", got, detail)
	}
}

func TestWrongKeyIsNoVerdict(t *testing.T) {
	s := newSimulator(t, "")
	r := newRig(t, s.block("api_key", "another"))
	if got, detail := r.submit(sampleOf("a", "a"), false); got != analyzer.Unreachable {
		t.Errorf("state %d: %s", got, detail)
	}
}

func TestClockOfTheApplianceCounts(t *testing.T) {
	s := newSimulator(t, "", "-skew", "1m", "-ahead", "2h")
	r := newRig(t, s.block())
	if got, detail := r.submit(sampleOf("a", "a"), false); got != analyzer.Pending {
		t.Errorf("state %d: %s", got, detail)
	}
	if got := s.counters().Requests; got["register"] != 2 || got["check_duplicate_sample"] != 1 {
		t.Errorf("asked %v: the difference is kept in mind", got)
	}
}

// TestIdentity: who is trusted to be the appliance.
func TestIdentity(t *testing.T) {
	s := newSimulator(t, "")
	other := newSimulator(t, "")
	colons := strings.ToUpper(s.fingerprint[:2]) + ":" + s.fingerprint[2:]
	tests := []struct {
		name    string
		changes []any
		want    analyzer.State
		warned  bool
	}{
		{"pinned", nil, analyzer.Pending, false},
		{"pinned, with colons", []any{"fingerprint", colons}, analyzer.Pending, false},
		{"another is pinned", []any{"fingerprint", other.fingerprint}, analyzer.Unreachable, false},
		{"by its authority", []any{"fingerprint", "", "ca_file", s.certificate}, analyzer.Pending, false},
		{"by another authority", []any{"fingerprint", "", "ca_file", other.certificate}, analyzer.Unreachable, false},
		{"by authority and pin", []any{"ca_file", s.certificate}, analyzer.Pending, false},
		{"by another authority and the pin", []any{"ca_file", other.certificate}, analyzer.Unreachable, false},
		{"unknown", []any{"fingerprint", ""}, analyzer.Unreachable, false},
		{"anybody", []any{"fingerprint", "", "insecure", true}, analyzer.Pending, true},
		{"insecure takes no pin back", []any{"fingerprint", other.fingerprint, "insecure", true}, analyzer.Unreachable, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, s.block(test.changes...))
			if warned := len(r.problems) == 1 && r.problems[0].Warning; warned != test.warned {
				t.Errorf("problems are %+v", r.problems)
			}
			if got, detail := r.submit(sampleOf("a", test.name), false); got != test.want {
				t.Errorf("state %d: %s", got, detail)
			}
		})
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	s := &simulator{port: 443, fingerprint: strings.Repeat("0", 64)}
	for name, test := range map[string]struct {
		blocks []map[string]any
		path   string
	}{
		"twice":       {[]map[string]any{s.block(), s.block()}, "config/server/127.0.0.1"},
		"fingerprint": {[]map[string]any{s.block("fingerprint", "12:34")}, "config/server/127.0.0.1/fingerprint"},
		"ca_file":     {[]map[string]any{s.block("fingerprint", "", "ca_file", "/nowhere")}, "config/server/127.0.0.1/ca_file"},
		"key":         {[]map[string]any{s.block("api_key", " ")}, "config/server/127.0.0.1/api_key"},
		"disabled":    {[]map[string]any{s.block("enabled", false)}, "config"},
	} {
		r := newRig(t, test.blocks...)
		if len(r.problems) != 1 || strings.Join(r.problems[0].Path, "/") != test.path {
			t.Errorf("%s: %+v", name, r.problems)
		}
	}
}

// TestServersShareFailAndReturn runs three appliances: two of equal preference and one behind them.
func TestServersShareFailAndReturn(t *testing.T) {
	first, second, last := newSimulator(t, ""), newSimulator(t, "", "-listen", "127.0.0.2:0"), newSimulator(t, "")
	r := newRig(t, first.block(), second.block("host", "127.0.0.2"), last.block("host", "localhost", "preference", 20))
	choose := func(exclude ...string) string {
		t.Helper()
		server, err := r.Choose(t.Context(), exclude)
		if err != nil {
			t.Fatal(err)
		}
		return server
	}
	got := []string{choose(), choose(), choose(), choose()}
	if want := []string{"127.0.0.1", "127.0.0.2", "127.0.0.1", "127.0.0.2"}; !slices.Equal(got, want) {
		t.Errorf("chosen are %q", got)
	}
	if server := choose("127.0.0.1", "127.0.0.2"); server != "localhost" {
		t.Errorf("behind both is %q", server)
	}
	if server := choose("127.0.0.1", "127.0.0.2", "localhost"); server != "" {
		t.Errorf("behind all is %q", server)
	}

	first.control("fault?kind=refuse")
	if state, _ := r.submit(sampleOf("a", "a"), false); state != analyzer.Unreachable {
		t.Fatalf("state %d", state)
	}
	for range 4 {
		if server := choose(); server != "127.0.0.2" {
			t.Errorf("chosen is %q", server)
		}
	}
	r.ahead.Add(int64(time.Minute)) // still away: it is asked, and passed over for longer
	for range 4 {
		if server := choose(); server != "127.0.0.2" {
			t.Errorf("chosen is %q", server)
		}
	}
	first.control("fault?kind=none")
	r.ahead.Add(int64(5 * time.Minute))
	got = []string{choose(), choose()}
	slices.Sort(got)
	if want := []string{"127.0.0.1", "127.0.0.2"}; !slices.Equal(got, want) {
		t.Errorf("chosen are %q after the return", got)
	}
}

// TestThrottledServerIsLeftAlone: no request before the time that it asked for, whoever wants to ask.
func TestThrottledServerIsLeftAlone(t *testing.T) {
	s := newSimulator(t, "")
	r := newRig(t, s.block())
	s.control("fault?kind=status&code=429&retry_after=90")
	if state, detail := r.submit(sampleOf("a", "a"), false); state != analyzer.Unreachable {
		t.Fatalf("state %d: %s", state, detail)
	}
	s.control("fault?kind=none")
	before := s.counters().Requests
	r.ahead.Add(int64(80 * time.Second))
	if server, err := r.Choose(t.Context(), nil); err != nil || server != "" {
		t.Errorf("chosen is %q, %v", server, err)
	}
	if state, _ := r.submit(sampleOf("a", "a"), true); state != 0 {
		t.Errorf("state %d of what it may have", state)
	}
	if _, err := r.result(sampleOf("a", "a")); err == nil {
		t.Error("a result without asking")
	}
	if after := s.counters().Requests; fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("asked %v, before %v", after, before)
	}
	r.ahead.Add(int64(5 * time.Minute))
	if server, err := r.Choose(t.Context(), nil); err != nil || server != "127.0.0.1" {
		t.Errorf("chosen is %q, %v", server, err)
	}
	if state, detail := r.submit(sampleOf("a", "a"), true); state != analyzer.Pending {
		t.Errorf("state %d: %s", state, detail)
	}
}

func TestSampleOfAServerThatIsGone(t *testing.T) {
	s := newSimulator(t, "")
	r := newRig(t, s.block())
	sample := sampleOf("a", "a")
	sample.Server = "192.0.2.1"
	if state, _ := r.submit(sample, false); state != analyzer.Unreachable {
		t.Errorf("state %d of a sample that it was not given", state)
	}
	if state, _ := r.submit(sample, true); state != analyzer.Failed {
		t.Errorf("state %d of a sample that it may have", state)
	}
	if _, err := r.Results(context.Background(), []analyzer.Submission{{SHA1: sample.SHA1, SHA256: sample.SHA256, Server: "192.0.2.1"}}); err == nil {
		t.Error("a result without a server")
	}
}
