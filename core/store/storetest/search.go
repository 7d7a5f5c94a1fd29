package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/store"
)

func testCopies(t *testing.T, suite Suite) {
	s := suite.open(t)
	for i := range 25 {
		c := kept(fmt.Sprintf("M%02d", i), store.CopyQuarantined, bodyOf(content(byte(i), 10)))
		c.Record.Message.Received = start().Add(time.Duration(i/2) * time.Minute) // two share a time
		c.Copies[0].Area = []string{"viruses", "spam"}[i%2]
		if i >= 20 {
			c.Copies[0].State = store.CopyArchived
		}
		mustCommit(t, s, c)
	}
	var (
		seen  []string
		query = store.CopyQuery{States: []store.CopyState{store.CopyQuarantined}}
		page  = store.Page{Limit: 7}
	)
	for {
		rows, next, total, err := s.Copies(t.Context(), query, page)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "total", total, 20)
		for _, r := range rows {
			seen = append(seen, r.ID)
		}
		if next == "" {
			break
		}
		page.After = next
	}
	want := make([]string, 20)
	for i := range want {
		want[i] = fmt.Sprintf("M%02d", 19-i)
	}
	equal(t, "pages", seen, want)
	for _, test := range []struct {
		name  string
		query store.CopyQuery
		total int64
	}{
		{"all", store.CopyQuery{}, 25},
		{"area", store.CopyQuery{Area: "viruses"}, 13},
		{"sender", store.CopyQuery{Text: store.TextQuery{Sender: "m0*@sender.EXAMPLE"}}, 10},
		{"subject", store.CopyQuery{Text: store.TextQuery{Subject: `"subject of m03"; *m04`}}, 2},
		{"recipient", store.CopyQuery{Text: store.TextQuery{Recipient: "Carol@*"}}, 25},
		{"no recipient", store.CopyQuery{Text: store.TextQuery{Recipient: "carol"}}, 0},
		{"id", store.CopyQuery{Text: store.TextQuery{MessageID: "M07"}}, 1},
		{"message", store.CopyQuery{MessageID: "M07"}, 1},
		{"time", store.CopyQuery{Text: store.TextQuery{From: start().Add(time.Minute), To: start().Add(3 * time.Minute)}}, 4},
		{"due", store.CopyQuery{DueBefore: start()}, 0},
	} {
		_, _, total, err := s.Copies(t.Context(), test.query, store.Page{Limit: 1})
		if err != nil || total != test.total {
			t.Errorf("%s: %d rows (%v), want %d", test.name, total, err, test.total)
		}
	}
	if _, _, _, err := s.Copies(t.Context(), store.CopyQuery{}, store.Page{After: "nonsense"}); err == nil {
		t.Error("a cursor that is none is no error")
	}
}

func testSearch(t *testing.T, suite Suite) {
	s := suite.open(t)
	events := []store.Event{
		{ID: "1", Subtype: "virus-or-malicious-code", Rule: "Default virus rule", Sender: "a@one.example", Subject: "Été à Besançon"},
		{ID: "2", Subtype: "content-violation", Rule: "Programs", Sender: "B@one.example", Subject: "100% off_er"},
		{ID: "3", Subtype: "content-violation", Rule: "50%_rule", Sender: "c@two.example", Subject: `say "hi"; now`, Recipients: []string{"x@z.example"}},
	}
	var tracks []store.Track
	for i := range events {
		e := &events[i]
		e.At, e.MessageID = start().Add(time.Duration(i)*time.Second), "M"+e.ID
		tracks = append(tracks, store.Track{
			ID: "T" + e.ID, At: e.At, Sender: e.Sender, Subject: e.Subject, Recipients: e.Recipients, MessageID: e.MessageID,
			Trace: []message.TraceStep{{Rule: e.Rule, Outcome: message.OutcomeMatched}, {Rule: "looked at", Outcome: message.OutcomeNoMatch}},
		})
	}
	mustCommit(t, s, &store.Change{Events: events})
	for range 2 { // rows of a journal may come twice
		if err := s.AddTracks(t.Context(), tracks); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name  string
		query store.TextQuery
		want  string
	}{
		{"all, the latest first", store.TextQuery{}, "321"},
		{"rule", store.TextQuery{Rule: "default VIRUS rule"}, "1"},
		{"rules that were only looked at", store.TextQuery{Rule: "looked at"}, ""},
		{"percent and underscore are themselves", store.TextQuery{Rule: "50%_rule"}, "3"},
		{"percent in a wildcard", store.TextQuery{Subject: "*0% *_er"}, "2"},
		{"alternatives", store.TextQuery{Sender: "a@*; *@two.example"}, "31"},
		{"quotes", store.TextQuery{Subject: `"say ""hi""; now"`}, "3"},
		{"case outside ASCII", store.TextQuery{Subject: "ÉTÉ*BESANÇON"}, "1"},
		{"recipient", store.TextQuery{Recipient: "x@*"}, "3"},
		{"id", store.TextQuery{MessageID: "m2"}, "2"},
		{"time", store.TextQuery{From: start().Add(time.Second), To: start().Add(2 * time.Second)}, "2"},
		{"nothing", store.TextQuery{Sender: "nobody"}, ""},
	} {
		found, _, total, err := s.Events(t.Context(), test.query, store.Page{})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, e := range found {
			got += e.ID
		}
		equal(t, test.name+": events", got, test.want)
		equal(t, test.name+": number of events", total, int64(len(test.want)))
		rows, _, err := s.Tracks(t.Context(), test.query, store.Page{})
		if err != nil {
			t.Fatal(err)
		}
		got = ""
		for _, k := range rows {
			got += k.ID[1:]
		}
		equal(t, test.name+": tracking", got, test.want)
	}
	events[1].Action = "amended"
	events = append(events, store.Event{ID: "4", At: start().Add(time.Hour)})
	if err := s.AmendEvents(t.Context(), events[1:]); err != nil {
		t.Fatal(err)
	}
	found, _, total, err := s.Events(t.Context(), store.TextQuery{Rule: "Programs"}, store.Page{})
	equal(t, "error", err, nil)
	equal(t, "number", total, 1)
	equal(t, "amended", found[0].Action, "amended")
	_, _, total, err = s.Events(t.Context(), store.TextQuery{}, store.Page{})
	equal(t, "error", err, nil)
	equal(t, "number", total, 4)
}
