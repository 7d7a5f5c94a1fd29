package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/core/e2e/harness"
	"github.com/postern-mail/postern/core/host"
	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/objects"
	"github.com/postern-mail/postern/core/plugincatalog"
	"github.com/postern-mail/postern/core/pluginpool"
	"github.com/postern-mail/postern/core/pluginprocess"
	"github.com/postern-mail/postern/core/store"
	"github.com/postern-mail/postern/core/store/sqlite"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

const (
	troubleFor   = time.Hour
	troubleEvery = 5 * time.Minute
	troubleList  = 100 // objects
)

// feedTrouble lets every source misbehave for an hour of a clock that is set by hand, synchronises as often as a gateway would, and looks each
// time whether the last good list serves.
func feedTrouble(ctx context.Context, e *env) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	t, err := newTrouble(ctx, e)
	if err != nil {
		return errors.Join(err, t.end())
	}
	defer func() { err = errors.Join(err, t.end()) }()
	if err := t.sync(ctx); err != nil {
		return err
	}
	if bad, err := t.look(ctx, ""); err != nil || bad != "" {
		return errors.Join(fmt.Errorf("before any trouble: %s", bad), err)
	}
	wrong := 0
	for _, kind := range []string{"500", "half", "garbage", "empty", "large", "expired", "redirect"} {
		if err := t.fault(kind); err != nil {
			return err
		}
		rounds, bad := 0, ""
		for end := t.now.Add(troubleFor); t.now.Before(end); rounds++ {
			t.now = t.now.Add(troubleEvery)
			if err := t.sync(ctx); err != nil {
				return err
			}
			why, err := t.look(ctx, kind)
			if err != nil {
				return err
			}
			if why != "" && bad == "" {
				bad = fmt.Sprintf("after %d rounds: %s", rounds+1, why)
			}
		}
		said := t.said(ctx)
		if err := t.fault(""); err != nil {
			return err
		}
		t.now = t.now.Add(troubleEvery)
		if err := t.sync(ctx); err != nil {
			return err
		}
		if why, err := t.look(ctx, ""); err != nil || why != "" {
			bad = strings.TrimSpace(bad + " afterwards: " + why + fmt.Sprint(err))
		}
		verdict := "the last good lists serve"
		if bad != "" {
			verdict = bad
			wrong++
		}
		e.printf("    %-9s %2d synchronisations of %d lists: %s", kind, rounds, len(t.expect("")), verdict)
		e.printf("              %s", said)
	}
	if wrong > 0 {
		return errShort
	}
	return nil
}

// trouble is a plugin with all sources, a store, and a gateway's view of it.
type trouble struct {
	now     time.Time
	servers *harness.ObjectServers
	file    string
	pool    *pluginpool.Pool
	store   *sqlite.Store
	keeper  *objects.Keeper
	syncer  *objects.Syncer
}

