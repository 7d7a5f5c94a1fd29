package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/sdk/scanner"
	"github.com/postern-mail/postern/sdk/serve"
)

func zipOf(t testing.TB, names ...string) string {
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

func TestAnUnknownWordIsAnsweredWithTheNearest(t *testing.T) {
	for given, want := range map[string]string{"executabel": "executable", "documents": "document", "xlsmm": "xlsm", "zipp": "zip", "quite different": ""} {
		if _, known := newDetector().word(given); known {
			t.Errorf("%q is known", given)
		}
		if got := newDetector().nearest(given); got != want {
			t.Errorf("%q: did you mean %q, want %q", given, got, want)
		}
	}
	for given, want := range map[string]string{".EXE": "exe", "JPEG": "jpg", " scr ": "exe", "Image": "image", "midi": "mid"} {
		if got, known := newDetector().word(given); !known || got != want {
			t.Errorf("%q is %q (%v), want %q", given, got, known, want)
		}
	}
}

// TestEveryTypeOfAPolyglotThatIsAskedForIsFound, and only those.
func TestEveryTypeOfAPolyglotThatIsAskedForIsFound(t *testing.T) {
	kinds := newDetector().look(inMemory([]byte(pe(0x0102) + zipOf(t, "a"))))
	tests := []struct {
		types, notTypes []string
		want            string
	}{
		{types: []string{"executable", "compressed"}, want: "exe zip"}, {types: []string{"zip"}, want: "zip"}, {types: []string{"executable"}, want: "exe"},
		{types: []string{"document"}}, {notTypes: []string{"document"}, want: "exe"}, {notTypes: []string{"compressed"}},
	}
	for _, test := range tests {
		q := query{types: test.types, notTypes: test.notTypes}
		var got []string
		for _, k := range q.matches(kinds) {
			got = append(got, k.name)
		}
		if diff := cmp.Diff(test.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%v, not %v: %s", test.types, test.notTypes, diff)
		}
	}
}

// broken is a body that cannot be read behind its start.
type broken struct{ *strings.Reader }

func (b broken) Read(p []byte) (int, error) {
	if b.Size()-int64(b.Len()) >= headSize {
		return 0, errors.New("the disk is gone")
	}
	return b.Reader.Read(p)
}

func TestWhatCannotBeReadIsAnError(t *testing.T) {
	_, err := sampleOf(&scanner.Part{Path: "1"}, broken{strings.NewReader(strings.Repeat("x", 2*headSize))})
	if err == nil || !strings.Contains(err.Error(), "the disk is gone") {
		t.Errorf("read: %v", err)
	}
}

// FuzzDetect looks at anything: there is a type, the same one each time, and each type once.
func FuzzDetect(f *testing.F) {
	for _, seed := range []string{"MZ\x90", pe(0x2102), pe(0x0102) + zipOf(f, "a"), zipOf(f, "word/document.xml"), ole("", "WordDocument", "VBA"),
		office(f, "vnd.ms-word.document.macroEnabled.main", "word/vbaProject.bin"), "<html><script>", "From a\nFrom: b\nTo: c\n", "%PDF-1.4\n",
		utf16LE("Dim a\r\nSet a = CreateObject(\"x\")"), "\x00\x01\x00\x00", "\xca\xfe\xba\xbe\x00\x00\x00\x34", "GIF89a"} {
		f.Add([]byte(seed))
	}
	d := newDetector()
	f.Fuzz(func(t *testing.T, data []byte) {
		kinds := d.look(inMemory(data))
		if len(kinds) == 0 {
			t.Error("no type at all")
		}
		seen := map[string]bool{}
		for _, k := range kinds {
			if seen[k.name] || k.category == "" {
				t.Errorf("%+v", kinds)
			}
			seen[k.name] = true
		}
		if diff := cmp.Diff(kinds, d.look(inMemory(data)), cmp.AllowUnexported(kind{})); diff != "" {
			t.Error(diff)
		}
	})
}

func FuzzZip(f *testing.F) {
	f.Add([]byte(zipOf(f, "a", "b/c")))
	f.Add([]byte(office(f, "vnd.ms-excel.sheet.macroEnabled.main", "xl/vbaProject.bin")))
	f.Fuzz(func(_ *testing.T, data []byte) {
		s := inMemory(data)
		if z := readZip(s); z != nil {
			zipKinds(s, z)
		}
	})
}

func FuzzOLE(f *testing.F) {
	f.Add([]byte(ole("\x84\x10\x0c\x00", "\u4840a", "b", "c", "d", "e")))
	f.Add([]byte(ole("", "Workbook", "_VBA_PROJECT_CUR")))
	f.Fuzz(func(_ *testing.T, data []byte) { oleKind(inMemory(data)) })
}

func FuzzProgram(f *testing.F) {
	f.Add([]byte(pe(0x2102) + "Rar!\x1a\x07"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		s := inMemory(data)
		program(s)
		overlay(s)
	})
}

func FuzzText(f *testing.F) {
	for _, seed := range []string{"#!/usr/bin/perl", "@echo off\n", "var a = function() {};\n", "<?xml version='1.0'?><!-- --><svg>", "From: a\nTo: b\n\n",
		"[InternetShortcut]\nURL=x\n", "begin 644 a\nx", "#@~^AAAAAA==x", utf16LE("abc")} {
		f.Add([]byte(seed))
	}
	r := newReaders()
	f.Fuzz(func(_ *testing.T, data []byte) {
		if text, is := inMemory(data).text(); is {
			r.textKinds(text)
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
