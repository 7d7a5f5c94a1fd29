package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/postern-mail/postern/sdk/scanner"
	"github.com/postern-mail/postern/sdk/serve"
	"github.com/postern-mail/postern/sdk/unpacker"
)

// unpack opens containers by what they begin with, and every member that is one itself.
type unpack struct{ current atomic.Pointer[settings] }

// settings are what configure found; they do not change.
type settings struct {
	passwords []string
	tool      string        // path of 7zz, "" where there is none
	slots     chan struct{} // calls at once: every one may need the memory of a dictionary
	heavy     chan struct{} // attempts at once that may need very much
}

func newSettings(passwords []string, tool string) *settings {
	return &settings{
		passwords: passwords, tool: tool, slots: make(chan struct{}, 2*runtime.GOMAXPROCS(0)), heavy: make(chan struct{}, 1),
	}
}

func (u *unpack) configure(ctx context.Context, c *serve.Configuration) (*serve.Configured, error) {
	var config struct {
		Passwords []string `json:"passwords"`
		Tool      string   `json:"tool"`
	}
	if err := json.Unmarshal(c.Config, &config); err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	done := &serve.Configured{}
	tool, version, err := findTool(ctx, config.Tool)
	if err != nil {
		c.Log.Warn("7zz does not serve", "error", err)
		done.Signatures = "without 7zz"
		done.Problems = append(done.Problems, serve.Problem{
			Path: []string{"config", "tool"}, Summary: "7zz was not found", Warning: true,
			Detail: fmt.Sprintf("%v. Without it arj, lha, iso, udf, chm, NSIS, rpm, .Z and rare zip methods are not opened: such mail meets "+
				"the exception plugin_unavailable. Install Debian's package 7zip.", err),
		})
	} else {
		done.Signatures = version
	}
	u.current.Store(newSettings(config.Passwords, tool))
	debug.SetGCPercent(gcPercent)
	return done, nil
}

// gcPercent has garbage collected earlier than in other plugins: decoders leave large windows behind.
const gcPercent = 200

// job is one call.
type job struct {
	ctx      context.Context // ends with the call or with the time of the budget
	call     context.Context
	out      unpacker.Emitter
	budget   unpacker.Budget // what is left of it
	settings *settings
	words    []unpacker.Password
	tries    time.Duration // time left for passwords
	pictures int           // looked at for QR codes
}

// file is content with its place in the nesting.
type file struct {
	number int // as the emitter counts; 0 is the container that was pushed
	layer  int
	name   string // path, as the log shows it
	data   []byte
}

func (f file) reader() *bytes.Reader { return bytes.NewReader(f.data) }

// errOutside marks errors of the emitter, which end the call; all others are about the container.
type errOutside struct{ error }

func (e errOutside) Unwrap() error { return e.error }

// errEnough ends the call after a limit was reported.
var errEnough = errors.New("limit reached")

// passwordTime is how long one call may try passwords.
const passwordTime = 4 * time.Second

// Unpack emits all members of the container and of the containers inside.
func (u *unpack) Unpack(ctx context.Context, c *unpacker.Container, out unpacker.Emitter) error {
	s := u.current.Load()
	if s == nil {
		return errors.New("unpack: not configured")
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	data, release, err := contentOf(c.Content, c.Size)
	if err != nil {
		return fmt.Errorf("read container: %w", err)
	}
	defer release()
	j := &job{ctx: ctx, call: ctx, out: out, budget: c.Budget, settings: s, words: c.Passwords, tries: passwordTime}
	if c.Budget.Time > 0 {
		var cancel context.CancelFunc
		j.ctx, cancel = context.WithTimeout(ctx, c.Budget.Time)
		defer cancel()
	}
	err = j.open(file{name: c.Name, data: data, layer: 1})
	var outside errOutside
	switch {
	case errors.Is(err, errEnough):
		return nil
	case errors.As(err, &outside):
		return outside.error
	}
	return err
}

// ends reports an error that is not about the container being read: it ends the call.
func ends(err error) bool {
	var outside errOutside
	return errors.As(err, &outside) || errors.Is(err, errEnough)
}

// inTime reports the end of the call, or of its time, which is a limit.
func (j *job) inTime() error {
	switch {
	case j.call.Err() != nil:
		return errOutside{j.call.Err()}
	case j.ctx.Err() != nil:
		return j.limit("time", "taking apart took too long")
	}
	return nil
}

func (j *job) limit(reason, detail string) error {
	if err := j.trouble(scanner.TroubleLimit, reason, detail); err != nil {
		return err
	}
	return errEnough
}

func (j *job) trouble(kind scanner.TroubleKind, reason, detail string) error {
	if err := j.out.Trouble(scanner.Trouble{Kind: kind, Reason: reason, Detail: detail}); err != nil {
		return errOutside{err}
	}
	return nil
}

func (j *job) broken(f file, err error) error {
	return j.trouble(scanner.TroubleBroken, "archive_broken", fmt.Sprintf("%s: %v", f.name, err))
}

// sealed says that nothing of a container can be seen without its password.
func (j *job) sealed(f file) error {
	return j.trouble(scanner.TroubleEncrypted, "encrypted_container", f.name)
}

// open takes one container apart. One that is broken is a trouble; what was read of it before stays.
func (j *job) open(f file) error {
	reader := formatOf(f)
	if reader == nil {
		return nil
	}
	if err := j.inTime(); err != nil {
		return err
	}
	if j.budget.Layers > 0 && f.layer > j.budget.Layers {
		return j.limit("layers", fmt.Sprintf("%s: more than %d layers", f.name, j.budget.Layers))
	}
	err := j.contained(f, reader)
	if (err == nil || !ends(err)) && reader.polyglot && hasZipEnd(f) {
		err = errors.Join(err, j.contained(f, &format{name: "zip", open: (*job).zip}))
	}
	if err == nil || ends(err) {
		return err
	}
	if j.ctx.Err() != nil {
		return j.inTime()
	}
	return j.broken(f, err)
}

// contained runs a reader. One that panics is a trouble.
func (j *job) contained(f file, reader *format) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = j.trouble(scanner.TroubleBroken, "reader_failed", fmt.Sprintf("%s: reader of %s: %v at %s", f.name, reader.name, p, panicSite()))
		}
	}()
	return reader.open(j, f)
}

