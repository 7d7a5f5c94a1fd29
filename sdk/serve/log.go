package serve

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// logKey is where a call's log stands in its context.
type logKey struct{}

// Log is the log of a call: what is written to it appears in the host's diagnostics with the name of the call.
func Log(ctx context.Context) hclog.Logger {
	if log, ok := ctx.Value(logKey{}).(hclog.Logger); ok {
		return log
	}
	return hclog.NewNullLogger()
}

// of gives a call its log.
func (s *pluginService) of(ctx context.Context, call string) context.Context {
	return context.WithValue(ctx, logKey{}, s.log.With("call", call))
}

// progressEvery is how often progress is told: the host drops what a plugin writes beyond its share.
const progressEvery = 5 * time.Second

// Progress tells in the log how far something long has come, at most every five seconds.
type Progress struct {
	log   hclog.Logger
	doing string
	now   func() time.Time

	mu   sync.Mutex
	done int
	told time.Time
}

// NewProgress begins to count. doing says what is under way: "reading signatures".
func NewProgress(log hclog.Logger, doing string, now func() time.Time) *Progress {
	return &Progress{log: log, doing: doing, now: now, told: now()}
}

// Add counts n more things as done.
func (p *Progress) Add(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	if now := p.now(); now.Sub(p.told) >= progressEvery {
		p.told = now
		p.log.Info(p.doing, "done", p.done)
	}
}
