package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

type handle func(pattern, kind string, serve func(w http.ResponseWriter, r *http.Request, body []byte))

// allowed checks the token, which stands behind a word of either case.
func (s *simulator) allowed(w http.ResponseWriter, r *http.Request) bool {
	word, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(word, "token") && token == s.token {
		return true
	}
	answerJSON(w, http.StatusUnauthorized, map[string]any{"detail": "Invalid token."})
	return false
}

// handleCape serves CAPE's interface.
func (s *simulator) handleCape(handle handle) {
	handle("POST /apiv2/tasks/create/file/{$}", "cape_create", s.capeCreate)
	handle("POST /apiv2/tasks/create/url/{$}", "cape_create", s.capeCreate)
	handle("GET /apiv2/tasks/search/sha256/{hash}/{$}", "cape_search", s.capeSearch)
	handle("GET /apiv2/tasks/status/{id}/{$}", "cape_status", s.capeStatus)
	handle("GET /apiv2/tasks/get/report/{id}/json/{$}", "cape_report", s.capeReport)
}

// submitted reads a sample from a form.
func submitted(w http.ResponseWriter, r *http.Request, body []byte) (content []byte, name string, url bool, err error) {
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	if err := r.ParseMultipartForm(largestRequest); err != nil && r.MultipartForm != nil {
		return nil, "", false, err
	}
	if address := r.FormValue("url"); address != "" {
		return []byte(address), "", true, nil
	}
	file, header, err := r.FormFile("file")
	if err != nil {
		return nil, "", false, err
	}
	defer file.Close()
	content, err = io.ReadAll(file)
	return content, header.Filename, false, err
}

func (s *simulator) capeCreate(w http.ResponseWriter, r *http.Request, body []byte) {
	if !s.allowed(w, r) {
		return
	}
	fail := func(status int, text string) {
		answerJSON(w, status, map[string]any{"error": true, "error_value": text, "errors": []string{text}})
	}
	content, name, url, err := submitted(w, r, body)
	if err != nil {
		fail(http.StatusBadRequest, err.Error())
		return
	}
	expected, err := s.lab.expected(content, name)
	if err != nil {
		fail(http.StatusInternalServerError, err.Error())
		return
	}
	if expected.upload != 0 {
		fail(expected.upload, "as told")
		return
	}
	s.lab.mu.Lock()
	known := s.lab.samples[checksumOf(string(content))] != nil
	s.lab.mu.Unlock()
	if unique := r.FormValue("unique"); known && (unique == "1" || strings.EqualFold(unique, "true")) {
		fail(http.StatusOK, "Duplicated file, disable unique option to force submission")
		return
	}
	task := s.lab.take(content, name, url)
	answerJSON(w, http.StatusOK, map[string]any{
		"error": false, "data": map[string]any{"task_ids": []int{task.id}, "message": "Task ID " + strconv.Itoa(task.id) + " has been submitted"},
		"errors": []string{}, "url": []string{fmt.Sprintf("/submit/status/%d", task.id)},
	})
}

// capeStates are CAPE's words for the appliance's.
var capeStates = map[string]string{
	"Arrived": "pending", "Processing": "running", "Done": "reported", "Error": "failed_analysis", "Timeout": "failed_processing",
}

func (s *simulator) capeSearch(w http.ResponseWriter, r *http.Request, _ []byte) {
	if !s.allowed(w, r) {
		return
	}
	s.lab.mu.Lock()
	defer s.lab.mu.Unlock()
	found := []map[string]any{}
	for _, task := range s.lab.byID {
		if task.sha256 == strings.ToLower(r.PathValue("hash")) && !task.url {
			status, _, err := s.lab.state(task)
			if err != nil {
				answerJSON(w, http.StatusInternalServerError, map[string]any{"error": true})
				return
			}
			found = append(found, map[string]any{"id": task.id, "target": task.name, "category": "file", "status": capeStates[status]})
		}
	}
	if len(found) == 0 {
		answerJSON(w, http.StatusOK, map[string]any{"error": false, "data": []any{}})
		return
	}
	answerJSON(w, http.StatusOK, map[string]any{"error": false, "data": found})
}

// task finds the task of a path and how far it is; the lab is locked.
func (s *simulator) task(w http.ResponseWriter, id string) (task *sample, status string, v verdict) {
	number, err := strconv.Atoi(id)
	if err == nil {
		task = s.lab.byID[number]
	}
	if task == nil {
		answerJSON(w, http.StatusNotFound, map[string]any{"error": true, "error_value": "Task does not exist"})
		return nil, "", v
	}
	if status, v, err = s.lab.state(task); err != nil {
		answerJSON(w, http.StatusInternalServerError, map[string]any{"error": true, "error_value": err.Error()})
		return nil, "", v
	}
	return task, status, v
}

func (s *simulator) capeStatus(w http.ResponseWriter, r *http.Request, _ []byte) {
	if !s.allowed(w, r) {
		return
	}
	s.lab.mu.Lock()
	defer s.lab.mu.Unlock()
	if task, status, _ := s.task(w, r.PathValue("id")); task != nil {
		answerJSON(w, http.StatusOK, map[string]any{"error": false, "data": capeStates[status]})
	}
}

// scoreOf is the score that stands for a level; nil where there is none.
func (s *simulator) scoreOf(task *sample, v verdict, scores map[string]string) any {
	if v.faults["no_level"] {
		return nil
	}
	level := s.lab.tell(task, v)
	text, mapped := scores[level]
	if v.score != "" {
		text, mapped = v.score, true
	}
	if !mapped {
		text = level
	}
	number := json.Number(text)
	if _, err := number.Float64(); err != nil {
		return text
	}
	return number
}

