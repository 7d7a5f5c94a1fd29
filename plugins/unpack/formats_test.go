package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"image"
	"image/png"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
	"github.com/pierrec/lz4/v4"

	"github.com/postern-mail/postern/sdk/compound/compoundtest"
)

// words2 is what the seeds hold; words is a text of 72 KB, larger than the window of Deflate.
const (
	words2   = "the same words again and again\n"
	wordsSum = "39177ba1f82b5d33c3ebf356b13f222f18af6fa0a263fd585ff54781dcbf1c1a"
	program  = "MZ\x90\x00 this is no program but begins like one"
)

func TestEveryFormatGivesItsFiles(t *testing.T) {
	zstdOf, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	var lz4Of bytes.Buffer
	w := lz4.NewWriter(&lz4Of)
	if _, err := w.Write([]byte("short")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	page := func(s string) []byte { return []byte("<html><body>" + s + "</body></html>") }
	b64 := base64.StdEncoding.EncodeToString
	pe := []byte(program + strings.Repeat("-", 100))
	tests := []struct {
		name, file string
		content    []byte
		want       []string
	}{
		{"ar", "a.deb", arOf("one.txt/", "one", "two.txt/", "two!"), []string{"one.txt=one", "two.txt=two!"}},
		{"ar with long names", "a.a", arOf("//", "a-very-long-name.txt/\n", "/0", "x"), []string{"a-very-long-name.txt=x"}},
		{"cpio newc", "a.cpio", cpioOf("newc", "a.txt", "abc"), []string{"a.txt=abc"}},
		{"cpio odc", "a.cpio", cpioOf("odc", "a.txt", "abc"), []string{"a.txt=abc"}},
		{"cpio binary", "a.cpio", cpioOf("little", "a.txt", "abc"), []string{"a.txt=abc"}},
		{"cpio binary, big end first", "a.cpio", cpioOf("big", "a.txt", "abc"), []string{"a.txt=abc"}},
		{"cpio torn", "a.cpio", cpioOf("newc", "a.txt", "abc")[:118], []string{"a.txt=ab", "archive_broken"}},
		{"cab stored", "a.cab", cabOf(t, false, "a.txt", "abc"), []string{"a.txt=abc"}},
		{"cab MSZIP over two blocks", "a.cab", cabOf(t, true, "a.txt", "abcabc", "abcabc"), []string{"a.txt=abcabcabcabc"}},
		{"szdd", "a.ex_", szddOf("a file of some letters"[:20]), []string{"a.ex_.out=a file of some lette"}},
		{"tnef", "winmail.dat", tnefOf("a.txt", "abc"), []string{"body.txt=the body", "long-a.txt=abc"}},
		{"tnef with garbage behind", "winmail.dat", append(tnefOf("a.txt", "abc"), bytes.Repeat([]byte{0x55}, 40)...), []string{"body.txt=the body", "long-a.txt=abc"}},
		{"S/MIME signed", "smime.p7m", cmsOf(cmsSigned, "Subject: x", true), []string{"content.eml=Subject: x"}},
		{"S/MIME signed, without lengths", "smime.p7m", cmsOf(cmsSigned, "Subject: x", false), []string{"content.eml=Subject: x"}},
		{"S/MIME compressed", "smime.p7m", cmsOf(cmsCompressed, string(zlibOf(t, "Subject: x")), false), []string{"content.eml=Subject: x"}},
		{"S/MIME torn before its content", "smime.p7m", cmsOf(cmsSigned, "Subject: x", false)[:40], []string{"archive_broken"}},
		{"S/MIME torn behind its content", "smime.p7m", cmsOf(cmsSigned, "Subject: x", false)[:72], []string{"content.eml=Subject: x", "archive_broken"}},
		{"S/MIME signature, torn", "smime.p7s", cmsOf(cmsSigned, "Subject: x", false)[:40], nil},
		{"rar 5", "a.rar", rarOf("a.txt", "abc"), []string{"a.txt=abc"}},
		{"rar behind a program", "a.exe", append([]byte("MZ-program"), rarOf("a.txt", "abc")...), []string{"a.txt=abc"}},
		{"7z", "a.7z", seed(t, "plain.7z"), []string{"words2.txt=..."}},
		{"7z behind a program", "a.exe", append([]byte("MZ-program"), seed(t, "plain.7z")...), []string{"words2.txt=..."}},
		{"cab behind a program", "a.exe", append([]byte("MZ-program"), cabOf(t, true, "a.txt", "abc")...), []string{"a.txt=abc"}},
		{"gzip, two members and padding", "a.gz", slices.Concat(gzipOf(t, []byte("one ")), gzipOf(t, []byte("two")), make([]byte, 100)), []string{"a=one two"}},
		{"gzip with something behind", "a.gz", append(gzipOf(t, []byte("one")), "garbage"...), []string{"a=one", "archive_broken"}},
		{"bzip2", "words.txt.bz2", seed(t, "words.txt.bz2"), []string{"words.txt=..."}},
		{"xz", "words.txt.xz", seed(t, "words.txt.xz"), []string{"words.txt=..."}},
		{"xz, two streams", "words.txt.xz", append(seed(t, "words.txt.xz"), seed(t, "words.txt.xz")...), []string{"words.txt=..."}},
		{"letters that bzip2 begins with", "a.txt", []byte("BZh is no file"), nil},
		{"zstd", "a.txt.zst", zstdOf.EncodeAll([]byte("short"), nil), []string{"a.txt=short"}},
		{"lz4", "a.txt.lz4", lz4Of.Bytes(), []string{"a.txt=short"}},
		{"rtf with a package", "a.rtf", rtfOf("Package", packageOf("a.exe", "abc")[4:]), []string{"a.exe=abc"}},
		{"rtf with an object", "a.rtf", rtfOf("Word.Document", []byte("abc")), []string{"Word.Document=abc"}},
		{"onenote", "a.one", oneNoteOf("abc"), []string{"object-1.bin=abc"}},
		{"ole package", "a.doc", compoundtest.File("Ole10Native", string(packageOf("a.exe", "abc"))), []string{"a.exe=abc"}},
		{"ole stream that is a program", "a.msi", compoundtest.File("Binary.x", program), []string{"Binary.x=..."}},
		{"msg", "a.msg", compoundtest.File("__properties_version1.0", "x", "__substg1.0_3707001E", "a.txt", "__substg1.0_37010102", "abc"), []string{"a.txt=..."}},
		{"pdf", "a.pdf", []byte("%PDF-1.4\n1 0 obj\n<< /Type /EmbeddedFile /Length 3 >>\nstream\nabc\nendstream\n%%EOF"), []string{"embedded-1=abc"}},
		{"pdf, deflated, with the name escaped", "a.pdf",
			append(append([]byte("%PDF-1.4\n1 0 obj\n<< /Type /Embedded#46ile /Filter /FlateDecode >>\nstream\n"), zlibOf(t, "abc")...), "\nendstream\n"...),
			[]string{"embedded-1=abc"}},
		{"pdf with a mislabelled program", "a.pdf", []byte("%PDF-1.4\n1 0 obj\n<< /Length 45 >>\nstream\n" + program + "\nendstream\n"), []string{"embedded-1=..."}},
		{"html with a data: URI", "a.html", page(`<a href="data:application/octet-stream;base64,` + b64(pe) + `">x</a>`), []string{"data-1.exe=..."}},
		{"html with base64 in a script", "a.html", page(`<script>var f="` + b64(pe) + `";</script>`), []string{"script-1.exe=..."}},
		{"html with base64 in pieces", "a.html", page(`<script>var f="` + b64(pe)[:40] + `" + '` + b64(pe)[40:] + `';</script>`), []string{"script-1.exe=..."}},
		{"pdf that is a zip too", "a.pdf", append([]byte("%PDF-1.4\n"), zipOf(t, zip.Deflate, "a.txt", "abc")...), []string{"a.txt=abc"}},
		{"picture that is a rar too", "a.png", append([]byte("\x89PNG\r\n\x1a\n...."), rarOf("a.txt", "abc")...), []string{"a.txt=abc"}},
		{"two archives behind a program", "a.exe", slices.Concat([]byte("MZ-program"), rarOf("a.txt", "abc"), rarOf("b.txt", "def")), []string{"a.txt=abc", "b.txt=def"}},
		{"html with hexadecimal in a script", "a.html", page(`<script>f('` + hex.EncodeToString(pe) + `')</script>`), []string{"script-1.exe=..."}},
		{"html with numbers in a script", "a.html", page(`<script>new Uint8Array([77, 90, 0x90, 0, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79])</script>`),
			[]string{"script-1.exe=..."}},
		{"html with text in a script", "a.html", page(`<script>var f="` + b64([]byte(strings.Repeat("only words ", 20))) + `";</script>`), nil},
		{"mbox", "a.mbox", []byte("From a@b Mon Mar  2 10:00:00 2026\nSubject: 1\n\nx\n\nFrom c@d Mon Mar  2 10:00:00 2026\nSubject: 2\n\ny\n"),
			[]string{"message-1.eml=Subject: 1\n\nx\n\n", "message-2.eml=Subject: 2\n\ny\n"}},
		{"uuencode", "a.txt", []byte("Hello\n\n" + uuOf("a.bin", "some content")), []string{"a.bin=some content"}},
		{"uuencode, base64", "a.txt", []byte("begin-base64 644 a.bin\n" + b64([]byte("abc")) + "\n====\n"), []string{"a.bin=abc"}},
		{"uuencode, torn", "a.txt", []byte(uuOf("a.bin", "abc")[:26]), []string{"a.bin=abc", "archive_broken"}},
		{"yEnc", "a.txt", []byte(yencOf("a.bin", "a=\x00\n\xd6b")), []string{"a.bin=..."}},
		{"BinHex", "a.hqx", []byte(binHexOf("a.bin", "some \x90 content")), []string{"a.bin=some \x90 content"}},
		{"AutoIt", "a.exe", autoItOf(autoItOld, "a.exe", "abc"), []string{"a.exe=abc"}},
		{"AutoIt from 3.3 on", "a.exe", autoItOf(autoItNew, "a.exe", "abcabc"), []string{"a.exe=abcabc"}},
		{"InstallShield with an .msi", "setup.exe", installTableOf(t, "a.msi", "abc"), []string{"a.msi=abc"}},
		{"InstallShield with cabinets of its own", "setup.exe", setupFilesOf(t, "a.txt", "abc"), []string{"data1.cab=...", "data1.hdr=...", "a.txt=abc"}},
		{"sis", "a.sis", append([]byte("........\x19\x04\x00\x10...."), zlibOf(t, "abc")...), []string{"file-1.bin=abc"}},
		{"office document, without what only styles it", "a.docx",
			zipOf(t, zip.Deflate, "[Content_Types].xml", "<t/>", "word/styles.xml", "<s/>", "word/vbaProject.bin", "v", "word/theme/theme1.xml", program),
			[]string{"[Content_Types].xml=<t/>", "word/vbaProject.bin=v", "word/theme/theme1.xml=..."}},
		{"unknown kind of container", "a.ace", []byte("1234567**ACE**89"), []string{"format_unsupported"}},
		{"tool that is not there", "a.arj", []byte("\x60\xea12345678"), []string{"tool_missing"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := unpackAll(t, test.file, test.content)
			if diff := cmp.Diff(test.want, c.listing()); diff != "" {
				t.Errorf("members (-want +got):\n%s%v", diff, c.details)
			}
		})
	}
}

func TestSeedsOfOtherPrograms(t *testing.T) {
	tool, _, err := findTool(t.Context(), "")
	if err != nil {
		t.Logf("without 7zz: %v", err)
	}
	for _, test := range []struct {
		seed  string
		tool  bool
		words bool // the large text
	}{
		{seed: "deflate64.zip", words: true}, {seed: "lzma.zip"}, {seed: "bzip2.zip"}, {seed: "xz.zip"}, {seed: "plain.7z"}, {seed: "words.txt.xz"},
		{seed: "words.txt.bz2"}, {seed: "ppmd.zip", tool: true}, {seed: "disk.iso.gz", tool: true},
		{seed: "words.txt.Z", tool: true},
	} {
		t.Run(test.seed, func(t *testing.T) {
			if test.tool && tool == "" {
				t.Skip("needs 7zz (`make packages` installs it)")
			}
			c := &collector{}
			unpackInto(t, newUnpack(tool), test.seed, seed(t, test.seed), c)
			if len(c.names) == 0 || len(c.troubles) > 0 {
				t.Fatalf("got members %q, troubles %v", c.names, c.details)
			}
			content := c.contents[len(c.contents)-1].Bytes()
			sum := sha256.Sum256(content)
			switch got := hex.EncodeToString(sum[:]); {
			case test.words && got != wordsSum:
				t.Errorf("the sum of the content is %s", got)
			case test.seed == "disk.iso.gz" && (string(content) != "small content of a member\n" || !strings.HasSuffix(c.names[1], "A long name with blanks.txt")):
				t.Errorf("got %q with %q", c.names, content)
			case !test.words && test.seed != "disk.iso.gz" && string(content) != strings.Repeat(words2, 40):
				t.Errorf("the content is %.60q", content)
			}
		})
	}
}

func TestPasswordsOpenWhatIsSealed(t *testing.T) {
	for _, test := range []struct {
		seed   string
		closed []string
	}{
		{"aes.zip", []string{"words2.txt (encrypted)="}}, {"crypto.zip", []string{"words2.txt (encrypted)="}},
		{"sealed.7z", []string{"words2.txt (encrypted)="}}, {"names.7z", []string{"encrypted_container"}},
	} {
		t.Run(test.seed, func(t *testing.T) {
			opened := unpackAll(t, test.seed, seed(t, test.seed))
			if diff := cmp.Diff([]string{"words2.txt (opened with body)=..."}, opened.listing()); diff != "" {
				t.Errorf("with the password (-want +got):\n%s", diff)
			}
			configured := &collector{}
			unpackInto(t, newUnpack("", "password"), test.seed, seed(t, test.seed), configured)
			if diff := cmp.Diff([]string{"words2.txt (opened with configured)=..."}, configured.listing()); diff != "" {
				t.Errorf("with a configured one (-want +got):\n%s", diff)
			}
			closed := &collector{}
			unpackInto(t, newUnpack(""), test.seed, seed(t, test.seed), closed)
			if diff := cmp.Diff(test.closed, closed.listing()); diff != "" {
				t.Errorf("without (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSealedPDFs(t *testing.T) {
	for _, name := range []string{"empty-128.pdf", "sealed-40.pdf", "sealed-128.pdf", "sealed-256.pdf"} {
		t.Run(name, func(t *testing.T) {
			if c := unpackAll(t, name, seed(t, name)); !slices.Equal(c.links, []string{"https://sealed.example/path"}) || len(c.troubles) > 0 {
				t.Errorf("with the password: links %q, troubles %q", c.links, c.details)
			}
			closed := &collector{}
			unpackInto(t, newUnpack(""), name, seed(t, name), closed)
			if want := strings.HasPrefix(name, "sealed"); slices.Contains(closed.troubles, "encrypted_container") != want {
				t.Errorf("without: troubles %q, wanted the one for a sealed file: %v", closed.details, want)
			}
		})
	}
}

func TestObjectsAreFoundByTheirWholeNumber(t *testing.T) {
	if got := string(lastObject([]byte("4 0 obj right 14 0 obj wrong"), []byte("4 0 obj"))); !strings.HasPrefix(got, " right") {
		t.Errorf("the object is %q", got)
	}
}

func TestLinksOutOfDocuments(t *testing.T) {
	matrix, err := qrcode.NewQRCodeWriter().Encode("https://qr.example/login", gozxing.BarcodeFormat_QR_CODE, 200, 200, nil)
	if err != nil {
		t.Fatal(err)
	}
	code := image.NewGray(image.Rect(0, 0, 200, 200))
	inverted := image.NewGray(code.Bounds())
	for y := range 200 {
		for x := range 200 {
			if !matrix.Get(x, y) {
				code.Pix[code.PixOffset(x, y)] = 255
			}
			inverted.Pix[code.PixOffset(x, y)] = ^code.Pix[code.PixOffset(x, y)]
		}
	}
	pngOf := func(picture image.Image) []byte {
		var b bytes.Buffer
		if err := png.Encode(&b, picture); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	relations := `<Relationships><Relationship Id="1" Type="http://x/hyperlink" Target="https://office.example/a?b=1&amp;c=2" TargetMode="External"/>` +
		`<Relationship Id="2" Type="http://x/styles" Target="styles.xml"/></Relationships>`
	compressed := zlibOf(t, "<< /A << /S /URI /URI (https://hidden.example/in\\(side\\)) >> >>")
	tests := []struct {
		name, file string
		content    []byte
		want       []string
	}{
		{"QR code", "a.png", pngOf(code), []string{"https://qr.example/login"}},
		{"QR code, light on dark", "a.png", pngOf(inverted), []string{"https://qr.example/login"}},
		{"picture without", "a.png", pngOf(image.NewGray(image.Rect(0, 0, 100, 100))), nil},
		{"relations", "a.docx", zipOf(t, zip.Deflate, "[Content_Types].xml", "<t/>", "word/_rels/document.xml.rels", relations), []string{"https://office.example/a?b=1&c=2"}},
		{"QR code in a document", "a.docx", zipOf(t, zip.Store, "[Content_Types].xml", "<t/>", "word/media/image1.png", string(pngOf(code))),
			[]string{"https://qr.example/login"}},
		{"pdf annotation", "a.pdf", []byte("%PDF-1.4\n1 0 obj << /A << /S /URI /URI (https://pdf.example/) >> >>"), []string{"https://pdf.example/"}},
		{"pdf, hexadecimal", "a.pdf", []byte("%PDF-1.4\n1 0 obj << /URI <" + hex.EncodeToString([]byte("https://hex.example/")) + "> >>"), []string{"https://hex.example/"}},
		{"pdf, compressed objects", "a.pdf",
			append(append([]byte("%PDF-1.5\n1 0 obj\n<< /Type /ObjStm /Filter /FlateDecode >>\nstream\n"), compressed...), "\nendstream"...), []string{"https://hidden.example/in(side)"}},
		{"rtf field", "a.rtf", []byte(`{\rtf1{\field{\*\fldinst HYPERLINK "https://rtf.example/"}}}`), []string{"https://rtf.example/"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := unpackAll(t, test.file, test.content)
			if diff := cmp.Diff(test.want, c.links); diff != "" {
				t.Errorf("links (-want +got):\n%s%v", diff, c.details)
			}
		})
	}
}

func TestLinksInCodes(t *testing.T) {
	tests := map[string][]string{
		"https://a.example/x;y":                          {"https://a.example/x;y"},
		"BEGIN:VCARD\nURL:https://a.example/\nEND:VCARD": {"https://a.example/"},
		"MECARD:N:Doe;URL:https://a.example;":            {"https://a.example"},
		"only words":                                     {"only words"},
		"tel:1;2":                                        nil,
	}
	for text, want := range tests {
		if diff := cmp.Diff(want, linksIn(text)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

func TestHostileContainersAreLimited(t *testing.T) {
	lying := zipOf(t, zip.Store, "a.txt", "abc")
	lying[bytes.Index(lying, []byte("PK\x01\x02"))+24] = 9 // its length
	one := zipOf(t, zip.Store, "a.txt", "abc")
	at, end := bytes.Index(one, []byte("PK\x01\x02")), bytes.Index(one, []byte("PK\x05\x06"))
	overlap := slices.Concat(one[:at], one[at:end], one[at:end], one[end:])
	size := byte(2 * (end - at))
	tail := overlap[len(overlap)-22:]
	tail[8], tail[10], tail[12] = 2, 2, size
	wide := seed(t, "words.txt.xz")
	wide[bytes.Index(wide, []byte{0x21, 0x01})+2] = 40
	tests := []struct {
		name    string
		content []byte
		want    string
	}{
		{"overlap", overlap, "overlap"},
		{"length that is not true", lying, "archive_broken"},
		{"dictionary of xz", wide, "archive_broken"},
		{"window of zstd", []byte("\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00"), "archive_broken"},
		{"dictionary of lzma", []byte("\x5d\x00\x00\x00\xf0\xff\xff\xff\xff\xff\xff\xff\xff\x00\x05\x41\xfb\xff\xff"), "archive_broken"},
		{"tnef that claims much", []byte("\x78\x9f\x3e\x22\x01\x00\x02\x0f\x80\x06\x00\xff\xff\xff\x7fabc"), "archive_broken"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if c := unpackAll(t, "a", test.content); !slices.Contains(c.troubles, test.want) {
				t.Errorf("got troubles %v with members %q, want %s", c.details, c.names, test.want)
			}
		})
	}
}

func TestContainersArePushed(t *testing.T) {
	for _, c := range containers() {
		if digits, is := strings.CutPrefix(c, "magic:"); is {
			digits, _, _ = strings.Cut(digits, "@")
			if _, err := hex.DecodeString(digits); err != nil {
				t.Errorf("%s is not hexadecimal", c)
			}
		}
	}
}
