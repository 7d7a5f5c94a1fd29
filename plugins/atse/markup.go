package main

import (
	"bytes"
	"regexp"
	"strings"
)

const (
	maxMarkup = 8 << 20
	// smallestShare: a page that is there to bring a file is one part in so many of that file at least.
	smallestShare = 20
)

// isMarkup knows pages and pictures in SVG that hold scripts, without reading more than the beginning of those that do not look like one.
func isMarkup(s *subject) bool {
	switch s.extension() {
	case ".htm", ".html", ".xhtml", ".shtml", ".mht", ".svg", ".xht":
		return true
	}
	if s.part.Kind == "html" {
		return true
	}
	head := asciiLower(bytes.TrimLeft(s.data[:min(len(s.data), 1024)], " \t\r\n\xef\xbb\xbf"))
	return begins(head, "<!doctype html", "<html", "<script", "<svg", "<body") || begins(head, "<?xml") && bytes.Contains(head, []byte("<svg"))
}

func markup(s *subject) []hit {
	data := s.data[:min(len(s.data), maxMarkup)]
	if !holdsScript(data) {
		return nil
	}
	lower := asciiLower(plainText(data))
	if bytes.Contains(lower[:min(len(lower), 4<<10)], []byte("<svg")) && !bytes.Contains(lower, []byte("<html")) {
		return svg(lower)
	}
	if hits := smuggling(lower); len(hits) > 0 {
		return hits
	}
	if languageOf(s.extension()) != noScript {
		return nil // an application, which is judged as a script
	}
	if hits := pageDropper(lower); len(hits) > 0 {
		return hits
	}
	return encodedPage(lower)
}

// holdsScript is quick, because most mail is HTML and hardly any of it has scripts.
func holdsScript(data []byte) bool {
	for rest := data; ; {
		i := bytes.IndexByte(rest, '<')
		if i < 0 {
			break
		}
		rest = rest[i+1:]
		if len(rest) >= 6 && bytes.EqualFold(rest[:6], []byte("script")) {
			return true
		}
		if len(rest) >= 12 && bytes.EqualFold(rest[:4], []byte("svg ")) || len(rest) >= 4 && bytes.EqualFold(rest[:3], []byte("svg")) {
			return true
		}
	}
	return begins(data, "\xff\xfe")
}

// smuggling finds a page that builds a file in the browser and saves it, so that no gateway sees it on the way. Honest pages save files as
// well, though what the user made there: they do not bring the file along in code, and wait for a click.
func smuggling(lower []byte) []hit {
	found := &signs{}
	saves := found.find(lower, []terms{
		{"the page saves a file", 1, []string{"mssaveoropenblob", "mssaveblob", "createobjecturl", ".download=", ".download =", "setattribute('download", `setattribute("download`, "download="}},
	})
	if len(saves) == 0 {
		return nil
	}
	decodes := found.find(lower, []terms{
		{"it decodes one", 1, []string{"atob(", "charcodeat", "fromcharcode", "uint8array", "base64toarraybuffer", "data:application/", "data:octet"}},
	})
	clicks := found.find(lower, []terms{
		{"without being asked", 1, []string{".click()", "dispatchevent(", "mssaveoropenblob", "mssaveblob", "location.href=", "location.href ="}},
	})
	if len(decodes) == 0 || len(clicks) == 0 {
		return nil
	}
	payload, at := largestString(lower)
	if payload == 0 || payload*smallestShare < len(lower) {
		return nil
	}
	found.add(1, "%d characters at %d are the file", payload, at)
	return found.hit("HEUR_HTML_SMUGGLING", 4)
}

// largestString is the longest encoded string or list of numbers in scripts that is no picture or font, from a thousand characters on.
func largestString(text []byte) (length, at int) {
	const least = 1000
	joined := joinStrings(text)
	for i := 0; i < len(joined); {
		quote := joined[i]
		i++
		var end int
		switch quote {
		case '"', '\'', '`':
			start := i
			if comma := bytes.IndexByte(joined[i:min(len(joined), i+128)], ','); comma >= 0 && begins(joined[i:], "data:") {
				kind := string(joined[i : i+comma])
				start += comma + 1
				if strings.HasPrefix(kind, "data:image/") || strings.Contains(kind, "font") || strings.HasPrefix(kind, "data:text/css") {
					i = runOf(joined, start, isEncodedByte)
					continue
				}
			}
			if end = runOf(joined, start, isEncodedByte); end >= len(joined) || joined[end] != quote {
				i = end
				continue
			}
			i = start
		case '[', '(':
			end = runOf(joined, i, isListByte)
		default:
			continue
		}
		if end-i >= least && end-i > length {
			length, at = end-i, i
		}
		i = end
		if quote != '[' && quote != '(' {
			i++ // the quote at the end
		}
	}
	return length, at
}

