package main

import (
	"bytes"
	"compress/zlib"
	"encoding/hex"
	"io"
	"regexp"
)

// Bounds of what is read of a PDF.
const (
	pdfHead       = 1024 // it may begin this late
	maxPDFStreams = 5000
	maxPDFStream  = 512 << 10 // inflated, of one stream
	maxPDFText    = 8 << 20   // of all
	pdfSample     = 512       // shows whether a stream is text
)

func isPDF(s *subject) bool {
	return bytes.Contains(s.data[:min(len(s.data), pdfHead)], []byte("%PDF-"))
}

// scriptsOfExploits are what scripts of forms do not need.
func scriptsOfExploits() []terms {
	return []terms{
		{"a script runs what it makes", 1, []string{"eval(", "app.settimeout(", "new function("}},
		{"a script decodes", 1, []string{"unescape(", "fromcharcode", "%u9090", "%u0c0c", "charcodeat"}},
		{"a script calls what exploits call", 2, []string{
			"collab.collectemailinfo", "collab.geticon", "media.newplayer", "util.printd(", "spell.customdictionaryopen", "getannots(", "printseps(",
			"collab.addstatechecker", "doc.printseps",
		}},
		{"a script opens an attached file", 2, []string{"exportdataobject("}},
		{"a script opens an address", 1, []string{"app.launchurl", "submitform(", "soap.connect", "geturl("}},
	}
}

// pdf judges what a PDF does by itself. Its objects are read as they stand and inflated, without its tables, which hostile files break.
func pdf(s *subject) []hit {
	inflated := pdfText(s.data)
	names := pdfNames(inflated)
	if acts := (&terms{words: []string{"/Launch", "/JavaScript", "/JS"}}); acts.in(names) == "" {
		return nil
	}
	has := func(name string) bool {
		return regexp.MustCompile(regexp.QuoteMeta(name) + `[^A-Za-z0-9]`).Match(names)
	}
	var hits []hit
	lower := asciiLower(names)
	starts := has("/OpenAction") || has("/AA")
	if i := bytes.Index(names, []byte("/Launch")); i >= 0 {
		found := &signs{}
		found.add(1, "it starts a program or file (/Launch)")
		action := names[max(0, i-512):min(len(names), i+1024)]
		if m := regexp.MustCompile(`(?i)\b(?:cmd|powershell|mshta|wscript|cscript|rundll32|regsvr32)(?:\.exe)?\b|\.(?:exe|scr|bat|vbs|js|hta|cmd|ps1|lnk|com)\b`).Find(action); m != nil {
			found.add(2, "which is %s", quoted(string(m)))
		}
		if starts {
			found.add(1, "when it is opened")
		}
		hits = append(hits, found.hit("HEUR_PDF_LAUNCH", 3)...)
	}
	if has("/JavaScript") || has("/JS") {
		found := &signs{}
		found.add(0, "it has scripts")
		if starts {
			found.add(1, "that run when it is opened")
		}
		meanings := found.find(lower, scriptsOfExploits())
		if bytes.Count(s.data, []byte("/J#")) > 0 || bytes.Count(s.data, []byte("/#4")) > 0 || bytes.Contains(s.data, []byte("#61#76#61")) {
			found.add(1, "names of its objects are escaped without need")
		}
		if m := regexp.MustCompile(`(?:%u[0-9a-fA-F]{4}){32,}|(?:\\x[0-9a-fA-F]{2}){64,}`).Find(names); m != nil {
			found.add(2, "a long string of bytes stands in a script")
		}
		name := "HEUR_PDF_JAVASCRIPT"
		if meanings["a script calls what exploits call"] {
			name = "EXPL_PDF_JAVASCRIPT"
		}
		hits = append(hits, found.hit(name, 3)...)
	}
	return hits
}

// pdfNames is the text with the escapes in names undone: /J#61vaScript is /JavaScript.
func pdfNames(data []byte) []byte {
	const escape = 3
	if bytes.IndexByte(data, '#') < 0 {
		return data
	}
	out := make([]byte, 0, len(data))
	for {
		i := bytes.IndexByte(data, '#')
		if i < 0 || i+escape > len(data) {
			return append(out, data...)
		}
		out = append(out, data[:i]...)
		if plain, err := hex.DecodeString(string(data[i+1 : i+escape])); err == nil && plain[0] >= ' ' && plain[0] <= '~' {
			out = append(out, plain[0])
			data = data[i+escape:]
			continue
		}
		out = append(out, '#')
		data = data[i+1:]
	}
}

// pdfText is the objects of a PDF and what is text in its streams. Pictures and fonts are left out.
func pdfText(data []byte) []byte {
	var out []byte
	written := 0
	for at, streams := 0, 0; streams < maxPDFStreams && len(out) < maxPDFText; streams++ {
		i := bytes.Index(data[at:], []byte("stream"))
		if i < 0 {
			break
		}
		start := at + i + len("stream")
		at = start
		if bytes.HasSuffix(data[:start-len("stream")], []byte("end")) {
			continue
		}
		dictionary := data[max(0, start-1024, written):start]
		if j := bytes.LastIndex(dictionary, []byte(" obj")); j >= 0 {
			dictionary = dictionary[j:]
		}
		end := bytes.Index(data[start:], []byte("endstream"))
		if end < 0 {
			end = len(data) - start
		}
		out = append(out, data[written:min(start, written+maxPDFStream)]...)
		written = start + end
		at = written
		body := bytes.TrimLeft(data[start:start+end], "\r\n")
		if text := pdfStream(dictionary, body); text != nil {
			out = append(append(out, '\n'), text...)
		}
	}
	return append(out, data[written:min(len(data), written+maxPDFStream)]...)
}

// pdfStream is a stream's content where it is text.
func pdfStream(dictionary, body []byte) []byte {
	for _, other := range []string{"/Image", "/Length1", "/FontFile", "/Metadata", "/ICCBased", "/XRef", "/CIDFont"} {
		if bytes.Contains(dictionary, []byte(other)) {
			return nil
		}
	}
	dictionary = pdfNames(dictionary)
	if bytes.Contains(dictionary, []byte("ASCIIHexDecode")) || bytes.Contains(dictionary, []byte("/AHx")) {
		body, _ = rtfHex(body[:min(len(body), maxPDFStream)], maxPDFStream)
	}
	if bytes.Contains(dictionary, []byte("FlateDecode")) || bytes.Contains(dictionary, []byte("/Fl")) {
		r, err := zlib.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil
		}
		// What is cut off or damaged is read as far as it goes, and what is no text no further than that shows.
		start, _ := io.ReadAll(io.LimitReader(r, pdfSample))
		if !isPDFText(start) {
			return nil
		}
		rest, _ := io.ReadAll(io.LimitReader(r, maxPDFStream))
		return bytes.ReplaceAll(append(start, rest...), []byte{0}, nil) // scripts may be in UTF-16
	}
	if body = body[:min(len(body), maxPDFStream)]; !isPDFText(body[:min(len(body), pdfSample)]) {
		return nil
	}
	return bytes.ReplaceAll(body, []byte{0}, nil)
}

func isPDFText(sample []byte) bool {
	return bytes.Count(sample, []byte{0}) <= len(sample)/4 || begins(sample, "\xfe\xff")
}
