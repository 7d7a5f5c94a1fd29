package main

import (
	"bytes"
	"slices"
	"strings"

	"github.com/gabriel-vasile/mimetype"
)

// kind is one type that content fits.
type kind struct {
	name     string // by its usual extension
	category string
	media    string
}

func categories() []string {
	return []string{"executable", "document", "image", "media", "compressed", "script"}
}

// members are the types of each category (product-behaviour section 2.1).
func members() map[string]string {
	return map[string]string{
		"executable": "exe dll sys scr msi elf so macho com class lnk dex wasm",
		"document": "doc docx docm dot dotx xls xlsx xlsm xlsb ppt pptx pptm rtf pdf wri vsd vsdx odt ods odp odg ps chm hlp pub mpp " +
			"one epub xps msg",
		"image": "jpg jpeg gif png bmp tiff tif ico psd wmf emf svg webp jp2 heic avif djvu",
		"media": "mp3 wav mid midi wma ogg oga ogv aac avi mpeg mpg mov wmv asf flv swf mp4 m4a m4v mkv webm flac aiff au amr 3gp",
		"compressed": "zip rar 7z gz bz2 xz tar arj ace cab lzh lha iso jar zst lz4 lz cpio ar deb rpm z dmg vhd vhdx udf szdd " +
			"arc apk",
		"script": "js vbs ps1 bat sh py pl rb php hta wsf lua tcl",
	}
}

// detector tells types; its index is made once.
type detector struct {
	categories map[string]string // by type
}

func newDetector() *detector {
	d := &detector{categories: map[string]string{}}
	for category, list := range members() {
		for _, member := range strings.Fields(list) {
			d.categories[member] = category
		}
	}
	return d
}

func (d *detector) category(name string) string {
	if category, known := d.categories[name]; known {
		return category
	}
	return "other"
}

func (d *detector) known(word string) bool {
	return slices.Contains(categories(), word) || d.categories[word] != ""
}

// magic is a format that mimetype does not know.
type magic struct {
	offset int
	bytes  string
	name   string
}

func magics() []magic {
	return []magic{
		{0x8001, "CD001", "iso"}, {0x8001, "BEA01", "udf"}, {0, "\x60\xea", "arj"}, {7, "**ACE**", "ace"}, {2, "-lh", "lha"},
		{2, "-lz", "lha"}, {0, "SZDD\x88\xf0\x27\x33", "szdd"}, {0, "\x1f\x9d", "z"}, {0, "conectix", "vhd"}, {0, "vhdxfile", "vhdx"},
		{0, "\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d", "one"}, {0, "\x4c\x00\x00\x00\x01\x14\x02\x00", "lnk"}, {0, "070707", "cpio"},
		{0, "070701", "cpio"}, {0, "RE\x7e\x5e", "rar"},
		{0, "\x7fELF", "elf"}, {0, "ID3", "mp3"},
	}
}

// detect names every type that the content fits, the surest first.
func (d *detector) detect(head []byte) []kind {
	var out []kind
	add := func(name, media string) {
		for _, k := range out {
			if k.name == name {
				return
			}
		}
		out = append(out, kind{name: name, category: d.category(name), media: media})
	}
	for _, m := range magics() {
		if len(head) >= m.offset+len(m.bytes) && string(head[m.offset:m.offset+len(m.bytes)]) == m.bytes {
			add(m.name, "application/x-"+m.name)
		}
	}
	if bytes.HasPrefix(head, []byte("MZ")) {
		add("exe", "application/vnd.microsoft.portable-executable")
	}
	if name := script(head); name != "" {
		add(name, "text/x-"+name)
	}
	found := mimetype.Detect(head)
	for m := found; m != nil; m = m.Parent() {
		name := strings.TrimPrefix(m.Extension(), ".")
		if name != "" && (m == found || d.categories[name] != "") {
			add(name, m.String())
		}
	}
	if len(out) == 0 {
		add("unknown", found.String())
	}
	return out
}

// lowerASCII leaves all other bytes as they are; what is looked for is ASCII.
func lowerASCII(text []byte) string {
	lower := make([]byte, len(text))
	for i, c := range text {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	return string(lower)
}

// script names the language of a text that gives itself away by its first lines or by what only that language has.
func script(head []byte) string {
	text := lowerASCII(head[:min(len(head), 16<<10)])
	if strings.HasPrefix(text, "#!") {
		line, _, _ := strings.Cut(text, "\n")
		for _, language := range [][2]string{{"python", "py"}, {"perl", "pl"}, {"ruby", "rb"}, {"php", "php"}, {"node", "js"}, {"sh", "sh"}} {
			if strings.Contains(line, language[0]) {
				return language[1]
			}
		}
		return "sh"
	}
	signs := []struct {
		name string
		all  []string
	}{
		{"hta", []string{"<hta:application"}},
		{"wsf", []string{"<job", "<script"}},
		{"ps1", []string{"$", "-noprofile"}},
		{"ps1", []string{"new-object", "$"}},
		{"ps1", []string{"invoke-", "$"}},
		{"ps1", []string{"write-host"}},
		{"vbs", []string{"createobject(", "set "}},
		{"vbs", []string{"wscript.", "dim "}},
		{"js", []string{"new activexobject"}},
		{"js", []string{"wscript.", "var "}},
		{"js", []string{"function", "document.", "var "}},
		{"bat", []string{"@echo off"}},
		{"php", []string{"<?php"}},
	}
	if strings.HasPrefix(strings.TrimSpace(text), "<!doctype html") {
		return ""
	}
	for _, s := range signs {
		fits := true
		for _, sign := range s.all {
			fits = fits && strings.Contains(text, sign)
		}
		if fits {
			return s.name
		}
	}
	return ""
}
