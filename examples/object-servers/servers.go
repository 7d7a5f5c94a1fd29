package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// server serves the list in all protocols.
type server struct {
	options
	list   *list
	hangUp func()

	mu     sync.Mutex
	faults map[string]string // by protocol; "": all
	counts map[string]int
}

func (s *server) fault(protocol string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.faults[protocol]; f != "" {
		return f
	}
	return s.faults[""]
}

// lists are the servers that are fetched from.
func (s *server) lists() http.Handler {
	mux := http.NewServeMux()
	for pattern, p := range map[string]struct {
		name    string
		handler func(http.ResponseWriter, *http.Request)
	}{
		"GET /WebApp/api/SuspiciousObjects/UserDefinedSO/": {"control_manager", s.userDefined},
		"GET /taxii2/{$}":                                       {"taxii", s.discovery},
		"GET /taxii2/root/collections/{$}":                      {"taxii", s.collections},
		"GET /taxii2/root/collections/" + theUUID + "/objects/": {"taxii", s.objects},
		"GET /feed/manifest.json":                               {"misp_feed", s.manifest},
		"GET /feed/{event}":                                     {"misp_feed", s.event},
		"POST /attributes/restSearch":                           {"misp", s.search},
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			s.mu.Lock()
			s.counts[p.name]++
			s.mu.Unlock()
			s.misbehave(s.fault(p.name), w, r, p.handler)
		})
	}
	return mux
}

// misbehave answers as the fault asks.
func (s *server) misbehave(fault string, w http.ResponseWriter, r *http.Request, handler http.HandlerFunc) {
	switch fault {
	case "500":
		http.Error(w, "out of order", http.StatusInternalServerError)
	case "redirect":
		http.Redirect(w, r, "http://169.254.169.254/latest/meta-data/", http.StatusFound)
	case "garbage":
		_, _ = io.WriteString(w, "<html><body>Please sign in</body></html>")
	case "half":
		recorded := &recorder{header: http.Header{}}
		handler(recorded, r)
		_, _ = w.Write(recorded.body.Bytes()[:recorded.body.Len()/2])
	default:
		handler(w, r)
	}
}

type recorder struct {
	header http.Header
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(int)             {}
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }

// current is the list as the fault of the protocol makes it: "empty", or "large", ten times as long and more.
func (s *server) current(protocol string) ([]*entry, int) {
	entries, version := s.list.listed()
	switch s.fault(protocol) {
	case "empty":
		return nil, version + 1_000_000
	case "large":
		for i := range 11*len(entries) + 1000 {
			entries = append(entries, &entry{kind: "domain", value: fmt.Sprintf("large%d.example", i), action: "block", serial: i})
		}
		return entries, version + 2_000_000
	}
	return entries, version
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// cut is one page.
func cut(entries []*entry, offset, size int) []*entry {
	offset = min(max(offset, 0), len(entries))
	return entries[offset:min(len(entries), offset+max(size, 0))]
}

// userDefined is the automation API of Control Manager.
func (s *server) userDefined(w http.ResponseWriter, r *http.Request) {
	if why := s.unauthorised(r); why != "" {
		http.Error(w, why, http.StatusUnauthorized)
		return
	}
	page, _ := strconv.Atoi(r.URL.Query().Get("page"))
	size, _ := strconv.Atoi(r.URL.Query().Get("page_size"))
	entries, _ := s.current("control_manager")
	rows := []map[string]string{}
	for _, e := range cut(entries, (page-1)*size, size) {
		kind := map[string]string{"sha1": "file_sha1", "sha256": "file_sha256"}[e.kind]
		if kind == "" {
			kind = e.kind
		}
		rows = append(rows, map[string]string{
			"type": kind, "content": e.value, "notes": e.note, "scan_action": e.action, "expiration_utc_date": e.expires,
		})
	}
	answer(w, map[string]any{"Data": rows, "Meta": map[string]any{"Result": 1, "ErrorCode": 0, "ErrorMsg": "Success"}})
}

// unauthorised says what is wrong with the token of a request.
func (s *server) unauthorised(r *http.Request) string {
	pieces := strings.Split(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), ".")
	if len(pieces) != 3 {
		return "no token"
	}
	mac := hmac.New(sha256.New, []byte(s.key))
	mac.Write([]byte(pieces[0] + "." + pieces[1]))
	if base64.RawURLEncoding.EncodeToString(mac.Sum(nil)) != pieces[2] {
		return "wrong signature"
	}
	var claims struct {
		AppID    string
		IAT      int64
		Version  string
		Checksum string
	}
	text, err := base64.RawURLEncoding.DecodeString(pieces[1])
	if err != nil || json.Unmarshal(text, &claims) != nil || claims.AppID != s.application || claims.Version != "V1" {
		return "wrong claims"
	}
	if age := time.Since(time.Unix(claims.IAT, 0)).Abs(); age > 5*time.Minute {
		return "the token is not of now"
	}
	sum := sha256.Sum256([]byte(r.Method + "|" + strings.ToLower(r.URL.RequestURI()) + "||"))
	if base64.StdEncoding.EncodeToString(sum[:]) != claims.Checksum {
		return "wrong checksum"
	}
	return ""
}

const (
	taxiiType = "application/taxii+json;version=2.1"
	theUUID   = "11111111-2222-4333-8444-555555555555"
)

func (s *server) taxii(w http.ResponseWriter, r *http.Request, v any) {
	if r.Header.Get("Authorization") != "Bearer "+s.key {
		http.Error(w, "no token", http.StatusUnauthorized)
		return
	}
	if !strings.HasPrefix(r.Header.Get("Accept"), "application/taxii+json") {
		http.Error(w, "unacceptable", http.StatusNotAcceptable)
		return
	}
	w.Header().Set("Content-Type", taxiiType)
	_ = json.NewEncoder(w).Encode(v)
}

