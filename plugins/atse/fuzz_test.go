package main

import (
	"context"
	"strings"
	"testing"

	"github.com/postern-mail/postern/sdk/scanner"
)

// fuzzLook gives a reader any content, under a name that leads to it.
func fuzzLook(f *testing.F, name string, look func(*subject) []hit, seeds ...string) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		p := part("attachment", content)
		s := &subject{message: &scanner.Message{Parts: []scanner.Part{p}}, part: &p, name: name, data: content}
		for _, h := range look(s) {
			if !strings.HasPrefix(h.name, "HEUR_") && !strings.HasPrefix(h.name, "EXPL_") || !strings.Contains(h.evidence, ";") {
				t.Errorf("a detection of one sign alone, or under a strange name: %+v", h)
			}
		}
	})
}

func FuzzCompoundFile(f *testing.F) {
	fuzzLook(f, "a.doc", compoundFile, string(documentWith("Sub AutoOpen()\r\nShell 1\r\nEnd Sub", "x", "AutoOpen")),
		string(workbookOf(2, "Auto_Open", []byte("\x42\x01\x6e\x00"))), string(equationOf("Arial")))
}
func FuzzShellLink(f *testing.F) { fuzzLook(f, "a.lnk", shellLink, string(simplestSuspect())) }
func FuzzShortcut(f *testing.F) {
	fuzzLook(f, "a.url", internetShortcut, "URL=file://a.example/b/c.vbs")
}
func FuzzProgram(f *testing.F) {
	fuzzLook(f, "a.exe", program, string(programOf(0x2010, 0x4000, sectionOf{"a", 0x2000, canRun | canWrite, packedBytes(1024), 0})))
}
func FuzzRTF(f *testing.F) {
	fuzzLook(f, "a.rtf", rtf, `{\rt{\object\objupdate{\*\objdata 4571756174696f6e2e33{\x}41}}{\field{\*\fldinst DDEAUTO cmd /c}}}`)
}
func FuzzPDF(f *testing.F) {
	fuzzLook(f, "a.pdf", pdf, "%PDF-1.4\n1 0 obj<</OpenAction<</S/J#61vaScript/JS(eval(unescape()))>>>>endobj\n2 0 obj<</Filter/FlateDecode>>stream\nx\nendstream")
}
func FuzzMarkup(f *testing.F) {
	fuzzLook(f, "a.html", markup, `<script>var f="QUFB";atob(f);createObjectURL();a.click()</script>`, `<svg><script>location=atob("x")</script></svg>`,
		`<script>document.write(unescape("%41"))</script>`)
}
func FuzzScript(f *testing.F) {
	fuzzLook(f, "a.js", script, `new ActiveXObject("WScr"+"ipt.Shell");eval(unescape("%41"));`, "#@~^AAA")
}
func FuzzRelations(f *testing.F) {
	fuzzLook(f, "a.rels", relations, `<Relationship Type="a/attachedTemplate" Target="http://a/" TargetMode="External"/>`)
}
func FuzzWordFields(f *testing.F) {
	fuzzLook(f, "document.xml", wordFields, `<w:instrText>DDEAUTO cmd /c</w:instrText><w:fldChar w:fldCharType="end"/>`)
}
func FuzzExternalLink(f *testing.F) {
	fuzzLook(f, "externallink1.xml", externalLink, `<ddeLink ddeService="cmd" ddeTopic="/c x"/>`)
}
func FuzzMacroSheet(f *testing.F) {
	fuzzLook(f, "macrosheets/sheet1.xml", macroSheetXML, `<f>EXEC("a")</f>`)
}
func FuzzSheetText(f *testing.F) {
	fuzzLook(f, "a.csv", sheetText, "=cmd|'/c x'!A1", "ID;P\nNN;NAuto_open\nC;X1;EEXEC(1)\n")
}
func FuzzOneNote(f *testing.F) {
	fuzzLook(f, "a.one", oneNote, string(noteOf("a.hta", []byte("wscript."))))
}
func FuzzMacroSource(f *testing.F) {
	fuzzLook(f, "a.bas", macroSource, "Sub AutoOpen()\nShell 1\nEnd Sub\n")
}

// FuzzNames gives the plugin any name, with content that runs.
func FuzzNames(f *testing.F) {
	f.Add("a.pdf   .exe", "a.iso")
	f.Add("\u202egpj.scr", "a")
	f.Fuzz(func(t *testing.T, name, outer string) {
		m := &scanner.Message{Parts: []scanner.Part{part("attachment", []byte("PK")), part("member", []byte("MZ"))}}
		m.Parts[0].ID, m.Parts[0].Parent, m.Parts[0].Names = 0, -1, []string{outer}
		m.Parts[1].ID, m.Parts[1].Parent, m.Parts[1].Names = 1, 0, []string{name}
		if _, err := suspect(context.Background(), readers(), m, &m.Parts[1]); err != nil {
			t.Error(err)
		}
	})
}

func FuzzDecompressVBA(f *testing.F) {
	f.Add(compressVBA(repeated("Attribute VB_Name = ", 300)))
	f.Fuzz(func(t *testing.T, data []byte) {
		const most = 64 << 10
		if out, _ := decompressVBA(data, most); len(out) > most+4096 {
			t.Errorf("%d bytes came out", len(out))
		}
		moduleOffsets(data)
	})
}

func FuzzContentSignature(f *testing.F) {
	f.Add("A:0:*:6162??6364{2-4}65(66|67)*68", []byte("abxcd12egxh"))
	f.Add("A:1:EP+0,4:61626364", []byte("MZ"))
	f.Add("A:0:EOF-8:!(6162)63", []byte("xxcxxx"))
	f.Fuzz(func(t *testing.T, line string, data []byte) {
		sig, err := parseContentSignature(line)
		if err != nil {
			return
		}
		set := &contentSignatures{}
		if err := set.add(sig); err != nil {
			return
		}
		if found, at := set.find(data); found != nil && (at < 0 || at >= len(data)) {
			t.Errorf("found at %d of %d", at, len(data))
		}
	})
}
