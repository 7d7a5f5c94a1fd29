package objects

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/core/store"
)

// longList is a list whose loading leaves enough behind to be given back at once.
const longList = 100_000

// Keeper holds the lists of one gateway and keeps them as the store has them.
type Keeper struct {
	Store store.Objects
	Log   hclog.Logger
	// Added is told of the keys that a list shows newly, exceptions left out; nil: nobody.
	Added func(ctx context.Context, list string, generation int64, keys [][]byte)

	current atomic.Pointer[Lists]
	mu      sync.Mutex // of Refresh
	loaded  bool
}

// Lists are the lists as they are now; none before the first Refresh.
func (k *Keeper) Lists() *Lists {
	if l := k.current.Load(); l != nil {
		return l
	}
	return &Lists{}
}

// Refresh loads the lists that have changed since. Lookups go on in what was there until all is loaded. On error the lists stay.
func (k *Keeper) Refresh(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	rows, err := k.Store.ObjectLists(ctx)
	if err != nil {
		return fmt.Errorf("refresh lists: %w", err)
	}
	old := k.Lists()
	changed := len(rows) != len(old.sets)
	sets := make([]*set, 0, len(rows))
	var fresh []*set
	for i := range rows {
		have := old.named(rows[i].Name)
		if have == nil || have.generation != rows[i].Generation {
			started := time.Now()
			if have, err = k.load(ctx, &rows[i]); err != nil {
				return fmt.Errorf("refresh lists: %w", err)
			}
			k.Log.Info("list loaded", "list", have.name, "objects", len(have.keys), "generation", have.generation, "took", time.Since(started))
			changed, fresh = true, append(fresh, have)
		}
		sets = append(sets, have)
	}
	if changed {
		k.current.Store(newLists(sets))
	}
	if slices.ContainsFunc(fresh, func(s *set) bool { return len(s.keys) >= longList }) {
		debug.FreeOSMemory() // what loading left behind is many times what is kept
	}
	first := !k.loaded
	k.loaded = true
	if first || k.Added == nil {
		return nil
	}
	for _, s := range fresh {
		if keys := added(old.named(s.name), s); len(keys) > 0 {
			k.Added(ctx, s.name, s.generation, keys)
		}
	}
	return nil
}

func (k *Keeper) load(ctx context.Context, row *store.ObjectList) (*set, error) {
	b := newBuilder(row.Name, row.Generation, row.Objects)
	err := k.Store.EachObject(ctx, row.Name, func(o *store.Object) error {
		b.add(o)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return b.build(), nil
}

// added are the keys that are listed now and were not, or were less strictly.
func added(old, fresh *set) [][]byte {
	var out [][]byte
	for i := range fresh.keys {
		if fresh.entries[i].exception() {
			continue
		}
		if old != nil {
			if j, found := old.find(fresh.keys[i]); found && !old.entries[j].exception() && old.entries[j].rank() >= fresh.entries[i].rank() {
				continue
			}
		}
		out = append(out, fresh.keys[i][:])
	}
	return out
}
