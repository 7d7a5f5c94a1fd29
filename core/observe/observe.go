// Package observe makes the diagnostics: settings go in, hclog loggers come out, each subsystem with its own level. Loggers carry
// ids, addresses and sizes; message content and secrets are never given to them.
package observe

import (
	"fmt"
	"io"
	"strings"

	"github.com/hashicorp/go-hclog"
)

// Settings are how diagnostics look.
type Settings struct {
	// Levels is "LEVEL" or "LEVEL,SUBSYSTEM=LEVEL,...". A subsystem is a logger's name ("intake", "plugin.atse"); those below it
	// ("plugin" for "plugin.atse") follow it unless they have a level of their own.
	Levels string
	JSON   bool
	Output io.Writer
}

// New makes the root logger, or says what is wrong with the levels.
func New(settings Settings) (hclog.Logger, error) {
	levels, err := parseLevels(settings.Levels)
	if err != nil {
		return nil, err
	}
	return hclog.New(&hclog.LoggerOptions{
		Level: levels.of(""), Output: settings.Output, JSONFormat: settings.JSON, IndependentLevels: true,
		TimeFormat: "2006-01-02T15:04:05.000Z07:00",
		SubloggerHook: func(sub hclog.Logger) hclog.Logger {
			sub.SetLevel(levels.of(sub.Name()))
			return sub
		},
	}), nil
}

// levels are by subsystem; "" is the root's.
type levels map[string]hclog.Level

func parseLevels(text string) (levels, error) {
	out := levels{"": hclog.Info}
	for _, item := range strings.Split(text, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		name, word, named := strings.Cut(item, "=")
		if !named {
			name, word = "", item
		}
		level := hclog.LevelFromString(strings.TrimSpace(word))
		if level == hclog.NoLevel {
			return nil, fmt.Errorf("read log level %q: %q is not one of trace, debug, info, warn, error, off", item, word)
		}
		out[strings.TrimSpace(name)] = level
	}
	return out, nil
}

// of is the level of the subsystem or of the nearest one above it.
func (l levels) of(name string) hclog.Level {
	for {
		if level, found := l[name]; found {
			return level
		}
		dot := strings.LastIndexByte(name, '.')
		name = name[:max(dot, 0)]
	}
}
