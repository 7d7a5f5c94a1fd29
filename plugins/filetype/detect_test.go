package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/sdk/scanner"
	"github.com/postern-mail/postern/sdk/serve"
)

func zipOf(t *testing.T, names ...string) string {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, name := range names {
		if _, err := w.Create(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestTypeIsToldByContent(t *testing.T) {
	tests := []struct {
		name, content, kind, category string
	}{
		{"program", "MZ\x90\x00\x03" + strings.Repeat("\x00", 80), "exe", "executable"},
		{"elf", "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 60), "elf", "executable"},
		{"pdf", "%PDF-1.7\n", "pdf", "document"},
		{"png", "\x89PNG\r\n\x1a\n", "png", "image"},
		{"zip", zipOf(t, "a.txt"), "zip", "compressed"},
		{"rar", "Rar!\x1a\x07\x01\x00", "rar", "compressed"},
		{"iso", strings.Repeat("\x00", 0x8001) + "CD001\x01", "iso", "compressed"},
		{"mp3", "ID3\x03\x00\x00\x00\x00\x00\x00", "mp3", "media"},
		{"shell script", "#!/bin/sh\necho\n", "sh", "script"},
		{"jscript", "var s = new ActiveXObject('x');", "js", "script"},
		{"batch", "@echo off\r\ndir\r\n", "bat", "script"},
		{"text", "just words\n", "txt", "other"},
	}
	for _, test := range tests {
		kinds := newDetector().look(inMemory([]byte(test.content)))
		if kinds[0].name != test.kind || kinds[0].category != test.category {
			t.Errorf("%s: %+v, want %s (%s)", test.name, kinds, test.kind, test.category)
		}
	}
}

func TestQueriesChooseByCategoryTypeAndTheirOpposite(t *testing.T) {
	f := &types{detector: newDetector()}
	blocks := []string{`{"types":["executable"]}`, `{"types":["exe"]}`, `{"types":["document"]}`, `{"not_types":["document"]}`,
		`{"not_types":["executable","image"]}`}
	var queries []serve.Query
	for i, b := range blocks {
		queries = append(queries, serve.Query{Number: i + 1, Config: json.RawMessage(b)})
	}
	configured, err := f.configure(context.Background(), &serve.Configuration{Queries: queries})
	if err != nil || len(configured.Problems) > 0 {
		t.Fatal(configured, err)
	}
	report, err := f.Scan(context.Background(), &scanner.Message{
		Queries: []int{1, 2, 3, 4, 5},
		Parts:   []scanner.Part{{ID: 7, Kind: "attachment", Display: "x.txt", Size: 100, Body: content("MZ\x90\x00" + strings.Repeat("\x00", 96))}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	for _, finding := range report.Findings {
		got = append(got, finding.Query)
	}
	if diff := cmp.Diff([]int{1, 2, 4}, got); diff != "" {
		t.Error(diff)
	}
}

func TestUnknownWordsAreProblems(t *testing.T) {
	f := &types{detector: newDetector()}
	configured, err := f.configure(context.Background(), &serve.Configuration{Queries: []serve.Query{
		{Number: 1, Config: json.RawMessage(`{"types":["executabel"]}`)}, {Number: 2, Config: json.RawMessage(`{}`)},
	}})
	if err != nil || len(configured.Problems) != 2 {
		t.Errorf("%+v, %v", configured, err)
	}
}

func FuzzDetect(f *testing.F) {
	f.Add([]byte("MZ\x90"))
	d := newDetector()
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(d.look(inMemory(data))) == 0 {
			t.Error("no type at all")
		}
	})
}

func BenchmarkDetect(b *testing.B) {
	d := newDetector()
	noise := make([]byte, headSize)
	for i := range noise {
		noise[i] = byte(i * 7919 >> 3)
	}
	for name, begins := range map[string]string{"pdf": "%PDF-1.7\n", "jpg": "\xff\xd8\xff\xe0\x00\x10JFIF\x00", "zip": "PK\x03\x04", "unknown": "week;sum\n"} {
		b.Run(name, func(b *testing.B) {
			content := append([]byte(begins), noise...)
			b.SetBytes(int64(len(content)))
			for b.Loop() {
				d.look(inMemory(content))
			}
		})
	}
}
