package observe

import (
	"bytes"
	"strings"
	"testing"
)

func TestLevelsBySubsystem(t *testing.T) {
	tests := []struct {
		levels, name string
		debug, info  bool
	}{
		{"", "intake", false, true},
		{"debug", "intake", true, true},
		{"warn,intake=debug", "intake", true, true},
		{"warn,intake=debug", "gate", false, false},
		{"warn,plugin=debug", "plugin.atse", true, true},
		{"debug,plugin=warn,plugin.atse=info", "plugin.atse", false, true},
		{"off", "gate", false, false},
	}
	for _, test := range tests {
		var out bytes.Buffer
		root, err := New(Settings{Levels: test.levels, Output: &out})
		if err != nil {
			t.Fatalf("%q: %v", test.levels, err)
		}
		log := root
		for _, name := range strings.Split(test.name, ".") {
			log = log.Named(name)
		}
		log.Debug("fine-grained")
		log.Info("informative")
		if got := strings.Contains(out.String(), "fine-grained"); got != test.debug {
			t.Errorf("levels %q: %s writes debug: %t, want %t", test.levels, test.name, got, test.debug)
		}
		if got := strings.Contains(out.String(), "informative"); got != test.info {
			t.Errorf("levels %q: %s writes info: %t, want %t", test.levels, test.name, got, test.info)
		}
	}
}

func TestUnknownLevelIsRefused(t *testing.T) {
	if _, err := New(Settings{Levels: "info,gate=loud", Output: &bytes.Buffer{}}); err == nil || !strings.Contains(err.Error(), "loud") {
		t.Errorf("error %v, want one that names the level", err)
	}
}

func TestSlogReachesHclog(t *testing.T) {
	var out bytes.Buffer
	root, err := New(Settings{Levels: "info", Output: &out})
	if err != nil {
		t.Fatal(err)
	}
	log := Slog(root).With("a", 1).WithGroup("g")
	log.Debug("hidden")
	log.Warn("shown", "b", 2)
	for _, want := range []string{"[WARN]", "shown", "a=1", "g.b=2"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in %q", want, out.String())
		}
	}
	if strings.Contains(out.String(), "hidden") {
		t.Errorf("debug was written at level info: %q", out.String())
	}
}
