package observe

import (
	"context"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// Slog lets libraries that speak log/slog write to an hclog logger.
func Slog(log hclog.Logger) *slog.Logger { return slog.New(handler{log: log}) }

type handler struct {
	log    hclog.Logger
	prefix string // of groups
}

func level(l slog.Level) hclog.Level {
	switch {
	case l >= slog.LevelError:
		return hclog.Error
	case l >= slog.LevelWarn:
		return hclog.Warn
	case l >= slog.LevelInfo:
		return hclog.Info
	}
	return hclog.Debug
}

func (h handler) Enabled(_ context.Context, l slog.Level) bool { return h.log.GetLevel() <= level(l) }

func (h handler) Handle(_ context.Context, r slog.Record) error {
	args := make([]any, 0, 2*r.NumAttrs())
	r.Attrs(func(a slog.Attr) bool {
		args = append(args, h.prefix+a.Key, a.Value.Resolve().Any())
		return true
	})
	h.log.Log(level(r.Level), r.Message, args...)
	return nil
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var args []any
	for _, a := range attrs {
		args = append(args, h.prefix+a.Key, a.Value.Resolve().Any())
	}
	return handler{log: h.log.With(args...), prefix: h.prefix}
}

func (h handler) WithGroup(name string) slog.Handler {
	return handler{log: h.log, prefix: h.prefix + name + "."}
}
