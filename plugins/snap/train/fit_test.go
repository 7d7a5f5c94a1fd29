package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const someWeights = "# comment\nthreshold\tconservative\t6\nthreshold\taggressive\t3\n" +
	"telling\t1\t2.5\t0\nempty\t1\t2\t0\nbounded\t0.3\t0.5\t0\nunseen\t1.5\t3\t0\n"

// set is mails of which "telling" and "bounded" are seen on one side, and "empty" on both.
func set() (ham, bad []mail) {
	for i := range 200 {
		h, b := mail{path: "h"}, mail{path: "b", reasons: []string{"telling", "bounded"}}
		if i%4 == 0 {
			h.reasons = append(h.reasons, "empty")
			b.reasons = append(b.reasons, "empty")
		}
		ham, bad = append(ham, h), append(bad, b)
	}
	return ham, bad
}

func fitted(t *testing.T) *weights {
	t.Helper()
	file := filepath.Join(t.TempDir(), "weights.tsv")
	if err := os.WriteFile(file, []byte(someWeights), 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := readWeights(file)
	if err != nil {
		t.Fatal(err)
	}
	ham, bad := set()
	fit(w, ham, bad)
	setThresholds(w, ham)
	return w
}

func TestWeightsFollowTheMailWithinTheirBounds(t *testing.T) {
	w := fitted(t)
	weight := func(name string) float64 { return w.reasons[w.of[name]].weight }
	if weight("telling") <= 1 || weight("telling") > 2.5 {
		t.Errorf("telling weighs %v", weight("telling"))
	}
	if weight("empty") >= 0.5 || weight("empty") < 0 {
		t.Errorf("empty weighs %v", weight("empty"))
	}
	if weight("bounded") != 0.5 {
		t.Errorf("bounded weighs %v", weight("bounded"))
	}
	if weight("unseen") != 1.5 {
		t.Errorf("unseen weighs %v, its prior is 1.5", weight("unseen"))
	}
	if w.aggressive <= weight("empty") || w.conservative <= w.aggressive {
		t.Errorf("thresholds %v and %v", w.aggressive, w.conservative)
	}
}

func TestTheSameMailsGiveTheSameFile(t *testing.T) {
	var texts []string
	for range 2 {
		file := filepath.Join(t.TempDir(), "weights.tsv")
		if err := fitted(t).write(file); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		again, err := readWeights(file)
		if err != nil || len(again.reasons) != 4 {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		texts = append(texts, string(text))
	}
	if texts[0] != texts[1] {
		t.Errorf("%s\n%s", texts[0], texts[1])
	}
}

func TestHalvesAreWholeAndApart(t *testing.T) {
	mails := []mail{{path: "a/1"}, {path: "a/2"}, {path: "a/3"}, {path: "a/4"}, {path: "b/4"}}
	even, odd := half(mails, true), half(mails, false)
	if len(even)+len(odd) != len(mails) || len(even) == 0 || len(odd) == 0 {
		t.Errorf("%v and %v", even, odd)
	}
	if mails[0].path != "a/1" {
		t.Error("the mails were changed")
	}
}

func TestReasonsAreReadFromEvidence(t *testing.T) {
	const scans = `{"file":"x","facts":{"reports":{"snap":{"findings":[{"evidence":` +
		`"score 3.20 (sure from 6.00, possible from 3.00); a link [x] leads to \"y\" [link-text 2.00]; it [page-only 0.30] says [form -0.10]"}]}}}}`
	mails, err := readScans(json.NewDecoder(strings.NewReader(scans)))
	if err != nil || len(mails) != 1 || !slices.Equal(mails[0].reasons, []string{"link-text", "form"}) {
		t.Errorf("%v, %v", mails, err)
	}
	if _, err := readScans(json.NewDecoder(strings.NewReader(`{"file":"x"}`))); err == nil {
		t.Error("a mail without an answer is taken")
	}
}

func TestBrokenWeightsAreRefused(t *testing.T) {
	for _, text := range []string{"a\t1\t1\n", "a\tx\t1\t1\n"} {
		file := filepath.Join(t.TempDir(), "weights.tsv")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readWeights(file); err == nil {
			t.Errorf("%q is read", text)
		}
	}
}