func (s *server) discovery(w http.ResponseWriter, r *http.Request) {
	s.taxii(w, r, map[string]any{"title": "object-servers", "api_roots": []string{"/taxii2/root/"}})
}

func (s *server) collections(w http.ResponseWriter, r *http.Request) {
	s.taxii(w, r, map[string]any{"collections": []map[string]any{{"id": theUUID, "title": "Objects", "can_read": true}}})
}

const taxiiTime = "2006-01-02T15:04:05.000000Z"

func (s *server) objects(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	entries, _ := s.current("taxii")
	if after, err := time.Parse(time.RFC3339Nano, query.Get("added_after")); err == nil && s.fault("taxii") == "" {
		entries = s.list.since(after.Add(time.Microsecond))
	}
	offset, _ := strconv.Atoi(query.Get("next"))
	limit, _ := strconv.Atoi(query.Get("limit"))
	page := cut(entries, offset, limit)
	indicators := make([]map[string]any, 0, len(page))
	var last time.Time
	for _, e := range page {
		path := map[string]string{
			"sha1": "file:hashes.'SHA-1'", "sha256": "file:hashes.'SHA-256'", "url": "url:value", "domain": "domain-name:value", "ip": "ipv4-addr:value",
		}[e.kind]
		operator, value := "=", strings.ReplaceAll(strings.ReplaceAll(e.value, `\`, `\\`), "'", `\'`)
		if begin, open := strings.CutSuffix(value, "*"); open {
			operator, value = "LIKE", begin+"%"
		}
		indicator := map[string]any{
			"type": "indicator", "spec_version": "2.1", "id": fmt.Sprintf("indicator--00000000-0000-4000-8000-%012d", e.serial), "name": e.note,
			"pattern_type": "stix", "pattern": fmt.Sprintf("[%s %s '%s']", path, operator, value), "valid_from": "2020-01-01T00:00:00Z",
		}
		if e.expires != "" {
			indicator["valid_until"] = e.expires
		}
		if e.gone {
			indicator["revoked"] = true
		}
		indicators = append(indicators, indicator)
		if e.changed.After(last) {
			last = e.changed
		}
	}
	envelope := map[string]any{"objects": indicators}
	if offset+len(page) < len(entries) {
		envelope["more"], envelope["next"] = true, strconv.Itoa(offset+len(page))
	}
	if !last.IsZero() {
		w.Header().Set("X-TAXII-Date-Added-Last", last.Format(taxiiTime))
	}
	s.taxii(w, r, envelope)
}

// eventRows is how many attributes an event of the feed has.
const eventRows = 10_000

func eventID(number int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", number) }

func (s *server) manifest(w http.ResponseWriter, r *http.Request) {
	entries, version := s.current("misp_feed")
	tag := fmt.Sprintf(`"%d"`, version)
	w.Header().Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	events := map[string]any{}
	for n := 0; n*eventRows < len(entries); n++ {
		events[eventID(n)] = map[string]any{"info": "Objects", "timestamp": version, "date": "2026-01-01"}
	}
	answer(w, events)
}

func (e *entry) attribute() map[string]any {
	kind := e.kind
	if kind == "ip" {
		kind = "ip-dst"
	}
	return map[string]any{
		"type": kind, "value": e.value, "comment": e.note, "to_ids": !e.gone, "deleted": e.gone, "timestamp": strconv.FormatInt(e.changed.Unix(), 10),
	}
}

func (s *server) event(w http.ResponseWriter, r *http.Request) {
	entries, _ := s.current("misp_feed")
	for n := 0; n*eventRows < len(entries); n++ {
		if r.PathValue("event") != eventID(n)+".json" {
			continue
		}
		var attributes []map[string]any
		for _, e := range cut(entries, n*eventRows, eventRows) {
			attributes = append(attributes, e.attribute())
		}
		// Half of them in an object, as MISP writes files.
		half := len(attributes) / 2
		answer(w, map[string]any{"Event": map[string]any{
			"info": "Objects", "uuid": eventID(n), "Attribute": attributes[:half], "Object": []any{map[string]any{"name": "file", "Attribute": attributes[half:]}},
		}})
		return
	}
	http.NotFound(w, r)
}

func (s *server) search(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != s.key {
		http.Error(w, "no key", http.StatusForbidden)
		return
	}
	var search struct {
		Page, Limit int
		Timestamp   string
	}
	if err := json.NewDecoder(r.Body).Decode(&search); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	entries, _ := s.current("misp")
	if since, err := strconv.ParseInt(search.Timestamp, 10, 64); err == nil && s.fault("misp") == "" {
		entries = s.list.since(time.Unix(since, 0))
	}
	attributes := []map[string]any{}
	for _, e := range cut(entries, (search.Page-1)*search.Limit, search.Limit) {
		attributes = append(attributes, e.attribute())
	}
	answer(w, map[string]any{"response": map[string]any{"Attribute": attributes}})
}

// control steers the servers: POST objects replaces the list, POST generate?n=N adds made-up digests, POST fault?kind=K&protocol=P lets one or all misbehave, GET counters tells how
// often each was asked.
func (s *server) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /control/objects", func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err == nil {
			err = s.list.replace(text)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
	mux.HandleFunc("POST /control/generate", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(r.URL.Query().Get("n"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.list.generate(n)
	})
	mux.HandleFunc("POST /control/fault", func(_ http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.faults[r.URL.Query().Get("protocol")] = r.URL.Query().Get("kind")
		s.mu.Unlock()
		s.hangUp() // so that a certificate is looked at again
	})
	mux.HandleFunc("GET /control/counters", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		answer(w, s.counts)
	})
	return mux
}