func (s *simulator) capeReport(w http.ResponseWriter, r *http.Request, _ []byte) {
	if !s.allowed(w, r) {
		return
	}
	s.lab.mu.Lock()
	defer s.lab.mu.Unlock()
	task, status, v := s.task(w, r.PathValue("id"))
	if task == nil {
		return
	}
	if status != "Done" {
		answerJSON(w, http.StatusOK, map[string]any{"error": true, "error_value": "Task is still being analyzed"})
		return
	}
	hash := task.sha256
	if v.faults["wrong_hash"] {
		hash = strings.Repeat("0", len(hash))
	}
	report := map[string]any{
		"info": map[string]any{"id": task.id}, "target": map[string]any{"category": "file", "file": map[string]any{"sha256": hash, "name": task.name}},
		"signatures": []any{}, "malstatus": "simulated",
	}
	if task.url {
		report["target"] = map[string]any{"category": "url"}
	}
	if score := s.scoreOf(task, v, map[string]string{"0": "0", "1": "2.0", "2": "5.0", "3": "9.0"}); score != nil {
		report["malscore"] = score
	}
	if v.name != "" {
		report["detections"] = []any{map[string]any{"family": v.name}}
	}
	s.answerSpoilt(w, v, report)
}

func (s *simulator) answerSpoilt(w http.ResponseWriter, v verdict, value any) {
	text, err := json.Marshal(value)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	answer := string(text)
	if v.faults["huge"] {
		answer = strings.Replace(answer, "{", `{"x":"`+strings.Repeat("x", 80<<20)+`",`, 1)
		v.faults = nil
	}
	_, _ = io.WriteString(w, spoilAnswer(v, answer))
}

// handleCuckoo serves Cuckoo3's interface.
func (s *simulator) handleCuckoo(handle handle) {
	handle("POST /submit/file", "cuckoo_submit", s.cuckooSubmit)
	handle("POST /submit/url", "cuckoo_submit", s.cuckooSubmit)
	handle("GET /analyses/{$}", "cuckoo_list", s.cuckooList)
	handle("GET /analysis/{id}", "cuckoo_analysis", s.cuckooAnalysis)
}

func (s *simulator) cuckooSubmit(w http.ResponseWriter, r *http.Request, body []byte) {
	if !s.allowed(w, r) {
		return
	}
	content, name, url, err := submitted(w, r, body)
	if err != nil {
		answerJSON(w, http.StatusBadRequest, map[string]any{"error": err.Error()})
		return
	}
	expected, err := s.lab.expected(content, name)
	if err != nil || expected.upload != 0 {
		answerJSON(w, max(expected.upload, http.StatusBadRequest), map[string]any{"error": "as told"})
		return
	}
	answerJSON(w, http.StatusOK, map[string]any{"analysis_id": cuckooID(s.lab.take(content, name, url)), "settings": map[string]any{}})
}

const cuckooPrefix = "20260101-SIM"

func cuckooID(task *sample) string { return cuckooPrefix + strconv.Itoa(task.id) }

// analysis is one as the list and the single view show it.
func (s *simulator) analysis(task *sample, status string, v verdict) map[string]any {
	state := "pending_pre"
	switch status {
	case "Done":
		state = "finished"
	case "Error", "Timeout":
		state = "fatal_error"
	}
	hash := task.sha256
	if v.faults["wrong_hash"] {
		hash = strings.Repeat("0", len(hash))
	}
	target := map[string]any{"category": "file", "sha256": hash, "sha1": task.sha1, "target": task.name}
	if task.url {
		target = map[string]any{"category": "url", "target": "url"}
	}
	return map[string]any{"id": cuckooID(task), "state": state, "kind": "standard", "target": target}
}

func (s *simulator) cuckooList(w http.ResponseWriter, r *http.Request, _ []byte) {
	if !s.allowed(w, r) {
		return
	}
	number := func(name string, fallback int) int {
		if n, err := strconv.Atoi(r.FormValue(name)); err == nil && n >= 0 {
			return n
		}
		return fallback
	}
	limit, offset := number("limit", 20), number("offset", 0)
	s.lab.mu.Lock()
	defer s.lab.mu.Unlock()
	list := []any{}
	for id := len(s.lab.byID) - offset; id > 0 && len(list) < limit; id-- {
		status, v, err := s.lab.state(s.lab.byID[id])
		if err != nil {
			answerJSON(w, http.StatusInternalServerError, map[string]any{"error": err.Error()})
			return
		}
		list = append(list, s.analysis(s.lab.byID[id], status, v))
	}
	answerJSON(w, http.StatusOK, map[string]any{"offset": offset, "limit": limit, "desc": true, "analyses": list})
}

func (s *simulator) cuckooAnalysis(w http.ResponseWriter, r *http.Request, _ []byte) {
	if !s.allowed(w, r) {
		return
	}
	s.lab.mu.Lock()
	defer s.lab.mu.Unlock()
	task, status, v := s.task(w, strings.TrimPrefix(r.PathValue("id"), cuckooPrefix))
	if task == nil {
		return
	}
	answer := s.analysis(task, status, v)
	if status == "Done" {
		if score := s.scoreOf(task, v, map[string]string{"0": "0", "1": "1", "2": "6", "3": "10"}); score != nil {
			answer["score"] = score
		}
		if v.name != "" {
			answer["families"] = []string{v.name}
		}
	}
	s.answerSpoilt(w, v, answer)
}
