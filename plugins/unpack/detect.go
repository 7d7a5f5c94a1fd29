package main

import (
	"bytes"
	"encoding/hex"

	"github.com/postern-mail/postern/sdk/compound"
)

// format is one kind of container.
type format struct {
	name    string
	matches func(f file) bool
	open    func(*job, file) error
	// polyglot says that a zip may stand behind a file of this kind, which then is both.
	polyglot bool
}

// headBytes is how far into a file marks are looked for that may stand anywhere in its beginning.
const headBytes = 32 << 10

// formatOf is what opens the file: what it begins with decides first, then what it is inside, then its name.
func formatOf(f file) *format {
	if len(f.data) < 4 {
		return nil
	}
	for _, known := range formats() {
		if known.matches(f) {
			return &known
		}
	}
	return nil
}

// begins matches files that begin with one of the marks.
func begins(marks ...string) func(file) bool {
	return func(f file) bool {
		for _, mark := range marks {
			if len(f.data) >= len(mark) && string(f.data[:len(mark)]) == mark {
				return true
			}
		}
		return false
	}
}

func has(mark string, offset int) func(file) bool {
	return func(f file) bool {
		return len(f.data) >= offset+len(mark) && string(f.data[offset:offset+len(mark)]) == mark
	}
}

func either(tests ...func(file) bool) func(file) bool {
	return func(f file) bool {
		for _, test := range tests {
			if test(f) {
				return true
			}
		}
		return false
	}
}

func head(f file) []byte { return f.data[:min(len(f.data), headBytes)] }

// formats are the kinds of containers in the order in which they are tried.
func formats() []format {
	return []format{
		{name: "zip", matches: begins("PK\x03\x04", "PK\x05\x06", "PK\x07\x08PK", "PK00PK"), open: (*job).zip},
		{name: "picture", matches: isPicture, open: (*job).picture},
		{name: "pdf", matches: isPDF, open: (*job).pdf, polyglot: true},
		{name: "ole", matches: begins(compound.Magic), open: (*job).ole},
		{name: "rar", matches: begins("Rar!\x1a\x07", "RE~^"), open: (*job).rar},
		{name: "7z", matches: begins(sevenMagic), open: (*job).sevenzip},
		{name: "gzip", matches: begins("\x1f\x8b"), open: (*job).gzip},
		{name: "bzip2", matches: isBzip2, open: (*job).bzip2},
		{name: "xz", matches: begins("\xfd7zXZ\x00"), open: (*job).xz},
		{name: "zstd", matches: either(begins("\x28\xb5\x2f\xfd"), isSkippable), open: (*job).zstd},
		{name: "lz4", matches: begins("\x04\x22\x4d\x18", "\x02\x21\x4c\x18"), open: (*job).lz4},
		{name: "lzip", matches: begins("LZIP\x01"), open: (*job).lzip},
		{name: "cpio", matches: begins("070701", "070702", "070707", "\xc7\x71", "\x71\xc7"), open: (*job).cpio},
		{name: "ar", matches: begins("!<arch>\n"), open: (*job).ar},
		{name: "cab", matches: begins("MSCF\x00\x00\x00\x00"), open: (*job).cab},
		{name: "szdd", matches: begins("SZDD\x88\xf0\x27\x33", "SZ \x88\xf0\x27\x33\xd1"), open: (*job).szdd},
		{name: "cms", matches: isCMS, open: (*job).cms},
		{name: "tnef", matches: begins("\x78\x9f\x3e\x22"), open: (*job).tnef},
		{name: "rtf", matches: begins("{\\rt"), open: (*job).rtf, polyglot: true},
		{name: "onenote", matches: begins(oneSection, oneTOC), open: (*job).oneNote},
		{name: "sis", matches: isSIS, open: (*job).sis},
		{name: "iso", matches: either(has("CD001", 32769), has("BEA01", 32769), has("NSR0", 32769)), open: (*job).disk},
		{name: "arj", matches: begins("\x60\xea"), open: tool("arj")},
		{name: "lha", matches: isLHA, open: tool("lzh")},
		{name: "chm", matches: begins("ITSF"), open: tool("chm")},
		{name: "compress", matches: begins("\x1f\x9d"), open: (*job).compress},
		{name: "rpm", matches: begins("\xed\xab\xee\xdb"), open: tool("rpm")},
		{name: "wim", matches: begins("MSWIM\x00\x00\x00"), open: tool("wim")},
		{name: "xar", matches: begins("xar!"), open: tool("xar")},
		{name: "squashfs", matches: begins("hsqs", "sqsh"), open: tool("squashfs")},
		{name: "vhd", matches: begins("conectix"), open: tool("vhd")},
		{name: "vhdx", matches: begins("vhdxfile"), open: tool("vhdx")},
		{name: "vmdk", matches: begins("KDMV"), open: tool("vmdk")},
		{name: "dmg", matches: isDMG, open: tool("dmg")},
		{name: "unserved", matches: isUnserved, open: (*job).unserved},
		{name: "program", matches: begins("MZ", "\x7fELF"), open: (*job).program},
		{name: "tar", matches: func(f file) bool { return isTar(f.data) }, open: (*job).tar},
		{name: "mbox", matches: isMbox, open: (*job).mbox},
		{name: "lzma", matches: isLZMA, open: (*job).lzma},
		{name: "zip behind something", matches: hasZipEnd, open: (*job).zip},
		{name: "html", matches: isHTML, open: (*job).html, polyglot: true},
		{name: "encoded text", matches: isEncodedText, open: (*job).encodedText},
	}
}

