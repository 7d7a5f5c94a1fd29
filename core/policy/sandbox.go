package policy

import (
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"

	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

func (l *loader) virtualAnalyzer() {
	block := l.only("virtual_analyzer")
	if block == nil {
		return
	}
	r := l.read(block, shape{
		optional: []string{"analyzer", "submit", "security_level", "max_wait", "query_delay", "max_retries", "mode", "max_submissions"},
		blocks:   []hcl.BlockHeaderSchema{{Type: "cache"}, {Type: "notice"}},
	})
	va := &VirtualAnalyzer{
		Analyzer:       r.text("analyzer", ""),
		Submit:         r.flag("submit", true),
		SecurityLevel:  r.level("security_level", SecurityLow),
		MaxWait:        r.duration("max_wait", 1800*time.Second, 300*time.Second, 1800*time.Second),
		QueryDelay:     r.duration("query_delay", time.Minute, time.Second, 1800*time.Second),
		MaxRetries:     r.number("max_retries", 20, 0, 1000),
		Async:          r.choice("mode", "sync", "sync", "async") == "async",
		CacheResetAt:   "23:00",
		CacheExpiry:    day,
		MaxSubmissions: r.number("max_submissions", 100, 1, 100000),
	}
	if r.has("analyzer") {
		l.withRole(va.Analyzer, pluginv1.Role_ROLE_ANALYZER, r.place("analyzer"), "an analyzer")
	}
	if r.has("max_wait") {
		l.maxWait = r.place("max_wait").Ptr()
	}
	if cache := r.single("cache"); cache != nil {
		c := l.read(cache, shape{optional: []string{"reset_at", "expiry"}})
		va.CacheResetAt = c.clock("reset_at", va.CacheResetAt, "never")
		va.CacheExpiry = c.duration("expiry", va.CacheExpiry, time.Minute, 365*day)
	}
	if notice := r.single("notice"); notice != nil {
		n := l.read(notice, shape{required: []string{"after", "notification"}})
		va.NoticeAfter = n.duration("after", 0, time.Second, va.MaxWait)
		va.Notice = n.text("notification", "")
		if _, known := l.policy.Notifications[va.Notice]; n.has("notification") && !known {
			names := slices.Collect(maps.Keys(l.policy.Notifications))
			l.fail(n.place("notification"), "Unknown notification", "There is no notification of that name."+suggest(va.Notice, names))
		}
	}
	l.policy.VirtualAnalyzer = va
}

func (r *reader) level(name string, fallback SecurityLevel) SecurityLevel {
	return SecurityLevel(r.choice(name, string(fallback), string(SecurityHigh), string(SecurityMedium), string(SecurityLow)))
}

func (l *loader) suspiciousObjects() {
	block := l.only("suspicious_objects")
	if block == nil {
		return
	}
	r := l.read(block, shape{required: []string{"source"}, optional: []string{"files", "urls", "sync_every"},
		blocks: []hcl.BlockHeaderSchema{{Type: "learn"}}})
	o := &SuspiciousObjects{
		Source:    r.text("source", ""),
		Files:     r.flag("files", true),
		URLs:      r.flag("urls", true),
		SyncEvery: r.duration("sync_every", 5*time.Minute, time.Second, day),
	}
	if r.has("source") {
		l.withRole(o.Source, pluginv1.Role_ROLE_OBJECTS, r.place("source"), "a source of suspicious objects")
	}
	if learn := r.single("learn"); learn != nil {
		n := l.read(learn, shape{optional: []string{"expiry", "action"}})
		o.LearnFor = n.duration("expiry", 30*day, time.Hour, 3650*day)
		o.LearnAction = n.choice("action", "quarantine", "log", "block", "quarantine")
	}
	l.policy.Objects = o
}
