// Package journal keeps tracking rows of mail that needs no commit, since it was handed over in session. They are appended to a file,
// which costs no sync, and moved to the store in bulk. A crash of the system loses rows of the last seconds, never mail.
package journal

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/core/store"
)

const (
	pattern = "tracks-*.jsonl"
	// segment is the size at which a file is ended.
	segment = 16 << 20
	// bulk is how many rows are moved at once.
	bulk = 500
	// mostUnwritten is how many rows are kept in memory while the folder cannot be written, as with a full disk.
	mostUnwritten = 10_000
)

// Journal is a folder of segments; the newest is written, older ones are moved. Its methods are safe for concurrent use.
type Journal struct {
	dir string

	mu     sync.Mutex
	file   *os.File // nil: the next row begins a segment
	size   int64
	serial int
	open   bool
	// unwritten are rows for the store that the folder did not take.
	unwritten []store.Track

	draining sync.Mutex
}

// Open opens the folder, which exists. Segments of an earlier run are moved by the next Drain.
func Open(dir string) (*Journal, error) {
	left, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	j := &Journal{dir: dir, open: true}
	for _, path := range left {
		var serial int
		if _, err := fmt.Sscanf(filepath.Base(path), "tracks-%d.jsonl", &serial); err == nil {
			j.serial = max(j.serial, serial)
		}
	}
	return j, nil
}

// Append writes a row; it is in the operating system's hands on return. While the folder cannot be written rows wait in memory for the
// store; an error says that a row is nowhere.
func (j *Journal) Append(track store.Track) error {
	line, err := json.Marshal(&track)
	if err != nil {
		return fmt.Errorf("append to journal: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	err = j.write(append(line, '\n'))
	if err != nil && j.open && len(j.unwritten) < mostUnwritten {
		j.unwritten = append(j.unwritten, track)
		return nil
	}
	if err != nil {
		return fmt.Errorf("append to journal: %w", err)
	}
	return nil
}

// drainUnwritten moves what waits in memory. A row whose line was written after all is one all the same: rows carry ids.
func (j *Journal) drainUnwritten(ctx context.Context, add func(ctx context.Context, tracks []store.Track) error, log hclog.Logger) error {
	j.mu.Lock()
	waiting := slices.Clone(j.unwritten)
	j.mu.Unlock()
	if len(waiting) == 0 {
		return nil
	}
	log.Error("the journal could not be written; its rows waited in memory", "rows", len(waiting))
	for batch := range slices.Chunk(waiting, bulk) {
		if err := add(ctx, batch); err != nil {
			return err
		}
		j.mu.Lock()
		j.unwritten = slices.Clone(j.unwritten[len(batch):])
		j.mu.Unlock()
	}
	return nil
}

func (j *Journal) write(line []byte) error {
	if !j.open {
		return os.ErrClosed
	}
	if j.file == nil {
		j.serial++
		f, err := os.OpenFile(filepath.Join(j.dir, fmt.Sprintf("tracks-%08d.jsonl", j.serial)), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		j.file, j.size = f, 0
	}
	n, err := j.file.Write(line)
	j.size += int64(n)
	if err != nil || j.size >= segment { // half a line ends with its segment
		return errors.Join(err, j.end())
	}
	return nil
}

func (j *Journal) end() error {
	if j.file == nil {
		return nil
	}
	f := j.file
	j.file = nil
	return f.Close()
}

// Drain moves every row written so far to the store. A row moved twice, as after a crash, is one: rows carry ids. A line that cannot
// be read is logged and left out.
func (j *Journal) Drain(ctx context.Context, add func(ctx context.Context, tracks []store.Track) error, log hclog.Logger) error {
	j.draining.Lock()
	defer j.draining.Unlock()
	j.mu.Lock()
	err := j.end()
	j.mu.Unlock()
	if err != nil {
		return fmt.Errorf("drain journal: %w", err)
	}
	segments, err := filepath.Glob(filepath.Join(j.dir, pattern))
	if err != nil {
		return fmt.Errorf("drain journal: %w", err)
	}
	if err := j.drainUnwritten(ctx, add, log); err != nil {
		return fmt.Errorf("drain journal: %w", err)
	}
	slices.Sort(segments)
	for _, path := range segments {
		j.mu.Lock()
		written := j.file != nil && j.file.Name() == path // begun meanwhile
		j.mu.Unlock()
		if written {
			continue
		}
		if err := drain(ctx, path, add, log); err != nil {
			return fmt.Errorf("drain journal %s: %w", filepath.Base(path), err)
		}
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("drain journal: %w", err)
		}
	}
	return nil
}

func drain(ctx context.Context, path string, add func(ctx context.Context, tracks []store.Track) error, log hclog.Logger) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var (
		batch []store.Track
		lines = bufio.NewReader(f)
	)
	for {
		line, readErr := lines.ReadBytes('\n')
		if readErr != nil && !errors.Is(readErr, io.EOF) {
			return readErr
		}
		var track store.Track
		if err := json.Unmarshal(line, &track); err == nil {
			batch = append(batch, track)
		} else if len(line) > 0 {
			log.Error("a line of the journal cannot be read and is left out", "segment", filepath.Base(path), "error", err)
		}
		if len(batch) == bulk || (readErr != nil && len(batch) > 0) {
			if err := add(ctx, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
		if readErr != nil {
			return nil
		}
	}
}

// Close ends the journal. What it holds is moved after the next Open.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.open = false
	if err := j.end(); err != nil {
		return fmt.Errorf("close journal: %w", err)
	}
	return nil
}
