package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/sdk/objects"
)

// taxii is a collection of a TAXII 2.1 server.
type taxii struct {
	*web
	collection string // id or title; "" where the base is the collection
	action     objects.Action
	fullEvery  time.Duration
	now        func() time.Time
	log        hclog.Logger
	found      string // the collection's address, once it is known
}

const (
	taxiiType  = "application/taxii+json;version=2.1"
	taxiiLimit = 1000
	mostRoots  = 20
)

func (t *taxii) fetch(ctx context.Context, cursor string, out *sender) (bool, string, error) {
	if t.found == "" {
		found, err := t.find(ctx)
		if err != nil {
			return false, "", err
		}
		t.found = found
	}
	started := t.now()
	from := startFrom(cursor, started, t.fullEvery)
	complete := from.After == ""
	if complete {
		from.Full = started
	}
	next, passed := "", 0
	last := from.After
	for page := 0; ; page++ {
		if page == mostPages {
			return false, "", fmt.Errorf("the collection has more than %d pages", mostPages)
		}
		answer, added, err := t.page(ctx, from.After, next)
		if err != nil {
			return false, "", err
		}
		for _, raw := range answer.Objects {
			left, err := t.indicator(raw, complete, out)
			if err != nil {
				return false, "", err
			}
			passed += left
		}
		if added != "" {
			last = added
		}
		if !answer.More {
			break
		}
		if answer.Next == "" || answer.Next == next {
			return false, "", errors.New("the server says that there is more, and not where")
		}
		next = answer.Next
	}
	if passed > 0 {
		t.log.Info("indicators are of kinds that mail does not have, or narrower than a list can be", "list", out.list, "count", passed)
	}
	from.After = last
	return complete, from.String(), nil
}

// envelope is a page (TAXII 2.1 section 3.7).
type envelope struct {
	More    bool              `json:"more"`
	Next    string            `json:"next"`
	Objects []json.RawMessage `json:"objects"`
}

func readEnvelope(body []byte) (*envelope, error) {
	var fields map[string]json.RawMessage
	var e envelope
	if err := decode("the envelope", body, &fields); err != nil {
		return nil, err
	}
	if err := decode("the envelope", body, &e); err != nil {
		return nil, err
	}
	for _, name := range []string{"api_roots", "title", "error_id", "http_status"} {
		if _, wrong := fields[name]; wrong {
			return nil, errors.New("the answer is no envelope of objects")
		}
	}
	return &e, nil
}

func (t *taxii) page(ctx context.Context, after, next string) (*envelope, string, error) {
	query := url.Values{"match[type]": {"indicator"}, "limit": {strconv.Itoa(taxiiLimit)}}
	if after != "" {
		query.Set("added_after", after)
	}
	if next != "" {
		query.Set("next", next)
	}
	answer, err := t.get(ctx, t.found+"objects/?"+query.Encode(), http.Header{"Accept": {taxiiType}})
	if err != nil {
		return nil, "", err
	}
	e, err := readEnvelope(answer.Body)
	if err != nil {
		return nil, "", err
	}
	return e, answer.Header.Get("X-TAXII-Date-Added-Last"), nil
}

// indicator sends the objects of one indicator; left is 1 where it has none that can be listed.
func (t *taxii) indicator(raw []byte, complete bool, out *sender) (left int, err error) {
	list, err := readIndicator(raw, t.now())
	if err != nil {
		return 1, nil // one that cannot be read does not keep the others from being listed; how many is logged
	}
	for _, o := range list {
		if complete && !o.Expires.IsZero() && !o.Expires.After(t.now()) {
			continue
		}
		o.Action = t.action
		if err := out.object(o); err != nil {
			return 0, err
		}
	}
	if len(list) == 0 {
		left = 1
	}
	return left, nil
}

// readIndicator reads a STIX 2.1 indicator (section 4.7). One that was revoked gives objects that have expired. What is no indicator by
// pattern, or not valid yet, gives none.
func readIndicator(raw []byte, now time.Time) ([]objects.Object, error) {
	var indicator struct {
		Type        string   `json:"type"`
		Name        string   `json:"name"`
		Pattern     string   `json:"pattern"`
		PatternType string   `json:"pattern_type"`
		Types       []string `json:"indicator_types"`
		ValidFrom   string   `json:"valid_from"`
		ValidUntil  string   `json:"valid_until"`
		Revoked     bool     `json:"revoked"`
	}
	if err := decode("the indicator", raw, &indicator); err != nil {
		return nil, err
	}
	if indicator.Type != "indicator" || indicator.PatternType != "" && indicator.PatternType != "stix" || slices.Contains(indicator.Types, "benign") {
		return nil, nil
	}
	list, err := readPattern(indicator.Pattern)
	if err != nil {
		return nil, err
	}
	var expires time.Time
	if indicator.ValidUntil != "" {
		if expires, err = parseTime(indicator.ValidUntil); err != nil {
			return nil, err
		}
	}
	if indicator.Revoked {
		expires = withdrawn()
	}
	if from, err := parseTime(indicator.ValidFrom); err == nil && from.After(now) && !indicator.Revoked {
		return nil, nil
	}
	for i := range list {
		list[i].Expires, list[i].Note = expires, indicator.Name
	}
	return list, nil
}

// find follows discovery and API roots to the collection.
func (t *taxii) find(ctx context.Context) (string, error) {
	if t.collection == "" {
		if !strings.Contains(t.base, "/collections/") {
			return "", errors.New("the url is no collection's: give `collection`, its id or title")
		}
		return t.base + "/", nil
	}
	roots, err := t.roots(ctx)
	if err != nil {
		return "", err
	}
	var titles []string
	for _, root := range roots {
		answer, err := t.get(ctx, root+"collections/", http.Header{"Accept": {taxiiType}})
		if err != nil {
			return "", fmt.Errorf("list collections: %w", err)
		}
		var list struct {
			Collections []struct{ ID, Title string }
		}
		if err := decode("the collections", answer.Body, &list); err != nil {
			return "", err
		}
		for _, c := range list.Collections {
			if c.ID == t.collection || c.Title == t.collection {
				return root + "collections/" + url.PathEscape(c.ID) + "/", nil
			}
			titles = append(titles, c.Title)
		}
	}
	return "", fmt.Errorf("there is no collection %q among %.300q", t.collection, titles)
}

// roots are the API roots of the discovery, or the base itself where it is one. None leads to another server.
func (t *taxii) roots(ctx context.Context) ([]string, error) {
	answer, err := t.get(ctx, t.base+"/", http.Header{"Accept": {taxiiType}})
	if err != nil {
		return nil, fmt.Errorf("ask for discovery: %w", err)
	}
	var discovery struct {
		Roots []string `json:"api_roots"`
	}
	if err := decode("the discovery", answer.Body, &discovery); err != nil {
		return nil, err
	}
	if len(discovery.Roots) == 0 {
		return []string{t.base + "/"}, nil
	}
	base, err := url.Parse(t.base + "/")
	if err != nil {
		return nil, fmt.Errorf("read url: %w", err)
	}
	var out []string
	for _, raw := range discovery.Roots[:min(len(discovery.Roots), mostRoots)] {
		root, err := base.Parse(raw)
		if err != nil || root.Scheme != base.Scheme || root.Host != base.Host {
			return nil, fmt.Errorf("the discovery leads to another server, %.200q, which is not followed: configure its url", raw)
		}
		out = append(out, strings.TrimSuffix(root.String(), "/")+"/")
	}
	return out, nil
}
