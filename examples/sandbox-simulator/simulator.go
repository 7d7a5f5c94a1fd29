package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"time"
)

// simulator is one sandbox with all its interfaces.
type simulator struct {
	options
	lab  *lab
	door *door

	mu         sync.Mutex
	clients    map[string]bool // ClientUUIDs that registered
	challenges map[string]bool
	counts     map[string]int // requests by kind
	fault      *fault
	shut       *time.Timer
}

// fault is what the whole sandbox does wrong for a while.
type fault struct {
	kind    string // status, hang, drop, cut
	service string // kind of request it is about; "": all
	code    int
	after   string // Retry-After
	left    int    // how many more; -1: no end
	until   time.Time
}

// largestRequest bounds what is taken in.
const largestRequest = 256 << 20

// sandbox serves the interfaces of the three sandboxes.
func (s *simulator) sandbox() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern, kind string, serve func(w http.ResponseWriter, r *http.Request, body []byte)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			name := kind
			if name == "" {
				name = r.PathValue("service")
			}
			s.serve(w, r, name, serve)
		})
	}
	handle("/web_service/sample_upload/{service}", "", s.appliance)
	s.handleCape(handle)
	s.handleCuckoo(handle)
	return mux
}

// serve counts a request and does what is wrong with the sandbox just now, or what the request asks for.
func (s *simulator) serve(w http.ResponseWriter, r *http.Request, kind string, serve func(http.ResponseWriter, *http.Request, []byte)) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, largestRequest))
	if err != nil {
		http.Error(w, "the request could not be read", http.StatusBadRequest)
		return
	}
	w.Header().Set("Date", s.lab.now().UTC().Format(http.TimeFormat))
	switch f := s.wrong(kind); {
	case f == nil:
		serve(w, r, body)
	case f.kind == "status":
		if f.after != "" {
			w.Header().Set("Retry-After", f.after)
		}
		http.Error(w, "as told", f.code)
	case f.kind == "hang":
		<-r.Context().Done()
	case f.kind == "cut": // done, and the answer is lost
		serve(httptest.NewRecorder(), r, body)
		hangUp(w, "")
	default:
		hangUp(w, "")
	}
}

// wrong counts the request and returns the fault that it meets.
func (s *simulator) wrong(kind string) *fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[kind]++
	f := s.fault
	if f == nil || f.service != "" && f.service != kind {
		return nil
	}
	if f.left == 0 || !f.until.IsZero() && time.Now().After(f.until) {
		s.fault = nil
		return nil
	}
	if f.left > 0 {
		f.left--
	}
	return f
}

// hangUp ends the connection with these bytes in place of an answer.
func hangUp(w http.ResponseWriter, bytes string) {
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		return // a recorder, whose answer is lost anyway
	}
	conn, _, err := hijacker.Hijack()
	if err != nil {
		return
	}
	_, _ = io.WriteString(conn, bytes)
	_ = conn.Close()
}

// control serves what steers the simulator.
func (s *simulator) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /control/counters", func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, http.StatusOK, s.counters()) })
	mux.HandleFunc("POST /control/verdicts", func(w http.ResponseWriter, r *http.Request) {
		if err := s.lab.verdicts.put(http.MaxBytesReader(w, r.Body, 1<<20)); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
	mux.HandleFunc("POST /control/fault", func(w http.ResponseWriter, r *http.Request) {
		if err := s.setFault(r); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
	mux.HandleFunc("POST /control/forget", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("what") == "clients" {
			s.mu.Lock()
			clear(s.clients)
			s.mu.Unlock()
			return
		}
		s.lab.forget()
	})
	return mux
}

// counters is what GET /control/counters answers.
type counters struct {
	Requests map[string]int `json:"requests"`
	Uploads  map[string]int `json:"uploads"` // by SHA-1
	Live     int            `json:"live"`
	Doubled  int            `json:"doubled"` // uploads of a sample that was being analysed
	Clients  int            `json:"clients"`
}

func (s *simulator) counters() counters {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lab.mu.Lock()
	defer s.lab.mu.Unlock()
	c := counters{Requests: map[string]int{}, Uploads: map[string]int{}, Live: s.lab.live(), Doubled: s.lab.doubled, Clients: len(s.clients)}
	for kind, n := range s.counts {
		c.Requests[kind] = n
	}
	for hash, n := range s.lab.uploads {
		c.Uploads[hash] = n
	}
	return c
}

// setFault reads kind, service, code, retry_after, count and for.
func (s *simulator) setFault(r *http.Request) (err error) {
	f := &fault{kind: r.FormValue("kind"), service: r.FormValue("service"), after: r.FormValue("retry_after"), left: -1, code: http.StatusServiceUnavailable}
	var lasts time.Duration
	for name, read := range map[string]func(string) error{
		"code":  func(v string) (err error) { f.code, err = strconv.Atoi(v); return err },
		"count": func(v string) (err error) { f.left, err = strconv.Atoi(v); return err },
		"for":   func(v string) (err error) { lasts, err = time.ParseDuration(v); return err },
	} {
		if value := r.FormValue(name); value != "" {
			if err := read(value); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	if lasts > 0 {
		f.until = time.Now().Add(lasts)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut != nil {
		s.shut.Stop()
		s.shut = nil
	}
	switch f.kind {
	case "refuse":
		s.fault = nil
		s.door.close()
		if lasts > 0 {
			s.shut = time.AfterFunc(lasts, func() { _, _ = s.door.open(s.door.address) })
		}
		return nil
	case "none":
		s.fault = nil
	case "status", "hang", "drop", "cut":
		s.fault = f
	default:
		return fmt.Errorf("kind %q is none of none, status, hang, drop, cut, refuse", f.kind)
	}
	_, err = s.door.open(s.door.address)
	return err
}

func answerJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}

// spoilAnswer makes of a good answer what the verdict's faults say.
func spoilAnswer(v verdict, answer string) string {
	switch {
	case v.faults["garbage"]:
		return "\x00\x01 this is no answer <<<"
	case v.faults["truncated"]:
		return answer[:len(answer)/2]
	case v.faults["huge"]:
		return strings.Replace(answer, ">", ">"+string(bytes.Repeat([]byte(" "), 64<<20)), 1)
	case v.faults["doctype"]:
		return `<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>` + answer
	}
	return answer
}
