package main

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/postern-mail/postern/sdk/unpacker"

	"github.com/postern-mail/postern/sdk/compound/compoundtest"
)

// fuzzReader feeds one reader. It may give whatever it likes, but an error that ends the call has to be the emitter's, and what it emits has
// to stay within the budget.
func fuzzReader(f *testing.F, open func(*job, file) error, seeds ...[]byte) {
	for _, s := range seeds {
		f.Add(s)
		f.Add(s[:len(s)/2])
	}
	settings := newSettings([]string{"password"}, "")
	f.Fuzz(func(t *testing.T, content []byte) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		out := &counting{left: 200}
		j := &job{
			ctx: ctx, call: ctx, out: out, settings: settings, tries: passwordTime,
			budget: unpacker.Budget{Layers: 3, FileBytes: 1 << 16, Bytes: 1 << 20, Files: 100},
		}
		err := open(j, file{name: "a", data: content, layer: 1})
		var outside errOutside
		if errors.As(err, &outside) {
			t.Fatalf("error that is not the container's: %v", err)
		}
		if out.number > 102 {
			t.Fatalf("%d members", out.number)
		}
	})
}

// contained is a reader that uses a foreign library: that one may panic, which the call survives as a broken container.
func contained(open func(*job, file) error) func(*job, file) error {
	return func(j *job, f file) error { return j.contained(f, &format{name: "foreign", open: open}) }
}

func FuzzZip(f *testing.F) {
	fuzzReader(f, (*job).zip, zipOf(f, zip.Deflate, "a.txt", "abc"), seed(f, "aes.zip"), seed(f, "crypto.zip"), seed(f, "lzma.zip"), seed(f, "bzip2.zip"),
		zipOf(f, zip.Store, "[Content_Types].xml", "<t/>", "word/_rels/document.xml.rels", "<a/>"))
}

func FuzzDeflate64(f *testing.F) {
	fuzzReader(f, func(j *job, in file) error { return j.member(in, "a", newDeflate64(in.data)) }, deflated(f, "abcabcabcabc"), []byte{1, 3, 0, 252, 255, 'a', 'b', 'c'})
}

func FuzzRAR(f *testing.F) { fuzzReader(f, contained((*job).rar), rarOf("a.txt", "abc")) }
func FuzzSevenZip(f *testing.F) {
	fuzzReader(f, contained((*job).sevenzip), seed(f, "plain.7z"), seed(f, "names.7z"))
}
func FuzzGzip(f *testing.F)  { fuzzReader(f, (*job).gzip, gzipOf(f, []byte("abc"))) }
func FuzzBzip2(f *testing.F) { fuzzReader(f, (*job).bzip2, seed(f, "words.txt.bz2")) }
func FuzzXZ(f *testing.F)    { fuzzReader(f, (*job).xz, seed(f, "words.txt.xz")) }
func FuzzZstd(f *testing.F) {
	fuzzReader(f, (*job).zstd, []byte("\x28\xb5\x2f\xfd\x24\x01\x09\x00\x00a\x00\x00\x00\x00"))
}
func FuzzLZ4(f *testing.F) {
	fuzzReader(f, (*job).lz4, []byte("\x04\x22\x4d\x18\x60\x40\x82\x03\x00\x00\x80abc\x00\x00\x00\x00"))
}
func FuzzLZMA(f *testing.F) {
	fuzzReader(f, (*job).lzma, []byte("\x5d\x00\x00\x80\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00\x30\x98\x88\x98\x46\x7e\xff\xff"))
}
func FuzzLzip(f *testing.F) {
	fuzzReader(f, (*job).lzip, []byte("LZIP\x01\x0c\x00\x30\x98\x88\x98\x46\x7e\xff\xff..........................."))
}
func FuzzTar(f *testing.F) { fuzzReader(f, (*job).tar, tarOf(f, "a.txt", "abc")) }
func FuzzAr(f *testing.F) {
	fuzzReader(f, (*job).ar, arOf("//", "long-name/\n", "/0", "x", "#1/4", "nameabc"))
}
func FuzzCpio(f *testing.F) {
	fuzzReader(f, (*job).cpio, cpioOf("newc", "a", "abc"), cpioOf("odc", "a", "abc"), cpioOf("little", "a", "abc"), cpioOf("big", "a", "abc"))
}
func FuzzCab(f *testing.F) {
	fuzzReader(f, (*job).cab, cabOf(f, true, "a", "abc", "abc"), cabOf(f, false, "a", "abc"))
}
func FuzzSZDD(f *testing.F) { fuzzReader(f, (*job).szdd, szddOf("some content")) }
func FuzzTNEF(f *testing.F) { fuzzReader(f, (*job).tnef, tnefOf("a.txt", "abc")) }
func FuzzRTF(f *testing.F) {
	fuzzReader(f, (*job).rtf, rtfOf("Package", packageOf("a.exe", "abc")[4:]))
}
func FuzzOneNote(f *testing.F) {
	fuzzReader(f, (*job).oneNote, oneNoteOf("abc"), append([]byte(oneSection), program...))
}
func FuzzOLE(f *testing.F) {
	fuzzReader(f, (*job).ole, compoundtest.File("Ole10Native", string(packageOf("a.exe", "abc"))),
		compoundtest.File("__properties_version1.0", "x", "__substg1.0_37010102", "abc"), compoundtest.File("Workbook", "\x09\x08\x00\x00\x2f\x00\x04\x00\x01\x00\x01\x00"))
}

