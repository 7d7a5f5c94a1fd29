package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/postern-mail/postern/sdk/objects"
)

// mispFeed is a folder with a manifest and a file for each event (MISP core format).
type mispFeed struct {
	*web
	action objects.Action
	// known are the events as they were fetched: one whose timestamp has not changed is not fetched again.
	known map[string]knownEvent
}

type knownEvent struct {
	timestamp string
	objects   []objects.Object
}

const mostEvents = 200_000

// feedPlace is where a feed is gone on from: what the manifest was.
type feedPlace struct {
	ETag   string `json:"etag,omitempty"`
	Digest string `json:"digest"`
}

func (f *mispFeed) fetch(ctx context.Context, cursor string, out *sender) (bool, string, error) {
	var before feedPlace
	header := http.Header{}
	if json.Unmarshal([]byte(cursor), &before) == nil && before.ETag != "" {
		header.Set("If-None-Match", before.ETag)
	}
	answer, err := f.get(ctx, f.base+"/manifest.json", header)
	if err != nil {
		return false, "", fmt.Errorf("fetch manifest: %w", err)
	}
	if answer.Status == http.StatusNotModified {
		return false, cursor, nil
	}
	sum := sha256.Sum256(answer.Body)
	after := feedPlace{ETag: answer.Header.Get("ETag"), Digest: hex.EncodeToString(sum[:])}
	next, err := json.Marshal(after)
	if err != nil {
		return false, "", fmt.Errorf("write cursor: %w", err)
	}
	if before.Digest == after.Digest {
		return false, string(next), nil
	}
	manifest, err := readManifest(answer.Body)
	if err != nil {
		return false, "", err
	}
	fresh := make(map[string]knownEvent, len(manifest))
	for _, id := range slices.Sorted(maps.Keys(manifest)) {
		event, known := f.known[id]
		if !known || event.timestamp != manifest[id] {
			if event, err = f.event(ctx, id, manifest[id]); err != nil {
				return false, "", err
			}
		}
		fresh[id] = event
		for _, o := range event.objects {
			if err := out.object(o); err != nil {
				return false, "", err
			}
		}
	}
	f.known = fresh
	return true, string(next), nil
}

func (f *mispFeed) event(ctx context.Context, id, timestamp string) (knownEvent, error) {
	answer, err := f.get(ctx, f.base+"/"+id+".json", nil)
	if err != nil {
		return knownEvent{}, fmt.Errorf("fetch event %s: %w", id, err)
	}
	list, err := readEvent(answer.Body, f.action)
	if err != nil {
		return knownEvent{}, fmt.Errorf("event %s: %w", id, err)
	}
	return knownEvent{timestamp, list}, nil
}

var uuidForm = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// readManifest reads the events' timestamps.
func readManifest(body []byte) (map[string]string, error) {
	var manifest map[string]struct {
		Timestamp json.RawMessage `json:"timestamp"`
	}
	if err := decode("the manifest", body, &manifest); err != nil {
		return nil, err
	}
	if manifest == nil || len(manifest) > mostEvents {
		return nil, fmt.Errorf("read the manifest: it has %d events, and at most %d are taken", len(manifest), mostEvents)
	}
	out := make(map[string]string, len(manifest))
	for id, event := range manifest {
		if !uuidForm.MatchString(id) { // it becomes part of an address
			return nil, fmt.Errorf("read the manifest: %.60q is no event", id)
		}
		out[id] = string(event.Timestamp)
	}
	return out, nil
}

// attribute is one attribute of an event, or of a search.
type attribute struct {
	Type    string     `json:"type"`
	Value   string     `json:"value"`
	Comment string     `json:"comment"`
	ToIDS   mispFlag   `json:"to_ids"`
	Deleted mispFlag   `json:"deleted"`
	Stamp   mispNumber `json:"timestamp"`
	Event   struct {
		Info string `json:"info"`
	} `json:"Event"`
}

// mispFlag is a truth that MISP writes as true, 1 or "1".
type mispFlag bool

// UnmarshalJSON reads it.
func (f *mispFlag) UnmarshalJSON(text []byte) error {
	switch strings.Trim(string(text), `"`) {
	case "true", "1":
		*f = true
	case "false", "0", "", "null":
		*f = false
	default:
		return fmt.Errorf("%.20s is neither true nor false", text)
	}
	return nil
}

// mispNumber is a number that MISP writes as a text or as a number.
type mispNumber int64

// UnmarshalJSON reads it.
func (n *mispNumber) UnmarshalJSON(text []byte) error {
	trimmed := strings.Trim(string(text), `"`)
	if trimmed == "" || trimmed == "null" {
		return nil
	}
	var value json.Number = json.Number(trimmed)
	v, err := value.Int64()
	*n = mispNumber(v)
	return err
}

// readEvent reads the attributes of one event that are meant for detection.
func readEvent(body []byte, action objects.Action) ([]objects.Object, error) {
	var event struct {
		Event *struct {
			Info      string      `json:"info"`
			Attribute []attribute `json:"Attribute"`
			Object    []struct {
				Deleted   mispFlag    `json:"deleted"`
				Attribute []attribute `json:"Attribute"`
			} `json:"Object"`
		}
	}
	if err := decode("the event", body, &event); err != nil {
		return nil, err
	}
	if event.Event == nil {
		return nil, errors.New("read the event: there is none in it")
	}
	var out []objects.Object
	add := func(attributes []attribute) {
		for i := range attributes {
			if a := &attributes[i]; bool(a.ToIDS) && !bool(a.Deleted) {
				a.Event.Info = event.Event.Info
				out = append(out, a.objects(action)...)
			}
		}
	}
	add(event.Event.Attribute)
	for i := range event.Event.Object {
		if o := &event.Event.Object[i]; !bool(o.Deleted) {
			add(o.Attribute)
		}
	}
	return out, nil
}

// objects are those that an attribute names; none where mail does not have its type.
func (a *attribute) objects(action objects.Action) []objects.Object {
	note := a.Event.Info
	if a.Comment != "" {
		note = strings.TrimSpace(note + ": " + a.Comment)
	}
	note = oneLine(note)
	one := func(kind objects.Type, value string) objects.Object {
		return objects.Object{Type: kind, Value: value, Action: action, Note: note}
	}
	before, after, _ := strings.Cut(a.Value, "|")
	switch a.Type {
	case "sha1":
		return []objects.Object{one(objects.SHA1, a.Value)}
	case "sha256":
		return []objects.Object{one(objects.SHA256, a.Value)}
	case "filename|sha1":
		return []objects.Object{one(objects.SHA1, a.Value[strings.LastIndexByte(a.Value, '|')+1:])}
	case "filename|sha256":
		return []objects.Object{one(objects.SHA256, a.Value[strings.LastIndexByte(a.Value, '|')+1:])}
	case "url", "uri":
		return []objects.Object{one(objects.URL, a.Value)}
	case "domain", "hostname":
		return []objects.Object{one(objects.Domain, a.Value)}
	case "hostname|port":
		return []objects.Object{one(objects.Domain, before)}
	case "domain|ip":
		return []objects.Object{one(objects.Domain, before), one(objects.IP, after)}
	case "ip-src", "ip-dst", "ip-src|port", "ip-dst|port":
		return []objects.Object{one(objects.IP, before)}
	}
	return nil
}