// panicSite is the function that panicked, for the trouble's words.
func panicSite() string {
	stack := debug.Stack()
	if i := bytes.Index(stack, []byte("panic(")); i >= 0 {
		lines := bytes.SplitN(stack[i:], []byte("\n"), 4)
		if len(lines) > 2 {
			return string(bytes.TrimSpace(lines[2]))
		}
	}
	return "unknown place"
}

// item is a member to emit.
type item struct {
	name   string
	opened string // source of the password that opened it
}

// member emits one file, and opens it in its turn.
func (j *job) member(parent file, name string, content io.Reader) error {
	return j.emit(parent, item{name: name}, content)
}

// emit writes a member out, and keeps it meanwhile for the look inside: in memory or in a file of the plugin's own folder. What could be
// read of a broken member is looked into too; the error then says that it is broken.
func (j *job) emit(parent file, it item, content io.Reader) error {
	number, out, err := j.begin(parent, it)
	if err != nil {
		return err
	}
	kept := &keeper{}
	defer kept.close()
	size, readErr := io.Copy(io.MultiWriter(outside{out}, kept), j.limited(content))
	if ends(readErr) {
		return readErr
	}
	data, err := kept.content()
	if err != nil {
		return errOutside{err}
	}
	if err := j.took(size); err != nil {
		return err
	}
	if err := j.open(file{number: number, layer: parent.layer + 1, name: parent.name + "/" + it.name, data: data}); err != nil {
		return err
	}
	if readErr != nil && j.ctx.Err() != nil {
		return j.inTime()
	}
	return readErr
}

// bytes emits a member that is in memory.
func (j *job) bytes(parent file, name string, content []byte) error {
	number, out, err := j.begin(parent, item{name: name})
	if err != nil {
		return err
	}
	if j.budget.FileBytes > 0 && int64(len(content)) > j.budget.FileBytes {
		content = content[:j.budget.FileBytes+1]
	}
	if _, err := (outside{out}).Write(content); err != nil {
		return err
	}
	if err := j.took(int64(len(content))); err != nil {
		return err
	}
	return j.open(file{number: number, layer: parent.layer + 1, name: parent.name + "/" + name, data: content})
}

func (j *job) begin(parent file, it item) (int, io.Writer, error) {
	if err := j.inTime(); err != nil {
		return 0, nil, err
	}
	if it.name == "" {
		it.name = "unnamed"
	}
	number, out, err := j.out.Member(unpacker.Member{Parent: parent.number, Name: it.name, OpenedWith: it.opened})
	if err != nil {
		return 0, nil, errOutside{err}
	}
	if j.budget.Files--; j.budget.Files < 0 {
		return 0, nil, errEnough // the core has counted too, and says so
	}
	return number, out, nil
}

// took counts what was emitted. The core counts too and says what is too much; this one only saves the work.
func (j *job) took(size int64) error {
	j.budget.Bytes -= size
	if j.budget.Bytes < 0 || j.budget.FileBytes > 0 && size > j.budget.FileBytes {
		return errEnough
	}
	return nil
}

// locked names a member that could not be opened.
func (j *job) locked(parent file, name string) error {
	_, _, err := j.out.Member(unpacker.Member{Parent: parent.number, Name: name, Encrypted: true})
	if err != nil {
		return errOutside{err}
	}
	if j.budget.Files--; j.budget.Files < 0 {
		return errEnough
	}
	return nil
}

// limited ends a member one byte beyond what the core takes, which then says so itself, and when time is up.
func (j *job) limited(r io.Reader) io.Reader {
	most := j.budget.Bytes
	if j.budget.FileBytes > 0 {
		most = min(most, j.budget.FileBytes)
	}
	return &timed{job: j, r: io.LimitReader(r, most+1)}
}

// timed ends reading with the call's time.
type timed struct {
	job *job
	r   io.Reader
}

func (t *timed) Read(p []byte) (int, error) {
	if err := t.job.ctx.Err(); err != nil {
		return 0, err
	}
	return t.r.Read(p)
}

// outside marks the errors of the emitter's writer.
type outside struct{ io.Writer }

func (o outside) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if err != nil {
		return n, errOutside{err}
	}
	return n, nil
}