// joinStrings makes strings whole that stand in pieces.
func joinStrings(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if isQuote(text[i]) {
			if end := jointEnd(text, i); end > 0 {
				i = end - 1
				continue
			}
		}
		out = append(out, text[i])
	}
	return out
}

func runOf(data []byte, at int, fits func(byte) bool) int {
	for at < len(data) && fits(data[at]) {
		at++
	}
	return at
}

func isEncodedByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("+/=%\\\r\n_-", c) >= 0
}

func isListByte(c byte) bool {
	return c >= '0' && c <= '9' || strings.IndexByte(" ,\r\n\txabcdefABCDEF-", c) >= 0
}

// pageDropper finds pages that Windows runs as programs (HTA), or that ask for it.
func pageDropper(lower []byte) []hit {
	makes := terms{words: []string{"createobject", "activexobject", "getobject", "ms-msdt:", "search-ms:"}}
	if makes.in(lower) == "" {
		return nil
	}
	text := scriptText(lower)
	found := &signs{}
	found.find(text, []terms{
		{"the page starts programs", 2, []string{"wscript.shell", "shell.application", "win32_process", "ms-msdt:", "search-ms:query", "shellexecute"}},
		{"it fetches from the net", 1, []string{"xmlhttp", "winhttprequest", "downloadfile", "downloadstring", "bitsadmin", "crumb=location"}},
		{"it writes files", 1, []string{"adodb.stream", "scripting.filesystemobject", "savetofile"}},
		{"it names an interpreter", 1, []string{"powershell", "cmd.exe", "cmd /c", "mshta", "rundll32", "regsvr32"}},
		{"it is an application", 1, []string{"<hta:application"}},
	})
	if found.weight < 3 || !strings.HasPrefix(found.words[0], "the page starts programs") {
		return nil
	}
	return found.hit("HEUR_HTML_DROPPER", 3)
}

// encodedPage finds pages that are nothing but a script that decodes the page.
func encodedPage(lower []byte) []hit {
	decoders := terms{words: []string{"atob(", "unescape(", "fromcharcode(", "decodeuricomponent("}}
	if decoders.in(lower) == "" {
		return nil
	}
	found := &signs{}
	m := regexp.MustCompile(`(?:document\.write(?:ln)?|eval|\.innerhtml\s*=|\.srcdoc\s*=|document\.documentelement[a-z.]*\s*=)\s*\(?\s*(?:decodeuricomponent\s*\(\s*)?(?:escape\s*\(\s*)?(?:window\.)?(atob|unescape|string\.fromcharcode|decodeuricomponent)\s*\(`).FindSubmatch(lower)
	if m == nil {
		return nil
	}
	found.add(1, "the page is written by a script that decodes it (%s)", m[1])
	longest, _ := largestString(lower)
	if longest*2 > len(lower) {
		found.add(1, "of its %d characters one string has %d", len(lower), longest)
	}
	return found.hit("HEUR_HTML_ENCODED", 2)
}

// svg judges a picture with scripts: a picture needs none, and the browser runs them.
func svg(lower []byte) []hit {
	found := &signs{}
	if m := regexp.MustCompile(`<(?:[a-z]+:)?script\b|\son(?:load|begin|error|click|mouseover)\s*=`).FindIndex(lower); m != nil {
		found.add(1, "the picture has a script at %d", m[0])
	} else {
		return nil
	}
	found.find(lower, []terms{
		{"it leads elsewhere", 1, []string{"window.location", "location.href", "location.replace", "location.assign", "window.open", "location=", "location ="}},
		{"it decodes", 1, []string{"atob(", "fromcharcode", "unescape(", "charcodeat", "decodeuricomponent"}},
		{"it runs what it makes", 1, []string{"eval(", "new function(", "settimeout(\"", ".constructor("}},
		{"it saves a file", 1, []string{"createobjecturl", "mssaveoropenblob", ".download=", "new blob("}},
		{"it holds a page", 1, []string{"<foreignobject", "<iframe", "document.write"}},
	})
	return found.hit("HEUR_SVG_SCRIPT", 2)
}
