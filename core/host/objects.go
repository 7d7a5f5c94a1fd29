package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/objects"
	"github.com/postern-mail/postern/core/pluginpool"
	"github.com/postern-mail/postern/core/policy"
	"github.com/postern-mail/postern/core/store"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// loadObjects has the lists in memory before the policy takes mail. Without bodies nothing is taken: they are as they were read.
func (b *Builder) loadObjects(ctx context.Context, p *policy.Policy) error {
	if p.Objects == nil || b.bodies == nil {
		return nil
	}
	if err := b.objects.Refresh(ctx); err != nil {
		return fmt.Errorf("build policy: %w", err)
	}
	return nil
}

// storedLists are the lists as the store of the policy has them, for judging without a gateway; none where there is no store yet.
func storedLists(ctx context.Context, p *policy.Policy, now func() time.Time, log hclog.Logger) (k *objects.Keeper, err error) {
	if p.Objects == nil {
		return nil, nil
	}
	if p.Store.URL == "" {
		if _, err := os.Stat(filepath.Join(p.Store.Path, storeFile)); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
	}
	s, err := OpenStore(ctx, p, "", now, log)
	if err != nil {
		return nil, fmt.Errorf("read lists: %w", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	k = &objects.Keeper{Store: s, Log: log.Named("objects")}
	return k, k.Refresh(ctx)
}

// matcher matches by the lists as they are at each message. Without a store there are none.
func (b *Builder) matcher(source string) *objects.Matcher {
	lists := func() *objects.Lists { return &objects.Lists{} }
	if b.objects != nil {
		lists = b.objects.Lists
	}
	return &objects.Matcher{Name: source, Lists: lists, Now: b.Now}
}

// SettingObjectSync is when the lists were synchronised last, by any gateway of the store. "" asks for it at once.
const SettingObjectSync = "objects_sync"

// settingWoken and a list's name is the generation of the list whose new objects have woken what is held.
const settingWoken = "objects_woken/"

// objectTick is how often a gateway looks whether lists have changed, and whether they are to be synchronised.
const objectTick = time.Second

// objectWork is what a gateway does for its lists beside the mail: load what has changed, synchronise when it is its turn, wake what is
// held with a new object.
type objectWork struct {
	host   *Host
	keeper *objects.Keeper
	log    hclog.Logger

	mu    sync.Mutex
	added []addedObjects
}

type addedObjects struct {
	list       string
	generation int64
	keys       [][]byte
}

func newObjectWork(h *Host) *objectWork {
	w := &objectWork{host: h, log: h.log.Named("objects")}
	w.keeper = &objects.Keeper{Store: h.store, Log: w.log, Added: w.note}
	return w
}

// note keeps what was added for refresh, which has the time to look who is held with it.
func (w *objectWork) note(_ context.Context, list string, generation int64, keys [][]byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.added = append(w.added, addedObjects{list, generation, keys})
}

// refresh keeps the lists as the store has them until ctx ends.
func (w *objectWork) refresh(ctx context.Context) {
	w.every(ctx, func(g *Generation) {
		if err := w.keeper.Refresh(ctx); err != nil {
			w.failed(ctx, "loading lists of objects failed; the ones before serve", err)
		}
		w.mu.Lock()
		added := w.added
		w.added = nil
		w.mu.Unlock()
		for i := range added {
			if err := w.wake(ctx, &added[i]); err != nil {
				w.failed(ctx, "looking who is held with a new object failed; they are judged by it when their wait ends", err)
			}
		}
	})
}

// every runs the work each tick in which the policy has lists.
func (w *objectWork) every(ctx context.Context, work func(*Generation)) {
	ticks := time.NewTicker(objectTick)
	defer ticks.Stop()
	for {
		g := w.host.acquire()
		if g.policy.Objects != nil {
			work(g)
		}
		g.Release()
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
	}
}

func (w *objectWork) failed(ctx context.Context, text string, err error) {
	if ctx.Err() == nil {
		w.log.Error(text, "error", err)
	}
}

// wake judges again what is held with objects that were not listed before. One gateway does it for each change of a list; what it leaves
// undone is judged by the new list when its wait ends.
func (w *objectWork) wake(ctx context.Context, a *addedObjects) error {
	name, generation := settingWoken+a.list, strconv.FormatInt(a.generation, 10)
	done, err := w.host.store.Setting(ctx, name)
	if err != nil || done == generation {
		return err
	}
	if err := w.host.store.SetSetting(ctx, name, done, generation); err != nil {
		if errors.Is(err, store.ErrConflict) {
			return nil
		}
		return err
	}
	copies, err := w.host.store.CopiesWith(ctx, []store.CopyState{store.CopyHeld}, a.keys)
	if err != nil {
		return err
	}
	for _, id := range copies {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		w.log.Info("a new object is in a message that is held", "copy", id, "list", a.list)
		w.host.gate.Wake(ctx, id)
	}
	return nil
}

// synchronise fetches the lists at the policy's intervals, at the start, and when the source's configuration changes. One gateway of those
// that share the store does it: it has put the time of the last synchronisation forward.
func (w *objectWork) synchronise(ctx context.Context) {
	configured := ""
	w.every(ctx, func(g *Generation) {
		config := sourceConfig(g.policy)
		mine, err := w.claim(ctx, g.policy.Objects.SyncEvery, config != configured)
		if err != nil {
			w.failed(ctx, "looking whether lists are to be synchronised failed", err)
			return
		}
		configured = config
		if !mine {
			return
		}
		defer w.hold(ctx, g.policy.Objects.SyncEvery)()
		syncer := &objects.Syncer{Store: w.host.store, Keeper: w.keeper, Now: w.host.options.Now, Token: newID, Log: w.log}
		if err := syncer.Sync(ctx, ObjectSource{g.Pool(g.policy.Objects.Source)}); err != nil {
			w.failed(ctx, "synchronising lists failed; the last good ones serve", err)
		}
	})
}

func sourceConfig(p *policy.Policy) string {
	for i := range p.Plugins {
		if p.Plugins[i].Name == p.Objects.Source {
			return p.Objects.Source + string(p.Plugins[i].Config)
		}
	}
	return p.Objects.Source
}

// claim reports whether a synchronisation is due and this gateway's.
func (w *objectWork) claim(ctx context.Context, every time.Duration, now bool) (bool, error) {
	last, err := w.host.store.Setting(ctx, SettingObjectSync)
	if err != nil {
		return false, err
	}
	at := w.host.store.Steady()
	if before, err := time.Parse(time.RFC3339Nano, last); err == nil && !now && at.Sub(before) < every && !before.After(at.Add(every)) {
		return false, nil
	}
	err = w.host.store.SetSetting(ctx, SettingObjectSync, last, at.Format(time.RFC3339Nano))
	if errors.Is(err, store.ErrConflict) {
		return false, nil
	}
	return err == nil, err
}

// hold puts the time forward while a synchronisation goes on, however long it takes: to another gateway it is never due meanwhile. Where
// that fails, by the store or because somebody asked for a new one, the other takes over, which the lists' tokens tell this one.
func (w *objectWork) hold(ctx context.Context, every time.Duration) (release func()) {
	ctx, cancel := context.WithCancel(ctx)
	var holding sync.WaitGroup
	holding.Go(func() {
		ticks := time.NewTicker(every / 3)
		defer ticks.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticks.C:
			}
			if held, err := w.renew(ctx); err != nil || !held {
				return
			}
		}
	})
	return func() {
		cancel()
		holding.Wait()
	}
}

