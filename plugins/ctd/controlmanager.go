package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/postern-mail/postern/sdk/objects"
)

// controlManager is the automation API of Control Manager and Apex Central.
type controlManager struct {
	*web
	application, key string
	now              func() time.Time
}

const (
	userDefined = "/WebApp/api/SuspiciousObjects/UserDefinedSO/"
	// pageRows is asked for in one page. Versions that know no pages answer with all at once.
	pageRows  = 1000
	mostPages = 10_000
)

// managed is one row of the list.
type managed struct {
	Type       string `json:"type"`
	Content    string `json:"content"`
	Notes      string `json:"notes"`
	ScanAction string `json:"scan_action"`
	Expires    string `json:"expiration_utc_date"`
}

func (c *controlManager) fetch(ctx context.Context, _ string, out *sender) (bool, string, error) {
	first := ""
	for page := 1; page <= mostPages; page++ {
		target := fmt.Sprintf("%s?page=%d&page_size=%d", userDefined, page, pageRows)
		answer, err := c.call(ctx, target)
		if err != nil {
			return false, "", err
		}
		rows, err := readManaged(answer)
		if err != nil {
			return false, "", err
		}
		if len(rows) > 0 && page > 1 && rows[0].Type+" "+rows[0].Content == first {
			return true, "", nil // it knows no pages, and what it has fits one exactly
		}
		for i := range rows {
			if page == 1 && i == 0 {
				first = rows[0].Type + " " + rows[0].Content
			}
			if err := out.object(rows[i].object()); err != nil {
				return false, "", err
			}
		}
		if len(rows) != pageRows {
			return true, "", nil
		}
	}
	return false, "", fmt.Errorf("the list has more than %d pages", mostPages)
}

func (c *controlManager) call(ctx context.Context, target string) ([]byte, error) {
	request, err := http.NewRequest(http.MethodGet, c.base+target, nil)
	if err != nil {
		return nil, fmt.Errorf("ask for the list: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+token(c.application, c.key, http.MethodGet, request.URL.RequestURI(), nil, c.now()))
	request.Header.Set("Content-Type", "application/json;charset=utf-8")
	answer, err := c.ask(ctx, request)
	if err != nil {
		var status *errStatus
		if errors.As(err, &status) && status.status == http.StatusUnauthorized {
			return nil, fmt.Errorf("%w: the application id or key is wrong, or the clocks differ", err)
		}
		return nil, err
	}
	return answer.Body, nil
}

// token is the JSON Web Token (RFC 7519, HS256) of one request. Its checksum is over method, path with query in lower case, the headers whose
// names begin with API, of which there are none, and the body.
func token(application, key, method, target string, body []byte, now time.Time) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%s|%s||", method, strings.ToLower(target))
	sum.Write(body)
	encode := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			panic(err) // maps of strings and numbers have a JSON form
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	signed := encode(map[string]string{"alg": "HS256", "typ": "JWT"}) + "." + encode(map[string]any{
		"appid": application, "iat": now.Unix(), "version": "V1", "checksum": base64.StdEncoding.EncodeToString(sum.Sum(nil)),
	})
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// readManaged reads one answer.
func readManaged(body []byte) ([]managed, error) {
	var answer struct {
		Data *[]managed
		Meta *struct {
			Result    int
			ErrorCode int
			ErrorMsg  string
		}
	}
	if err := decode("the list", body, &answer); err != nil {
		return nil, err
	}
	switch {
	case answer.Meta != nil && answer.Meta.Result != 1:
		return nil, fmt.Errorf("it answers with error %d: %.200s", answer.Meta.ErrorCode, answer.Meta.ErrorMsg)
	case answer.Data == nil:
		return nil, errors.New("the answer has no Data: it is no list of suspicious objects")
	}
	return *answer.Data, nil
}

// object translates a row. One that cannot be used has no type, and the core counts it.
func (m *managed) object() objects.Object {
	o := objects.Object{Value: m.Content, Note: m.Notes, Action: actionOf(m.ScanAction)}
	switch strings.ToLower(m.Type) {
	case "file", "file_sha1":
		o.Type = objects.SHA1
	case "file_sha256":
		o.Type = objects.SHA256
	case "url":
		o.Type = objects.URL
	case "domain":
		o.Type = objects.Domain
	case "ip":
		o.Type = objects.IP
	}
	if m.Expires != "" {
		var err error
		if o.Expires, err = parseTime(m.Expires); err != nil {
			o.Type = 0
		}
	}
	return o
}

// parseTime reads the forms of time that lists use; without a zone it is UTC.
func parseTime(text string) (time.Time, error) {
	text = strings.TrimSpace(text)
	for _, layout := range []string{
		time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02", "01/02/2006 15:04:05",
	} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("read the time %.50q: it is like 2026-12-31 or 2026-12-31T23:59:59Z", text)
}
