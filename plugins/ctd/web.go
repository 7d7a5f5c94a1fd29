package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/postern-mail/postern/sdk/servers"
)

// largestAnswer bounds one answer: a page, an event, a manifest.
const largestAnswer = 64 << 20

// web is a server that lists are fetched from. It follows no redirect, whoever answers one: a list must not lead the gateway to a metadata
// service or into its own network.
type web struct {
	base          string
	client        *servers.Client
	authorization string
}

func (w *web) authorize(text string) { w.authorization = text }

func (w *web) basic(username, password string) {
	w.authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(username+":"+password))
}

// errStatus says that the server did not answer 200.
type errStatus struct {
	status   int
	location string
}

func (e *errStatus) Error() string {
	if e.location != "" {
		return fmt.Sprintf("it answers %d and leads to %.200q: redirects are not followed, configure the address itself", e.status, e.location)
	}
	return fmt.Sprintf("it answers %d %s", e.status, http.StatusText(e.status))
}

// ask sends a request and returns an answer of 200, or of 304 where the request allows for it.
func (w *web) ask(ctx context.Context, request *http.Request) (*servers.Answer, error) {
	if w.authorization != "" && request.Header.Get("Authorization") == "" {
		request.Header.Set("Authorization", w.authorization)
	}
	request.Header.Set("User-Agent", "postern-ctd")
	answer, err := w.client.Do(ctx, request, largestAnswer)
	if err != nil {
		return nil, plain(err)
	}
	conditional := request.Header.Get("If-None-Match") != ""
	if answer.Status != http.StatusOK && !(conditional && answer.Status == http.StatusNotModified) {
		e := &errStatus{status: answer.Status}
		if answer.Status/100 == 3 {
			e.location = answer.Header.Get("Location")
		}
		return nil, e
	}
	return answer, nil
}

// plain takes the URL out of an error, which may hold what is nobody's business.
func plain(err error) error {
	var inURL *url.Error
	if errors.As(err, &inURL) {
		return inURL.Err
	}
	return err
}

func (w *web) get(ctx context.Context, address string, header http.Header) (*servers.Answer, error) {
	request, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("ask for %.200q: %w", address, err)
	}
	for name, values := range header {
		request.Header[name] = values
	}
	return w.ask(ctx, request)
}

// decode reads an answer of JSON.
func decode(what string, body []byte, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}
	return nil
}