func newTrouble(ctx context.Context, e *env) (t *trouble, err error) {
	t = &trouble{now: time.Now().UTC(), file: filepath.Join(e.scratch, "list.json")}
	var lines strings.Builder
	for i := range troubleList {
		fmt.Fprintf(&lines, "domain,d%d.example,block\n", i)
	}
	if t.servers, err = harness.StartObjectServers(ctx, e.bin, e.scratch, lines.String(), 0); err != nil {
		return t, err
	}
	if err := t.write(""); err != nil {
		return t, err
	}
	source := func(name, url string, more map[string]any) []map[string]any {
		more["name"], more["url"], more["ca_file"], more["action"], more["full_every"] = name, url, t.servers.CAFile, "block", 86400
		return []map[string]any{more}
	}
	config, err := json.Marshal(map[string]any{
		"control_manager": source("", t.servers.URL, map[string]any{"application_id": "app", "api_key": harness.ObjectsKey}),
		"taxii":           source("taxii", t.servers.URL+"/taxii2/", map[string]any{"collection": "Objects", "token": harness.ObjectsKey}),
		"misp_feed":       source("misp_feed", t.servers.URL+"/feed/", map[string]any{}),
		"misp":            source("misp", t.servers.URL, map[string]any{"api_key": harness.ObjectsKey}),
		"file":            []map[string]any{{"name": "file", "path": t.file, "action": "block"}},
	})
	if err != nil {
		return t, err
	}
	executable, err := filepath.Abs(filepath.Join(e.bin, "postern-ctd"))
	if err != nil {
		return t, err
	}
	digest, err := pluginprocess.Digest(executable)
	if err != nil {
		return t, err
	}
	run := filepath.Join(e.scratch, "run")
	if err := os.Mkdir(run, 0o700); err != nil {
		return t, err
	}
	log := hclog.NewNullLogger()
	t.pool, err = pluginpool.New(ctx, pluginpool.Spec{
		Process: pluginprocess.Spec{Name: "ctd", Executable: executable, Digest: digest, Stage: filepath.Join(filepath.Dir(executable), "postern"), StartTimeout: patience, RunDir: run, Log: log,
			Reach: plugincatalog.ReachOf([]string{"read " + filepath.Dir(t.file), "connect " + t.servers.URL}),
		},
		Configure: &pluginv1.ConfigureRequest{ConfigJson: string(config)}, Instances: 1, Concurrency: 1, Timeout: patience,
		Rules: pluginpool.DefaultRules(),
	})
	if err != nil {
		return t, err
	}
	clock := func() time.Time { return t.now }
	t.store, err = sqlite.Open(ctx, filepath.Join(e.scratch, "trouble.db"), store.Options{Clock: clock, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return t, err
	}
	t.keeper = &objects.Keeper{Store: t.store, Log: log}
	t.syncer = &objects.Syncer{Store: t.store, Keeper: t.keeper, Now: clock, Token: host.CallName, Log: log}
	return t, nil
}

func (t *trouble) end() error {
	var failed error
	if t.pool != nil {
		t.pool.Stop()
	}
	if t.store != nil {
		failed = t.store.Close()
	}
	if t.servers != nil {
		failed = errors.Join(failed, t.servers.Stop())
	}
	return failed
}

func (t *trouble) sync(ctx context.Context) error {
	return t.syncer.Sync(ctx, host.ObjectSource{Pool: t.pool})
}

// fault lets servers and file misbehave.
func (t *trouble) fault(kind string) error {
	return errors.Join(t.servers.Fault("", kind), t.write(kind))
}

// write writes the file as the fault has it.
func (t *trouble) write(kind string) error {
	n := troubleList
	switch kind {
	case "500", "expired", "redirect": // a file has its own way of being away
		if err := os.Remove(t.file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	case "large":
		n = 11*n + 1000
	}
	var rows []map[string]string
	for i := range n {
		rows = append(rows, map[string]string{"type": "domain", "value": fmt.Sprintf("d%d.example", i)})
	}
	text, err := json.Marshal(rows)
	switch kind {
	case "half":
		text = text[:len(text)/2]
	case "garbage":
		text = []byte("<html><body>Please sign in</body></html>")
	case "empty":
		text = []byte("[]")
	}
	return errors.Join(err, os.WriteFile(t.file, text, 0o600))
}

// expect are the lists, and whether the trouble has to be told of each. A server that is asked only for what is new is never wrong to
// say that there is nothing.
func (t *trouble) expect(kind string) map[string]bool {
	told := kind != ""
	return map[string]bool{
		strings.TrimPrefix(t.servers.URL, "https://"): told, "taxii": told && kind != "empty", "misp_feed": told, "misp": told && kind != "empty", "file": told,
	}
}

// look says what is not as it has to be: a list that is not whole, or trouble that is not told.
func (t *trouble) look(ctx context.Context, kind string) (string, error) {
	rows, err := t.store.ObjectLists(ctx)
	if err != nil {
		return "", err
	}
	expected := t.expect(kind)
	if len(rows) != len(expected) {
		return fmt.Sprintf("there are %d lists", len(rows)), nil
	}
	for i := range rows {
		l := &rows[i]
		if l.Objects != troubleList || (l.Error != "") != expected[l.Name] {
			return fmt.Sprintf("%s has %d objects and says %q", l.Name, l.Objects, l.Error), nil
		}
	}
	matcher := &objects.Matcher{Name: "ctd", Lists: t.keeper.Lists, Now: func() time.Time { return t.now }}
	for i := range troubleList {
		report := matcher.Match(&message.Tree{URLs: []message.URL{{URL: fmt.Sprintf("http://www.d%d.example/", i)}}})
		if len(report.Findings) != 1 || strings.Count(report.Findings[0].Evidence, " lists ") != len(expected) {
			return fmt.Sprintf("d%d.example gives %+v", i, report.Findings), nil
		}
	}
	if report := matcher.Match(&message.Tree{URLs: []message.URL{{URL: "http://large1.example/"}}}); len(report.Findings) > 0 {
		return "what was refused matches", nil
	}
	return "", nil
}

// said is what one of the lists says.
func (t *trouble) said(ctx context.Context) string {
	rows, err := t.store.ObjectLists(ctx)
	for i := range rows {
		if rows[i].Name == "misp_feed" {
			return "misp_feed: " + rows[i].Error
		}
	}
	return fmt.Sprint(err)
}