// containers is what the core pushes: what formats match, as far as the first bytes or the name tell.
func containers() []string {
	var out []string
	for _, mark := range []string{
		"PK\x03\x04", "PK\x05\x06", "PK\x07\x08", "PK00", compound.Magic, "Rar!\x1a\x07", "RE~^", sevenMagic, "\x1f\x8b", "BZh", "\xfd7zXZ\x00",
		"\x28\xb5\x2f\xfd", "\x04\x22\x4d\x18", "\x02\x21\x4c\x18", "LZIP\x01", "07070", "\xc7\x71", "\x71\xc7", "!<arch>\n",
		"MSCF\x00\x00\x00\x00", "SZDD\x88\xf0", "SZ \x88\xf0", "\x78\x9f\x3e\x22", "{\\rt", oneSection, oneTOC, "\x60\xea", "ITSF", "\x1f\x9d",
		"\xed\xab\xee\xdb", "MSWIM", "xar!", "hsqs", "sqsh", "conectix", "vhdxfile", "KDMV", "MZ", "\x7fELF", "From ", "%PDF-",
		"\x89PNG\r\n", "\xff\xd8\xff", "GIF8", "BM", "ALZ\x01", "LRZI", "\x89LZO", "EGGA", "ISc(", "\x5d\x00\x00",
	} {
		out = append(out, "magic:"+hex.EncodeToString([]byte(mark)))
	}
	out = append(out, "magic:7573746172@257", "magic:4344303031@32769", "magic:4245413031@32769", "magic:4E535230@32769",
		"magic:2A2A4143452A2A@7", "magic:2D6C68@2", "magic:2D6C7A@2", "magic:57454250@8", "magic:19040010@8")
	for _, at := range []string{"@2", "@3", "@4", "@5", "@6"} { // behind the length of what is around
		out = append(out, "magic:"+hex.EncodeToString([]byte(cmsSigned))+at, "magic:"+hex.EncodeToString([]byte(cmsCompressed))+at)
	}
	for _, text := range encodedMarks() {
		out = append(out, "text:"+hex.EncodeToString([]byte(text)))
	}
	return append(out, "application/zip", "application/x-zip-compressed", "application/ms-tnef", "application/vnd.ms-tnef", "application/pdf",
		".zip", ".jar", ".docx", ".xlsx", ".pptx", ".docm", ".xlsm", ".pptm", ".rar", ".7z", ".tar", ".gz", ".tgz", ".iso", ".img", ".udf",
		".cab", ".arj", ".lzh", ".lha", ".mbox", ".dat", ".msg", ".one", ".rtf", ".pdf", ".hqx", ".uu", ".uue", ".sis", ".dmg", ".lzma",
		".html", ".htm", ".xhtml", ".shtml", ".svg", ".hta")
}

func isSkippable(f file) bool { return f.data[0]&0xf0 == 0x50 && string(f.data[1:4]) == "\x2a\x4d\x18" }

// isBzip2 wants the mark of a block or of the end too: three letters stand in many texts.
func isBzip2(f file) bool {
	return len(f.data) >= 10 && string(f.data[:3]) == "BZh" && f.data[3] >= '1' && f.data[3] <= '9' &&
		(string(f.data[4:10]) == "1AY&SY" || string(f.data[4:10]) == "\x17\x72\x45\x38\x50\x90")
}

func isLHA(f file) bool {
	return len(f.data) > 21 && f.data[2] == '-' && f.data[3] == 'l' && (f.data[4] == 'h' || f.data[4] == 'z') && f.data[6] == '-'
}

// isLZMA knows the bare form, which has no mark: the properties of every encoder, a usual dictionary, and a length that may be.
func isLZMA(f file) bool {
	if len(f.data) < 14 || f.data[0] != 0x5d || f.data[1] != 0 || f.data[2] != 0 {
		return false
	}
	unknown := bytes.Equal(f.data[5:13], bytes.Repeat([]byte{0xff}, 8))
	return unknown || f.data[10] == 0 && f.data[11] == 0 && f.data[12] == 0
}

func isDMG(f file) bool {
	const trailer = 512
	return len(f.data) >= trailer && string(f.data[len(f.data)-trailer:][:4]) == "koly"
}

// isUnserved knows containers that nothing here can open.
func isUnserved(f file) bool {
	return either(begins("ALZ\x01", "LRZI", "\x89LZO\x00", "EGGA", "KWAJ\x88\xf0", "zPQ"), has("**ACE**", 7))(f)
}

func (j *job) unserved(f file) error { return j.unsupported(f, "this kind of container") }
