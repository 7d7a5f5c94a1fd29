package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"
)

// verdict is one line of the file: which samples, and what the sandbox says of them.
type verdict struct {
	pattern string // SHA-1, SHA-256, or a file name with * and ?
	level   string // none, low, medium, high, unsupported, error, timeout, or a number as it stands in a report
	then    string // the level from the second answer on; "": the same
	name    string // of the threat
	event   string // of the violation
	delay   time.Duration
	upload  int // status that an upload of it is answered with; 0: taken
	faults  map[string]bool
	score   string // for CAPE and Cuckoo3, in place of the one the level has
}

// faultNames are the values of fault=.
const faultNames = "garbage truncated huge wrong_hash never final_102 no_level unnamed doctype"

// verdicts is the file, and what the control endpoint put before it.
type verdicts struct {
	path  string
	delay time.Duration

	mu      sync.Mutex
	changed time.Time
	size    int64
	file    []verdict
	set     []verdict
}

// entries are the lines in force: of those that fit a sample the first counts.
func (v *verdicts) entries() ([]verdict, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.path != "" {
		info, err := os.Stat(v.path)
		if err != nil {
			return nil, fmt.Errorf("read verdicts: %w", err)
		}
		// Two lines that are added within one tick of the file's clock leave the same time.
		if !info.ModTime().Equal(v.changed) || info.Size() != v.size {
			f, err := os.Open(v.path)
			if err != nil {
				return nil, fmt.Errorf("read verdicts: %w", err)
			}
			list, err := v.parse(f)
			_ = f.Close()
			if err != nil {
				return nil, fmt.Errorf("read verdicts: %s: %w", v.path, err)
			}
			v.file, v.changed, v.size = list, info.ModTime(), info.Size()
		}
	}
	return append(append([]verdict{}, v.set...), v.file...), nil
}

// put places lines before those of the file; none takes all of them away.
func (v *verdicts) put(r io.Reader) error {
	list, err := v.parse(r)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(list) == 0 {
		v.set = nil
		return nil
	}
	v.set = append(list, v.set...)
	return nil
}

func (v *verdicts) parse(r io.Reader) ([]verdict, error) {
	var list []verdict
	lines := bufio.NewScanner(r)
	for number := 1; lines.Scan(); number++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(text)
		if len(words) == 0 {
			continue
		}
		entry, err := v.parseLine(words)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		list = append(list, entry)
	}
	return list, lines.Err()
}

func (v *verdicts) parseLine(words []string) (entry verdict, err error) {
	if len(words) < 2 {
		return entry, fmt.Errorf("it is not PATTERN LEVEL [KEY=VALUE ...]")
	}
	entry = verdict{pattern: strings.ToLower(words[0]), level: words[1], delay: v.delay, faults: map[string]bool{}}
	if _, err := path.Match(entry.pattern, ""); err != nil {
		return entry, err
	}
	if err := checkLevel(entry.level); err != nil {
		return entry, err
	}
	for _, word := range words[2:] {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "then":
			entry.then = value
			err = checkLevel(value)
		case "name":
			entry.name = value
		case "event":
			entry.event = value
		case "score":
			entry.score = value
		case "delay":
			entry.delay, err = time.ParseDuration(value)
		case "upload":
			entry.upload, err = strconv.Atoi(value)
		case "fault":
			for fault := range strings.SplitSeq(value, ",") {
				if !strings.Contains(" "+faultNames+" ", " "+fault+" ") {
					return entry, fmt.Errorf("fault %q is none of %s", fault, faultNames)
				}
				entry.faults[fault] = true
			}
		default:
			err = fmt.Errorf("%q is none of then, name, event, score, delay, upload, fault", key)
		}
		if err != nil {
			return entry, err
		}
	}
	return entry, nil
}

var levelNumbers = map[string]string{"none": "0", "low": "1", "medium": "2", "high": "3", "unsupported": "-1", "error": "", "timeout": ""}

func checkLevel(level string) error {
	if _, known := levelNumbers[level]; known {
		return nil
	}
	if _, err := strconv.Atoi(level); err != nil {
		return fmt.Errorf("level %q is none of none, low, medium, high, unsupported, error, timeout, or a number", level)
	}
	return nil
}

// fits reports whether the line is about the sample.
func (e *verdict) fits(s *sample) bool {
	if e.pattern == s.sha1 || e.pattern == s.sha256 {
		return true
	}
	matched, _ := path.Match(e.pattern, strings.ToLower(s.name)) // the pattern was checked
	return matched
}
