package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-mail/postern/sdk/scanner"
)

const (
	// lookEvery is how often the files of signatures are looked at for changes.
	lookEvery = 10 * time.Second
	// maxTold bounds how many problems of signatures are told; the others are counted.
	maxTold = 20
)

// database is the signatures of all files, kept as the files change. The call that finds a change reads the file, while the others go on with
// what there was: no task has to run beside the calls.
type database struct {
	paths []string
	now   func() time.Time
	warn  func(problem string)

	current atomic.Pointer[map[string]*signatureFile]
	mu      sync.Mutex // held by who looks for changes
	next    time.Time
}

// signatureFile is what is known of one file.
type signatureFile struct {
	size     int64
	modified time.Time
	loaded   ruleSet // the last good version; nil: there was none
}

func newDatabase(paths []string, now func() time.Time, warn func(string)) *database {
	d := &database{paths: paths, now: now, warn: warn}
	d.current.Store(&map[string]*signatureFile{})
	return d
}

// refresh looks for changes, unless somebody does already or did just now.
func (d *database) refresh() {
	if !d.mu.TryLock() {
		return
	}
	defer d.mu.Unlock()
	if now := d.now(); !now.Before(d.next) {
		d.next = now.Add(lookEvery)
		for _, problem := range d.load() {
			d.warn(problem)
		}
	}
}

// start reads the files for the first time, and tells what does not load.
func (d *database) start() (problems []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.next = d.now().Add(lookEvery)
	return d.load()
}

// load reads what changed. A file that does not load any more serves on as it was; one that is gone does not.
func (d *database) load() (problems []string) {
	before, after := *d.current.Load(), map[string]*signatureFile{}
	changed := false
	for _, path := range d.paths {
		files, err := signatureFiles(path)
		if err != nil && (len(before) == 0 || !errors.Is(err, fs.ErrNotExist)) {
			problems = append(problems, err.Error())
		}
		for _, name := range files {
			file, told := readIfChanged(name, before[name])
			if file == nil {
				problems = append(problems, told...)
				continue
			}
			after[name] = file
			changed = changed || file != before[name]
			problems = append(problems, told...)
		}
	}
	if changed || len(after) != len(before) {
		d.current.Store(&after)
	}
	if len(problems) > maxTold {
		problems = append(problems[:maxTold], fmt.Sprintf("and %d more", len(problems)-maxTold))
	}
	return problems
}

// readIfChanged returns what was known where the file is as it was.
func readIfChanged(name string, known *signatureFile) (file *signatureFile, problems []string) {
	info, err := os.Stat(name)
	if err != nil {
		return known, []string{err.Error()}
	}
	if known != nil && known.size == info.Size() && known.modified.Equal(info.ModTime()) {
		return known, nil
	}
	file = &signatureFile{size: info.Size(), modified: info.ModTime()}
	loaded, unsupported, err := loadSignatures(name)
	if err != nil {
		if known != nil {
			file.loaded = known.loaded
		}
		return file, []string{err.Error()}
	}
	file.loaded = loaded
	return file, unsupported
}

func (d *database) version() string {
	count, files := 0, 0
	for _, f := range *d.current.Load() {
		if f.loaded != nil {
			count, files = count+f.loaded.count(), files+1
		}
	}
	return fmt.Sprintf("built-in 1, %d signatures from %d files", count, files)
}

// match returns the malware's name and why, or "".
func (d *database) match(part *scanner.Part) (name, evidence string, err error) {
	isTest, err := isEICAR(part)
	if err != nil {
		return "", "", err
	}
	if isTest {
		return eicarName, "the content is the EICAR test file", nil
	}
	files := *d.current.Load()
	for _, path := range slices.Sorted(maps.Keys(files)) {
		if files[path].loaded == nil {
			continue
		}
		if name, evidence, err := files[path].loaded.match(part); name != "" || err != nil {
			return name, evidence, err
		}
	}
	return "", "", nil
}