func FuzzPowerPoint(f *testing.F) {
	object := append([]byte("\x10\x00\x11\x10\x20\x00\x00\x00\x03\x00\x00\x00"), zlibOf(f, "abc")...)
	fuzzReader(f, func(j *job, in file) error { return j.powerPoint(in, in.data) }, object)
}

func FuzzPDF(f *testing.F) {
	fuzzReader(f, (*job).pdf, append(append([]byte("%PDF-1.4\n1 0 obj\n<< /Type /EmbeddedFile /Filter /FlateDecode >>\nstream\n"), zlibOf(f, "abc")...), "\nendstream /URI (http://a.example/)"...))
}

func FuzzSealedPDF(f *testing.F) {
	fuzzReader(f, (*job).pdf, seed(f, "empty-128.pdf"), seed(f, "sealed-256.pdf"), seed(f, "sealed-40.pdf"))
}

func FuzzHTML(f *testing.F) {
	fuzzReader(f, (*job).html, []byte("<html><script>[77,90,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18]</script><a href='data:a/b;base64,TVqQAAAAAAAAAAAAAAAAAAA='>"))
}

func FuzzEncodedText(f *testing.F) {
	fuzzReader(f, (*job).encodedText, []byte(uuOf("a", "abc")), []byte(yencOf("a", "abc")), []byte(binHexOf("a", "abc")))
}

func FuzzMbox(f *testing.F) {
	fuzzReader(f, (*job).mbox, []byte("From a\nSubject: x\n\nx\n\nFrom b\n"))
}
func FuzzSIS(f *testing.F) { fuzzReader(f, (*job).sis, zlibOf(f, "abc")) }

func FuzzProgram(f *testing.F) {
	fuzzReader(f, contained((*job).program), append([]byte("MZ-program"), rarOf("a.txt", "abc")...), append([]byte("MZ"), cabOf(f, false, "a", "abc")...))
}

func FuzzAutoIt(f *testing.F) {
	fuzzReader(f, func(j *job, in file) error {
		if autoItAt(in) < 0 {
			return nil
		}
		return j.autoIt(in)
	}, append([]byte(autoItMark+"50123456789abcdef\xff\x6d\xb0\xce\xbc\x29\x00\x00\xac\x29\x00\x00\x00\xaa\x45\x00\x00"), make([]byte, 24)...))
}

func FuzzAutoItCompression(f *testing.F) {
	fuzzReader(f, func(j *job, in file) error {
		r, err := newAutoIt(in.data)
		if err != nil {
			return err
		}
		return j.member(in, "a", r)
	}, []byte("EA05\x00\x00\x00\x08\xb0\xd8\x6c"), []byte("EA06\x00\x00\x00\x08\x30\x98\x4c\xff"))
}

func FuzzCMS(f *testing.F) {
	fuzzReader(f, (*job).cms, cmsOf(cmsSigned, "Subject: x", true), cmsOf(cmsSigned, "Subject: x", false), cmsOf(cmsCompressed, string(zlibOf(f, "x")), true))
}

func FuzzInstallCabinet(f *testing.F) {
	fuzzReader(f, func(j *job, in file) error {
		return j.installCabinet(in, in.data, func(int) []byte { return in.data })
	}, append([]byte("ISc(\x00\x95\x00\x01\x00\x00\x00\x00\x14\x00\x00\x00"), bytes.Repeat([]byte{1, 0, 0, 0}, 64)...))
}

func FuzzPicture(f *testing.F) {
	fuzzReader(f, contained((*job).picture), []byte("GIF89a\x30\x00\x30\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x000\x000\x00\x00\x02\x02L\x01\x00;"))
}

func FuzzRelations(f *testing.F) {
	fuzzReader(f, func(j *job, in file) error { return j.relations(in, in.data) }, []byte(`<R><Relationship Target="http://a.example" TargetMode="External"/></R>`))
}

func FuzzOfficeSealing(f *testing.F) {
	fuzzReader(f, func(j *job, in file) error {
		s, err := readSealing(in.data)
		if err != nil {
			return err
		}
		if a, is := s.(*agile); is {
			a.Key[0].Spin = min(a.Key[0].Spin, 10)
		}
		s.unlock("password")
		_, err = s.packageOf(in.data)
		return err
	}, append([]byte("\x04\x00\x02\x00\x24\x00\x00\x00\x20\x00\x00\x00"), make([]byte, 200)...),
		[]byte("\x04\x00\x04\x00\x40\x00\x00\x00<encryption><keyData blockSize=\"16\" hashAlgorithm=\"SHA512\" saltValue=\"AAAAAAAAAAAAAAAAAAAAAA==\"/><keyEncryptors><keyEncryptor>"+
			"<encryptedKey spinCount=\"1\" keyBits=\"256\" hashAlgorithm=\"SHA512\" saltValue=\"AAAAAAAAAAAAAAAAAAAAAA==\"/></keyEncryptor></keyEncryptors></encryption>"))
}
