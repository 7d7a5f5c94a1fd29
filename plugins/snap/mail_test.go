package main

import (
	"context"
	"embed"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/postern-mail/postern/sdk/scanner"
)

//go:embed testdata/mail
var mails embed.FS

// readMail takes a well-formed mail apart as the gateway does.
func readMail(t *testing.T, name string) *scanner.Message {
	t.Helper()
	f, err := mails.Open("testdata/mail/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	message, err := netmail.ReadMessage(f)
	if err != nil {
		t.Fatal(err)
	}
	m := &scanner.Message{Queries: []int{1}, Envelope: scanner.Envelope{To: []string{"tom@example.org"}}}
	for field, values := range message.Header {
		for _, v := range values {
			m.Header = append(m.Header, scanner.HeaderField{Name: field, Value: v})
		}
	}
	addPart(t, m, textproto.MIMEHeader(message.Header), message.Body)
	return m
}

func addPart(t *testing.T, m *scanner.Message, header textproto.MIMEHeader, r io.Reader) {
	t.Helper()
	kind, parameters, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(kind, "multipart/") {
		parts := multipart.NewReader(r, parameters["boundary"])
		for {
			p, err := parts.NextRawPart()
			if err == io.EOF {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			addPart(t, m, p.Header, p)
		}
	}
	switch header.Get("Content-Transfer-Encoding") {
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, r)
	case "quoted-printable":
		r = quotedprintable.NewReader(r)
	}
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	part := scanner.Part{ID: len(m.Parts), Declared: kind, Charset: parameters["charset"], Body: body(content), Size: int64(len(content))}
	switch {
	case header.Get("Content-Disposition") != "":
		part.Kind, part.Names, part.Display = "attachment", []string{parameters["name"]}, parameters["name"]
	case kind == "text/html":
		part.Kind = "html"
	default:
		part.Kind = "text"
		for _, word := range strings.Fields(string(content)) {
			if strings.HasPrefix(word, "https://") {
				m.URLs = append(m.URLs, scanner.URL{Raw: word, Part: part.ID})
			}
		}
	}
	m.Parts = append(m.Parts, part)
}

// TestWholeMails: deception in many languages is found, and for its reasons; honest mail of the same kinds is left alone.
func TestWholeMails(t *testing.T) {
	tests := []struct {
		file    string
		want    scanner.Certainty // 0: nothing
		reasons string            // some of those that have to hold
	}{
		{"bank-de.eml", scanner.Sure, "brand-name brand-domain id-no-host subject-urgency subject-account link-shortened link-verify text-greeting"},
		{"parcel-fr.eml", scanner.Sure, "brand-name name-message subject-parcel link-cheap-top link-call links-not-brand"},
		{"prize-pt.eml", scanner.Sure, "name-message name-pictures from-cheap-top to-nobody subject-prize image-anonymous"},
		{"chief-en.eml", scanner.Possible, "name-protected subject-secrecy text-secrecy"},
		{"card-ja.eml", scanner.Sure, "brand-name from-random subject-account text-account link-brand-host"},
		{"gift-nl.eml", scanner.Sure, "brand-name path-differs subject-prize subject-decorated page-hidden-text link-prize"},
		{"invoice-ru.eml", scanner.Sure, "brand-name subject-urgency subject-account link-user text-greeting"},
		{"newsletter-de.eml", 0, ""},
		{"receipt-en.eml", 0, ""},
		{"order-en.eml", 0, ""},
		{"list-fr.eml", 0, ""},
		{"invoice-es.eml", 0, ""},
		{"alert-en.eml", 0, ""},
		{"reset-nl.eml", 0, ""},
		{"shop-de.eml", scanner.Possible, "name-pictures path-differs"}, // loud advertising is not told from it by the aggressive threshold
	}
	s, _ := configured(t, `{"protected_names":["Vera Vorstand"],"internal_domains":["ziegelei-ruiz.de"]}`, `{"mode":"auto"}`)
	for _, test := range tests {
		m := readMail(t, test.file)
		report, err := s.Scan(context.Background(), m)
		if err != nil {
			t.Fatal(err)
		}
		st := s.current.Load()
		found := st.reasonsIn(t, m)
		var got scanner.Certainty
		for _, f := range report.Findings {
			got = f.Certainty
		}
		if got != test.want {
			t.Errorf("%s: certainty %v, want %v: %s", test.file, got, test.want, st.evidence(&query{}, st.score(found), found))
		}
		for _, id := range strings.Fields(test.reasons) {
			if !slices.Contains(names(found), id) {
				t.Errorf("%s: %s is missed in %v", test.file, id, names(found))
			}
		}
		t.Log(test.file, strconv.FormatFloat(st.score(found), 'f', 2, 64), names(found))
	}
}
