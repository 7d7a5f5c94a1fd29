package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"net/url"
	"strings"

	"github.com/postern-mail/postern/sdk/objects"
)

// file is an open file.
type file interface {
	io.ReadCloser
	Stat() (fs.FileInfo, error)
}

// fileSource is a list in a file.
type fileSource struct {
	path   string
	action objects.Action
	open   func(path string) (file, error)
}

// largestFile bounds the file.
const largestFile = 512 << 20

func (s *fileSource) fetch(_ context.Context, cursor string, out *sender) (complete bool, next string, err error) {
	f, err := s.open(s.path)
	if err != nil {
		return false, "", fmt.Errorf("open list: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return false, "", fmt.Errorf("open list: %w", err)
	}
	if info.Size() > largestFile {
		return false, "", fmt.Errorf("read %s: it is larger than %d MiB", s.path, largestFile>>20)
	}
	content, err := io.ReadAll(io.LimitReader(f, largestFile+1))
	if err != nil {
		return false, "", fmt.Errorf("read list: %w", err)
	}
	sum := sha256.Sum256(content)
	if next = hex.EncodeToString(sum[:]); next == cursor {
		return false, next, nil
	}
	if err := readFile(content, s.action, out.object); err != nil {
		return false, "", fmt.Errorf("read %s: %w", s.path, err)
	}
	return true, next, nil
}

// row is one entry of a file.
type row struct {
	Type      string `json:"type"`
	Value     string `json:"value"`
	Action    string `json:"action"`
	Match     string `json:"match"`   // of a URL: exact, prefix, domain
	Expires   string `json:"expires"` // a day or a time
	Note      string `json:"note"`
	Exception bool   `json:"exception"`
}

// readFile reads a list of CSV, or of JSON: an array, or one object in a line.
func readFile(content []byte, action objects.Action, yield func(objects.Object) error) error {
	content = bytes.TrimPrefix(content, []byte("\xef\xbb\xbf"))
	each := func(r *row) error {
		o, err := r.object(action)
		if err != nil {
			return err
		}
		return yield(o)
	}
	start := bytes.TrimLeft(content, " \t\r\n")
	if len(start) > 0 && (start[0] == '[' || start[0] == '{') {
		return readJSON(start, each)
	}
	return readCSV(content, each)
}

func readJSON(content []byte, each func(*row) error) error {
	d := json.NewDecoder(bytes.NewReader(content))
	if content[0] == '[' {
		if _, err := d.Token(); err != nil {
			return err
		}
	}
	for n := 1; d.More(); n++ {
		var r row
		if err := d.Decode(&r); err != nil {
			return fmt.Errorf("entry %d: %w", n, err)
		}
		if err := each(&r); err != nil {
			return fmt.Errorf("entry %d: %w", n, err)
		}
	}
	if content[0] == '[' {
		if _, err := d.Token(); err != nil {
			return fmt.Errorf("the array does not end: %w", err)
		}
	}
	return nil
}

// readCSV reads rows under a line that names the columns, or one value in each line.
func readCSV(content []byte, each func(*row) error) error {
	d := csv.NewReader(bytes.NewReader(content))
	d.Comment, d.FieldsPerRecord, d.TrimLeadingSpace, d.ReuseRecord = '#', -1, true, true
	var columns []string
	for {
		cells, err := d.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		line, _ := d.FieldPos(0)
		if columns == nil {
			header, err := readHeader(cells)
			if err != nil {
				return fmt.Errorf("line %d: %w", line, err)
			}
			if columns = header; len(header) > 0 {
				continue
			}
			columns = []string{"value"}
		}
		if len(cells) > len(columns) {
			return fmt.Errorf("line %d: it has %d cells, and there are %d columns", line, len(cells), len(columns))
		}
		var r row
		for i, cell := range cells {
			if err := r.set(columns[i], strings.TrimSpace(cell)); err != nil {
				return fmt.Errorf("line %d: %w", line, err)
			}
		}
		if err := each(&r); err != nil {
			return fmt.Errorf("line %d: %w", line, err)
		}
	}
}

// readHeader is empty where the line is a value already.
func readHeader(cells []string) ([]string, error) {
	var columns []string
	named := false
	for _, cell := range cells {
		name := strings.ToLower(strings.TrimSpace(cell))
		columns = append(columns, name)
		named = named || name == "value"
	}
	if !named {
		if len(cells) > 1 {
			return nil, errors.New("the first line names the columns: value, and of type, action, match, expires, note, exception those that there are")
		}
		return []string{}, nil
	}
	return columns, nil
}

func (r *row) set(column, cell string) error {
	switch column {
	case "type":
		r.Type = cell
	case "value":
		r.Value = cell
	case "action":
		r.Action = cell
	case "match":
		r.Match = cell
	case "expires":
		r.Expires = cell
	case "note":
		r.Note = cell
	case "exception":
		switch strings.ToLower(cell) {
		case "", "0", "no", "false":
		case "1", "yes", "true":
			r.Exception = true
		default:
			return fmt.Errorf("exception is %.20q: it is yes or no", cell)
		}
	}
	return nil // other columns are somebody else's
}

// object translates a row. What is wrong with the value is said by the core, which knows how it is compared.
func (r *row) object(action objects.Action) (objects.Object, error) {
	o := objects.Object{Value: r.Value, Action: action, Note: r.Note, Exception: r.Exception}
	if r.Action != "" {
		if o.Action = actionOf(r.Action); o.Action == objects.None && !strings.EqualFold(r.Action, "none") && !strings.EqualFold(r.Action, "N/A") {
			return o, fmt.Errorf("there is no action %.20q: it is none, log, block or quarantine", r.Action)
		}
	}
	kinds := map[string]objects.Type{"sha1": objects.SHA1, "sha256": objects.SHA256, "url": objects.URL, "domain": objects.Domain, "ip": objects.IP}
	kind := strings.ToLower(r.Type)
	if kind == "" {
		kind = guess(r.Value)
	}
	var known bool
	if o.Type, known = kinds[kind]; !known {
		return o, fmt.Errorf("there is no type %.20q: it is sha1, sha256, url, domain or ip", r.Type)
	}
	switch strings.ToLower(r.Match) {
	case "", "exact":
	case "prefix":
		if o.Type == objects.URL && !strings.HasSuffix(o.Value, "*") {
			o.Value += "*"
		}
	case "domain":
		if u, err := url.Parse(o.Value); o.Type == objects.URL && err == nil && u.Hostname() != "" {
			o.Type, o.Value = objects.Domain, u.Hostname()
		}
	default:
		return o, fmt.Errorf("there is no match %.20q: it is exact, prefix or domain", r.Match)
	}
	if r.Expires != "" {
		var err error
		if o.Expires, err = parseTime(r.Expires); err != nil {
			return o, err
		}
	}
	return o, nil
}

// guess is the type that a value looks like.
func guess(value string) string {
	digits := strings.Trim(strings.ToLower(value), "0123456789abcdef") == ""
	switch {
	case digits && len(value) == 2*20:
		return "sha1"
	case digits && len(value) == 2*32:
		return "sha256"
	}
	if _, err := netip.ParseAddr(value); err == nil {
		return "ip"
	}
	if _, err := netip.ParsePrefix(value); err == nil {
		return "ip"
	}
	if strings.Contains(value, "/") {
		return "url"
	}
	return "domain"
}
