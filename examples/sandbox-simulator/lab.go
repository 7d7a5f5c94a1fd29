package main

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"sync"
	"time"
)

// lab holds the samples and how far they are. Nothing is run.
type lab struct {
	now      func() time.Time
	verdicts *verdicts

	mu      sync.Mutex
	samples map[string]*sample // by SHA-1
	byID    map[int]*sample
	uploads map[string]int // by SHA-1, over all time
	doubled int            // uploads of a sample that was still being analysed
}

type sample struct {
	id           int
	sha1, sha256 string
	name         string
	url          bool
	arrived      time.Time
	told         int // how often a level was told
}

func newLab(now func() time.Time, v *verdicts) *lab {
	return &lab{now: now, verdicts: v, samples: map[string]*sample{}, byID: map[int]*sample{}, uploads: map[string]int{}}
}

// take notes a sample; one that is known is not analysed again.
func (l *lab) take(content []byte, name string, url bool) *sample {
	short, long := sha1.Sum(content), sha256.Sum256(content)
	s := &sample{sha1: hex.EncodeToString(short[:]), sha256: hex.EncodeToString(long[:]), name: name, url: url, arrived: l.now()}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.uploads[s.sha1]++
	if known := l.samples[s.sha1]; known != nil {
		if status, _, err := l.state(known); err != nil || status != "Done" && status != "Error" && status != "Timeout" {
			l.doubled++
		}
		return known
	}
	s.id = len(l.byID) + 1
	l.samples[s.sha1], l.byID[s.id] = s, s
	return s
}

// expected is the line that a sample would have that is not taken yet.
func (l *lab) expected(content []byte, name string) (verdict, error) {
	short, long := sha1.Sum(content), sha256.Sum256(content)
	return l.verdictOf(&sample{sha1: hex.EncodeToString(short[:]), sha256: hex.EncodeToString(long[:]), name: name})
}

func (l *lab) verdictOf(s *sample) (verdict, error) {
	entries, err := l.verdicts.entries()
	if err != nil {
		return verdict{}, err
	}
	for _, e := range entries {
		if e.fits(s) {
			return e, nil
		}
	}
	return verdict{level: "none", delay: l.verdicts.delay}, nil
}

// state is how far the analysis is, in the appliance's words.
func (l *lab) state(s *sample) (status string, v verdict, err error) {
	if v, err = l.verdictOf(s); err != nil {
		return "", v, err
	}
	switch age := l.now().Sub(s.arrived); {
	case v.faults["never"] || age < v.delay:
		if age < v.delay/4 {
			return "Arrived", v, nil
		}
		return "Processing", v, nil
	case v.level == "error":
		return "Error", v, nil
	case v.level == "timeout":
		return "Timeout", v, nil
	}
	return "Done", v, nil
}

// tell is the level that is answered now: a verdict that flips has another from the second answer on.
func (l *lab) tell(s *sample, v verdict) string {
	level := v.level
	if s.told > 0 && v.then != "" {
		level = v.then
	}
	s.told++
	if number, named := levelNumbers[level]; named {
		return number
	}
	return level
}

// live is how many samples are being analysed.
func (l *lab) live() (n int) {
	for _, s := range l.samples {
		if status, _, err := l.state(s); err == nil && (status == "Arrived" || status == "Processing") {
			n++
		}
	}
	return n
}

// forget loses all samples, as a sandbox does that dies with submissions on it. What was uploaded stays counted.
func (l *lab) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.samples)
	clear(l.byID)
}
