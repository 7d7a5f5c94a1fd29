package main

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/postern-mail/postern/sdk/analyzer"
)

// archive is a sample packed for the upload: a flat gzip'd tar with the sample, what is to be known of it, and a log line.
type archive struct {
	path, name, sha1 string
	size             int64
}

func (a *archive) content() *content {
	return &content{kind: "application/x-compressed", size: a.size, open: func() (io.ReadCloser, error) { return os.Open(a.path) }}
}

func (a *archive) remove() error { return os.Remove(a.path) }

// errSample says that what came is not the sample that was announced.
var errSample = errors.New("the sample is not as it was announced")

// pack writes the archive into the scratch folder: its checksums stand in the headers of the request that sends it.
func pack(scratch string, sample *analyzer.Sample, client string, now time.Time) (a *archive, err error) {
	file, err := os.CreateTemp(scratch, "sample-*.tgz")
	if err != nil {
		return nil, fmt.Errorf("pack sample: %w", err)
	}
	a = &archive{path: file.Name()}
	defer func() {
		err = errors.Join(err, file.Close())
		if err != nil {
			err = fmt.Errorf("pack sample: %w", errors.Join(err, a.remove()))
			a = nil
		}
	}()
	sum := sha1.New()
	counted := &counter{w: io.MultiWriter(file, sum)}
	if err := writeMembers(counted, sample, client, now); err != nil {
		return a, err
	}
	a.size, a.sha1 = counted.n, hex.EncodeToString(sum.Sum(nil))
	a.name = now.UTC().Format("20060102-150405") + "_" + a.sha1 + ".tgz"
	return a, nil
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func writeMembers(w io.Writer, sample *analyzer.Sample, client string, now time.Time) error {
	zipped := gzip.NewWriter(w)
	members := tar.NewWriter(zipped)
	sum := sha1.New()
	begin := func(extension string, size int64) error {
		return members.WriteHeader(&tar.Header{Name: sample.SHA1 + extension, Mode: 0o600, Size: size, ModTime: now.Truncate(time.Second)})
	}
	if err := begin(".dat", sample.Size); err != nil {
		return err
	}
	// One byte more than announced is asked for, so that a longer sample is noticed.
	n, err := io.Copy(io.MultiWriter(members, sum), io.LimitReader(sample.Content, sample.Size+1))
	whole := n == sample.Size && hex.EncodeToString(sum.Sum(nil)) == strings.ToLower(sample.SHA1)
	if errors.Is(err, tar.ErrWriteTooLong) || err == nil && !whole {
		return errSample
	}
	if err != nil {
		return err
	}
	for extension, text := range map[string]string{".meta": meta(sample, client), ".log": "Date=" + now.UTC().Format("01/02/2006 15:04:05")} {
		if err := begin(extension, int64(len(text))); err != nil {
			return err
		}
		if _, err := io.WriteString(members, text); err != nil {
			return err
		}
	}
	return errors.Join(members.Close(), zipped.Close())
}

// meta is one line of key=value, joined with &.
func meta(sample *analyzer.Sample, client string) string {
	kind := "0"
	if sample.Kind == analyzer.URL {
		kind = "1"
	}
	line := []string{
		"SampleType=" + kind, "ClientUUID=" + client, "SourceID=" + sourceID, "SampleFileSHA1=" + sample.SHA1, "SampleFileExist=1",
	}
	if name := fileName(sample.Name); name != "" && sample.Kind != analyzer.URL {
		line = append(line, "OrigFileName="+name)
	}
	return strings.Join(line, "&")
}

// fileName is the last part of a name, without what would break the line: how values are escaped is not known.
func fileName(name string) string {
	const most = 255
	name = strings.ToValidUTF8(name, "_")
	name = name[strings.LastIndexAny(name, "/\\")+1:]
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || strings.ContainsRune("&=\u0085\u2028\u2029", r) {
			return '_'
		}
		return r
	}, name)
	if len(name) > most { // the end tells the type
		name = strings.ToValidUTF8(name[len(name)-most:], "")
	}
	return name
}