// renew puts the time forward, unless somebody asked for a synchronisation.
func (w *objectWork) renew(ctx context.Context) (bool, error) {
	last, err := w.host.store.Setting(ctx, SettingObjectSync)
	if err != nil || last == "" {
		return false, err
	}
	err = w.host.store.SetSetting(ctx, SettingObjectSync, last, w.host.store.Steady().Format(time.RFC3339Nano))
	if errors.Is(err, store.ErrConflict) {
		return false, nil
	}
	return err == nil, err
}

// learn lists the digest of a file that the sandbox found to be of high risk, where the policy wants it.
func (w *objectWork) learn(ctx context.Context, s *store.Submission) {
	g := w.host.acquire()
	defer g.Release()
	o := g.policy.Objects
	if o == nil || o.LearnFor == 0 || s.Verdict.Level != message.RiskHigh || s.Key.Kind != "file" {
		return
	}
	now := w.host.options.Now()
	value, key, err := objects.Normalize(objects.SHA256, s.Key.SHA256)
	if err != nil {
		w.failed(ctx, "a verdict was not listed", err)
		return
	}
	object := store.Object{
		Key: key[:], Type: objects.SHA256, Value: value, Expires: now.Add(o.LearnFor), Added: now, By: objects.Learned,
		Note: "high risk by " + s.Verdict.Analyzer + " " + s.Verdict.Name,
	}
	if err := object.Action.UnmarshalText([]byte(o.LearnAction)); err != nil {
		w.failed(ctx, "a verdict was not listed", err)
		return
	}
	_, err = w.host.store.ChangeObjects(ctx, &store.ObjectChange{List: objects.Learned, Put: []store.Object{object}, At: now, Audit: []store.Audit{
		{At: now, By: objects.Learned, Act: "add object", Object: value, Detail: object.Note},
	}})
	if err != nil {
		w.failed(ctx, "a verdict was not listed", err)
	}
}

