package mailauth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"
)

// counter counts the queries that reach a zone.
type counter struct {
	zone
	asked map[string]int
}

func (c *counter) LookupTXT(ctx context.Context, name string) ([]string, error) {
	c.asked[name]++
	return c.zone.LookupTXT(ctx, name)
}

func TestAnswersAreRemembered(t *testing.T) {
	tests := []struct {
		name  string
		after time.Duration // between the two queries
		asked int
	}{
		{"there.example", 0, 1},
		{"there.example", keepAnswer - time.Second, 1},
		{"there.example", keepAnswer, 2},
		{"missing.example", keepNotFound - time.Second, 1},
		{"missing.example", keepNotFound, 2},
		{"broken.example", 0, 2}, // no answer is none
	}
	for _, test := range tests {
		now := time.Unix(0, 0)
		dns := &counter{zone{"there.example": {"v=spf1 -all"}, "broken.example": {"SERVFAIL"}}, map[string]int{}}
		cache := NewCache(dns, func() time.Time { return now })
		first, err1 := cache.LookupTXT(t.Context(), test.name)
		now = now.Add(test.after)
		second, err2 := cache.LookupTXT(t.Context(), test.name)
		if fmt.Sprint(first, err1) != fmt.Sprint(second, err2) || dns.asked[test.name] != test.asked {
			t.Errorf("%s after %v: %v %v, then %v %v; asked %d times, want %d", test.name, test.after, first, err1, second, err2, dns.asked[test.name], test.asked)
		}
	}
}

func TestKindsAreKeptApart(t *testing.T) {
	cache := NewCache(zone{"a.example": {"text"}}, func() time.Time { return time.Unix(0, 0) })
	texts, err := cache.LookupTXT(t.Context(), "a.example")
	if err != nil || len(texts) != 1 {
		t.Error(texts, err)
	}
	var missing *net.DNSError
	if _, err := cache.LookupMX(t.Context(), "a.example"); !errors.As(err, &missing) {
		t.Error(err)
	}
	if _, err := cache.LookupIPAddr(t.Context(), "a.example"); !errors.As(err, &missing) {
		t.Error(err)
	}
	if _, err := cache.LookupAddr(t.Context(), "a.example"); !errors.As(err, &missing) {
		t.Error(err)
	}
}

func TestTheCacheStaysBounded(t *testing.T) {
	cache := NewCache(zone{}, func() time.Time { return time.Unix(0, 0) })
	for i := range maxAnswers + 10 {
		if _, err := cache.LookupTXT(t.Context(), fmt.Sprintf("%d.example", i)); err == nil {
			t.Fatal("an answer from nowhere")
		}
	}
	if n := len(cache.answers); n > maxAnswers {
		t.Errorf("%d answers", n)
	}
}
