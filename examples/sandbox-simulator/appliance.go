package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	statusBadRequest = 420
	statusNotFound   = 421
)

// appliance answers /web_service/sample_upload/.
func (s *simulator) appliance(w http.ResponseWriter, r *http.Request, body []byte) {
	service := r.PathValue("service")
	services := map[string]struct {
		method string
		serve  func(http.ResponseWriter, *http.Request, []byte)
	}{
		"test_connection":        {http.MethodGet, func(http.ResponseWriter, *http.Request, []byte) {}},
		"register":               {http.MethodGet, s.register},
		"unregister":             {http.MethodGet, s.unregister},
		"check_duplicate_sample": {http.MethodPut, s.checkDuplicate},
		"upload_sample":          {http.MethodPut, s.upload},
		"get_brief_report":       {http.MethodPut, s.briefReport},
		"get_report":             {http.MethodGet, s.fullReport},
	}
	asked, known := services[service]
	switch {
	case !known:
		http.Error(w, "no such service", http.StatusNotFound)
		return
	case r.Method != asked.method:
		http.Error(w, "another method is needed", http.StatusMethodNotAllowed)
		return
	}
	if err := s.checkRequest(r, body); err != nil {
		http.Error(w, err.Error(), statusBadRequest)
		return
	}
	if service != "test_connection" && service != "register" {
		s.mu.Lock()
		registered := s.clients[r.Header.Get("X-DTAS-ClientUUID")]
		s.mu.Unlock()
		if !registered {
			http.Error(w, "client is not registered", s.notRegistered)
			return
		}
	}
	asked.serve(w, r, body)
}

// checkRequest checks checksum, time and challenge.
func (s *simulator) checkRequest(r *http.Request, body []byte) error {
	var values []string
	ordered := map[string]bool{}
	for name := range strings.SplitSeq(r.Header.Get("X-DTAS-ChecksumCalculatingOrder"), ",") {
		name = http.CanonicalHeaderKey(strings.TrimSpace(name))
		ordered[name] = true
		values = append(values, r.Header.Get(name))
	}
	for _, needed := range []string{"X-Dtas-Protocolversion", "X-Dtas-Time", "X-Dtas-Challenge"} {
		if !ordered[needed] {
			return fmt.Errorf("%s is not in the order of the checksum", needed)
		}
	}
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Dtas-") && name != "X-Dtas-Checksum" && name != "X-Dtas-Checksumcalculatingorder" && !ordered[name] && s.strict {
			return fmt.Errorf("%s is not in the order of the checksum", name)
		}
	}
	text := s.key + strings.Join(values, "")
	got := r.Header.Get("X-DTAS-Checksum")
	if got != checksumOf(text+string(body)) && (s.strict || got != checksumOf(text)) {
		return errors.New("wrong checksum")
	}
	seconds, err := strconv.ParseInt(r.Header.Get("X-DTAS-Time"), 10, 64)
	if err != nil {
		return errors.New("the time is no number")
	}
	if s.skew > 0 && s.lab.now().Sub(time.Unix(seconds, 0)).Abs() > s.skew {
		return errors.New("the time is not the appliance's")
	}
	challenge := r.Header.Get("X-DTAS-Challenge")
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.strict && s.challenges[challenge] {
		return errors.New("the challenge was used before")
	}
	const most = 100_000
	if len(s.challenges) > most {
		clear(s.challenges)
	}
	s.challenges[challenge] = true
	return nil
}

func checksumOf(text string) string {
	sum := sha1.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

func (s *simulator) register(w http.ResponseWriter, r *http.Request, _ []byte) {
	id := r.Header.Get("X-DTAS-ClientUUID")
	if id == "" || r.Header.Get("X-DTAS-ProductName") == "" || r.Header.Get("X-DTAS-ClientHostname") == "" {
		http.Error(w, "who registers?", statusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[id] = true
}

func (s *simulator) unregister(_ http.ResponseWriter, r *http.Request, _ []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, r.Header.Get("X-DTAS-ClientUUID"))
}

func hashes(body []byte) []string {
	return strings.FieldsFunc(strings.ToLower(string(body)), func(r rune) bool { return r == ';' || r <= ' ' })
}

func (s *simulator) checkDuplicate(w http.ResponseWriter, _ *http.Request, body []byte) {
	s.lab.mu.Lock()
	defer s.lab.mu.Unlock()
	var known []string
	for _, hash := range hashes(body) {
		if s.lab.samples[hash] != nil {
			known = append(known, hash)
		}
	}
	_, _ = io.WriteString(w, strings.Join(known, ";"))
}

func (s *simulator) upload(w http.ResponseWriter, r *http.Request, body []byte) {
	if checksumOf(string(body)) != strings.ToLower(r.Header.Get("X-DTAS-Archive-SHA1")) {
		http.Error(w, "the archive has another SHA-1", statusBadRequest)
		return
	}
	content, name, url, err := unpackSample(body)
	if err != nil {
		http.Error(w, err.Error(), statusBadRequest)
		return
	}
	expected, err := s.lab.expected(content, name)
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	case expected.upload != 0:
		http.Error(w, "as told", expected.upload)
	default:
		s.lab.take(content, name, url)
	}
}

// unpackSample opens the archive of one upload.
func unpackSample(raw []byte) (content []byte, name string, url bool, err error) {
	zipped, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, "", false, fmt.Errorf("the archive is not gzip'd: %w", err)
	}
	members := map[string][]byte{}
	for archive := tar.NewReader(io.LimitReader(zipped, largestRequest)); ; {
		member, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, "", false, fmt.Errorf("the archive is broken: %w", err)
		}
		if strings.ContainsAny(member.Name, "/\\") {
			return nil, "", false, errors.New("the archive has folders")
		}
		if members[member.Name], err = io.ReadAll(archive); err != nil {
			return nil, "", false, fmt.Errorf("the archive is broken: %w", err)
		}
	}
	for member, text := range members {
		hash, isMeta := strings.CutSuffix(member, ".meta")
		if !isMeta {
			continue
		}
		values := map[string]string{}
		for pair := range strings.SplitSeq(string(text), "&") {
			key, value, _ := strings.Cut(pair, "=")
			values[key] = value
		}
		data, exists := members[hash+".dat"]
		switch {
		case !exists:
			return nil, "", false, errors.New("the sample is missing")
		case !strings.EqualFold(checksumOf(string(data)), hash) || !strings.EqualFold(values["SampleFileSHA1"], hash) || values["SampleFileExist"] != "1":
			return nil, "", false, errors.New("the sample is not the one announced")
		case !bytes.Contains(members[hash+".log"], []byte("Date=")):
			return nil, "", false, errors.New("the log is missing")
		}
		return data, values["OrigFileName"], values["SampleType"] == "1", nil
	}
	return nil, "", false, errors.New("the archive describes no sample")
}

