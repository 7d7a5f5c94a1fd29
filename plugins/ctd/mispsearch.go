package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/postern-mail/postern/sdk/objects"
)

// mispSearch is a MISP server that is asked for attributes (/attributes/restSearch).
type mispSearch struct {
	*web
	action    objects.Action
	fullEvery time.Duration
	now       func() time.Time
}

const searchRows = 5000

func (m *mispSearch) fetch(ctx context.Context, cursor string, out *sender) (bool, string, error) {
	started := m.now()
	from := startFrom(cursor, started, m.fullEvery)
	complete := from.After == ""
	if complete {
		from.Full = started
	}
	var latest mispNumber
	for page := 1; ; page++ {
		if page > mostPages {
			return false, "", fmt.Errorf("the search has more than %d pages", mostPages)
		}
		rows, err := m.page(ctx, page, from.After)
		if err != nil {
			return false, "", err
		}
		for i := range rows {
			a := &rows[i]
			latest = max(latest, a.Stamp)
			listed := bool(a.ToIDS) && !bool(a.Deleted)
			if complete && !listed {
				continue
			}
			for _, o := range a.objects(m.action) {
				if !listed {
					o.Expires = withdrawn()
				}
				if err := out.object(o); err != nil {
					return false, "", err
				}
			}
		}
		if len(rows) < searchRows {
			break
		}
	}
	if latest > 0 {
		from.After = strconv.FormatInt(int64(latest), 10) // of the server's own clock; what has this time comes again, and is known
	} else if from.After == "" {
		from.After = strconv.FormatInt(started.Add(-time.Hour).Unix(), 10)
	}
	return complete, from.String(), nil
}

func (m *mispSearch) page(ctx context.Context, page int, since string) ([]attribute, error) {
	search := map[string]any{
		"returnFormat": "json", "page": page, "limit": searchRows, "includeContext": true,
		"type": []string{
			"sha1", "sha256", "filename|sha1", "filename|sha256", "url", "uri", "domain", "hostname", "hostname|port", "domain|ip", "ip-src", "ip-dst",
			"ip-src|port", "ip-dst|port",
		},
	}
	if since == "" {
		search["to_ids"] = 1
	} else {
		search["timestamp"], search["deleted"] = since, []int{0, 1} // also what is not meant for detection any more
	}
	body, err := json.Marshal(search)
	if err != nil {
		return nil, fmt.Errorf("write search: %w", err)
	}
	request, err := http.NewRequest(http.MethodPost, m.base+"/attributes/restSearch", bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Content-Type", "application/json")
	answer, err := m.ask(ctx, request)
	if err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	return readSearch(answer.Body)
}

// readSearch reads one page.
func readSearch(body []byte) ([]attribute, error) {
	var answer struct {
		Response *struct{ Attribute []attribute } `json:"response"`
	}
	if err := decode("the search", body, &answer); err != nil {
		return nil, err
	}
	if answer.Response == nil {
		return nil, errors.New("read the search: there is no response in it")
	}
	return answer.Response.Attribute, nil
}