// ObjectSource is an objects.Source behind a plugin.
type ObjectSource struct{ Pool *pluginpool.Pool }

// Fetch makes the one call.
func (s ObjectSource) Fetch(ctx context.Context, cursors map[string]string, to objects.Sink) error {
	lease, err := s.Pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer lease.Release()
	request := &pluginv1.FetchRequest{}
	for list, cursor := range cursors {
		request.Cursors = append(request.Cursors, &pluginv1.SourceCursor{Source: list, Cursor: cursor})
	}
	// The call ends with this function, also where the sink fails.
	calling, cancel := context.WithCancel(lease.Context)
	defer cancel()
	stream, err := pluginv1.NewObjectsServiceClient(lease.Conn()).Fetch(calling, request)
	if err != nil {
		return fmt.Errorf("fetch lists: %w", err)
	}
	for {
		frame, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("fetch lists: %w", err)
		}
		// The store is not the plugin: writing has no part in the call's deadline.
		if err := take(ctx, frame, to); err != nil {
			return fmt.Errorf("fetch lists: %w", err)
		}
	}
}

// longestCursor and longestError bound what is kept of a state.
const (
	longestCursor = 16 << 10
	longestError  = 1 << 10
)

func take(ctx context.Context, frame *pluginv1.FetchResponse, to objects.Sink) error {
	if state := frame.GetSource(); state != nil {
		if len(state.GetCursor()) > longestCursor {
			return fmt.Errorf("the cursor of %.100q is longer than %d bytes", state.GetSource(), longestCursor)
		}
		why := state.GetError()
		return to.Done(ctx, objects.State{
			List: state.GetSource(), Complete: state.GetComplete(), Cursor: state.GetCursor(), Error: why[:min(len(why), longestError)],
		})
	}
	batch := make([]store.Object, 0, len(frame.GetBatch().GetObjects()))
	for _, o := range frame.GetBatch().GetObjects() {
		object := store.Object{
			List: o.GetSource(), Type: objectTypes()[o.GetType()], Value: o.GetValue(), Note: o.GetNote(), Exception: o.GetException(),
			// Unspecified is no action, which Sync skips.
			Action: store.ObjectAction(o.GetAction()) - 1,
		}
		if o.GetExpiresUnix() != 0 {
			object.Expires = time.Unix(o.GetExpiresUnix(), 0).UTC()
		}
		batch = append(batch, object)
	}
	return to.Objects(ctx, batch)
}

func objectTypes() map[pluginv1.ObjectType]string {
	return map[pluginv1.ObjectType]string{
		pluginv1.ObjectType_OBJECT_TYPE_SHA1: objects.SHA1, pluginv1.ObjectType_OBJECT_TYPE_SHA256: objects.SHA256,
		pluginv1.ObjectType_OBJECT_TYPE_URL: objects.URL, pluginv1.ObjectType_OBJECT_TYPE_DOMAIN: objects.Domain,
		pluginv1.ObjectType_OBJECT_TYPE_IP: objects.IP,
	}
}