func (s *simulator) briefReport(w http.ResponseWriter, _ *http.Request, body []byte) {
	s.lab.mu.Lock()
	defer s.lab.mu.Unlock()
	var (
		b     strings.Builder
		spoil = func(answer string) string { return answer }
	)
	b.WriteString(xml.Header + "<REPORT>")
	for _, hash := range hashes(body) {
		sample := s.lab.samples[hash]
		if sample == nil {
			fmt.Fprintf(&b, "<BRIEF_REPORT><SHA1>%s</SHA1><RiskLevel></RiskLevel><STATUS>NotFound</STATUS></BRIEF_REPORT>", escape(hash))
			continue
		}
		status, v, err := s.lab.state(sample)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		level := ""
		if status == "Done" && !v.faults["no_level"] {
			level = s.lab.tell(sample, v)
		}
		if v.faults["wrong_hash"] {
			hash = checksumOf("another " + hash)
		}
		named := "<SHA1>" + hash + "</SHA1>"
		if v.faults["unnamed"] {
			named = ""
		}
		if status == "Done" {
			spoil = func(answer string) string { return spoilAnswer(v, answer) }
		}
		fmt.Fprintf(&b, "<BRIEF_REPORT>%s<RiskLevel>%s</RiskLevel><STATUS>%s</STATUS></BRIEF_REPORT>", named, level, status)
	}
	b.WriteString("</REPORT>")
	w.Header().Set("Content-Type", "text/xml")
	_, _ = io.WriteString(w, spoil(b.String()))
}

func (s *simulator) fullReport(w http.ResponseWriter, r *http.Request, _ []byte) {
	s.lab.mu.Lock()
	defer s.lab.mu.Unlock()
	sample := s.lab.samples[strings.ToLower(r.Header.Get("X-DTAS-SHA1"))]
	if sample == nil {
		http.Error(w, "not found", statusNotFound)
		return
	}
	status, v, err := s.lab.state(sample)
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	case status != "Done" || v.faults["final_102"]:
		// No handler of net/http can end an answer with 102.
		hangUp(w, "HTTP/1.1 102 Processing\r\n\r\n")
		return
	}
	level, hash := "", sample.sha1
	if !v.faults["no_level"] {
		level = s.lab.tell(sample, v)
	}
	if v.faults["wrong_hash"] {
		hash = checksumOf("another " + hash)
	}
	violation := ""
	if v.event != "" {
		violation = fmt.Sprintf("<AnalysisViolation><AnalysisViolatedEvent><Event>%s</Event><Details>simulated</Details></AnalysisViolatedEvent></AnalysisViolation>",
			escape(v.event))
	}
	image := "0123456789abcdef"
	w.Header().Set("Content-Type", "text/xml")
	_, _ = io.WriteString(w, spoilAnswer(v, fmt.Sprintf(xml.Header+`<REPORTS version="1.1"><IMAGE_TYPE><TYPE id="%s">Simulated</TYPE></IMAGE_TYPE>`+
		`<FILE_ANALYZE_REPORT image_type="%s"><FileSHA1>%s</FileSHA1><OrigFileName>%s</OrigFileName><OverallROZRating>%s</OverallROZRating>`+
		`<VirusDetected>%d</VirusDetected><VirusName>%s</VirusName>%s</FILE_ANALYZE_REPORT><OVERALL_RISK_LEVEL>%s</OVERALL_RISK_LEVEL></REPORTS>`,
		image, image, strings.ToUpper(hash), escape(sample.name), level, min(len(v.name), 1), escape(v.name), violation, level)))
}

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a Builder does not fail
	return b.String()
}
